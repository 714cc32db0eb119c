"""Before the first request: what stands in the sink is read, what dead runs left is taken over, the plan is made.

Rules kept here: what fails here failed before anything was requested; a run that cannot begin leaves nothing of its own
behind, and lets go of what it had taken over.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from exporter.core.clocks import lies_ahead
from exporter.core.ledger import Ledger
from exporter.core.manifest import Manifest, ObjectRecord
from exporter.core.partition import Partition, owner_key
from exporter.core.plan import Plan, Scope, TaskId, make_plan
from exporter.core.staged import StagedFetch
from exporter.errors import ConfigError, DataError, PlanConflictError, StoreError
from exporter.jobs.conditions import require_conditions_once
from exporter.jobs.events import ClockBehind
from exporter.jobs.history import latest_manifests, read_ledgers
from exporter.jobs.presence import announce, say_ended
from exporter.jobs.resume import Leftovers, Owner, continued, pick, take_over
from exporter.jobs.suppression import Suppression
from exporter.jobs.sweep import sweep
from exporter.store.base import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a run begins with.

    Attributes:
        scope: what is asked for, and which unfinished runs it goes on with.
        plan: what is to be done.
        leftovers: what was taken over from dead runs.
        suppression: who is left out.
        ledgers: of what is published.
        published: when the runs began that had asked for what is published, by task.
        recorded: objects that earlier runs put, or were about to put, as far as the last ones tell.
    """

    scope: Scope
    plan: Plan
    leftovers: Leftovers
    suppression: Suppression
    ledgers: Mapping[Partition, Ledger]
    published: Mapping[TaskId, datetime]
    recorded: tuple[ObjectRecord, ...]

    def staged(self) -> dict[TaskId, StagedFetch]:
        """What earlier runs left of the tasks of this one and is still good: whole fetches, and partial ones."""
        good = (
            (task.id, pick(fetches, task, self.scope, published=self.published.get(task.id)))
            for task in self.plan.tasks
            if (fetches := self.leftovers.fetches.get(task.id))
        )
        return {task: fetch for task, fetch in good if fetch}

    def clock_behind(self) -> ClockBehind | None:
        """What tells of a clock that was set back, or that had been ahead when something was published, if it was."""
        now = self.scope.began_at
        asked = [began for task in self.plan.tasks if (began := self.published.get(task.id))]
        ahead = [began for began in asked if lies_ahead(began, now)]
        return ClockBehind(now=now, ahead=max(ahead), tasks=len(ahead)) if ahead else None


async def plan(store: ObjectStore, scope: Scope) -> Plan:
    """What a run of *scope* would do; nothing is written.

    Raises:
        PlanConflictError: what is published does not fit.
        ConfigError: the sink cannot be read.
    """
    try:
        scope, ledgers, _ = await _look(store, scope, Leftovers())
        return make_plan(scope, ledgers)
    except (StoreError, DataError) as error:
        raise _unusable(store, error) from error


async def begin(
    store: ObjectStore, scope: Scope, me: Owner, *, is_running: Callable[[Owner], bool | None]
) -> Beginning:
    """Announce a run, and plan it.

    Args:
        store: the sink.
        scope: what is asked for.
        me: this run and its process.
        is_running: whether a run's process still lives; None where that cannot be told.

    Raises:
        PlanConflictError: what is published does not fit.
        ConfigError: the sink cannot be used.
    """
    leftovers, suppression = Leftovers(), Suppression(store)
    try:
        await announce(store, me)
        await require_conditions_once(store, owner_key(me.run_id), me.to_json())
        await suppression.read()
        leftovers = await take_over(store, scope, me, is_running=is_running)
        scope, ledgers, latest = await _look(store, scope, leftovers)
        return Beginning(
            scope=scope,
            plan=make_plan(scope, ledgers),
            leftovers=leftovers,
            suppression=suppression,
            ledgers=ledgers,
            published={
                (partition.dataset, entry.studio, entry.window): entry.began_at
                for partition, ledger in ledgers.items()
                for entry in ledger.entries
            },
            recorded=(*(record for manifest in latest for record in manifest.objects), *leftovers.intents.values()),
        )
    except (StoreError, DataError, PlanConflictError) as error:
        with suppress(StoreError):
            await sweep(store, [me])
            await say_ended(store, leftovers.owners)
        if isinstance(error, PlanConflictError):
            raise
        raise _unusable(store, error) from error


async def _look(
    store: ObjectStore, scope: Scope, leftovers: Leftovers
) -> tuple[Scope, Mapping[Partition, Ledger], Sequence[Manifest]]:
    """*scope* with what it goes on with, what is published, and the last manifests."""
    latest = await latest_manifests(store, [dataset.name for dataset in scope.datasets])
    ledgers = await read_ledgers(store, scope.datasets)
    goes_on = continued(leftovers, latest, ledgers.values(), scope)
    return replace(scope, continues=goes_on, staged=leftovers.whole_since), ledgers, latest


def _unusable(store: ObjectStore, error: Exception) -> ConfigError:
    return ConfigError(f"sink {store.url}: {error}")

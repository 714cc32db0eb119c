"""Clears up the staging area after a run, and leaves there what others may still need."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from exporter.core.partition import owner_key, parse_partition, staging_prefix
from exporter.core.plan import Plan, Scope, TaskId
from exporter.core.staged import SegmentRecord, StagedPage
from exporter.errors import TakenOverError
from exporter.jobs.presence import say_ended, still_ours
from exporter.jobs.resume import KEEP, Leftovers, Owner
from exporter.store.base import ObjectStore


def needed_by_others(
    leftovers: Leftovers, plan: Plan, scope: Scope, published: Mapping[TaskId, datetime]
) -> frozenset[str]:
    """Keys of what dead runs left for tasks that *plan* is not about: other datasets, grains, studios or windows.

    Args:
        leftovers: all that they left.
        plan: what this run does.
        scope: what it is about.
        published: when the runs began that asked for what is published of the datasets of *scope*.
    """
    grains = {dataset.name: dataset.grain.id for dataset in scope.datasets}
    ours = {task.id for task in plan.tasks} | {done.task.id for done in plan.done}

    def is_needed(record: SegmentRecord, page: StagedPage) -> bool:
        if grains.get(record.dataset) != record.grain:
            return True
        task = (record.dataset, page.studio, page.window)
        return task not in ours and (task not in published or published[task] < record.began_at)

    segments = {
        key
        for key, record in leftovers.segments.items()
        if scope.began_at - record.began_at <= KEEP and any(is_needed(record, page) for page in record.pages)
    }
    intents = {
        key
        for key, intent in leftovers.intents.items()
        if (partition := parse_partition(intent.key))
        and partition.dataset not in grains
        and scope.began_at - intent.published_at <= KEEP
    }
    return frozenset(segments | intents)


async def sweep(store: ObjectStore, owners: Iterable[Owner], *, keep: frozenset[str] = frozenset()) -> None:
    """Delete all that the runs of *owners* staged, except *keep*; each run's own record last.

    What another run took over meanwhile is left to that one.

    Raises:
        StoreError: the sink refused; the next run sweeps what is left.
    """
    for owner in owners:
        record = owner_key(owner.run_id)
        try:
            await still_ours(store, owner)
        except TakenOverError:
            continue
        keys = {info.key for info in await store.list(staging_prefix(owner.run_id))} - {record}
        for key in sorted(keys - keep):
            await store.delete(key)
        if keys & keep:
            await say_ended(store, [owner])
        else:
            await store.delete(record)

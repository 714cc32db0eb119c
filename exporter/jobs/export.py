"""The main job: begin (`beginning.py`) -> fetch -> stage -> publish -> record.

Rules kept here:

- Credentials work side by side, each at its own pace (`drive.py`); pages are staged as they come (`stage.py`);
  partitions are published as soon as they are decided (`release.py`).
- However the run ends, its manifest says what became of every task; what is whole and not published stays staged.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count

from exporter.api.base import ReportSource
from exporter.core.answer import Format
from exporter.core.manifest import Manifest
from exporter.core.partition import latest_key, manifest_key
from exporter.core.plan import Scope, Task, TaskId
from exporter.core.reconcile import Reconcile
from exporter.core.report import DatasetName
from exporter.core.staged import StagedFetch
from exporter.core.studio import CredentialKey
from exporter.errors import ExporterError, StoreError
from exporter.jobs.account import Account
from exporter.jobs.beginning import Beginning, begin
from exporter.jobs.brake import Brake
from exporter.jobs.confirm import confirm
from exporter.jobs.drive import Door, Drivers, Halts
from exporter.jobs.events import Ended, Observer, Planned
from exporter.jobs.fetch import Fetcher
from exporter.jobs.inbox import Inbox
from exporter.jobs.meanwhile import Meanwhile
from exporter.jobs.presence import say_ended, stay_present
from exporter.jobs.publish import Publisher
from exporter.jobs.put import put_surely
from exporter.jobs.reconcile import Reconciler
from exporter.jobs.release import Release
from exporter.jobs.resume import Owner, standing
from exporter.jobs.segments import Segments
from exporter.jobs.stage import RunStamp, Staging
from exporter.jobs.sweep import needed_by_others, sweep
from exporter.jobs.tally import Tally
from exporter.store.base import ObjectStore

#: Pages of a window, and open windows, for each connection: one that is asked for, one that waits to be, and one that
#: waits to be staged.
_AT_ONCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run goes about it.

    Attributes:
        format, page_size: of the answers.
        max_connections: requests in flight at most.
        compression: of the parts.
        hash_key: for the columns that are written as keyed hashes.
        version: of this program.
        config: the configuration without secrets, for the manifest.
        reconcile: what becomes of a studio whose sum is not the API's.
    """

    format: Format
    page_size: int
    max_connections: int
    compression: str
    hash_key: bytes
    version: str
    config: Mapping[str, object]
    reconcile: Reconcile = Reconcile.OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Who stands behind the doors of this job.

    Attributes:
        source: the report API.
        gate: paces it.
        store: the sink.
        observer: looks on.
        clock: the time, UTC.
        monotonic: seconds.
        sleep, random: for waits.
        is_running: whether a run's process still lives; None where that cannot be told.
    """

    source: ReportSource
    gate: Door
    store: ObjectStore
    observer: Observer
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    is_running: Callable[[Owner], bool | None]


async def export(scope: Scope, me: Owner, options: Options, doors: Doors, tally: Tally) -> tuple[Manifest, ...]:
    """Fetch and publish all that *scope* lacks.

    Args:
        scope: what is asked for.
        me: this run and its process.
        options: how to go about it.
        doors: who is asked.
        tally: counts what is sent; the source reports to it.

    Returns:
        One manifest for each dataset, as published.

    Raises:
        PlanConflictError: what is published does not fit; nothing was requested.
        ConfigError: the sink cannot be used; nothing was requested.
        StoreError: the sink failed while the run was under way.
        TakenOverError: another run took this one for dead, and goes on with what it had staged.
        asyncio.CancelledError: the run was stopped; its manifests say so.
    """
    beginning = await begin(doors.store, scope, me, is_running=doors.is_running)
    return await _Run(beginning, me, options, doors, tally).go()


class _Run:
    """One run's state: the outcome of every task, and what is left to do for each partition."""

    def __init__(self, beginning: Beginning, me: Owner, options: Options, doors: Doors, tally: Tally) -> None:
        scope, plan = beginning.scope, beginning.plan
        self._beginning = beginning
        self._scope = scope
        self._me = me
        self._options = options
        self._doors = doors
        self._plan = plan
        self._at_work: set[CredentialKey] = set()
        self._needed_by_others = needed_by_others(beginning.leftovers, plan, scope, beginning.published)
        self._segments = Segments(spared=self._needed_by_others)
        self._started = doors.monotonic()
        self._account = Account(plan, tally)
        halts = Halts(scope.studios)
        brake = Brake(doors.gate.hold)
        inbox = Inbox(options.max_connections, brake.full)
        stamp = RunStamp(run_id=me.run_id, began_at=scope.began_at, full=scope.full)
        self._staging = Staging(
            doors.store,
            stamp,
            segments=self._segments,
            hash_key=options.hash_key,
            suppression=beginning.suppression,
            clock=doors.clock,
            on_sealed=halts.look_for_twins,
            inbox=inbox,
        )
        numbers = count(1)
        fetcher = Fetcher(
            source=doors.source,
            staging=self._staging,
            inbox=inbox,
            format=options.format,
            page_size=options.page_size,
            most_pages_at_once=_AT_ONCE * options.max_connections,
            new_id=lambda: f"{me.run_id}.{next(numbers)}",
            observer=doors.observer,
        )
        self._publisher = Publisher(
            store=doors.store,
            run_id=me.run_id,
            compression=options.compression,
            clock=doors.clock,
            sleep=doors.sleep,
            random=doors.random,
            after=max((record.published_at for record in beginning.recorded), default=None),
            suppression=beginning.suppression,
        )
        self._release = Release(
            scope=scope,
            plan=plan,
            published=beginning.ledgers,
            account=self._account,
            segments=self._segments,
            staging=self._staging,
            publisher=self._publisher,
            brake=brake,
            confirm=functools.partial(confirm, doors.store, run_id=me.run_id, sleep=doors.sleep, random=doors.random),
            withheld=halts.twins,
            observer=doors.observer,
        )
        self._reconciler = Reconciler(
            options.reconcile,
            scope=scope,
            plan=plan,
            account=self._account,
            fetched=self._segments,
            source=doors.source,
            withheld=halts.twins,
            release=self._release.decided,
            observer=doors.observer,
        )
        meanwhile = Meanwhile(
            doors.store,
            scope,
            beginning.published,
            account=self._account,
            on_decided=self._reconciler.decided,
            observer=doors.observer,
        )
        self._drivers = Drivers(
            gate=doors.gate,
            fetcher=fetcher,
            account=self._account,
            tally=tally,
            on_decided=self._reconciler.decided,
            still_missing=meanwhile.still_missing,
            halts=halts,
            most_open=_AT_ONCE * options.max_connections,
            observer=doors.observer,
        )

    async def go(self) -> tuple[Manifest, ...]:
        staged = self._beginning.staged()
        for (dataset, _, _), fetch in staged.items():
            self._segments.adopt(dataset, fetch)
        whole = {task: fetch for task, fetch in staged.items() if fetch.seal}
        partial = {task: fetch for task, fetch in staged.items() if not fetch.seal}
        missing = replace(self._plan, tasks=tuple(task for task in self._plan.tasks if task.id not in whole))
        requests = sum(missing.least_requests(self._options.page_size).values())
        self._doors.observer(
            Planned(run_id=self._me.run_id, plan=self._plan, least_requests=requests, resumed_tasks=len(whole))
        )
        if behind := self._beginning.clock_behind():
            self._doors.observer(behind)
        try:
            intents = self._beginning.leftovers.intents.values()
            for record in await standing(self._doors.store, intents, self._scope.datasets):
                self._account.published(await self._publisher.leave_out(record), ())
            if self._plan.tasks:
                await self._work(whole, partial)
            manifests = await self._record(stopped=False)
        except asyncio.CancelledError:
            await asyncio.shield(self._stop(flush=True))
            raise
        except BaseException:
            await asyncio.shield(self._stop(flush=False))
            raise
        await self._clear_up()
        self._doors.observer(Ended(manifests=manifests))
        return manifests

    @property
    def _owners(self) -> tuple[Owner, ...]:
        """The runs whose staging areas are ours."""
        return (self._me, *self._beginning.leftovers.owners)

    async def _stop(self, *, flush: bool) -> None:
        """Record how far the run came and leave what is staged to the next one, as far as the sink still takes it."""
        if flush:
            with suppress(ExporterError):
                await self._staging.flush()
        with suppress(StoreError):
            self._doors.observer(Ended(manifests=await self._record(stopped=True)))
        with suppress(StoreError):
            await say_ended(self._doors.store, self._owners)

    async def _clear_up(self) -> None:
        """After the record: what is staged is the only other one. Where the sink refuses, the next run clears up."""
        if self._account.is_settled:
            with suppress(StoreError):
                await sweep(self._doors.store, self._owners, keep=self._needed_by_others)
                return
        with suppress(StoreError):
            await say_ended(self._doors.store, self._owners)

    async def _work(self, whole: Mapping[TaskId, StagedFetch], partial: Mapping[TaskId, StagedFetch]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                presence = group.create_task(
                    stay_present(self._doors.store, self._owners, clock=self._doors.clock, sleep=self._doors.sleep)
                )
                staging = group.create_task(self._staging.run())
                releasing = group.create_task(self._release.run())
                reconciling = group.create_task(self._reconciler.run())
                self._take_up(whole)
                lanes = self._plan.lanes()
                self._at_work = set(lanes)
                await asyncio.gather(
                    *(
                        group.create_task(self._use(credential, [t for t in tasks if t.id not in whole], partial))
                        for credential, tasks in lanes.items()
                    )
                )
                reconciling.cancel()
                await self._release.finish()
                await asyncio.gather(*(self._doors.gate.leave(credential) for credential in lanes))
                for idle in (presence, staging, releasing):
                    idle.cancel()
        except BaseExceptionGroup as errors:
            # What stops one part of the machine stops it all, for one reason. Not by except*: with Python
            # 3.11.2 what is raised there comes out in a group.
            ours, others = errors.split(ExporterError)
            if ours is None or others is not None:
                raise
            raise _first(ours) from errors

    def _take_up(self, whole: Mapping[TaskId, StagedFetch]) -> None:
        """What earlier runs have fetched whole needs no request."""
        for task in self._plan.tasks:
            if (fetch := whole.get(task.id)) and (seal := fetch.seal):
                self._account.fetched(task, fetch.fetch_id, rows=seal.rows, total=seal.total, resumed=True)
                self._drivers.decided(task)

    async def _use(
        self, credential: CredentialKey, tasks: Sequence[Task], partial: Mapping[TaskId, StagedFetch]
    ) -> None:
        """Do all that is to be asked with one credential, and let it go.

        The last one is kept until all is published, so that whoever waits for it finds what need not be asked again.
        """
        await self._drivers.drive(credential, tasks, partial)
        await self._reconciler.finish(credential)
        self._at_work.discard(credential)
        if self._at_work:
            await self._doors.gate.leave(credential)

    async def _record(self, *, stopped: bool) -> tuple[Manifest, ...]:
        """Write one manifest for each dataset."""
        manifests = tuple(
            self._account.manifest(
                dataset,
                self._scope,
                run_id=self._me.run_id,
                version=self._options.version,
                config=self._options.config,
                extra_columns=self._staging.extra_columns.get(dataset.name, ()),
                ended_at=self._doors.clock(),
                seconds=self._doors.monotonic() - self._started,
                stopped=stopped,
            )
            for dataset in self._scope.datasets
        )
        for manifest in manifests:
            name = DatasetName(manifest.dataset)
            data = manifest.to_json()
            for key in (manifest_key(name, manifest.run_id), latest_key(name)):
                await put_surely(self._doors.store, key, data)
        return manifests


def _first(errors: BaseExceptionGroup[ExporterError]) -> ExporterError:
    """The first error of a group, however deep it lies."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error

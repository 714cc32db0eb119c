"""The main job: begin (`beginning.py`) -> fetch -> stage -> publish -> record.

Rules kept here:

- Credentials work side by side, each at its own pace (`drive.py`); pages are staged as they come (`stage.py`);
  partitions are published as soon as they are decided (`release.py`).
- However the run ends, its manifest says what became of every task; what is whole and not published stays staged.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from exporter.core.manifest import Manifest
from exporter.core.partition import latest_key, manifest_key
from exporter.core.plan import Scope, Task, TaskId
from exporter.core.report import DatasetName
from exporter.core.staged import StagedFetch
from exporter.core.studio import CredentialKey
from exporter.errors import ExporterError, StoreError
from exporter.jobs.beginning import Beginning, begin
from exporter.jobs.crew import Doors, Options, make_crew
from exporter.jobs.events import Ended, Planned
from exporter.jobs.presence import say_ended, stay_present
from exporter.jobs.put import put_surely
from exporter.jobs.resume import Owner, standing
from exporter.jobs.sweep import needed_by_others, sweep
from exporter.jobs.tally import Tally


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
        self._beginning = beginning
        self._scope = beginning.scope
        self._plan = beginning.plan
        self._me = me
        self._options = options
        self._doors = doors
        self._started = doors.monotonic()
        self._at_work: set[CredentialKey] = set()
        self._needed_by_others = needed_by_others(
            beginning.leftovers, beginning.plan, beginning.scope, beginning.published
        )
        crew = make_crew(beginning, me, options, doors, tally, spared=self._needed_by_others)
        self._account = crew.account
        self._segments = crew.segments
        self._staging = crew.staging
        self._publisher = crew.publisher
        self._release = crew.release
        self._reconciler = crew.reconciler
        self._drivers = crew.drivers

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

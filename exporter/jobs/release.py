"""Publishes each partition as soon as all its tasks are decided, one partition at a time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from exporter.core.confirmed import Confirmation
from exporter.core.ledger import Entry, Ledger, TaskKey
from exporter.core.manifest import ObjectRecord
from exporter.core.partition import Partition
from exporter.core.plan import Plan, Scope, Task
from exporter.core.report import Dataset, DatasetName
from exporter.core.staged import StagedFetch
from exporter.core.studio import StudioId
from exporter.errors import DataError, PlanConflictError
from exporter.jobs.account import Account
from exporter.jobs.brake import Brake
from exporter.jobs.events import NotPublished, Observer, PartitionPublished, Publishing
from exporter.jobs.publish import Publication, Publisher
from exporter.jobs.segments import Segments, Use, seal_of
from exporter.jobs.stage import Staging
from exporter.tables.swap import Swap

#: Keeps what was found unchanged in a dataset, and forgets what was said of windows that are replaced.
Confirm = Callable[[DatasetName, Collection[Confirmation], Collection[TaskKey]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """A partition that is as it was; its tasks are done, and what was staged of them can go, once that is recorded."""

    record: ObjectRecord
    tasks: Sequence[Task]
    confirmed: Sequence[Confirmation]
    staged: Sequence[Use]


class Release:
    """Which partitions are waiting for which tasks, and what is published of them."""

    def __init__(
        self,
        *,
        scope: Scope,
        plan: Plan,
        published: Mapping[Partition, Ledger],
        account: Account,
        segments: Segments,
        staging: Staging,
        publisher: Publisher,
        brake: Brake,
        confirm: Confirm,
        withheld: Mapping[StudioId, str],
        observer: Observer,
    ) -> None:
        """Nothing is decided.

        Args:
            scope: with `rewrite`, nothing is published before all is fetched: a reader must not see two grains for
                longer than needed.
            plan: the tasks.
            published: what is in the sink before the run.
            account: knows what became of each task, and is told what was published.
            segments: knows what is staged of each task.
            staging: holds the rows.
            publisher: puts them.
            brake: holds requests back meanwhile, where they would be in the way.
            confirm: keeps which windows were found unchanged.
            withheld: studios of which nothing more may be published, and why: their rows may be another's.
            observer: is told of each partition.
        """
        self._rewrite = scope.rewrite
        #: Where rows of tasks that are done already stand beside those that are to come.
        self._begun = {done.task.partition for done in plan.done}
        self._datasets = {dataset.name: dataset for dataset in scope.datasets}
        self._published = published
        self._account = account
        self._segments = segments
        self._staging = staging
        self._publisher = publisher
        self._brake = brake
        self._confirm = confirm
        self._unchanged: dict[DatasetName, list[_Unchanged]] = {}
        self._replaced: dict[DatasetName, list[Task]] = {}
        self._observer = observer
        self._tasks: dict[Partition, list[Task]] = {}
        for task in plan.tasks:
            self._tasks.setdefault(task.partition, []).append(task)
        self._undecided = Counter({partition: len(tasks) for partition, tasks in self._tasks.items()})
        self._ready: asyncio.Queue[Partition] = asyncio.Queue()
        self._withheld = withheld

    def decided(self, task: Task) -> None:
        """*task* is whole, failed or spared."""
        self._undecided[task.partition] -= 1
        if not self._undecided[task.partition] and not self._rewrite:
            self._ready.put_nowait(task.partition)

    async def run(self) -> None:
        """Publish what is ready, for as long as the run lasts."""
        while True:
            partition = await self._ready.get()
            with self._brake.publishing():
                await self._publish(partition, self._datasets[partition.dataset], self._tasks.get(partition, []))
            self._ready.task_done()

    async def finish(self) -> None:
        """Wait until all that can be published is."""
        if self._rewrite and not self._account.has_failures:
            old = (p for p in self._published if p.dataset in self._datasets and p not in self._begun)
            for partition in sorted({*self._tasks, *old}):
                self._ready.put_nowait(partition)
        await self._ready.join()
        for dataset in self._datasets:
            unchanged = self._unchanged.pop(dataset, [])
            confirmed = [item for found in unchanged for item in found.confirmed]
            replaced = [(task.studio.id, task.window) for task in self._replaced.pop(dataset, [])]
            if confirmed or replaced:
                await self._confirm(dataset, confirmed, replaced)
            for found in unchanged:
                self._account.published(found.record, found.tasks)
                await self._staging.delete(found.staged)

    async def _publish(self, partition: Partition, dataset: Dataset, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if self._account[task].is_whole and (reason := self._withheld.get(task.studio.id)):
                self._account.failed(task, f"{task}: {reason}")
        whole = [task for task in tasks if self._account[task].is_whole]
        drop_all = self._rewrite and partition not in self._begun
        if not whole and not drop_all:
            return
        fetches = [self._segments.fetch(task, self._account[task].fetch_id) for task in whole]
        self._observer(Publishing(partition=partition))
        try:
            # Its rows go with it: they need not be in memory while what was staged is deleted.
            publication = await self._swap(partition, dataset, whole, fetches, drop_all=drop_all)
        except (DataError, PlanConflictError) as error:
            for task in whole:
                self._account.failed(task, f"{task}: {error}")
            self._observer(NotPublished(partition=partition, tasks=len(whole), error=str(error)))
            return
        self._observer(PartitionPublished(object=publication.record, tasks=len(whole)))
        self._account.merged(whole, publication.changes, publication.entries)
        staged = self._staging.forget(dataset.name, [fetch.fetch_id for fetch in fetches])
        if publication.confirmed:
            # Recorded together with the others at the end; until then what was fetched stays staged.
            unchanged = _Unchanged(publication.record, whole, publication.confirmed, staged)
            self._unchanged.setdefault(dataset.name, []).append(unchanged)
            return
        self._replaced.setdefault(dataset.name, []).extend(whole)
        self._account.published(publication.record, whole)
        await self._staging.delete(staged)

    async def _swap(
        self,
        partition: Partition,
        dataset: Dataset,
        tasks: Sequence[Task],
        fetches: Sequence[StagedFetch],
        *,
        drop_all: bool,
    ) -> Publication:
        rows = await self._staging.rows(fetches)
        entries = tuple(
            Entry(
                studio=task.studio.id,
                window=task.window,
                rows=self._account[task].rows,
                total=self._account[task].total or 0,
                measure=seal_of(fetch).measure,
                run_id=self._publisher.run_id,
                began_at=fetch.began_at,
                zone=task.studio.timezone,
            ).leave_out(rows.withheld[fetch.fetch_id])
            for task, fetch in zip(tasks, fetches, strict=True)
        )
        old = self._published.get(partition)
        swap = Swap(
            partition=partition,
            dataset=dataset,
            rows=rows.fetched,
            entries=entries,
            customer_columns=rows.customer_columns,
            drop_all=drop_all,
            seen={entry.task: entry.began_at for entry in old.entries} if old else {},
        )
        return await self._publisher.publish(swap)

"""Fetches one task whole: asks for its pages, in whatever order, until they agree with each other.

Rules kept here: no page is asked for twice unless it failed or the report changed; the first page tells how many there
are, then the others are asked for at once, while the first one is still being staged. CSV tells no total; so where a
first CSV page is full, the second page is asked for as JSON, which tells it, and the labels too. What was staged before
a stop is not asked for again.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from exporter.api.base import ReportSource
from exporter.core.answer import Format, Header, Page, PageRequest
from exporter.core.plan import Task
from exporter.core.report import Column, Dataset, DatasetName, Pivot
from exporter.core.staged import StagedFetch
from exporter.errors import ChangedError, DataError
from exporter.jobs.events import Observer, PageStaged, Refetched
from exporter.jobs.inbox import Inbox
from exporter.jobs.stage import Staging
from exporter.tables.assembly import Assembly
from exporter.tables.csv_pages import csv_header, first_line
from exporter.tables.headers import check_headers, told_order
from exporter.tables.labels import Labels, learn_labels, resolve_csv_header
from exporter.tables.layout import known_columns

#: First lines of CSV whose labels are remembered; a dataset has one, unless the API makes up new ones.
_MOST_LABELS = 100

#: How often a window is fetched from the start before its report is taken to change for good.
MOST_FETCHES = 5


@dataclass(frozen=True, slots=True)
class _Passed:
    """A page's head that passed the checks.

    Attributes:
        dataset: what the page was asked by.
        head: what stood above its rows.
        labels: what is needed to read the first line of a CSV page.
        order: see `StagedPage`.
    """

    dataset: Dataset
    head: tuple[Header, ...] | bytes
    labels: Labels | None
    order: str | None


@dataclass(slots=True, kw_only=True)
class Fetcher:
    """Fetches tasks.

    Attributes:
        source: where pages come from.
        staging: where they go.
        inbox: is told which are coming.
        format: how rows are asked for.
        page_size: rows in a page.
        most_pages_at_once: of one window.
        new_id: makes ids of fetches.
        observer: is told of each page.
    """

    source: ReportSource
    staging: Staging
    inbox: Inbox
    format: Format
    page_size: int
    most_pages_at_once: int
    new_id: Callable[[], str]
    observer: Observer
    _labels: dict[tuple[DatasetName, tuple[str, ...]], Labels] = field(default_factory=dict)
    _asked: dict[DatasetName, Dataset] = field(default_factory=dict)
    _passed: dict[DatasetName, _Passed] = field(default_factory=dict)

    async def fetch(self, task: Task, staged: StagedFetch | None = None) -> Assembly:
        """All rows of *task*, checked, staged and sealed.

        Args:
            task: what to fetch.
            staged: pages of it that an earlier run left behind.

        Raises:
            SourceError, DataError, StoreError: it could not be fetched whole.
        """
        for number in range(1, MOST_FETCHES + 1):
            assembly = Assembly(task, staged.fetch_id if staged else self.new_id(), self.page_size)
            try:
                if staged:
                    await self.staging.restore(assembly, staged)
                await self._complete(assembly)
                return assembly
            except ChangedError as error:
                if number == MOST_FETCHES:
                    raise DataError(
                        f"{error}; it did so {MOST_FETCHES} times, the task is left as it was; run again when the"
                        f" studio is quiet, and if it stays so try another api.pagination or api.page_size"
                    ) from error
                self.observer(Refetched(task=task, reason=str(error)))
            except DataError:
                if not staged:
                    raise
            await self.staging.release(task.dataset.name, [assembly.fetch_id])
            staged = None
        raise AssertionError("the last fetch returns or raises")

    async def _complete(self, assembly: Assembly) -> None:
        if assembly.is_whole:
            raise ChangedError(f"{assembly.task}: what was staged of it did not pass the checks")
        while not assembly.is_whole:
            if assembly.total is None:
                await self._next(assembly, assembly.missing[0])
            else:
                await _side_by_side(self._workers(assembly, assembly.missing))

    async def _next(self, assembly: Assembly, offset: int) -> None:
        """The page at *offset* alone, since nobody knows yet how many there are; then those that it tells of."""
        page, head = await self._ask(assembly, offset, self._format_of_next(assembly, offset))
        if page.total is None and not offset and _seems_full(page):
            others: Sequence[Coroutine[Any, Any, None]] = [self._next(assembly, self.page_size)]
        else:
            others = self._workers(assembly, [o for o in assembly.promised(page.total) if o > offset])
        staging = self._stage(assembly, page, head)
        del page  # else its bytes were held until the whole window is there
        await _side_by_side([staging, *others])

    def _workers(self, assembly: Assembly, offsets: Sequence[int]) -> Sequence[Coroutine[Any, Any, None]]:
        """Who fetch the pages at *offsets* together."""
        todo = iter(offsets)

        async def work(offsets: Iterator[int]) -> None:
            for offset in offsets:
                await self._stage(assembly, *await self._ask(assembly, offset, self.format))

        return [work(todo) for _ in range(min(len(offsets), self.most_pages_at_once))]

    async def _ask(self, assembly: Assembly, offset: int, kind: Format) -> tuple[Page, _Passed]:
        """One page, whose head is as it must be."""
        task = assembly.task
        dataset = self._asked.get(task.dataset.name, task.dataset)
        request = PageRequest(
            dataset=dataset,
            studio=task.studio,
            window=task.window,
            offset=offset,
            limit=self.page_size,
            format=kind,
        )
        with self.inbox.coming():
            page = await self.source.fetch(request)
            return page, await self._check_head(page)

    def _stage(self, assembly: Assembly, page: Page, head: _Passed) -> Coroutine[Any, Any, None]:
        """Hand *page* over at once; what is returned ends once it is safe, and holds none of its bytes meanwhile."""
        return self._staged(assembly, self.staging.add(assembly, page, head.labels, head.order))

    async def _staged(self, assembly: Assembly, rows: asyncio.Future[int]) -> None:
        self.observer(PageStaged(task=assembly.task, rows=await rows, total=assembly.total))

    async def _check_head(self, page: Page) -> _Passed:
        """Hold what stands above the rows against what was asked; what passed once passes again."""
        dataset = page.request.dataset
        head = page.headers or first_line(page.body)
        passed = self._passed.get(dataset.name)
        if passed and passed.dataset is dataset and passed.head == head:
            return passed
        labels = None if page.format is Format.JSON else await self._labels_for(page)
        check_headers(page, dataset)
        self._ask_for_all(page, labels)
        passed = _Passed(dataset, head, labels, told_order(page, dataset))
        if page.headers or (page.format is Format.CSV and b'"' not in head):  # a quoted line may go on behind its end
            self._passed[dataset.name] = passed
        return passed

    def _ask_for_all(self, page: Page, labels: Labels | None) -> None:
        """From now on ask for columns that came unasked, so that they are part of the order.

        Raises:
            ChangedError: the page is one of several, which are in an order that is not total.
        """
        dataset = page.request.dataset
        if dataset.spec.row_key:
            return
        if page.format is Format.JSON:
            keys: Sequence[str] = [header.key for header in page.headers]
        else:
            keys = resolve_csv_header(csv_header(page), dataset, labels) or ()
        known = known_columns(dataset.spec)
        unasked = {known[key] for key in keys if key in known} - {*dataset.columns, *measures_of(dataset)}
        if not unasked:
            return
        columns = tuple(column for column in dataset.spec.columns if column in unasked)
        self._asked[dataset.name] = replace(dataset, columns=(*dataset.columns, *columns))
        if page.total is None or page.total > self.page_size:
            names = ", ".join(column.name for column in columns)
            raise ChangedError(f"{page.request}: brought {names} unasked; fetched again, sorted by them too")

    def _format_of_next(self, assembly: Assembly, offset: int) -> Format:
        """CSV where it is wanted, but JSON for the page that has to tell the total, or a pivot's periods."""
        pivoted = assembly.task.dataset.pivot is not Pivot.ALL
        return Format.JSON if pivoted or offset == self.page_size else self.format

    async def _labels_for(self, page: Page) -> Labels | None:
        """What is needed to read the first line of *page*; asks for one row as JSON where that line holds labels."""
        dataset = page.request.dataset
        names = csv_header(page)
        if not names or (dataset.pivot is Pivot.ALL and resolve_csv_header(names, dataset, None) is not None):
            return None
        key = (dataset.name, names)
        if key not in self._labels:
            if len(self._labels) >= _MOST_LABELS:
                self._labels.clear()
            request = page.request._replace(format=Format.JSON, offset=0, limit=1)
            answer = await self.source.fetch(request)
            check_headers(answer, dataset)
            self._labels[key] = learn_labels(answer.headers)
        return self._labels[key]


def _seems_full(page: Page) -> bool:
    """Whether a CSV page has the lines of a full one. Where a text holds line ends it may not be, which is rare."""
    return page.body.count(b"\n") > page.request.limit


async def _side_by_side(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all of *work*; the first failure ends it all."""
    workers = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise


def measures_of(dataset: Dataset) -> set[Column]:
    """The columns that add up; they are no part of any order."""
    return {column for column in dataset.spec.columns if column.name in dataset.spec.measures}

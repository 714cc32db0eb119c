"""Takes pages as they come and makes them safe: decode, protect, check, write to the sink's staging area.

Rules kept here:

- A page counts as fetched once it is written; until then a stop loses it, afterwards nothing does.
- What must not be stored never is: columns are dropped and hashed before the first byte is written.
- Writing in batches costs nothing: while one segment is written, the next pages gather, and go together.
- Only whole fetches are sealed; a sealed fetch has passed every check.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

import pyarrow as pa

from exporter.core.answer import MOST_COLUMNS, Format, Page
from exporter.core.partition import segment_key
from exporter.core.plan import Task
from exporter.core.report import Dataset, DatasetName
from exporter.core.staged import Seal, SegmentRecord, StagedFetch, StagedPage
from exporter.errors import DataError, ExporterError, NotFoundError
from exporter.jobs.put import put_surely
from exporter.jobs.shelf import Pages, Shelf
from exporter.store.base import ObjectStore
from exporter.tables import privacy
from exporter.tables.assembly import Assembly
from exporter.tables.decode import Decoded, decode_pages
from exporter.tables.labels import Labels
from exporter.tables.measure import measure_of
from exporter.tables.schema import (
    EXPORTED_AT,
    LEADING,
    RUN_ID,
    STUDIO_ID,
    TRAILING,
    WINDOW_END,
    WINDOW_START,
    written_fields,
)
from exporter.tables.segment import decode_segment, encode_segment

#: Where so many pages wait to be written, no more are asked for; those in flight still come.
MOST_WAITING = 64

#: Pages decoded in one go. Fewer cost more calls; more JSON costs more memory, and time once it leaves the CPU's cache.
MOST_DECODED: Mapping[Format, int] = {Format.JSON: 12, Format.CSV: 100}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStamp:
    """Which run stages.

    Attributes:
        run_id: of this run.
        began_at: UTC.
        full: whether it fetches settled tasks again.
    """

    run_id: str
    began_at: datetime
    full: bool


@dataclass(slots=True)
class _Arrival:
    assembly: Assembly
    page: Page
    labels: Labels | None
    done: asyncio.Future[int]


class Staging:
    """The staged rows of this run, and those of earlier runs that it goes on with."""

    def __init__(
        self,
        store: ObjectStore,
        stamp: RunStamp,
        *,
        hash_key: bytes,
        clock: Callable[[], datetime],
        on_sealed: Callable[[Task, pa.Table], None],
        on_backlog: Callable[[bool], None],
    ) -> None:
        """Nothing staged yet.

        Args:
            store: the sink.
            stamp: which run this is.
            hash_key: for the columns that are written as keyed hashes.
            clock: the time, UTC.
            on_sealed: looks at a whole fetch before it is sealed; may raise to fail it.
            on_backlog: is told when too many pages wait to be written, and when they do no longer.
        """
        self._store = store
        self._stamp = stamp
        self._hash_key = hash_key
        self._clock = clock
        self._on_sealed = on_sealed
        self._on_backlog = on_backlog
        self._waiting: list[_Arrival] = []
        self._arrived = asyncio.Event()
        self._number = 0
        self._shelf = Shelf()
        self._fetches: dict[tuple[DatasetName, str], StagedFetch] = {}
        self._in_use: dict[str, set[tuple[DatasetName, str]]] = {}
        self._spared: frozenset[str] = frozenset()
        self.extra_columns: dict[DatasetName, dict[str, None]] = {}

    def adopt(self, dataset: DatasetName, fetch: StagedFetch) -> None:
        """Go on with what an earlier run staged."""
        self._fetches[dataset, fetch.fetch_id] = fetch
        for key in fetch.segments:
            self._in_use.setdefault(key, set()).add((dataset, fetch.fetch_id))

    def spare(self, keys: frozenset[str]) -> None:
        """Never delete these segments: they hold what others need too."""
        self._spared = keys

    async def add(self, assembly: Assembly, page: Page, labels: Labels | None) -> int:
        """Make *page* safe.

        Returns:
            Its rows, as the API counts them.

        Raises:
            ChangedError: the report changed while it was paged.
            DataError: the page is not what was promised.
            StoreError: it could not be written.
        """
        arrival = _Arrival(assembly, page, labels, asyncio.get_running_loop().create_future())
        self._waiting.append(arrival)
        self._arrived.set()
        if len(self._waiting) >= MOST_WAITING:
            self._on_backlog(True)
        return await arrival.done

    async def run(self) -> None:
        """Write what arrives, for as long as the run lasts."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            self._on_backlog(False)
            for dataset, arrivals in _by_dataset(batch):
                await self._write(dataset, arrivals)

    async def restore(self, assembly: Assembly, fetch: StagedFetch) -> None:
        """Fill *assembly* with the pages that are staged of *fetch*.

        Raises:
            ChangedError, DataError, NotFoundError: they cannot be used.
        """
        for page, table in await self._pages([fetch]):
            assembly.add(page, table)
        assembly.resumed = True

    def sealed(self, task: Task, fetch_id: str) -> StagedFetch:
        """The whole fetch of *task*."""
        fetch = self._fetches[task.dataset.name, fetch_id]
        if fetch.seal is None:
            raise DataError(f"{task}: is not whole")
        return fetch

    def measure(self, task: Task, fetch_id: str) -> int:
        """What the rows of the whole fetch of *task* add up to."""
        seal = self.sealed(task, fetch_id).seal
        return seal.measure if seal else 0

    async def rows(self, dataset: Dataset, fetches: Sequence[StagedFetch]) -> pa.Table:
        """The rows of whole *fetches*, as they are published."""
        pages = await self._pages(fetches)
        seals = {fetch.fetch_id: fetch.seal for fetch in fetches}
        repeat = [index for index, (page, _) in enumerate(pages) for _ in range(page.rows)]
        take = pa.array(repeat, pa.int32())

        def spread(values: Iterable[object], field: pa.Field) -> pa.Array:
            return pa.array(list(values), field.type).take(take)

        by_name = {field.name: field for field in (*LEADING, *TRAILING)}
        table = pa.concat_tables([t for _, t in pages], promote_options="default") if pages else _no_rows(dataset)
        # One chunk instead of one a page: whoever sorts or compares looks every value up in its chunk.
        table = table.combine_chunks()
        front = {
            STUDIO_ID: (page.studio for page, _ in pages),
            WINDOW_START: (page.window.start for page, _ in pages),
            WINDOW_END: (page.window.end for page, _ in pages),
        }
        back = {
            RUN_ID: (self._stamp.run_id for _ in pages),
            EXPORTED_AT: ((seals[page.fetch_id] or _unsealed(page)).sealed_at for page, _ in pages),
        }
        for position, (name, values) in enumerate(front.items()):
            table = table.add_column(position, by_name[name], spread(values, by_name[name]))
        for name, values in back.items():
            table = table.append_column(by_name[name], spread(values, by_name[name]))
        return table

    async def release(self, dataset: DatasetName, fetch_ids: Iterable[str]) -> None:
        """Forget fetches that are published or given up, and delete the segments that nobody needs any more."""
        for fetch_id in fetch_ids:
            fetch = self._fetches.pop((dataset, fetch_id), None)
            for key in fetch.segments if fetch else ():
                users = self._in_use.get(key, set())
                users.discard((dataset, fetch_id))
                if not users and key not in self._spared:
                    self._in_use.pop(key, None)
                    self._shelf.drop(key)
                    await self._store.delete(key)

    async def _pages(self, fetches: Sequence[StagedFetch]) -> list[tuple[StagedPage, pa.Table]]:
        """The pages of *fetches*, each with its rows, by task and offset. Reads one segment at a time."""
        wanted = {(page.fetch_id, page.offset, key) for f in fetches for key, page in f.pages.values()}
        found: list[tuple[StagedPage, pa.Table]] = []
        for key in dict.fromkeys(key for fetch in fetches for key in fetch.segments):
            pages = self._shelf.get(key) or await self._read(key)
            found += [(page, rows) for page, rows in pages if (page.fetch_id, page.offset, key) in wanted]
        found.sort(key=lambda item: (item[0].studio, item[0].window, item[0].offset))
        return found

    async def _read(self, key: str) -> Pages:
        """The pages of a segment, each with its rows."""
        try:
            data, _ = await self._store.get(key)
        except NotFoundError as error:
            raise DataError(f"{key}: staged rows are gone; run again") from error
        record, table = decode_segment(data)
        ends = accumulate(page.rows for page in record.pages)
        return [(page, table.slice(end - page.rows, page.rows)) for page, end in zip(record.pages, ends, strict=True)]

    async def _write(self, dataset: Dataset, arrivals: Sequence[_Arrival]) -> None:
        pages: list[tuple[_Arrival, StagedPage, pa.Table]] = []
        seals: list[Seal] = []
        for arrival, api_rows, table, stored, extras in self._decode(dataset, arrivals):
            task = arrival.assembly.task
            page = StagedPage(
                studio=task.studio.id,
                window=task.window,
                fetch_id=arrival.assembly.fetch_id,
                offset=arrival.page.request.offset,
                api_rows=api_rows,
                rows=table.num_rows,
                total=arrival.page.total,
                received_at=arrival.page.received_at,
            )
            try:
                seen = self.extra_columns.setdefault(dataset.name, {})
                if len(seen.keys() | extras) > MOST_COLUMNS:
                    raise DataError(f"{arrival.page.request}: brought unasked columns beyond {MOST_COLUMNS} in all")
                hidden = drops_keys(dataset) or not dataset.drop.isdisjoint(extras)
                seal = self._assemble(arrival.assembly, page, table if hidden else stored)
            except ExporterError as error:
                _fail(arrival, error)
                continue
            seen.update(dict.fromkeys(extras))
            pages.append((arrival, page, stored))
            seals += [seal] if seal else []
        if not pages:
            return
        key = segment_key(self._stamp.run_id, self._number)
        self._number += 1
        record = SegmentRecord(
            dataset=dataset.name,
            grain=dataset.grain.id,
            run_id=self._stamp.run_id,
            began_at=self._stamp.began_at,
            full=self._stamp.full,
            pages=tuple(page for _, page, _ in pages),
            seals=tuple(seals),
        )
        table = pa.concat_tables([stored for _, _, stored in pages], promote_options="default").combine_chunks()
        await put_surely(self._store, key, encode_segment(record, table))
        self._shelf.put(key, [(page, rows) for _, page, rows in pages], table.nbytes)
        for _, page, _ in pages:
            self._note(dataset.name, key, page)
        for seal in seals:
            self._fetches[dataset.name, seal.fetch_id].seal = seal
        for arrival, page, _ in pages:
            if not arrival.done.done():
                arrival.done.set_result(page.api_rows)

    def _assemble(self, assembly: Assembly, page: StagedPage, table: pa.Table) -> Seal | None:
        assembly.add(page, table)
        if not assembly.is_whole:
            return None
        whole = assembly.check()
        self._on_sealed(assembly.task, whole)
        return Seal(
            studio=page.studio,
            window=page.window,
            fetch_id=page.fetch_id,
            total=assembly.total or 0,
            rows=assembly.rows,
            measure=measure_of(whole, assembly.task.dataset),
            sealed_at=self._clock(),
        )

    def _decode(
        self, dataset: Dataset, arrivals: Sequence[_Arrival]
    ) -> Iterable[tuple[_Arrival, int, pa.Table, pa.Table, tuple[str, ...]]]:
        """Decode pages with the same columns in one go; where one of them is bad, each by itself.

        Yields:
            Page, its rows as the API counts them, its rows as they came and as they may be stored, unasked columns.
        """
        groups: dict[object, list[_Arrival]] = {}
        for arrival in arrivals:
            page = arrival.page
            shape = page.headers or page.body[: page.body.find(b"\n")]
            groups.setdefault((page.format, shape, id(arrival.labels)), []).append(arrival)
        for group in (few for alike in groups.values() for few in _in_fews(alike)):
            try:
                yield from self._split(group, decode_pages([a.page for a in group], dataset, group[0].labels))
            except DataError:
                for arrival in group:
                    try:
                        yield from self._split([arrival], decode_pages([arrival.page], dataset, arrival.labels))
                    except DataError as error:
                        _fail(arrival, error)

    def _split(
        self, group: Sequence[_Arrival], decoded: Decoded
    ) -> Iterable[tuple[_Arrival, int, pa.Table, pa.Table, tuple[str, ...]]]:
        stored = privacy.apply(decoded.table, group[0].assembly.task.dataset, self._hash_key)
        # With a pivot each of the API's rows became one row per period.
        periods = decoded.table.num_rows // max(1, sum(decoded.page_rows))
        start = 0
        for arrival, api_rows in zip(group, decoded.page_rows, strict=True):
            rows = api_rows * periods
            yield arrival, api_rows, decoded.table.slice(start, rows), stored.slice(start, rows), decoded.extras
            start += rows

    def _note(self, dataset: DatasetName, key: str, page: StagedPage) -> None:
        fetch = self._fetches.setdefault(
            (dataset, page.fetch_id),
            StagedFetch(studio=page.studio, window=page.window, fetch_id=page.fetch_id, began_at=self._stamp.began_at),
        )
        fetch.pages[page.offset] = (key, page)
        self._in_use.setdefault(key, set()).add((dataset, page.fetch_id))


def drops_keys(dataset: Dataset) -> bool:
    """Whether staged rows lack a column of the group key, so that they cannot be told apart any more."""
    return any(column.name in dataset.drop for column in dataset.key_columns)


def _in_fews(arrivals: Sequence[_Arrival]) -> Iterable[Sequence[_Arrival]]:
    most = MOST_DECODED[arrivals[0].page.format]
    return (arrivals[start : start + most] for start in range(0, len(arrivals), most))


def _by_dataset(batch: Sequence[_Arrival]) -> Iterable[tuple[Dataset, list[_Arrival]]]:
    groups: dict[DatasetName, list[_Arrival]] = {}
    for arrival in batch:
        groups.setdefault(arrival.assembly.task.dataset.name, []).append(arrival)
    return [(arrivals[0].assembly.task.dataset, arrivals) for arrivals in groups.values()]


def _fail(arrival: _Arrival, error: ExporterError) -> None:
    if not arrival.done.done():
        arrival.done.set_exception(error)


def _unsealed(page: StagedPage) -> Seal:
    raise DataError(f"{page.studio} {page.window}: is not whole")


def _no_rows(dataset: Dataset) -> pa.Table:
    return pa.schema(written_fields(dataset)).empty_table()

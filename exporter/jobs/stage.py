"""Takes pages as they come and makes them safe: decode, protect, check, write to the sink's staging area.

Rules kept here:

- A page counts as fetched once it is written; until then a stop loses it, afterwards nothing does.
- What must not be stored never is: columns are dropped and hashed, and people on the list of those who are left out
  are taken out, before the first byte is written (`intake.py`).
- Pages are written together (`inbox.py`): while one segment is written, the next pages gather.
- Only whole fetches are sealed; a sealed fetch has passed every check.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from exporter.core.answer import MOST_COLUMNS, Page
from exporter.core.erasure import Suppressed
from exporter.core.ledger import Withheld
from exporter.core.partition import segment_key
from exporter.core.plan import Task
from exporter.core.report import Dataset, DatasetName
from exporter.core.staged import Seal, SegmentRecord, StagedFetch, StagedPage
from exporter.core.studio import StudioId
from exporter.errors import ChangedError, DataError, ExporterError
from exporter.jobs.few import few_at_once
from exporter.jobs.inbox import Inbox
from exporter.jobs.intake import Arrival, Intake, Taken
from exporter.jobs.put import put_surely
from exporter.jobs.recall import recall
from exporter.jobs.segments import Segments, Use, seal_of
from exporter.jobs.shelf import Kept, Shelf
from exporter.jobs.suppression import Suppression
from exporter.store.base import ObjectStore
from exporter.tables.assembly import Assembly
from exporter.tables.fetched import Fetched
from exporter.tables.labels import Labels
from exporter.tables.measure import measure_of
from exporter.tables.pieces import Piece, joined, whole
from exporter.tables.segment import encode_segment


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of whole fetches, as they are published.

    Attributes:
        fetched: each.
        customer_columns: of the rows, beside those that the catalogue knows.
        withheld: of each fetch, what is not in its rows since people are left out.
    """

    fetched: Sequence[Fetched]
    customer_columns: tuple[str, ...]
    withheld: Mapping[str, Withheld]


@dataclass(slots=True)
class _Batch:
    """What is to be written as one segment.

    Attributes:
        pages: who waits for each to be safe, what is said of it, and its rows as they may be stored.
        sealed: the fetches that are whole with these pages, and all their rows as they are stored.
        customer_columns: see `Decoded`.
        zones: see `SegmentRecord`.
    """

    pages: list[tuple[asyncio.Future[int], StagedPage, Piece]] = field(default_factory=list)
    sealed: list[tuple[Seal, pa.Table]] = field(default_factory=list)
    customer_columns: set[str] = field(default_factory=set)
    zones: dict[StudioId, str] = field(default_factory=dict)

    def rows(self) -> Sequence[pa.Table]:
        """The rows of all pages, in their order."""
        return joined(stored for _, _, stored in self.pages)


class Staging:
    """The staged rows of this run, and those of earlier runs that it goes on with."""

    def __init__(
        self,
        store: ObjectStore,
        stamp: RunStamp,
        *,
        segments: Segments,
        hash_key: bytes,
        suppression: Suppression,
        clock: Callable[[], datetime],
        on_sealed: Callable[[Task, pa.Table], None],
        inbox: Inbox,
    ) -> None:
        """Nothing staged yet.

        Args:
            store: the sink.
            stamp: which run this is.
            segments: knows what is staged where.
            hash_key: for the columns that are written as keyed hashes.
            suppression: says who is left out.
            clock: the time, UTC.
            on_sealed: looks at a whole fetch before it is sealed; may raise to fail it.
            inbox: where pages wait.
        """
        self._store = store
        self._stamp = stamp
        self._segments = segments
        self._hash_key = hash_key
        self._suppression = suppression
        self._clock = clock
        self._on_sealed = on_sealed
        self._inbox = inbox
        self._number = 0
        self._unwritten: tuple[str, bytes] | None = None
        self._shelf = Shelf()
        self._left_out = Suppressed()
        #: Fetches of which not all pages were staged by the list as it is now.
        self._outdated: set[str] = set()
        self.extra_columns: dict[DatasetName, dict[str, None]] = {}
        self._customer_columns: dict[DatasetName, set[str]] = {}

    def add(self, assembly: Assembly, page: Page, labels: Labels | None, order: str | None) -> asyncio.Future[int]:
        """Make *page* safe; who waits for that need not hold it.

        Args:
            assembly: the fetch that it belongs to.
            page: what came.
            labels: what is needed to read the first line of a CSV page.
            order: see `StagedPage`.

        Returns:
            Its rows, as the API counts them, once it is; or one of these.

        Raises:
            ChangedError: the report changed while it was paged.
            DataError: the page is not what was promised.
            StoreError: it could not be written.
        """
        arrival = Arrival(assembly, page, labels, order, asyncio.get_running_loop().create_future())
        self._inbox.put(arrival)
        return arrival.done

    async def run(self) -> None:
        """Write what arrives, for as long as the run lasts."""
        while True:
            for dataset, arrivals in _by_dataset(await self._inbox.take()):
                await self._write(dataset, arrivals)

    async def flush(self) -> None:
        """Write what waits, since the run ends early; first what was being written, of which the rest may be a part."""
        if self._unwritten:
            await put_surely(self._store, *self._unwritten)
        for dataset, arrivals in _by_dataset(self._inbox.empty()):
            await self._write(dataset, arrivals)

    async def restore(self, assembly: Assembly, fetch: StagedFetch) -> None:
        """Fill *assembly* with the pages that are staged of *fetch*.

        Raises:
            ChangedError, DataError, NotFoundError: they cannot be used.
        """
        await self._who_is_left_out()
        for page, piece in (await recall(self._store, [fetch]))[fetch.fetch_id].pages:
            if page.withheld:
                # Rows that are missing cannot show that they repeat on a page to come.
                raise ChangedError(f"{assembly.task}: people were left out of what was staged of it; fetched again")
            assembly.add(page, piece)
        assembly.resumed = True

    async def rows(self, fetches: Sequence[StagedFetch]) -> Rows:
        """The rows of whole *fetches*, as they are published.

        Raises:
            DataError: some are gone, or cannot be read.
        """
        await self._who_is_left_out()
        kept = {fetch.fetch_id: found for fetch in fetches if (found := self._shelf.get(fetch.fetch_id))}
        read = await recall(self._store, [fetch for fetch in fetches if fetch.fetch_id not in kept])
        flagged = [*(k.customer_columns for k in kept.values()), *(r.customer_columns for r in read.values())]
        return Rows(
            fetched=[
                Fetched(
                    studio=fetch.studio,
                    window=fetch.window,
                    run_id=self._stamp.run_id,
                    exported_at=seal_of(fetch).sealed_at,
                    pieces=(
                        [whole(kept[fetch.fetch_id].rows)] if fetch.fetch_id in kept else read[fetch.fetch_id].pieces
                    ),
                )
                for fetch in fetches
            ],
            customer_columns=tuple(sorted(set().union(*flagged))),
            withheld={
                fetch.fetch_id: read[fetch.fetch_id].withheld if fetch.fetch_id in read else fetch.withheld
                for fetch in fetches
            },
        )

    async def release(self, dataset: DatasetName, fetch_ids: Iterable[str]) -> None:
        """Forget fetches that are published or given up, and delete the segments that nobody needs any more."""
        await self.delete(self.forget(dataset, fetch_ids))

    def forget(self, dataset: DatasetName, fetch_ids: Iterable[str]) -> Sequence[Use]:
        """Forget fetches that are published or given up.

        Returns:
            The segments that they are staged in, which stay until it is recorded that they are published.
        """
        uses: list[Use] = []
        for fetch_id in fetch_ids:
            self._shelf.drop(fetch_id)
            self._outdated.discard(fetch_id)
            uses += self._segments.forget(dataset, fetch_id)
        return uses

    async def delete(self, uses: Iterable[Use]) -> None:
        """Delete the segments that nobody needs any more once these fetches do not."""
        await few_at_once(self._store.delete, self._segments.unused(uses))

    async def _who_is_left_out(self) -> Suppressed:
        """As the list is now; where it has changed, staged objects may have been rewritten too."""
        suppressed = await self._suppression.read()
        if suppressed != self._left_out:
            self._left_out = suppressed
            self._shelf.clear()
            self._outdated |= self._segments.unsealed()
        return suppressed

    async def _write(self, dataset: Dataset, arrivals: list[Arrival]) -> None:
        """Write what can be used of *arrivals*, which is emptied: their bytes are not needed until that is done."""
        suppressed = await self._who_is_left_out()
        batch = self._take(dataset, arrivals, suppressed)
        arrivals.clear()
        if not batch.pages:
            return
        key = segment_key(self._stamp.run_id, self._number)
        self._number += 1
        table = pa.concat_tables(batch.rows(), promote_options="default").combine_chunks()
        self._unwritten = key, encode_segment(self._record(dataset, batch), table)
        await put_surely(self._store, *self._unwritten)
        self._unwritten = None
        for _, page, _ in batch.pages:
            self._segments.add(dataset.name, key, page, self._stamp.began_at)
        if self._left_out != suppressed:
            self._outdated |= {page.fetch_id for _, page, _ in batch.pages}
        flagged = self._customer_columns.setdefault(dataset.name, set())
        flagged |= batch.customer_columns
        for seal, stored in batch.sealed:
            self._segments.seal(dataset.name, seal)
            self._keep(seal.fetch_id, stored, flagged, table)
        for done, page, _ in batch.pages:
            if not done.done():
                done.set_result(page.api_rows)

    def _take(self, dataset: Dataset, arrivals: Sequence[Arrival], suppressed: Suppressed) -> _Batch:
        """What can be used of *arrivals*; the others fail."""
        batch = _Batch()
        seen = self.extra_columns.setdefault(dataset.name, {})
        for taken in Intake(dataset=dataset, hash_key=self._hash_key, suppressed=suppressed).take(arrivals):
            arrival = taken.arrival
            page = taken.staged_page()
            try:
                if len(seen.keys() | taken.extras) > MOST_COLUMNS:
                    raise DataError(f"{arrival.page.request}: brought unasked columns beyond {MOST_COLUMNS} in all")
                # With people who are left out: only whole pages tell whether the report changed.
                whole_fetch = self._assemble(arrival.assembly, page, taken)
            except ExporterError as error:
                arrival.fail(error)
                continue
            seen.update(dict.fromkeys(taken.extras))
            batch.customer_columns.update(taken.customer_columns)
            studio = arrival.assembly.task.studio
            batch.zones[studio.id] = studio.timezone
            batch.pages.append((arrival.done, page, taken.stored))
            batch.sealed += [whole_fetch] if whole_fetch else []
        return batch

    def _record(self, dataset: Dataset, batch: _Batch) -> SegmentRecord:
        return SegmentRecord(
            dataset=dataset.name,
            grain=dataset.grain.id,
            run_id=self._stamp.run_id,
            began_at=self._stamp.began_at,
            full=self._stamp.full,
            pages=tuple(page for _, page, _ in batch.pages),
            seals=tuple(seal for seal, _ in batch.sealed),
            customer_columns=tuple(sorted(batch.customer_columns)),
            zones=batch.zones,
        )

    def _keep(self, fetch_id: str, rows: pa.Table, customer_columns: set[str], written: pa.Table) -> None:
        """Have rows of a whole fetch in memory while there is room; those that were just *written* tell their size."""
        if fetch_id not in self._outdated:
            size = written.nbytes * rows.num_rows // written.num_rows if written.num_rows else rows.nbytes
            self._shelf.put(fetch_id, Kept(rows, sorted(customer_columns.intersection(rows.column_names)), size))

    def _assemble(self, assembly: Assembly, page: StagedPage, taken: Taken) -> tuple[Seal, pa.Table] | None:
        assembly.add(page, taken.whole, taken.stored)
        if not assembly.is_whole:
            return None
        rows = assembly.check()
        self._on_sealed(assembly.task, rows)
        seal = Seal(
            studio=page.studio,
            window=page.window,
            fetch_id=page.fetch_id,
            total=assembly.total or 0,
            rows=assembly.rows,
            measure=measure_of(rows, assembly.task.dataset),
            sealed_at=self._clock(),
        )
        return seal, assembly.stored(rows)


def _by_dataset(batch: Sequence[Arrival]) -> Iterable[tuple[Dataset, list[Arrival]]]:
    groups: dict[DatasetName, list[Arrival]] = {}
    for arrival in batch:
        groups.setdefault(arrival.assembly.task.dataset.name, []).append(arrival)
    return [(arrivals[0].assembly.task.dataset, arrivals) for arrivals in groups.values()]

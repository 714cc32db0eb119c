"""Pages as they arrive, on their way to being staged: decoded, without what may not be stored.

Rules kept here: pages with the same columns are decoded in one go, for speed; where one of them is bad, each by itself,
so that it fails alone. Ids are still as they came, so that a dropped column or another hash key hides nobody from the
list of people who are left out.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from exporter.core.answer import Format, Page
from exporter.core.erasure import Suppressed
from exporter.core.ledger import NOTHING_WITHHELD, Withheld
from exporter.core.report import Dataset
from exporter.core.staged import StagedPage
from exporter.errors import DataError, ExporterError
from exporter.tables import privacy
from exporter.tables.assembly import Assembly
from exporter.tables.decode import Decoded, decode_pages
from exporter.tables.erasure import rows_of, withheld
from exporter.tables.labels import Labels
from exporter.tables.pieces import Piece, whole

#: Pages decoded in one go. Fewer cost more calls; more JSON costs more memory, and time once it leaves the CPU's cache.
MOST_DECODED: Mapping[Format, int] = {Format.JSON: 12, Format.CSV: 100}


@dataclass(slots=True)
class Arrival:
    """One page, and who waits for it to be safe; *order* as in `StagedPage`."""

    assembly: Assembly
    page: Page
    labels: Labels | None
    order: str | None
    done: asyncio.Future[int]

    def fail(self, error: ExporterError) -> None:
        """It cannot be used."""
        if not self.done.done():
            self.done.set_exception(error)


class Taken(NamedTuple):
    """One page's rows.

    Attributes:
        arrival: the page.
        api_rows: rows as the API counts them.
        whole: its rows as pages are held against each other and counted: with people who are left out, and where
            columns of the key are dropped, with those.
        stored: its rows as they may be stored.
        withheld: what is in *whole* and not in *stored*.
        extras, customer_columns: see `Decoded`.
    """

    arrival: Arrival
    api_rows: int
    whole: Piece
    stored: Piece
    withheld: Withheld
    extras: tuple[str, ...]
    customer_columns: tuple[str, ...]

    def staged_page(self) -> StagedPage:
        """What a segment says of it."""
        task, page = self.arrival.assembly.task, self.arrival.page
        return StagedPage(
            studio=task.studio.id,
            window=task.window,
            fetch_id=self.arrival.assembly.fetch_id,
            offset=page.request.offset,
            api_rows=self.api_rows,
            rows=self.stored.num_rows,
            total=page.total,
            received_at=page.received_at,
            withheld=self.withheld,
            order=self.arrival.order,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Decodes what arrived of one dataset.

    Attributes:
        dataset: whose columns are dropped and hashed.
        hash_key: for the columns that are written as keyed hashes.
        suppressed: who is left out.
    """

    dataset: Dataset
    hash_key: bytes
    suppressed: Suppressed

    def take(self, arrivals: Sequence[Arrival]) -> Iterable[Taken]:
        """Those of *arrivals* that can be read, the pages of a fetch behind each other; the others fail."""
        groups: dict[object, list[Arrival]] = {}
        for arrival in sorted(arrivals, key=lambda arrival: (arrival.assembly.fetch_id, arrival.page.request.offset)):
            page = arrival.page
            # Equal headers are mostly one object, and comparing them all takes long; at worst they are decoded apart.
            shape = id(page.headers) if page.headers else page.body[: page.body.find(b"\n")]
            groups.setdefault((page.format, shape, id(arrival.labels)), []).append(arrival)
        for group in (few for alike in groups.values() for few in _in_fews(alike)):
            try:
                yield from self._split(group, decode_pages([a.page for a in group], self.dataset, group[0].labels))
            except DataError:
                for arrival in group:
                    try:
                        yield from self._split([arrival], decode_pages([arrival.page], self.dataset, arrival.labels))
                    except DataError as error:
                        arrival.fail(error)

    def _split(self, group: Sequence[Arrival], decoded: Decoded) -> Iterable[Taken]:
        stored = privacy.apply(decoded.table, self.dataset, self.hash_key)
        hidden = drops_keys(self.dataset) or not self.dataset.drop.isdisjoint(decoded.extras)
        complete = decoded.table if hidden else stored
        # With a pivot each of the API's rows became one row per period.
        periods = decoded.table.num_rows // max(1, sum(decoded.page_rows))
        start = 0
        for arrival, api_rows in zip(group, decoded.page_rows, strict=True):
            rows = api_rows * periods
            page, gone = Piece(complete, start, rows), NOTHING_WITHHELD
            kept = Piece(stored, start, rows) if hidden else page
            if self.suppressed:
                found = self._left_out(arrival, decoded.table.slice(start, rows), decoded.customer_columns)
                if found is not None:
                    kept, gone = whole(kept.rows().filter(pc.invert(found))), withheld(page.rows(), found)
            yield Taken(
                arrival=arrival,
                api_rows=api_rows,
                whole=page,
                stored=kept,
                withheld=gone,
                extras=decoded.extras,
                customer_columns=decoded.customer_columns,
            )
            start += rows

    def _left_out(self, arrival: Arrival, table: pa.Table, customer_columns: Sequence[str]) -> pa.ChunkedArray | None:
        """Which rows may not be stored; None where all may."""
        studios = pa.repeat(pa.scalar(arrival.assembly.task.studio.id, pa.string()), table.num_rows)
        return rows_of(table, studios, customer_columns, self.suppressed.is_left_out)


def _in_fews(arrivals: Sequence[Arrival]) -> Iterable[Sequence[Arrival]]:
    most = MOST_DECODED[arrivals[0].page.format]
    return (arrivals[start : start + most] for start in range(0, len(arrivals), most))


def drops_keys(dataset: Dataset) -> bool:
    """Whether staged rows lack a column of the group key, so that they cannot be told apart any more."""
    return any(column.name in dataset.drop for column in dataset.key_columns)

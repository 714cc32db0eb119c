"""Reads staged pages back.

Rules kept here: of what is read, nothing is kept but the pages that were asked for. The segments say what is staged
now: people may have been taken out since they were written.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa

from exporter.core.ledger import Withheld
from exporter.core.staged import StagedFetch, StagedPage
from exporter.errors import DataError, NotFoundError
from exporter.jobs.few import few_at_once
from exporter.store.base import ObjectStore
from exporter.tables.pieces import Piece, joined
from exporter.tables.segment import decode_segment


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is staged of one fetch.

    Attributes:
        pages: each with its rows, in order.
        customer_columns: of the rows, beside those that the catalogue knows.
    """

    pages: Sequence[tuple[StagedPage, Piece]]
    customer_columns: Collection[str]

    @property
    def pieces(self) -> Sequence[Piece]:
        """All rows."""
        return [piece for _, piece in self.pages]

    @property
    def withheld(self) -> Withheld:
        """What is not in its rows since people are left out."""
        return sum((page.withheld for page, _ in self.pages), Withheld())


async def recall(store: ObjectStore, fetches: Collection[StagedFetch]) -> Mapping[str, Recalled]:
    """What is staged of *fetches*, by fetch id.

    Raises:
        DataError: some is gone, or cannot be read.
    """
    wanted: dict[str, set[tuple[str, int]]] = {}
    for fetch in fetches:
        for key, page in fetch.pages.values():
            wanted.setdefault(key, set()).add((page.fetch_id, page.offset))
    pages: dict[str, list[tuple[StagedPage, Piece]]] = {fetch.fetch_id: [] for fetch in fetches}
    customer_columns: dict[str, set[str]] = {fetch.fetch_id: set() for fetch in fetches}
    for segment in await few_at_once(lambda key: _read(store, key, wanted[key]), wanted):
        for page, piece in segment.pages:
            pages[page.fetch_id].append((page, piece))
            customer_columns[page.fetch_id].update(segment.customer_columns)
    return {
        fetch_id: Recalled(sorted(found, key=lambda item: item[0].offset), customer_columns[fetch_id])
        for fetch_id, found in pages.items()
    }


async def _read(store: ObjectStore, key: str, wanted: Collection[tuple[str, int]]) -> Recalled:
    """Of a staged object the pages with the *wanted* fetch ids and offsets."""
    try:
        data, _ = await store.get(key)
    except NotFoundError as error:
        raise DataError(f"{key}: staged rows are gone; run again") from error
    record, table = decode_segment(data)
    starts = accumulate((page.rows for page in record.pages), initial=0)
    found = [
        (page, Piece(table, start, page.rows))
        for page, start in zip(record.pages, starts, strict=False)  # the last start is the end of all
        if (page.fetch_id, page.offset) in wanted
    ]
    if len(found) < len(record.pages):
        # Copied, so that the others are not held.
        copied = pa.concat_tables([table.slice(0, 0), *joined(piece for _, piece in found)]).combine_chunks()
        starts = accumulate((page.rows for page, _ in found), initial=0)
        found = [(page, Piece(copied, start, page.rows)) for (page, _), start in zip(found, starts, strict=False)]
    return Recalled(found, record.customer_columns)

"""The newest staged pages, still in memory: what is published soon after it was staged need not be read again.

Rules kept here: nothing lies here that the staging area does not hold; when the shelf is full the oldest segments go.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from exporter.core.staged import StagedPage
from exporter.tables.fetched import Piece

#: Bytes of rows that are kept at most. A month of forty busy studios; more would be felt in a small container.
MOST_BYTES = 24 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """What one staged object holds.

    Attributes:
        pages: in the order of their rows.
        table: the rows of all pages.
        customer_columns: of the rows, beside those that the catalogue knows.
    """

    pages: Sequence[StagedPage]
    table: pa.Table
    customer_columns: Sequence[str]

    def pieces(self) -> Iterator[tuple[StagedPage, Piece]]:
        """Each page with its rows."""
        start = 0
        for page in self.pages:
            yield page, Piece(self.table, start, page.rows)
            start += page.rows

    def only(self, wanted: Collection[tuple[str, int]]) -> "Segment":
        """The pages of the *wanted* fetch ids and offsets; where they are not all, copied, so that the rest can go."""
        chosen = [(page, piece) for page, piece in self.pieces() if (page.fetch_id, page.offset) in wanted]
        if len(chosen) == len(self.pages):
            return self
        rows = [self.table.slice(0, 0), *(piece.rows() for _, piece in chosen)]
        return replace(self, pages=[page for page, _ in chosen], table=pa.concat_tables(rows).combine_chunks())


class Shelf:
    """Segments by key."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Empty; segments of *most_bytes* are kept at most."""
        self._most_bytes = most_bytes
        self._segments: OrderedDict[str, Segment] = OrderedDict()
        self._bytes = 0

    def put(self, key: str, segment: Segment) -> None:
        """Keep *segment* for as long as there is room."""
        self._segments[key] = segment
        self._bytes += segment.table.nbytes
        while self._bytes > self._most_bytes:
            self.drop(next(iter(self._segments)))

    def get(self, key: str) -> Segment | None:
        """A segment, if it is still here."""
        return self._segments.get(key)

    def drop(self, key: str) -> None:
        """Nobody needs this segment any more."""
        if segment := self._segments.pop(key, None):
            self._bytes -= segment.table.nbytes

    def clear(self) -> None:
        """The staged objects may be otherwise by now."""
        self._segments.clear()
        self._bytes = 0

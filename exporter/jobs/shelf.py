"""Staged pages that are still in memory: what is published soon after it was staged need not be read again.

Rules kept here: nothing lies here that the staging area does not hold; when the shelf is full, what lies there stays,
since the oldest segments are published first, and the newest have to be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.core.staged import StagedPage
from exporter.tables.pieces import Piece

#: Bytes of rows that are kept at most. A month of forty busy studios; more would be felt in a small container.
MOST_BYTES = 24 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """What one staged object holds.

    Attributes:
        pages: each with its rows.
        customer_columns: of the rows, beside those that the catalogue knows.
        size_bytes: of the rows.
    """

    pages: Sequence[tuple[StagedPage, Piece]]
    customer_columns: Sequence[str]
    size_bytes: int


class Shelf:
    """Segments by key."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Empty; segments of *most_bytes* are kept at most."""
        self._most_bytes = most_bytes
        self._segments: dict[str, Segment] = {}
        self._bytes = 0

    def put(self, key: str, segment: Segment) -> None:
        """Keep *segment*, if there is room."""
        if self._bytes + segment.size_bytes <= self._most_bytes:
            self._segments[key] = segment
            self._bytes += segment.size_bytes

    def get(self, key: str) -> Segment | None:
        """A segment, if it is still here."""
        return self._segments.get(key)

    def drop(self, key: str) -> None:
        """Nobody needs this segment any more."""
        if segment := self._segments.pop(key, None):
            self._bytes -= segment.size_bytes

    def clear(self) -> None:
        """The staged objects may be otherwise by now."""
        self._segments.clear()
        self._bytes = 0

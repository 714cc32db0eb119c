"""The newest staged pages, still in memory: what is published soon after it was staged need not be read again.

Rules kept here: nothing lies here that the staging area does not hold; when the shelf is full the oldest segments go.
"""

from collections import OrderedDict
from collections.abc import Sequence

import pyarrow as pa

from exporter.core.staged import StagedPage

#: Bytes of rows that are kept at most. A month of forty busy studios; more would be felt in a small container.
MOST_BYTES = 24 * 1024 * 1024

#: The pages of a segment, each with its rows.
Pages = Sequence[tuple[StagedPage, pa.Table]]


class Shelf:
    """Segments by key."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Empty."""
        self._most_bytes = most_bytes
        self._segments: OrderedDict[str, tuple[Pages, int]] = OrderedDict()
        self._bytes = 0

    def put(self, key: str, pages: Pages, size_bytes: int) -> None:
        """Keep the *pages* of a segment, which take *size_bytes*, for as long as there is room."""
        self._segments[key] = (pages, size_bytes)
        self._bytes += size_bytes
        while self._bytes > self._most_bytes:
            self.drop(next(iter(self._segments)))

    def get(self, key: str) -> Pages | None:
        """The pages of a segment, if they are still here."""
        kept = self._segments.get(key)
        return kept[0] if kept else None

    def drop(self, key: str) -> None:
        """Nobody needs this segment any more."""
        _, size_bytes = self._segments.pop(key, ((), 0))
        self._bytes -= size_bytes

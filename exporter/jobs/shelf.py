"""Rows of whole fetches that are still in memory: what is published soon after it was staged need not be read again.

Rules kept here: nothing lies here that the staging area does not hold; when the shelf is full, what lies there stays,
since the oldest fetches are published first. The last fetch stays however large it is: its rows have just been in
memory, and where it completes a partition they are published next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

#: Bytes that are kept at most, besides the last fetch: a month of forty busy studios. More would be felt in a small
#: container.
MOST_BYTES = 32 * 1024 * 1024

#: Bytes of a column in memory beside its values, be they few. Source: what the process takes for 20,000 slices of a
#: table with 15 columns, pyarrow 24.
COLUMN_BYTES = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """One whole fetch.

    Attributes:
        rows: as they are staged, in the order of its pages.
        customer_columns: of the rows, beside those that the catalogue knows.
        values_bytes: of the rows, about: to find it out for rows in many pieces takes longer than to copy them.
    """

    rows: pa.Table
    customer_columns: Sequence[str]
    values_bytes: int

    @property
    def size_bytes(self) -> int:
        """What it takes of the memory; of a fetch of few rows, most of that is not their values."""
        columns: int = self.rows.num_columns
        return self.values_bytes + COLUMN_BYTES * columns


class Shelf:
    """Whole fetches by id."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Empty; *most_bytes* are kept at most."""
        self._most_bytes = most_bytes
        self._kept: dict[str, Kept] = {}
        self._bytes = 0
        self._last: tuple[str, Kept] | None = None

    def put(self, fetch_id: str, fetch: Kept) -> None:
        """Keep *fetch*; where there is no room, until the next one comes."""
        self._last = None
        if self._bytes + fetch.size_bytes > self._most_bytes:
            self._last = fetch_id, fetch
            return
        # Not copied, though pages of others that were decoded together with these are held, too: they came at the same
        # time, so most are kept anyway.
        self._kept[fetch_id] = fetch
        self._bytes += fetch.size_bytes

    def get(self, fetch_id: str) -> Kept | None:
        """A fetch, if it is still here."""
        if self._last and self._last[0] == fetch_id:
            return self._last[1]
        return self._kept.get(fetch_id)

    def drop(self, fetch_id: str) -> None:
        """Nobody needs this fetch any more."""
        if kept := self._kept.pop(fetch_id, None):
            self._bytes -= kept.size_bytes
        elif self._last and self._last[0] == fetch_id:
            self._last = None

    def clear(self) -> None:
        """The staged objects may be otherwise by now."""
        self._kept.clear()
        self._bytes, self._last = 0, None

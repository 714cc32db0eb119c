"""Two streams of sorted rows, cut at the same places.

Rules kept here: each row is in one range, be they sorted or not; rows that share a key are in the same one, on whatever
side they stand; a range holds one table of each side at most, and what shares its last key.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa


def ranges(
    one: Iterable[pa.Table], other: Iterable[pa.Table], names: Sequence[str]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """What stands on either side up to the same row, then up to the next one.

    Args:
        one: rows that ascend from table to table, strings by code point, nulls last; at least one table, be it empty.
        other: the same.
        names: the columns of the key; one that a table lacks is null there.
    """
    lefts, rights = _with_whole_keys(one, names), _with_whole_keys(other, names)
    left, right = next(lefts), next(rights)
    while left.num_rows or right.num_rows:
        keys = _Keys(left, names), _Keys(right, names)
        end = min(key[-1] for key in keys if key)
        # A table that ends there is taken whole, so that each turn takes rows even if they are in no order.
        here, there = (len(key) if key and key[-1] == end else bisect_right(key, end) for key in keys)
        yield left.slice(0, here), right.slice(0, there)
        left = left.slice(here) if here < left.num_rows else next(lefts, left.slice(here))
        right = right.slice(there) if there < right.num_rows else next(rights, right.slice(there))


def _with_whole_keys(tables: Iterable[pa.Table], names: Sequence[str]) -> Iterator[pa.Table]:
    """The same rows, cut nowhere between two that share a key; empty only where there are none."""
    kept: list[pa.Table] = []
    for table in tables:
        rows = pa.concat_tables([*kept, table])
        keys = _Keys(rows, names)
        end = bisect_left(keys, keys[-1]) if keys else 0
        if end:
            yield rows.slice(0, end)
        kept = [rows.slice(end)]
    yield from kept


class _Keys(Sequence[tuple[tuple[bool, Any], ...]]):
    """The keys of sorted rows, which compare as the rows are ordered."""

    def __init__(self, table: pa.Table, names: Sequence[str]) -> None:
        there = set(table.column_names)
        self._columns = [table.column(name) if name in there else None for name in names]
        self._rows = int(table.num_rows)

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: Any) -> Any:
        values = [None if column is None else column[row].as_py() for column in self._columns]
        return tuple((value is None, value) for value in values)

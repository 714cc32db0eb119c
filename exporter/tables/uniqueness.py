"""Whether a key repeats. Pages of one window that repeat a group key were cut from different states of the report."""

from collections.abc import Sequence

import pyarrow as pa


def repeated_keys(table: pa.Table, names: Sequence[str]) -> int:
    """How many rows have a key that an earlier row has.

    Args:
        table: rows of one task.
        names: columns of the key; nulls are equal to each other. Without any, all rows have the same key.
    """
    rows: int = table.num_rows
    if not names:
        return max(0, rows - 1)
    groups: int = table.group_by(list(names), use_threads=False).aggregate([]).num_rows
    return rows - groups

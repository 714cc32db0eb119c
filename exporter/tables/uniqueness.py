"""Whether a key repeats. Pages of one window that repeat a group key were cut from different states of the report."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from exporter.tables.order import ties


def repeated_keys(table: pa.Table, names: Sequence[str]) -> int:
    """How many rows have a key that an earlier row has.

    Args:
        table: rows of one task.
        names: columns of the key; nulls are equal to each other. Without any, all rows have the same key.
    """
    rows: int = table.num_rows
    if not names:
        return max(0, rows - 1)
    in_order = ties(table, names)
    if in_order is not None:
        return in_order
    candidates = _sharing(table, names[0])
    if not candidates.num_rows:
        return 0
    groups: int = candidates.group_by(list(names), use_threads=False).aggregate([]).num_rows
    return int(candidates.num_rows) - groups


def _sharing(table: pa.Table, name: str) -> pa.Table:
    """The rows whose value in one column is not theirs alone; to find them costs little beside grouping all of them."""
    counted = pc.value_counts(table.column(name))
    repeated = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    return table.filter(pc.is_in(table.column(name), repeated)) if len(repeated) else table.slice(0, 0)

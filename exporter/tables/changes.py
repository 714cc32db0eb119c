"""What changed between the published rows of some tasks and their new ones.

Rules kept here: which run fetched a row, and when, is no change; a row is known by its key, and rows that share one
(where a column of the key was dropped) are paired off, so that every row is counted once.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from exporter.core.ledger import TaskKey
from exporter.core.manifest import Change
from exporter.core.report import Dataset
from exporter.core.studio import StudioId
from exporter.core.window import Window
from exporter.tables.measure import is_counted
from exporter.tables.order import TASK, runs
from exporter.tables.pieces import joined
from exporter.tables.schema import (
    COUNT,
    PERIOD_KEY,
    PERIOD_LABEL,
    STUDIO_ID,
    TRAILING,
    WINDOW_END,
    WINDOW_START,
)

#: -1 for a published row and 1 for a new one; the column's name is none that a report can have.
_SIGN = "-sign"


def changes(old: pa.Table, new: pa.Table, tasks: Sequence[TaskKey], dataset: Dataset) -> Mapping[TaskKey, Change]:
    """What differs in *new*, for each of *tasks*.

    Args:
        old: a partition as published, or some of its rows: all that have the keys of rows in *new*.
        new: what is to take its place; its columns are of the same types.
        tasks: to compare; rows of all others are left out, in both.
        dataset: whose columns these are.

    Returns:
        A change for each task, of zeros where nothing changed.
    """
    found = dict.fromkeys(tasks, Change())
    trailing = [field.name for field in TRAILING]
    both = pa.concat_tables(
        [_of(tasks, old, trailing, sign=-1), _of(tasks, new, trailing, sign=1)], promote_options="default"
    )
    names = [name for name in both.column_names if name != _SIGN]
    # Rows that are alike on both sides cancel each other out.
    rows = _coded(both).group_by(names, use_threads=False).aggregate([(_SIGN, "sum")])
    rows = rows.filter(pc.not_equal(rows[f"{_SIGN}_sum"], 0))
    net = rows[f"{_SIGN}_sum"]
    counts = rows[COUNT] if is_counted(rows, dataset) else pa.scalar(1, pa.int64())
    key = key_names(names, dataset)
    by_key = _summed(
        rows.select(key),
        plus=pc.max_element_wise(net, 0),
        minus=pc.max_element_wise(pc.negate(net), 0),
        measure=pc.multiply(net, counts),
    )
    by_task = _summed(
        by_key.select(TASK),
        plus=by_key["plus"],
        minus=by_key["minus"],
        recounted=pc.min_element_wise(by_key["plus"], by_key["minus"]),
        measure=by_key["measure"],
    )
    for row in by_task.to_pylist():
        task = (StudioId(row[STUDIO_ID]), Window(row[WINDOW_START], row[WINDOW_END]))
        found[task] = Change(
            rows_added=row["plus"] - row["recounted"],
            rows_gone=row["minus"] - row["recounted"],
            rows_recounted=row["recounted"],
            measure_change=row["measure"],
        )
    return found


def _summed(keys: pa.Table, **values: pa.ChunkedArray) -> pa.Table:
    """The sum of each of *values* over the rows that share their *keys*."""
    positions = [f"{number}" for number in range(keys.num_columns)]
    table = keys.rename_columns(positions)
    for name, column in values.items():
        table = table.append_column(name, column)
    sums = table.group_by(positions, use_threads=False).aggregate([(name, "sum") for name in values])
    columns = [sums[name] for name in positions] + [sums[f"{name}_sum"] for name in values]
    return pa.table(columns, names=[*keys.column_names, *values])


def _of(tasks: Sequence[TaskKey], table: pa.Table, trailing: Sequence[str], *, sign: int) -> pa.Table:
    """The rows of *tasks*, without what says who fetched them, each with *sign*."""
    wanted = frozenset(tasks)
    theirs = joined(rows for task, rows in runs(table) if task in wanted)
    rows = pa.concat_tables([table.slice(0, 0), *theirs])
    rows = rows.drop_columns([name for name in trailing if name in rows.column_names])
    return rows.append_column(_SIGN, pa.repeat(pa.scalar(sign, pa.int64()), rows.num_rows))


def _coded(table: pa.Table) -> pa.Table:
    """The same with numbers for texts, but a task's: alike where the texts are, and grouped several times faster."""
    columns = [
        pc.dictionary_encode(column).combine_chunks().indices
        if pa.types.is_string(column.type) and name not in TASK
        else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def key_names(names: Sequence[str], dataset: Dataset) -> list[str]:
    """Of the columns *names*, what a row is known by: its task, and the row key, or all that it is grouped by."""
    spec = dataset.spec
    own = [name for name in spec.row_key if name in names]
    grouped = [n for n in names if n not in spec.measures and n not in (*TASK, PERIOD_KEY, PERIOD_LABEL)]
    period = [name for name in (PERIOD_KEY,) if name in names]
    return [*TASK, *(own or grouped), *period]

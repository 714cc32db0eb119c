"""Some tasks' rows swapped for new ones, of a whole partition or of some of its studios.

Rules kept here: rows of tasks that are not named stay as they are; replacing twice is replacing once; replacements of
different tasks give the same table in either order; the result's order depends on nothing but its rows.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate, pairwise

import pyarrow as pa

from exporter.core.ledger import TaskKey
from exporter.core.report import Dataset
from exporter.core.studio import StudioId
from exporter.core.window import Window
from exporter.errors import DataError
from exporter.tables.order import TASK, Run, runs, ties
from exporter.tables.pieces import joined
from exporter.tables.schema import LEADING, TRAILING, written_fields


def replace_tasks(old: pa.Table, new: pa.Table, tasks: Sequence[TaskKey], dataset: Dataset) -> pa.Table:
    """Swap the rows of *tasks*.

    Args:
        old: the partition as published, or all rows of some studios in it; 0 rows if it is new.
        new: the rows of exactly *tasks*; 0 rows where every task came back empty.
        tasks: what was fetched whole. Published windows that one of them covers go with it; all others stay. Windows of
            one studio do not overlap.
        dataset: whose columns these are; it orders them.

    Returns:
        Every column of *old* and *new*: the leading ones, the dataset's in its order, others by name, the trailing
        ones; null where a row's side did not have it. Sorted, ascending and nulls last, strings by code point: by
        studio and window, by what the rows are grouped by, and lastly by measures, run and time, so that even rows that
        are alike once a column was dropped have one order.

    Raises:
        DataError: *new* holds a row of none of *tasks*; a published window overlaps a task that does not cover it; a
            column's type is not the published one.
    """
    fresh, published = runs(new), runs(old)
    _check_belongs(fresh, tasks)
    gone = set(covered({task for task, _ in published}, tasks))
    kept = [run for run in published if run[0] not in gone]
    schema = union(old.schema, new.schema, dataset)
    return _sorted(sorted([*kept, *fresh], key=_task_of), schema, dataset)


def _sorted(in_turn: Sequence[Run], schema: pa.Schema, dataset: Dataset) -> pa.Table:
    """The rows of runs that stand in the order of their tasks, in order; not copied where they are."""
    rows = joined(piece for _, piece in in_turn)
    both = pa.concat_tables([schema.empty_table(), *rows], promote_options="default").select(schema.names)
    table = pa.Table.from_arrays(both.columns, schema=schema)
    names = sort_names(schema.names, dataset)
    ends = accumulate(piece.num_rows for _, piece in in_turn)
    begins = [end for end, (one, other) in zip(ends, pairwise(in_turn), strict=False) if one[0] != other[0]]
    if ties(table, [name for name in names if name not in TASK], begins) is not None:
        return table
    # One chunk instead of many: who sorts looks every value up in its chunk.
    return table.combine_chunks().sort_by([(name, "ascending") for name in names])


def _task_of(run: Run) -> TaskKey:
    return run[0]


def _check_belongs(fresh: Iterable[Run], tasks: Sequence[TaskKey]) -> None:
    strangers = sorted({task for task, _ in fresh}.difference(tasks))
    if strangers:
        studio, window = strangers[0]
        raise DataError(f"{studio} {window}: rows came for a window that is none of the {len(tasks)} fetched")


def covered(published: Iterable[TaskKey], tasks: Sequence[TaskKey]) -> list[TaskKey]:
    """Those of the *published* windows that *tasks* replace.

    Raises:
        DataError: one overlaps a task that does not cover it.
    """
    by_studio: dict[StudioId, list[Window]] = {}
    for studio, window in tasks:
        by_studio.setdefault(studio, []).append(window)
    found = []
    for studio, old in sorted(published):
        for window in by_studio.get(studio, ()):
            if window.covers(old):
                found.append((studio, old))
            elif window.overlaps(old):
                raise DataError(
                    f"{studio} {window}: overlaps the published window {old} without covering it;"
                    " export into another dataset, or rewrite this one with --rewrite"
                )
    return found


def union(old: pa.Schema, new: pa.Schema, dataset: Dataset) -> pa.Schema:
    """The columns of both; one that either side lacks may be null.

    Raises:
        DataError: a column's type is not the published one.
    """
    fields: dict[str, pa.Field] = {}
    both = set(old.names).intersection(new.names)
    for field in (*old, *new):
        known = fields.get(field.name, field)
        if known.type != field.type:
            raise DataError(
                f"column {field.name} is {field.type} in the new rows instead of {known.type} as published;"
                " export into another dataset, or rewrite this one with --rewrite"
            )
        nullable = known.nullable or field.nullable or field.name not in both
        fields[field.name] = field.with_nullable(nullable)
    return pa.schema([fields[name] for name in _column_names(fields, dataset)])


def _column_names(names: Collection[str], dataset: Dataset) -> list[str]:
    """*names* in the order of a part's columns."""
    leading, trailing = ([field.name for field in fields] for fields in (LEADING, TRAILING))
    report = [field.name for field in written_fields(dataset)]
    extras = sorted(set(names).difference(leading, report, trailing))
    return [name for name in (*leading, *report, *extras, *trailing) if name in names]


def sort_names(names: Sequence[str], dataset: Dataset) -> list[str]:
    """The columns *names* of a part as sort keys: what identifies a row first, then measures, then run and time."""
    measures = dataset.spec.measures
    trailing = [field.name for field in TRAILING]
    return sorted(names, key=lambda name: (name in trailing, name in measures))

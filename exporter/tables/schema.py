"""Columns of the sink: their names, types and order.

Source: README.md, "Output".
"""

from collections.abc import Sequence

import pyarrow as pa

from exporter.core.report import ColumnType, Dataset, Pivot

STUDIO_ID = "studio_id"
WINDOW_START = "window_start"
WINDOW_END = "window_end"
RUN_ID = "run_id"
EXPORTED_AT = "exported_at"
PERIOD_KEY = "period_key"
PERIOD_LABEL = "period_label"
COUNT = "count"

ARROW_TYPES = {
    ColumnType.INT64: pa.int64(),
    ColumnType.FLOAT64: pa.float64(),
    ColumnType.STRING: pa.string(),
}

#: Before the report's columns: whose rows, of which days.
LEADING = (
    pa.field(STUDIO_ID, pa.string(), nullable=False),
    pa.field(WINDOW_START, pa.date32(), nullable=False),
    pa.field(WINDOW_END, pa.date32(), nullable=False),
)

#: After the report's columns: which run, when.
TRAILING = (
    pa.field(RUN_ID, pa.string(), nullable=False),
    pa.field(EXPORTED_AT, pa.timestamp("us", tz="UTC"), nullable=False),
)


def report_fields(dataset: Dataset, extras: Sequence[pa.Field] = ()) -> tuple[pa.Field, ...]:
    """The report's own fields, as decoded and unfolded, before privacy.

    Args:
        dataset: what was asked for.
        extras: columns that came without being asked for; they stand behind those that were.

    Returns:
        The columns in the order asked for; with a pivot, `period_key` and `period_label` stand directly before `count`.
    """
    fields: list[pa.Field] = []
    for column in dataset.columns:
        if column.name in dataset.spec.measures:
            if dataset.pivot is not Pivot.ALL:
                fields += [pa.field(PERIOD_KEY, pa.string(), nullable=False), pa.field(PERIOD_LABEL, pa.string())]
            fields.append(pa.field(column.name, ARROW_TYPES[column.type], nullable=False))
        else:
            fields.append(pa.field(column.name, ARROW_TYPES[column.type]))
    return (*fields, *extras)


def written_fields(dataset: Dataset, extras: Sequence[pa.Field] = ()) -> tuple[pa.Field, ...]:
    """The report's fields as they are written: without the dropped columns, hashed ones as strings."""
    return tuple(
        pa.field(f.name, pa.string()) if f.name in dataset.hash else f
        for f in report_fields(dataset, extras)
        if f.name not in dataset.drop
    )


def part_schema(dataset: Dataset, extras: Sequence[pa.Field] = ()) -> pa.Schema:
    """Schema of a published part."""
    return pa.schema([*LEADING, *written_fields(dataset, extras), *TRAILING])

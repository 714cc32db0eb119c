"""A pivoted answer has a column for each period; the sink has a row for each.

Rules kept here: each row of the answer becomes one row per period, in the order of the headers; a period without a
value counts 0; where the answer has a plain count as well, the periods must add up to it.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from exporter.core.answer import Header
from exporter.core.report import Dataset
from exporter.errors import DataError
from exporter.tables.schema import COUNT, PERIOD_KEY, PERIOD_LABEL


def check_periods(periods: Sequence[Header], dataset: Dataset, where: str) -> None:
    """Refuse an answer with rows whose periods cannot be those that were asked for.

    Raises:
        DataError: there are none, or more than `max_pivot_columns`.
    """
    if not periods:
        raise DataError(
            f"{where}: pivot is {dataset.pivot} but no column of the answer is a period; "
            "set pivot to all and let windows.every make the periods"
        )
    if len(periods) > dataset.max_pivot_columns:
        raise DataError(
            f"{where}: the answer has {len(periods)} periods, more than max_pivot_columns = "
            f"{dataset.max_pivot_columns}; raise it, or choose narrower windows"
        )


def wrong_sum(plain: pa.Array, counts: Sequence[pa.Array]) -> int | None:
    """Index of the first row whose periods do not add up to its plain count; None where all do.

    A plain count that is null in every row did not come, so there is nothing to compare.
    """
    if plain.null_count == len(plain):
        return None
    rows = zip(*(array.to_pylist() for array in counts), strict=True)
    sums = (sum(value or 0 for value in row) for row in rows)
    pairs = zip(plain.to_pylist(), sums, strict=True)
    return next((index for index, (whole, parts) in enumerate(pairs) if whole != parts), None)


def unfold(
    columns: Mapping[str, pa.Array], periods: Sequence[Header], counts: Sequence[pa.Array]
) -> dict[str, pa.Array]:
    """One row per row and period.

    Args:
        columns: by name, of equal length.
        periods: what was counted in each of *counts*.
        counts: as long as the columns; null counts 0.

    Returns:
        *columns* with each row repeated per period, and `period_key`, `period_label` and `count`.
    """
    width = len(periods)
    rows = len(counts[0]) if counts else 0
    repeat = pa.array([row for row in range(rows) for _ in periods], pa.int64())
    across = pa.array([column * rows + row for row in range(rows) for column in range(width)], pa.int64())
    values = pa.concat_arrays([pa.array([], pa.int64()), *counts]).fill_null(0)
    return {
        **{name: column.take(repeat) for name, column in columns.items()},
        PERIOD_KEY: pa.array([period.key for period in periods] * rows, pa.string()),
        PERIOD_LABEL: pa.array([period.label for period in periods] * rows, pa.string()),
        COUNT: values.take(across),
    }

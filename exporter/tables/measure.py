"""What the rows of a report add up to."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from exporter.core.ledger import TaskKey
from exporter.core.report import Dataset
from exporter.core.studio import StudioId
from exporter.core.window import Window
from exporter.tables.parquet import PartFile
from exporter.tables.schema import COUNT, STUDIO_ID, WINDOW_END, WINDOW_START


def is_counted(table: pa.Table, dataset: Dataset) -> bool:
    """Whether the rows have counts that add up; where they have none, each row counts as one."""
    return COUNT in dataset.spec.measures and COUNT in table.column_names


def measure_of(table: pa.Table, dataset: Dataset) -> int:
    """The sum of the counts, or the number of rows."""
    if not is_counted(table, dataset):
        return int(table.num_rows)
    return pc.sum(table.column(COUNT)).as_py() or 0


def part_sums(part: PartFile, dataset: Dataset) -> tuple[Counter[TaskKey], Counter[TaskKey]]:
    """Rows of a part, and what they add up to, by studio and window; every value is read, and never all at once.

    Raises:
        DamagedError: they cannot be read.
    """
    rows, measure = Counter[TaskKey](), Counter[TaskKey]()
    for piece in part.pieces():
        for sums, found in zip((rows, measure), task_sums(piece, counted=is_counted(piece, dataset)), strict=True):
            sums.update(found)
    return rows, measure


def task_sums(table: pa.Table, *, counted: bool) -> tuple[Mapping[TaskKey, int], Mapping[TaskKey, int]]:
    """Rows, and what they add up to, by studio and window; where they are not *counted* each row is one."""
    aggregations: list[tuple[object, str]] = [([], "count_all")]
    if counted:
        aggregations.append((COUNT, "sum"))
    grouped = table.group_by([STUDIO_ID, WINDOW_START, WINDOW_END], use_threads=False)
    groups = grouped.aggregate(aggregations).to_pylist()
    rows: dict[TaskKey, int] = {}
    measure: dict[TaskKey, int] = {}
    for group in groups:
        task = (StudioId(group[STUDIO_ID]), Window(group[WINDOW_START], group[WINDOW_END]))
        rows[task] = group["count_all"]
        measure[task] = group[f"{COUNT}_sum"] if counted else group["count_all"]
    return rows, measure

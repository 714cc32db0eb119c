"""Small made-up datasets and the tables of their parts."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from exporter.core.catalogue import REPORTS
from exporter.core.ledger import Entry, Ledger
from exporter.core.report import Dataset, DatasetName, GrainId
from exporter.core.studio import StudioId
from exporter.core.window import Every, Window
from exporter.tables.fetched import Fetched
from exporter.tables.parquet import PartFile
from exporter.tables.pieces import Piece
from exporter.tables.schema import part_schema, written_fields

RUN_ID = "20250301T000000Z-000001"
EXPORTED_AT = datetime(2025, 3, 1, 12, 30, 0, 123456, UTC)

Task = tuple[StudioId, Window]


def dataset(*columns: str, name: str = "strikes", report: str = "attendance_strikes.grouped") -> Dataset:
    """A dataset of *columns*, by default of the report's usual ones."""
    spec = REPORTS[report]
    chosen = spec.resolve(columns or spec.default_columns)
    return Dataset(name=DatasetName(name), spec=spec, columns=chosen, every=Every.MONTH)


#: Two key columns and the measure, in an order that is neither the catalogue's nor the alphabet's.
STRIKES = dataset("status", "customer_id", "count")


def january(first: int, last: int | None = None) -> Window:
    """The days from *first* to *last* of January 2025, both included."""
    return Window(date(2025, 1, first), date(2025, 1, last or first) + timedelta(days=1))


def task(studio: str, window: Window) -> Task:
    """A task, from plain values."""
    return StudioId(studio), window


def part(
    rows: Iterable[tuple[Task, Mapping[str, object]]], of: Dataset = STRIKES, extras: Sequence[pa.Field] = ()
) -> pa.Table:
    """A table of *rows*, each given by its task and the values that matter; the rest is null."""
    schema = part_schema(of, extras)
    written = [
        {
            "studio_id": studio,
            "window_start": window.start,
            "window_end": window.end,
            "count": 1,
            "run_id": RUN_ID,
            "exported_at": EXPORTED_AT,
            **values,
        }
        for (studio, window), values in rows
    ]
    return pa.Table.from_pylist(written, schema=schema)


def fetched(
    which: Task,
    rows: Sequence[Mapping[str, object]],
    of: Dataset = STRIKES,
    extras: Sequence[pa.Field] = (),
    *,
    run_id: str = RUN_ID,
) -> Fetched:
    """One whole fetch of *rows*, each given by the values that matter, in pieces of two."""
    table = pa.Table.from_pylist([{"count": 1, **row} for row in rows], schema=pa.schema(written_fields(of, extras)))
    pieces = [Piece(table, start, min(2, table.num_rows - start)) for start in range(0, max(1, table.num_rows), 2)]
    studio, window = which
    return Fetched(studio=studio, window=window, run_id=run_id, exported_at=EXPORTED_AT, pieces=pieces)


def decode_part(data: bytes) -> tuple[pa.Table, Ledger]:
    """What `encode_part` wrote."""
    file = PartFile(data)
    return file.read(), file.ledger


def ledger(*tasks: Task, grain: str = "0123456789abcdef") -> Ledger:
    """A ledger that has *tasks*, each of one row."""
    entries = tuple(
        Entry(studio=studio, window=window, rows=1, total=1, measure=1, run_id=RUN_ID, began_at=EXPORTED_AT)
        for studio, window in sorted(tasks)
    )
    return Ledger(grain=GrainId(grain), entries=entries)

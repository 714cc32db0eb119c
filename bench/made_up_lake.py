"""The same made-up rows in the layouts that are compared: what the exporter publishes, and one file for each task.

Customers' ids are drawn from one range for all studios, as the API's are, so bounds of a row group exclude hardly
anybody. A studio has 160 customers with strikes and 42 events a week.
"""

import io
import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from exporter.core.catalogue import REPORTS
from exporter.core.ledger import Entry
from exporter.core.partition import partition_of
from exporter.core.report import Dataset, DatasetName
from exporter.core.studio import StudioId
from exporter.core.window import Every, Window
from exporter.tables.fetched import Fetched, Piece
from exporter.tables.schema import part_schema, written_fields
from exporter.tables.swap import Swap, merge

SPEC = REPORTS["attendance_strikes.grouped"]
DATASET = Dataset(name=DatasetName("strikes"), spec=SPEC, columns=SPEC.resolve(SPEC.default_columns), every=Every.MONTH)
SCHEMA = pa.schema(written_fields(DATASET))
STATUSES = ("open", "voided", "expired", "in_penalty_sequence", "upcoming_charge", "charged", "charge_skipped")
WEIGHTS = (60, 3, 20, 5, 3, 6, 3)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
RUN_ID = "20260101T000000Z-000001"
FETCHED_AT = datetime(2026, 1, 1, 3, 30, 0, 123456, UTC)


@dataclass(frozen=True)
class Task:
    """One studio's month."""

    studio: str
    window: Window
    table: pa.Table

    @property
    def month(self):
        return f"{self.window.start:%Y-%m}"


def tasks(studios, months, rows, seed=1):
    """A list of tasks for each month."""
    chance = random.Random(seed)
    invented = [invent(chance, number) for number in range(studios)]
    for number in range(months):
        start, after = (date(2024 + n // 12, n % 12 + 1, 1) for n in (number, number + 1))
        window = Window(start, after)
        yield [Task(f"studio-{n:04d}", window, month_of(chance, *one, rows)) for n, one in enumerate(invented)]


def invent(chance, number):
    """Customers and events of a studio."""
    customers = [chance.randrange(1_000_000, 90_000_000) for _ in range(160)]
    offerings = [(number * 100 + n, f"Offering {n}") for n in range(6)]
    venues = [(number * 10 + n, f"Room {n}") for n in range(3)]
    times = [f"{chance.randrange(6, 21):02d}:{chance.choice((0, 15, 30, 45)):02d}:00" for _ in range(12)]
    events = [
        (*chance.choice(offerings), *chance.choice(venues), chance.choice(DAYS), chance.choice(times))
        for _ in range(42)
    ]
    return customers, events


def month_of(chance, customers, events, rows):
    """Groups of one studio and month, in no order."""
    groups = {}
    while len(groups) < rows:
        status = chance.choices(STATUSES, WEIGHTS)[0]
        group = (chance.choice(customers), status, chance.choice(("late_cancel", "no_show")), *chance.choice(events))
        groups[group] = chance.choice((1, 1, 1, 2))
    return pa.table([*map(list, zip(*groups, strict=True)), list(groups.values())], schema=SCHEMA)


def published(month):
    """The object that the exporter makes of the tasks of a month."""
    window = month[0].window
    rows = [
        Fetched(
            studio=StudioId(task.studio),
            window=window,
            run_id=RUN_ID,
            exported_at=FETCHED_AT.replace(microsecond=number),
            pieces=[Piece(task.table, 0, task.table.num_rows)],
        )
        for number, task in enumerate(month)
    ]
    entries = [
        Entry(
            studio=StudioId(task.studio),
            window=window,
            rows=task.table.num_rows,
            total=task.table.num_rows,
            measure=pc.sum(task.table["count"]).as_py(),
            run_id=RUN_ID,
            began_at=FETCHED_AT,
        )
        for task in month
    ]
    swap = Swap(partition=partition_of(DATASET.name, window), dataset=DATASET, rows=rows, entries=entries)
    return merge(swap, None, None, "zstd").data


def one_file(task):
    """A task's rows with the same columns, as pyarrow writes them where nobody says how."""
    values = {
        "studio_id": task.studio,
        "window_start": task.window.start,
        "window_end": task.window.end,
        "run_id": RUN_ID,
        "exported_at": FETCHED_AT,
    }
    columns = [
        task.table[field.name]
        if field.name in SCHEMA.names
        else pa.repeat(pa.scalar(values[field.name], field.type), task.table.num_rows)
        for field in part_schema(DATASET)
    ]
    data = io.BytesIO()
    pq.write_table(pa.table(columns, schema=part_schema(DATASET)), data)
    return data.getvalue()


def somebody(months, studio):
    """A customer of *studio* with strikes in most months."""
    seen = Counter(
        customer
        for month in months
        for task in month
        if task.studio == studio
        for customer in set(task.table["customer_id"].to_pylist())
    )
    return seen.most_common(1)[0][0]

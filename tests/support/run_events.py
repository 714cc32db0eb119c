"""A made-up run, as an observer is told of it."""

from datetime import UTC, date, datetime

from exporter.api.base import Attempt, AttemptOutcome
from exporter.core.answer import PageRequest
from exporter.core.catalogue import REPORTS
from exporter.core.ledger import Entry
from exporter.core.manifest import Manifest, ObjectRecord, RunState, TaskRecord, TaskState, Totals
from exporter.core.plan import Done, Plan, Task
from exporter.core.report import Dataset, DatasetName
from exporter.core.studio import CredentialKey, Studio, StudioId
from exporter.core.window import Every, Window, cut

RUN_ID = "20260301T120000Z-0000abcd"
BEGAN_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = REPORTS["attendance_strikes.grouped"]
DATASET = Dataset(
    name=DatasetName("attendance_strikes_grouped"),
    spec=SPEC,
    columns=SPEC.resolve(SPEC.default_columns),
    every=Every.MONTH,
)


def make_tasks(studio: str, *, credential: str = "credential-1", months: int = 12) -> tuple[Task, ...]:
    """One task for each of the first *months* of 2025."""
    end = date(2025 + months // 12, months % 12 + 1, 1)
    owner = Studio(id=StudioId(studio), credential=CredentialKey(credential))
    return tuple(Task(dataset=DATASET, studio=owner, window=w) for w in cut(date(2025, 1, 1), end, Every.MONTH))


def make_attempt(task: Task | None = None, **changes: object) -> Attempt:
    """One request for *task*, which went well."""
    asked = task or make_tasks("harbour-yoga", months=1)[0]
    values: dict[str, object] = {
        "request": PageRequest(dataset=asked.dataset, studio=asked.studio, window=asked.window),
        "number": 1,
        "outcome": AttemptOutcome.OK,
        "status": 200,
        "size_bytes": 1000,
        "seconds": 0.1,
    }
    return Attempt(**{**values, **changes})  # type: ignore[arg-type]


def make_plan_of(*tasks: Task, done: tuple[Done, ...] = ()) -> Plan:
    """A plan of which nothing is known but its tasks."""
    return Plan(tasks=tasks, done=done, known_rows={})


def make_done(task: Task, *, settled: bool = True) -> Done:
    """*task*, published before."""
    entry = Entry(
        studio=task.studio.id,
        window=task.window,
        rows=1,
        total=1,
        measure=1,
        run_id="20260101T000000Z-0",
        began_at=BEGAN_AT,
    )
    return Done(task=task, entry=entry, settled=settled)


def make_record(studio: str = "harbour-yoga", *, window: Window | None = None, **changes: object) -> TaskRecord:
    """A published task of a manifest."""
    days = window or Window(date(2025, 1, 1), date(2025, 2, 1))
    values: dict[str, object] = {
        "studio": studio,
        "window_start": days.start.isoformat(),
        "window_end": days.end.isoformat(),
        "state": TaskState.PUBLISHED,
        "requests": 1,
    }
    return TaskRecord(**{**values, **changes})  # type: ignore[arg-type]


def make_manifest(*tasks: TaskRecord, **changes: object) -> Manifest:
    """The manifest of a run that went well, unless *changes* say otherwise."""
    values: dict[str, object] = {
        "run_id": RUN_ID,
        "dataset": DATASET.name,
        "grain": DATASET.grain.id,
        "state": RunState.OK,
        "started_at": BEGAN_AT,
        "ended_at": BEGAN_AT,
        "version": "0",
        "config": {},
        "tasks": tasks,
        "totals": Totals(tasks=len(tasks)),
    }
    return Manifest(**{**values, **changes})  # type: ignore[arg-type]


def make_object() -> ObjectRecord:
    """A published object."""
    return ObjectRecord(
        key="attendance_strikes_grouped/month=2025-01/part-00000.parquet",
        rows=7,
        bytes=1234,
        sha256="00",
        columns=("studio_id",),
        published_at=BEGAN_AT,
    )

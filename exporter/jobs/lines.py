"""The log of a run, as lines: one JSON object each, or a sentence each.

Rules kept here: a line tells what a person would look for in a log, so single pages and requests have none; requests
that went wrong are told together, at most every ten seconds; control characters are escaped.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from exporter.api.base import Attempt, AttemptOutcome
from exporter.core.manifest import RunState, sum_totals
from exporter.core.plan import Task
from exporter.core.summary import worst
from exporter.core.text import printable
from exporter.jobs.events import (
    Attempted,
    ClockBehind,
    Ended,
    Event,
    HeldAgainst,
    NotPublished,
    NotTold,
    PageStaged,
    PartitionPublished,
    Planned,
    Refetched,
    Spared,
    TaskFetched,
    TelemetryLost,
    Waiting,
)
from exporter.jobs.meter import Meter

#: The least time between two lines about requests that went wrong.
TROUBLE_EVERY_S = 10.0

_LEVELS = {RunState.OK: "info", RunState.FAILED: "error", RunState.INTERRUPTED: "warning"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a log.

    Attributes:
        level: "info", "warning" or "error".
        event: one word for machines.
        message: a sentence for people.
        fields: the facts; JSON's types.
    """

    level: str
    event: str
    message: str
    fields: Mapping[str, object] = field(default_factory=dict)


def as_json(line: Line, now: datetime, run_id: str = "") -> str:
    """One JSON object: time, level, event, run_id where there is one, the facts, and the sentence."""
    run = {"run_id": run_id} if run_id else {}
    return json.dumps(
        {
            "time": _moment(now),
            "level": line.level,
            "event": line.event,
            **run,
            **line.fields,
            "message": line.message,
        },
        default=str,
    )


def as_text(line: Line, now: datetime) -> str:
    """The time and the sentence, with the level where it is no ordinary one."""
    level = "" if line.level == "info" else f"{line.level}: "
    return f"{_moment(now)} {level}{printable(line.message)}"


class LineLog:
    """An observer that writes lines."""

    def __init__(self, meter: Meter, write: Callable[[str], None], *, objects: bool) -> None:
        """Nothing is written yet.

        Args:
            meter: is told every event, and knows the time.
            write: takes one line without its end.
            objects: JSON instead of sentences.
        """
        self._meter = meter
        self._write = write
        self._objects = objects
        self._told_at = -TROUBLE_EVERY_S
        self._told = (0, 0)

    def __call__(self, event: Event) -> None:
        """Count *event* and write what is to be said of it."""
        self._meter.note(event)
        now = self._meter.clock()
        if isinstance(event, Ended) or now - self._told_at >= TROUBLE_EVERY_S:
            self._tell_trouble(now)
        if line := describe(event):
            self._put(line)

    def _tell_trouble(self, now: float) -> None:
        seen = (self._meter.unanswered, self._meter.throttled)
        if seen == self._told:
            return
        unanswered, throttled = (new - old for new, old in zip(seen, self._told, strict=True))
        self._told_at, self._told = now, seen
        self._put(
            Line(
                level="warning",
                event="trouble",
                message=f"{unanswered} requests had no usable answer, {throttled} were answered 429 (slow down)",
                fields={"unanswered": unanswered, "throttled": throttled},
            )
        )

    def _put(self, line: Line) -> None:
        now = datetime.now(UTC)
        self._write(as_json(line, now, self._meter.run_id) if self._objects else as_text(line, now))


def describe(event: Event) -> Line | None:
    """The line that *event* deserves, if any."""
    match event:
        case PageStaged():  # first, as the next one, since there is one for each page
            return None
        case Attempted():
            return _attempted(event.attempt)
        case Planned(plan=plan):
            least = f"at least {event.least_requests} requests"
            return Line(
                level="info",
                event="planned",
                message=f"run {event.run_id}: {len(plan.tasks)} tasks to fetch, {len(plan.done)} settled, {least}",
                fields={
                    "tasks": len(plan.tasks),
                    "settled": len(plan.done),
                    "resumed_tasks": event.resumed_tasks,
                    "least_requests": event.least_requests,
                },
            )
        case Waiting() | Spared() | ClockBehind() | Refetched() | NotTold() | TelemetryLost():
            return _circumstance(event)
        case TaskFetched(task=task, rows=rows, error=None):
            return Line(
                level="info", event="fetched", message=f"{task}: {rows} rows", fields={**_place(task), "rows": rows}
            )
        case TaskFetched(task=task, error=str(error)):
            return Line(level="error", event="failed", message=error, fields={**_place(task), "error": error})
        case PartitionPublished() | NotPublished():
            return _partition(event)
        case HeldAgainst():
            return _held_against(event)
        case Ended(manifests=manifests):
            state = worst(manifest.state for manifest in manifests)
            totals = sum_totals(manifests)
            return Line(
                level=_LEVELS[state],
                event="ended",
                message=f"{state}: {totals.published} tasks published, {totals.empty} empty, {totals.failed} failed,"
                f" {totals.pending} left; {totals.rows} rows, {totals.requests} requests, {totals.seconds:.1f} s",
                fields={"state": state, **asdict(totals)},
            )
        case _:
            return None


def _attempted(attempt: Attempt) -> Line | None:
    if attempt.outcome is not AttemptOutcome.UNSORTED:
        return None
    dataset = attempt.request.dataset.name
    return Line(
        level="warning",
        event="unsorted",
        message=f"{dataset}: the API refuses to sort this report; its pages are asked for as they come, and held"
        f" against each other",
        fields={"dataset": dataset},
    )


def _circumstance(event: Waiting | Spared | ClockBehind | Refetched | NotTold | TelemetryLost) -> Line:
    match event:
        case Refetched(task=task, reason=reason):
            return Line(level="warning", event="refetched", message=f"{reason}; fetched again", fields=_place(task))
        case NotTold(reason=reason):
            return Line(level="warning", event="not_told", message=reason)
        case Waiting(where=where, holder=holder):
            return Line(
                level="warning",
                event="waiting",
                message=f"{where}: run {holder} uses it; waiting until it has ended",
                fields={"holder": holder},
            )
        case Spared(tasks=tasks):
            return Line(
                level="info",
                event="spared",
                message=f"{tasks} tasks need no request any more: other runs have published them meanwhile",
                fields={"tasks": tasks},
            )
        case ClockBehind(now=now, ahead=ahead, tasks=tasks):
            return Line(
                level="warning",
                event="clock",
                message=f"this machine's clock says {_moment(now)}, but what is published was asked for up to"
                f" {_moment(ahead)}: {tasks} tasks are fetched again; set the clock (NTP) if it is behind",
                fields={"ahead": _moment(ahead), "tasks": tasks},
            )
        case TelemetryLost(reason=reason):
            return Line(level="warning", event="telemetry", message=f"OpenTelemetry: {reason}")


def _partition(event: PartitionPublished | NotPublished) -> Line:
    match event:
        case PartitionPublished(object=record) if record.unchanged:
            return Line(
                level="info",
                event="unchanged",
                message=f"{record.key}: {record.rows} rows, as they were; not put again",
                fields={"key": record.key, "rows": record.rows, "tasks": event.tasks},
            )
        case PartitionPublished(object=record):
            return Line(
                level="info",
                event="published",
                message=f"{record.key}: {record.rows} rows, {record.bytes} bytes",
                fields={"key": record.key, "rows": record.rows, "bytes": record.bytes, "tasks": event.tasks},
            )
        case NotPublished(partition=partition, error=error):
            return Line(
                level="error",
                event="unpublished",
                message=f"{partition.key}: {error}; it stays as it was",
                fields={"key": partition.key, "tasks": event.tasks, "error": error},
            )


def _held_against(event: HeldAgainst) -> Line:
    message = f"{event.record}"
    if event.record.agrees:
        return Line(level="info", event="reconciled", message=message, fields=_held(event))
    level = "error" if event.refused else "warning"
    return Line(level=level, event="differs", message=message, fields=_held(event))


def _held(event: HeldAgainst) -> dict[str, object]:
    return {"dataset": event.dataset, **asdict(event.record), "refused": event.refused}


def _place(task: Task) -> dict[str, object]:
    return {
        "dataset": task.dataset.name,
        "studio": task.studio.id,
        "window_start": task.window.start.isoformat(),
        "window_end": task.window.end.isoformat(),
    }


def _moment(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

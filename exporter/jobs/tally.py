"""Counts what is sent, and sees which studios are in trouble."""

from collections import Counter
from dataclasses import dataclass, field

from exporter.api.base import Attempt, AttemptOutcome
from exporter.core.plan import TaskId
from exporter.core.report import DatasetName
from exporter.core.studio import StudioId


@dataclass(slots=True)
class Tally:
    """Requests by task, as the client reports them; those for totals over many windows are counted apart.

    What was counted of a task is taken over by the account once its rows are published.

    Attributes:
        requests, retries: so far, by task.
        throttled, bytes_in: by dataset.
        reconcile_requests: for totals, by dataset.
        ailing: studios whose last attempt that was not throttled failed.
    """

    requests: Counter[TaskId] = field(default_factory=Counter)
    retries: Counter[TaskId] = field(default_factory=Counter)
    throttled: Counter[DatasetName] = field(default_factory=Counter)
    bytes_in: Counter[DatasetName] = field(default_factory=Counter)
    reconcile_requests: Counter[DatasetName] = field(default_factory=Counter)
    ailing: set[StudioId] = field(default_factory=set)

    def note_attempt(self, attempt: Attempt) -> None:
        """One attempt ended."""
        request, throttled = attempt.request, attempt.outcome is AttemptOutcome.THROTTLED
        if request.grand_total:
            self.note_total(request.dataset.name, throttled=throttled, size_bytes=attempt.size_bytes)
        else:
            self.note(
                (request.dataset.name, request.studio.id, request.window),
                attempt=attempt.number,
                ok=attempt.outcome is AttemptOutcome.OK,
                throttled=throttled,
                size_bytes=attempt.size_bytes,
            )

    def note(self, task: TaskId, *, attempt: int, ok: bool, throttled: bool, size_bytes: int) -> None:
        """One request ended."""
        dataset, studio, _ = task
        self.requests[task] += 1
        if attempt > 1:
            self.retries[task] += 1
        self.throttled[dataset] += throttled
        self.bytes_in[dataset] += size_bytes
        if ok:
            self.ailing.discard(studio)
        elif not throttled:
            self.ailing.add(studio)

    def note_total(self, dataset: DatasetName, *, throttled: bool, size_bytes: int) -> None:
        """One request for a total ended."""
        self.reconcile_requests[dataset] += 1
        self.throttled[dataset] += throttled
        self.bytes_in[dataset] += size_bytes

    def take(self, task: TaskId) -> tuple[int, int]:
        """Requests and retries of a task so far; they are counted here no longer."""
        return self.requests.pop(task, 0), self.retries.pop(task, 0)

"""How far a run is: counts what the observer is told, and estimates what is left. Pure; the clock is handed in."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from exporter.api.base import Attempt, AttemptOutcome
from exporter.core.manifest import Manifest
from exporter.core.pace import WINDOW_S
from exporter.core.plan import TaskId
from exporter.jobs.events import Attempted, Ended, Event, PageStaged, Planned, Refetched, Spared, TaskFetched


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a run is at one moment.

    Attributes:
        tasks, decided, failed: of the plan; whole or failed; failed.
        pages, rows: staged.
        expected_pages: pages in all, as far as can be told.
        used: requests that ended in the last minute.
        allowed: requests a minute, over all credentials of the plan.
        left_s: seconds until the end, estimated; None while nothing can be told.
    """

    tasks: int
    decided: int
    failed: int
    pages: int
    rows: int
    expected_pages: int
    used: int
    allowed: int
    left_s: float | None


@dataclass(slots=True)
class _Open:
    """A task under way: pages that it has, as far as known, and pages that came."""

    expected: int = 1
    staged: int = 0


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts.

    Attributes:
        page_size: rows in a page.
        requests_per_minute: allowed to each credential.
        clock: monotonic seconds.
        run_id: of the run; empty before it is planned.
        requests, retries, throttled, unanswered: requests that ended; that repeated another; that were answered 429;
            that had no usable answer otherwise.
        peak: the most requests that ended within one minute.
        allowed: requests a minute, over all credentials of the plan.
        manifests: what the run recorded; empty before its end.
    """

    page_size: int
    requests_per_minute: int
    clock: Callable[[], float]
    run_id: str = ""
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    unanswered: int = 0
    peak: int = 0
    allowed: int = 0
    manifests: tuple[Manifest, ...] = ()
    _started: float = 0.0
    _tasks: int = 0
    _decided: int = 0
    _failed: int = 0
    _pages: int = 0
    _rows: int = 0
    _measured: int = 0
    _measured_pages: int = 0
    _open: dict[TaskId, _Open] = field(default_factory=dict)
    _recent: deque[float] = field(default_factory=deque)

    @property
    def rate_used(self) -> float:
        """Of the requests that all credentials are allowed a minute, the share in the busiest minute."""
        return self.peak / self.allowed if self.allowed else 0.0

    def note(self, event: Event) -> None:
        """Count *event*."""
        match event:
            case Attempted():
                self._attempted(event.attempt)
            case PageStaged():
                self._staged(event)
            case Planned():
                self.run_id = event.run_id
                self.allowed = self.requests_per_minute * len(event.plan.lanes())
                self._tasks = len(event.plan.tasks)
                self._started = self.clock()
            case Refetched():
                self._open.pop(event.task.id, None)
            case TaskFetched():
                self._decide(event)
            case Spared(tasks=spared):
                self._tasks -= spared
            case Ended():
                self.manifests = event.manifests

    def snapshot(self) -> Snapshot:
        """Where things stand now."""
        self._forget()
        left = self._left()
        return Snapshot(
            tasks=self._tasks,
            decided=self._decided,
            failed=self._failed,
            pages=self._pages,
            rows=self._rows,
            expected_pages=self._pages + left,
            used=len(self._recent),
            allowed=self.allowed,
            left_s=self._left_s(left),
        )

    def _attempted(self, attempt: Attempt) -> None:
        self.requests += 1
        self.retries += attempt.number > 1
        self.throttled += attempt.outcome is AttemptOutcome.THROTTLED
        self.unanswered += attempt.outcome is AttemptOutcome.FAILED
        self._recent.append(self.clock())
        self._forget()
        self.peak = max(self.peak, len(self._recent))

    def _staged(self, event: PageStaged) -> None:
        self._pages += 1
        self._rows += event.rows
        task = self._open.setdefault(event.task.id, _Open())
        task.staged += 1
        task.expected = max(task.expected, task.staged, -(-(event.total or 0) // self.page_size))

    def _decide(self, event: TaskFetched) -> None:
        self._decided += 1
        self._failed += event.error is not None
        if task := self._open.pop(event.task.id, None):
            self._measured += 1
            self._measured_pages += task.staged

    def _forget(self) -> None:
        minute_ago = self.clock() - WINDOW_S
        while self._recent and self._recent[0] <= minute_ago:
            self._recent.popleft()

    def _left(self) -> int:
        """Pages that are still to come; a task not begun is taken to be like those that were."""
        begun = sum(task.expected - task.staged for task in self._open.values())
        known = self._measured + len(self._open)
        pages = self._measured_pages + sum(task.expected for task in self._open.values())
        return begun + round((self._tasks - self._decided - len(self._open)) * (pages / known if known else 1))

    def _left_s(self, left: int) -> float | None:
        """The longer of what the speed so far and what the rate limit make of it."""
        if not self._pages or not self.allowed:
            return None
        by_speed = left * (self.clock() - self._started) / self._pages
        by_limit = max(0, left - (self.allowed - len(self._recent))) / self.allowed * WINDOW_S
        return max(by_speed, by_limit)

"""What a run has to fetch: tasks that are not settled, and whether they fit what is published.

Rules kept here: a settled task is never asked for again, unless it was settled by a clock that cannot have been right,
or for the hours of another time zone; a task may only replace published windows that it covers, within its own
partition; rows of another grain are never mixed in.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from exporter.core.clocks import lies_ahead
from exporter.core.ledger import Entry, Ledger, entries_by_studio
from exporter.core.pace import WINDOW_S
from exporter.core.partition import Partition, partition_of
from exporter.core.report import Dataset, DatasetName
from exporter.core.studio import CredentialKey, Studio, StudioId, local_day
from exporter.core.window import Window, cut
from exporter.errors import PlanConflictError

#: Tells tasks apart.
TaskId = tuple[DatasetName, StudioId, Window]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One studio x one window of one dataset."""

    dataset: Dataset
    studio: Studio
    window: Window

    def __str__(self) -> str:
        return f"{self.studio.id} {self.window}"

    @property
    def id(self) -> TaskId:
        """Tells tasks apart."""
        return self.dataset.name, self.studio.id, self.window

    @property
    def partition(self) -> Partition:
        """Where its rows lie."""
        return partition_of(self.dataset.name, self.window)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A task that needs no request: settled, or published by the run that this one continues."""

    task: Task
    entry: Entry
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does.

    Attributes:
        tasks: to be fetched, in the order of their windows, studios interleaved.
        done: what needs no request.
        known_rows: rows of a task as last published, for tasks that were published before.
    """

    tasks: tuple[Task, ...]
    done: tuple[Done, ...]
    known_rows: Mapping[TaskId, int]

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Every partition with a task to fetch, in order."""
        return tuple(dict.fromkeys(task.partition for task in self.tasks))

    def lanes(self) -> Mapping[CredentialKey, tuple[Task, ...]]:
        """The tasks of each credential, in the plan's order."""
        lanes: dict[CredentialKey, list[Task]] = {}
        for task in self.tasks:
            lanes.setdefault(task.studio.credential, []).append(task)
        return {credential: tuple(tasks) for credential, tasks in lanes.items()}

    def least_requests(self, page_size: int) -> Mapping[CredentialKey, int]:
        """Requests that each credential needs at the least: one a task, more where more rows are known of."""
        return {
            credential: sum(max(1, -(-self.known_rows.get(task.id, 0) // page_size)) for task in tasks)
            for credential, tasks in self.lanes().items()
        }

    def least_seconds(self, page_size: int, requests_per_minute: int) -> float:
        """Time that the rate limit alone makes of it: credentials work side by side, each in full minutes."""
        requests = max(self.least_requests(page_size).values(), default=0)
        return max(0, -(-requests // requests_per_minute) - 1) * WINDOW_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a plan is made of.

    Attributes:
        datasets, studios, days: asked for.
        until: the moment at which the days of each studio end with its local day before; None where they end alike.
        lookback_days: how long after a window's end its rows may still change.
        began_at: when the run began, UTC.
        full: fetch settled tasks too.
        rewrite: the datasets' published rows are to be replaced as a whole.
        continues: ids of unfinished runs that this one goes on with; what they published is done.
        shard: of which plan it is which shard; empty for a whole plan.
        staged: when the run began that has fetched a task whole and not published it, by task.
    """

    datasets: Sequence[Dataset]
    studios: Sequence[Studio]
    days: Window
    lookback_days: int
    began_at: datetime
    full: bool = False
    rewrite: bool = False
    continues: frozenset[str] = frozenset()
    shard: str = ""
    staged: Mapping[TaskId, datetime] = field(default_factory=dict)
    until: datetime | None = None

    def windows(self, dataset: Dataset, studio: Studio) -> tuple[Window, ...]:
        """The windows that are asked for of *studio*, in order; none where its first day is not over yet."""
        end = local_day(self.until, studio) if self.until else self.days.end
        return cut(self.days.start, end, dataset.every)


def make_plan(scope: Scope, ledgers: Mapping[Partition, Ledger]) -> Plan:
    """The tasks of *scope* held against what is published.

    Raises:
        PlanConflictError: the published rows have another grain, or windows that the tasks would cut.
    """
    todo: list[Task] = []
    done: list[Done] = []
    known: dict[TaskId, int] = {}
    for dataset in scope.datasets:
        published = {p: ledger for p, ledger in ledgers.items() if p.dataset == dataset.name}
        asked = [(window, studio) for studio in scope.studios for window in scope.windows(dataset, studio)]
        asked.sort(key=lambda pair: (pair[0].start, pair[0].end))  # within a window, studios stay in their order
        tasks = [
            Task(dataset=dataset, studio=studio, window=window)
            for window, studio in asked
            if holds_time(window, studio)
        ]
        entries = _same_grain(dataset, published, rewrite=scope.rewrite)
        by_studio = entries_by_studio(entries)
        if scope.rewrite:
            _require_whole(
                dataset, tasks, entries_by_studio(e for ledger in published.values() for e in ledger.entries)
            )
        else:
            for task in tasks:
                _require_fit(task, by_studio.get(task.studio.id, ()))
        exact = {entry.task: entry for entry in entries}
        for task in tasks:
            entry = exact.get((task.studio.id, task.window))
            if entry is None:
                todo.append(task)
                continue
            known[task.id] = entry.total
            settled = is_settled(task, entry.began_at, scope.lookback_days)
            settled = settled and not lies_ahead(entry.began_at, scope.began_at)
            alike = is_cut_alike(task, entry.zone)
            continued = entry.run_id in scope.continues and scope.staged.get(task.id, entry.began_at) <= entry.began_at
            if alike and (continued or (settled and not scope.full and not scope.rewrite)):
                done.append(Done(task=task, entry=entry, settled=settled))
            else:
                todo.append(task)
    return Plan(tasks=tuple(todo), done=tuple(done), known_rows=known)


def is_settled(task: Task, began_at: datetime, lookback_days: int) -> bool:
    """Whether what a run that began at *began_at* fetched for *task* is final."""
    _, end = task.window.instants(task.studio.timezone)
    return began_at >= end + timedelta(days=lookback_days)


def is_cut_alike(task: Task, zone: str) -> bool:
    """Whether what was fetched for *task* while its studio was said to be in *zone* is of the same hours.

    Where a studio's zone was corrected, hours at the seam between old and new windows would be missing, or there twice.
    """
    if zone in ("", task.studio.timezone):
        return True
    try:
        return task.window.instants(zone) == task.window.instants(task.studio.timezone)
    except (LookupError, ValueError, OSError):
        return False  # a zone that this machine does not know


def holds_time(window: Window, studio: Studio) -> bool:
    """Whether *window* is more than days that the studio's zone skipped."""
    start, end = window.instants(studio.timezone)
    return start < end


def _same_grain(dataset: Dataset, published: Mapping[Partition, Ledger], *, rewrite: bool) -> list[Entry]:
    grain = dataset.grain.id
    entries: list[Entry] = []
    for partition, ledger in published.items():
        if ledger.grain == grain:
            entries += ledger.entries
        elif ledger.entries and not rewrite:
            raise PlanConflictError(
                f"{partition}: is published at another grain (columns, window width, pivot, filters or hash key"
                f" differ); choose another dataset name, or replace it with --rewrite"
            )
    return entries


def _require_fit(task: Task, entries: Sequence[Entry]) -> None:
    """Raise unless every published window that *task* touches is covered by it, in its own partition."""
    first = bisect_right(entries, task.window.start, key=lambda entry: entry.window.end)
    # Not by a slice: most tasks touch one entry, and there may be thousands behind it.
    for entry in (entries[at] for at in range(first, len(entries))):
        if entry.window.start >= task.window.end:
            return
        if not task.window.covers(entry.window):
            raise PlanConflictError(
                f"{task.dataset.name}: the window {task.window} of {task.studio.id} would cut the published window"
                f" {entry.window}; ask for whole windows (start and end on their boundaries), choose another"
                f" dataset name, or replace the dataset with --rewrite"
            )
        if partition_of(task.dataset.name, entry.window) != task.partition:
            raise PlanConflictError(
                f"{task.dataset.name}: the window {task.window} of {task.studio.id} covers the published window"
                f" {entry.window} of another partition; choose another dataset name, or replace the dataset with"
                f" --rewrite"
            )


def _require_whole(dataset: Dataset, tasks: Sequence[Task], published: Mapping[StudioId, list[Entry]]) -> None:
    """Raise unless *tasks* cover all that is published: a rewrite must not lose what it does not fetch."""
    days: dict[StudioId, list[Window]] = {}
    for task in tasks:
        days.setdefault(task.studio.id, []).append(task.window)
    for studio, entries in published.items():
        # The windows of one studio follow each other without a gap.
        windows = days.get(studio)
        span = Window(windows[0].start, windows[-1].end) if windows else None
        for entry in entries:
            if entry.rows and not (span and span.covers(entry.window)):
                raise PlanConflictError(
                    f"{dataset.name}: --rewrite would lose the published rows of {studio} in {entry.window}, which"
                    f" this run does not fetch; widen start, end and the studios, or choose another dataset name"
                )

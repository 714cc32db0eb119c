"""What becomes of every task of a run, and the manifest that says so."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from exporter.core.ledger import Entry, TaskKey
from exporter.core.manifest import Change, Manifest, ObjectRecord, RunState, TaskRecord, TaskState, Totals
from exporter.core.partition import parse_partition
from exporter.core.plan import Done, Plan, Scope, Task
from exporter.core.reconcile import Reconciled
from exporter.core.report import Dataset, DatasetName
from exporter.jobs.tally import Tally

#: The usual change, shared by all who had it.
_AS_IT_WAS = Change()


@dataclass(slots=True)
class TaskOutcome:
    """What became of a task so far.

    Attributes:
        fetch_id: of its whole fetch, while that is staged.
        rows, withheld: of the fetch; once published, of the part.
        total: rows as the API counts them; None where it was not told.
        state: PENDING until it is published or has failed.
        resumed: whether what an earlier run had fetched was used.
        requests, retries: taken over from the tally.
        error: why it failed.
        changed: what differs from what was published before.
        spared: how another run published it meanwhile.
    """

    fetch_id: str = ""
    rows: int = 0
    withheld: int = 0
    total: int | None = None
    state: TaskState = TaskState.PENDING
    resumed: bool = False
    requests: int = 0
    retries: int = 0
    error: str | None = None
    changed: Change | None = None
    spared: Done | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the run has its rows, once it is decided."""
        return self.error is None and self.spared is None


class Account:
    """The outcomes of a run's tasks, and the objects that it published."""

    def __init__(self, plan: Plan, tally: Tally) -> None:
        """Every task is pending.

        Args:
            plan: what is to be done.
            tally: counts what is sent.
        """
        self._plan = plan
        self._tally = tally
        self._outcomes = {task.id: TaskOutcome() for task in plan.tasks}
        self._objects: dict[str, ObjectRecord] = {}
        self._reconciled: dict[DatasetName, list[Reconciled]] = {}

    def __getitem__(self, task: Task) -> TaskOutcome:
        return self._outcomes[task.id]

    @property
    def is_settled(self) -> bool:
        """Whether no task is pending."""
        return all(o.state is not TaskState.PENDING or o.spared for o in self._outcomes.values())

    @property
    def has_failures(self) -> bool:
        """Whether some task failed."""
        return any(outcome.state is TaskState.FAILED for outcome in self._outcomes.values())

    def fetched(self, task: Task, fetch_id: str, *, rows: int, total: int, resumed: bool) -> None:
        """*task* is whole and staged."""
        outcome = self[task]
        outcome.fetch_id, outcome.rows, outcome.total, outcome.resumed = fetch_id, rows, total, resumed

    def failed(self, task: Task, error: str) -> None:
        """*task* keeps what is published of it."""
        outcome = self[task]
        outcome.state, outcome.error = TaskState.FAILED, error

    def spared(self, done: Done) -> None:
        """Another run has published the task meanwhile: it counts as settled, as if it had been so from the start."""
        self[done.task].spared = done

    def merged(
        self,
        tasks: Iterable[Task],
        changes: Mapping[TaskKey, Change],
        entries: Mapping[TaskKey, Entry],
    ) -> None:
        """What the rows of *tasks* are in the object that they were merged into.

        Args:
            tasks: of this run.
            changes: what differs from what was published, for those that were published before.
            entries: what the object's ledger says of them; people may have been left out since they were fetched.
        """
        for task in tasks:
            outcome, place = self[task], (task.studio.id, task.window)
            if entry := entries.get(place):
                outcome.rows, outcome.withheld = entry.rows, entry.withheld.rows
            changed = changes.get(place)
            outcome.changed = _AS_IT_WAS if changed == _AS_IT_WAS else changed
            outcome.fetch_id = ""
            self._take_over(task, outcome)

    def published(self, record: ObjectRecord, tasks: Iterable[Task]) -> None:
        """The rows of *tasks* are in the sink, in the object that *record* tells of."""
        self._objects[record.key] = record
        for task in tasks:
            outcome = self[task]
            outcome.state = TaskState.PUBLISHED if outcome.rows or outcome.withheld else TaskState.EMPTY

    def _take_over(self, task: Task, outcome: TaskOutcome) -> None:
        """What was sent for *task*: two numbers here take a tenth of what they take where they are counted."""
        requests, retries = self._tally.take(task.id)
        outcome.requests += requests
        outcome.retries += retries

    def held_against(self, dataset: DatasetName, record: Reconciled) -> None:
        """A studio of *dataset* was held against the API's own total."""
        self._reconciled.setdefault(dataset, []).append(record)

    def manifest(
        self,
        dataset: Dataset,
        scope: Scope,
        *,
        run_id: str,
        version: str,
        config: Mapping[str, object],
        extra_columns: Iterable[str],
        ended_at: datetime,
        seconds: float,
        stopped: bool,
    ) -> Manifest:
        """The record of *dataset* as things stand.

        Args:
            dataset: one of the plan's.
            scope: what the run is about.
            run_id: of the run.
            version: of this program.
            config: the configuration without secrets.
            extra_columns: names of columns that came without being asked for.
            ended_at: UTC.
            seconds: that the run took.
            stopped: whether it was ended before it was done.
        """
        planned = [task for task in self._plan.tasks if task.dataset.name == dataset.name]
        tasks = tuple(self._task_record(task) for task in planned if not self[task].spared)
        spared = [done for task in planned if (done := self[task].spared)]
        if stopped:
            state = RunState.INTERRUPTED
        elif any(not task.state.is_done for task in tasks):
            state = RunState.FAILED
        else:
            state = RunState.OK
        objects = tuple(
            record
            for key, record in sorted(self._objects.items())
            if (partition := parse_partition(key)) and partition.dataset == dataset.name
        )
        return Manifest(
            run_id=run_id,
            dataset=dataset.name,
            grain=dataset.grain.id,
            state=state,
            started_at=scope.began_at,
            ended_at=ended_at,
            version=version,
            config={**config, "full": scope.full},
            continues=tuple(sorted({*scope.continues, *(done.entry.run_id for done in spared)})),
            shard=scope.shard,
            tasks=tasks,
            objects=objects,
            extra_columns=tuple(extra_columns),
            reconciled=tuple(sorted(self._reconciled.get(dataset.name, ()), key=lambda r: (r.studio, r.start))),
            totals=self._totals(dataset, tasks, objects, spared=len(spared), seconds=seconds),
        )

    def _totals(
        self,
        dataset: Dataset,
        tasks: Sequence[TaskRecord],
        objects: Sequence[ObjectRecord],
        *,
        spared: int,
        seconds: float,
    ) -> Totals:
        """The sums over *tasks* and *objects*, which are all of *dataset*; tasks that were spared count as settled."""
        states = Counter(task.state for task in tasks)
        return Totals(
            tasks=len(tasks),
            published=states[TaskState.PUBLISHED],
            empty=states[TaskState.EMPTY],
            failed=states[TaskState.FAILED],
            pending=states[TaskState.PENDING],
            settled=spared + sum(done.task.dataset.name == dataset.name for done in self._plan.done),
            rows=sum(task.rows for task in tasks),
            withheld=sum(task.withheld for task in tasks),
            requests=sum(task.requests for task in tasks),
            reconcile_requests=self._tally.reconcile_requests[dataset.name],
            retries=sum(task.retries for task in tasks),
            throttled=self._tally.throttled[dataset.name],
            bytes_in=self._tally.bytes_in[dataset.name],
            bytes_out=sum(record.bytes for record in objects if not record.unchanged),
            seconds=round(seconds, 3),
        )

    def _task_record(self, task: Task) -> TaskRecord:
        outcome = self[task]
        self._take_over(task, outcome)
        return TaskRecord(
            studio=task.studio.id,
            window_start=sys.intern(task.window.start.isoformat()),
            window_end=sys.intern(task.window.end.isoformat()),
            state=outcome.state,
            rows=outcome.rows if outcome.state is TaskState.PUBLISHED else 0,
            withheld=outcome.withheld if outcome.state is TaskState.PUBLISHED else 0,
            total=outcome.total,
            requests=outcome.requests,
            retries=outcome.retries,
            resumed=outcome.resumed,
            error=outcome.error,
            changed=outcome.changed if outcome.state.is_done else None,
        )

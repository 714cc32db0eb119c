"""What an observer is told while a job works. Jobs print nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from exporter.api.base import Attempt
from exporter.core.manifest import Manifest, ObjectRecord
from exporter.core.partition import Partition
from exporter.core.plan import Plan, Task
from exporter.core.reconcile import Reconciled
from exporter.core.report import DatasetName


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The run knows what it has to do."""

    run_id: str
    plan: Plan
    least_requests: int
    resumed_tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockBehind:
    """By this machine's clock, what is published was asked for in the future; it is fetched again."""

    now: datetime
    ahead: datetime
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Another run uses a credential; this one goes on with the others meanwhile."""

    where: str
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spared:
    """So many tasks need no request any more: other runs have published them meanwhile."""

    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A task is begun."""

    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class PageStaged:
    """One page is safe in the sink's staging area."""

    task: Task
    rows: int
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """One request ended."""

    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Refetched:
    """The report changed while it was paged; the window is fetched again."""

    task: Task
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFetched:
    """A task is whole, or failed."""

    task: Task
    rows: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """All tasks of a partition are decided, and it is begun to publish what is whole of them."""

    partition: Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPublished:
    """A partition stays as it was, and the tasks that should have been published in it failed."""

    partition: Partition
    tasks: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionPublished:
    """A partition's object was replaced, or found to hold just these rows already."""

    object: ObjectRecord
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAgainst:
    """A studio was held against the API's own total; *refused* where its tasks failed for that."""

    dataset: DatasetName
    record: Reconciled
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The run is over and recorded."""

    manifests: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryLost:
    """Traces or metrics of the run did not, or may not all have reached whoever collects them."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTold:
    """The message that the run has ended could not be sent."""

    reason: str


Event = (
    Planned
    | ClockBehind
    | Waiting
    | Spared
    | Opened
    | PageStaged
    | Attempted
    | Refetched
    | TaskFetched
    | Publishing
    | NotPublished
    | PartitionPublished
    | HeldAgainst
    | Ended
    | TelemetryLost
    | NotTold
)


class Observer(Protocol):
    """Who looks on."""

    def __call__(self, event: Event, /) -> None:
        """Take note; must be quick and must not raise."""
        ...

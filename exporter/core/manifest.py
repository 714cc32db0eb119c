"""The record of one run over one dataset: what was asked, what came, what was published.

Times are aware UTC. Nothing in it is secret or personal: studios are named by our own ids, errors carry no rows.
"""

import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from exporter.core.jsonable import jsonable, parse_moment
from exporter.core.reconcile import Reconciled

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Grows when a reader of older manifests would misunderstand a newer one.
MANIFEST_VERSION = 1


class TaskState(StrEnum):
    """What became of a task."""

    PUBLISHED = "published"  # its rows are in the sink
    EMPTY = "empty"  # the API has none; so has the sink
    FAILED = "failed"  # the sink holds what it held before
    PENDING = "pending"  # the run was stopped before it was published; what is whole is staged

    @property
    def is_done(self) -> bool:
        """Whether the sink holds what the API had, be it no row."""
        return self in {TaskState.PUBLISHED, TaskState.EMPTY}


class RunState(StrEnum):
    """How a run ended."""

    OK = "ok"
    FAILED = "failed"  # some tasks failed
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a task's new rows differ from those that were published of it.

    Attributes:
        rows_added, rows_gone: whose key is new, or no longer came.
        rows_recounted: with the same key and another count (another value, in a report that is not grouped).
        measure_change: by how much the sum of what adds up grew.
    """

    rows_added: int = 0
    rows_gone: int = 0
    rows_recounted: int = 0
    measure_change: int = 0

    def __bool__(self) -> bool:
        return bool(self.rows_added or self.rows_gone or self.rows_recounted)

    def __add__(self, other: "Change") -> "Change":
        return Change(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One task.

    Attributes:
        studio, window_start, window_end: the task; dates as YYYY-MM-DD, the end not included.
        state: what became of it.
        rows: rows published; 0 unless published.
        withheld: rows that the API told of people who are left out, and that were not published.
        total: rows as the API counts them; None where it was never told.
        requests: sent for it, retries included.
        retries: requests that repeated another.
        resumed: whether what an earlier run had fetched was used.
        error: why it failed; None unless failed.
        changed: what differs from what was published before; None where nothing was, or nothing was published now.
    """

    studio: str
    window_start: str
    window_end: str
    state: TaskState
    rows: int = 0
    withheld: int = 0
    total: int | None = None
    requests: int = 0
    retries: int = 0
    resumed: bool = False
    error: str | None = None
    changed: Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRecord:
    """One published object.

    Attributes:
        key: below the sink's URL.
        rows: in it, of all tasks, old and new.
        bytes: its size.
        sha256: hex.
        columns: names in order.
        published_at: when it was put, or found unchanged, UTC.
        unchanged: it stood there already with just these rows, and was not put again.
    """

    key: str
    rows: int
    bytes: int
    sha256: str
    columns: tuple[str, ...]
    published_at: datetime
    unchanged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over a run.

    `withheld` are the rows of people who are left out: published they would be among `rows`.
    `requests` are those of its tasks; what was asked to hold them against the API's own totals is counted apart, in
    `reconcile_requests`. `throttled` and `bytes_in` are of both.
    """

    tasks: int = 0
    published: int = 0
    empty: int = 0
    failed: int = 0
    pending: int = 0
    settled: int = 0
    rows: int = 0
    withheld: int = 0
    requests: int = 0
    reconcile_requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One run over one dataset.

    Attributes:
        run_id: sortable and unique.
        dataset: what was exported.
        grain: id of its grain.
        state: how it ended.
        started_at, ended_at: UTC.
        version: of this program.
        config: the configuration without secrets.
        continues: ids of the unfinished runs that it went on with.
        shard: of which plan it did which shard; empty where it did a whole plan.
        tasks, objects: in the order of the plan, of the keys.
        extra_columns: that came without being asked for.
        reconciled: what is published held against the API's own totals; empty where the API was not asked.
        totals: sums.
    """

    run_id: str
    dataset: str
    grain: str
    state: RunState
    started_at: datetime
    ended_at: datetime
    version: str
    config: Mapping[str, object]
    continues: tuple[str, ...] = ()
    shard: str = ""
    tasks: tuple[TaskRecord, ...] = ()
    objects: tuple[ObjectRecord, ...] = ()
    extra_columns: tuple[str, ...] = ()
    reconciled: tuple[Reconciled, ...] = ()
    totals: Totals = field(default_factory=Totals)

    def to_json(self) -> bytes:
        """UTF-8; a line for each task, object and comparison."""
        document = {"manifest_version": MANIFEST_VERSION, **_fields(self)}
        # Written as it is made: of tens of thousands of tasks nothing shall be there twice.
        text = io.BytesIO()
        for number, (name, value) in enumerate(document.items()):
            text.write(f"{',' if number else '{'}\n{json.dumps(name)}: ".encode())
            for line in _lines(value):
                text.write(line.encode())
        text.write(b"\n}\n")
        return text.getvalue()


def parse_manifest(data: bytes) -> Manifest:
    """What `Manifest.to_json` wrote.

    Raises:
        ValueError: it is none, or one of a newer version of this program.
    """
    try:
        # A task is a record as soon as it is read: as a dictionary it is ten times as large, and there may be 100,000.
        document = json.loads(data, object_hook=_task_or_as_it_is)
        version = document.pop("manifest_version")
        if version > MANIFEST_VERSION:
            raise ValueError(f"manifest version {version} is newer than {MANIFEST_VERSION}; update this program")
        return Manifest(
            **{
                **document,
                "state": RunState(document["state"]),
                "started_at": parse_moment(document["started_at"]),
                "ended_at": parse_moment(document["ended_at"]),
                "continues": tuple(document["continues"]),
                "tasks": tuple(_task(t) for t in document["tasks"]),
                "objects": tuple(parse_object(o) for o in document["objects"]),
                "extra_columns": tuple(document["extra_columns"]),
                "reconciled": tuple(Reconciled(**r) for r in document["reconciled"]),
                "totals": Totals(**document["totals"]),
            }
        )
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a manifest: {error}") from error


def _task(value: object) -> TaskRecord:
    if not isinstance(value, TaskRecord):
        raise TypeError("a task without a window")
    return value


def _task_or_as_it_is(document: dict[str, Any]) -> TaskRecord | dict[str, Any]:
    """What the JSON of a manifest holds: its tasks are told from all else by their windows."""
    if "window_start" not in document:
        return document
    changed = document["changed"]
    return TaskRecord(
        **{
            **document,
            # Said by tens of thousands of tasks, kept once.
            **{name: sys.intern(document[name]) for name in ("studio", "window_start", "window_end")},
            "state": TaskState(document["state"]),
            "changed": None if changed is None else Change(**changed),
        }
    )


def parse_object(document: Mapping[str, Any]) -> ObjectRecord:
    """One entry of a manifest's `objects`."""
    return ObjectRecord(
        **{
            **document,
            "columns": tuple(document["columns"]),
            "published_at": parse_moment(document["published_at"]),
        }
    )


class Counted(Protocol):
    """What a manifest and a summary of one have in common."""

    @property
    def totals(self) -> Totals:
        """The sums over one dataset, or over several."""
        ...


def sum_totals(datasets: Sequence[Counted]) -> Totals:
    """Over all datasets of one run; they ran side by side, so the seconds are the longest."""
    total = sum((one.totals for one in datasets), Totals())
    seconds = max((one.totals.seconds for one in datasets), default=0.0)
    return Totals(**{**asdict(total), "seconds": seconds})


def _lines(value: object) -> Iterator[str]:
    """JSON on one line; where it is records, each on a line of its own."""
    if not isinstance(value, tuple) or not value or not is_dataclass(value[0]):
        yield _one_line(value)
        return
    for number, record in enumerate(value):
        yield f"{',' if number else '['}\n{_one_line(record)}"
    yield "\n]"


def _one_line(value: object) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _fields(value: "DataclassInstance") -> dict[str, object]:
    """A record's values by name, not copied: a manifest has tens of thousands of them."""
    return {f.name: getattr(value, f.name) for f in fields(value)}


def _plain(value: object) -> object:
    """As `jsonable`, without a copy of each record and all that is in it."""
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    return jsonable(value)

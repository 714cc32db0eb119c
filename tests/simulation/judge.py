"""Holds every change of the sink against what was promised, in the step in which it happens.

What a reader sees is looked at whenever it changes: so the promises hold at every moment, also while processes die.
"""

import io
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq

from exporter.core.confirmed import Confirmations, parse_confirmations
from exporter.core.lease import Lease, parse_lease
from exporter.core.ledger import Entry, Ledger, parse_ledger
from exporter.core.manifest import Manifest, TaskRecord, TaskState, parse_manifest
from exporter.core.partition import LEASES, STAGING, parse_partition, salt_key
from exporter.core.report import GrainId
from exporter.core.staged import SegmentRecord
from exporter.core.studio import StudioId
from exporter.core.window import Window
from exporter.jobs.resume import Owner, parse_owner
from exporter.sandbox.messages import Asked
from exporter.tables.parquet import LEDGER_KEY
from exporter.tables.segment import decode_segment
from tests.simulation.record import BrokenPromiseError, moment
from tests.simulation.reports import Reports, Rows, is_settled
from tests.simulation.scenario import Scenario, TaskKey

#: How long what was fetched whole is good, if it was not final. Source: README, "Stopping and going on".
GOOD_FOR = timedelta(hours=12)

#: Times a window is fetched before its task fails: so many copies of it may be staged by one process.
MOST_COPIES = 5


#: A process that lives is let alone for so long after its last sign of life; less by what it takes to read that.
SILENT_AT_LEAST = timedelta(seconds=110)


@dataclass(slots=True)
class _Whole:
    """A fetch that was staged whole."""

    task: TaskKey
    asked_at: datetime


class Judge:
    """Sees everything.

    Attributes:
        entries: of the parts as they stand, by task.
        broken: the first promise that was broken.
        leases: of the credentials, as they stand.
        on_lease: is told of each lease that is written.
        runs: whether a process runs.
    """

    def __init__(self, scenario: Scenario, now: Callable[[], datetime]) -> None:
        self.entries: dict[TaskKey, Entry] = {}
        self._printed: dict[TaskKey, Entry] = {}
        self._confirmed = Confirmations()
        self.broken: BrokenPromiseError | None = None
        self.now = now
        self._scenario = scenario
        self._reports = Reports(scenario)
        self._spoilt: set[tuple[TaskKey, int, datetime]] = set()
        self._told: dict[str, bool] = {}
        self.leases: dict[str, Lease] = {}
        self.on_lease: Callable[[str, Lease], None] = lambda _credential, _lease: None
        self.runs: Callable[[str], bool] = lambda _process: False
        self.planned: Callable[[str], Mapping[TaskKey, Entry]] = lambda _run_id: {}
        self._disowned: set[str] = set()
        self._whole: dict[str, _Whole] = {}
        self._unstaged_fetches: set[str] = set()
        self._asked_at: dict[str, datetime] = {}
        self._staged: defaultdict[str, dict[str, int]] = defaultdict(dict)

    # -- the API's side

    def task_of(self, asked: Asked) -> TaskKey | None:
        """What a request is about."""
        params = dict(asked.params)
        return self._reports.find(asked.headers["TeamUp-Provider-ID"], moment(params["event_starts_at_gte"]))

    def change_report(self, task: TaskKey) -> None:
        """Let the report of *task* change now."""
        self._reports.change(task, self.now())

    def spoilt(self, task: TaskKey | None, asked: Asked) -> None:
        """The answer that arrives now must not be used."""
        if task:
            self._spoilt.add((task, int(dict(asked.params)["offset"]), self.now()))

    # -- the sink's side

    def changed(self, key: str, old: bytes | None, new: bytes | None) -> None:
        """The object under *key* was written, replaced or deleted."""
        try:
            if parse_partition(key):
                self._part(key, new)
            elif key.endswith("/confirmed.json") and new is not None:
                self._confirmed = parse_confirmations(new)
                self._look_again()
            elif "/_manifests/" in key and new is not None:
                self._manifest(parse_manifest(new))
            elif key.startswith(f"{STAGING}/"):
                self._staging(key, old, new)
            elif key.startswith(f"{LEASES}/") and key != salt_key() and new is not None:
                name = key.removeprefix(f"{LEASES}/").removesuffix(".json")
                self.leases[name] = parse_lease(new)
                self.on_lease(name, self.leases[name])
        except BrokenPromiseError as error:
            self.broken = self.broken or error
            raise

    def _part(self, key: str, data: bytes | None) -> None:
        if data is None:
            raise BrokenPromiseError(f"{key} was deleted: a published part is only ever replaced")
        ledger, rows = self._read(key, data)
        there = {(entry.studio, entry.window): entry for entry in ledger.entries}
        for task in rows.keys() - there.keys():
            raise BrokenPromiseError(f"{key}: rows of {_name(task)}, which the ledger does not know")
        for task, entry in there.items():
            self._task(task, entry, rows.get(task, []))
        month = key.partition("month=")[2][: len("2025-01")]
        for task, before in self._printed.items():
            if f"{task[1].start:%Y-%m}" == month:
                now = there.get(task)
                if now is None:
                    raise BrokenPromiseError(f"{_name(task)} was published and is lost")
                if now.began_at < before.began_at and not self._knew(task, now, before.began_at):
                    raise BrokenPromiseError(f"{_name(task)}: an older fetch replaced a newer one")
        self._printed |= there
        self._look_again()

    def _knew(self, task: TaskKey, now: Entry, began_at: datetime) -> bool:
        """Whether the run that asked for *now* began earlier, and yet saw the rows of one that began at *began_at*.

        Then it asked for its rows later, whatever the moments say at which the two began.
        """
        seen = self.planned(now.run_id).get(task)
        asked_itself = now.run_id.startswith(f"{now.began_at:%Y%m%dT%H%M%S%fZ}")
        return asked_itself and seen is not None and seen.began_at >= began_at

    def _look_again(self) -> None:
        """What the parts' ledgers say, with what was found unchanged since."""
        printed = Ledger(grain=GrainId(""), entries=tuple(self._printed.values()))
        self.entries = {(entry.studio, entry.window): entry for entry in self._confirmed.apply(printed).entries}

    def _read(self, key: str, data: bytes) -> tuple[Ledger, Mapping[TaskKey, list[dict[str, object]]]]:
        """The ledger, and rows by task, as any reader of Parquet sees them."""
        file = pq.ParquetFile(io.BytesIO(data))
        rows: defaultdict[TaskKey, list[dict[str, object]]] = defaultdict(list)
        for row in file.read().to_pylist():
            rows[row["studio_id"], Window(row["window_start"], row["window_end"])].append(row)
        for _, window in rows:
            if f"/month={window.start:%Y-%m}/" not in key:
                raise BrokenPromiseError(f"{key}: rows of {window} are in the wrong month")
        return parse_ledger(file.metadata.metadata[LEDGER_KEY.encode()].decode()), rows

    def _task(self, task: TaskKey, entry: Entry, rows: list[dict[str, object]]) -> None:
        """What a reader sees of one task is what the API once said, whole."""
        if len(rows) != entry.rows:
            raise BrokenPromiseError(f"{_name(task)}: {len(rows)} rows, the ledger counts {entry.rows}")
        stamps = {(row["run_id"], row["exported_at"]) for row in rows}
        if len(stamps) > 1 or any(run_id != entry.run_id for run_id, _ in stamps):
            raise BrokenPromiseError(f"{_name(task)}: rows of more than one run")
        until = next((at for _, at in stamps if isinstance(at, datetime)), self.now())
        values: Rows = [tuple(row[column] for column in self._scenario.columns) for row in rows]
        if not self._reports.allows(task, values, entry.began_at, until):
            raise BrokenPromiseError(
                f"{_name(task)}: the {len(rows)} published rows were never the report between {entry.began_at} and"
                f" {until} (it had {self._reports.told(task)} rows)"
            )

    def _manifest(self, manifest: Manifest) -> None:
        """What a run says it has published is there."""
        for record in manifest.tasks:
            if record.state not in (TaskState.PUBLISHED, TaskState.EMPTY):
                continue
            start, end = (datetime.fromisoformat(day).date() for day in (record.window_start, record.window_end))
            task = (StudioId(record.studio), Window(start, end))
            entry = self.entries.get(task)
            if entry is None:
                raise BrokenPromiseError(f"{_name(task)}: reported as {record.state}, but not in the sink")
            if entry.run_id == manifest.run_id:
                if entry.rows != record.rows:
                    raise BrokenPromiseError(f"{_name(task)}: {entry.rows} rows, reported as {record.rows}")
            elif (
                not record.resumed
                and not _unchanged(record)
                and entry.began_at <= manifest.started_at
                and not self._knew(task, entry, manifest.started_at)
            ):
                raise BrokenPromiseError(f"{_name(task)}: reported as {record.state}, but what is there is older")

    def _staging(self, key: str, old: bytes | None, new: bytes | None) -> None:
        _, run_id, name = key.split("/")
        if name == "run.json" and new is not None:
            self._claimed(run_id, parse_owner(old) if old else None, parse_owner(new))
        if not name.endswith(".arrow"):
            return
        if new is not None:
            record, _ = decode_segment(new)
            self._staged_pages(record)
            self._staged[run_id][key] = sum(page.rows for page in record.pages)
            self._bounded(run_id)
        elif old is not None:
            self._staged[run_id].pop(key, None)
            if run_id not in self._disowned:
                self._unstaged(decode_segment(old)[0])

    def _claimed(self, run_id: str, before: Owner | None, now: Owner) -> None:
        """What a run stages is taken by another only when it is dead, has let go of it, or was silent for long."""
        if before is None or before.process == now.process or before.ended or not self.runs(before.process):
            return
        if self.now() - before.seen_at <= SILENT_AT_LEAST:
            raise BrokenPromiseError(f"what {before.process} had was taken from it by {now.process}")
        self._disowned.add(run_id)  # it is to stop when it finds out

    def _staged_pages(self, record: SegmentRecord) -> None:
        for page in record.pages:
            task = (page.studio, page.window)
            is_spoilt = (task, page.offset, page.received_at) in self._spoilt
            if self._told.setdefault(page.fetch_id, is_spoilt) != is_spoilt:
                raise BrokenPromiseError(f"{_name(task)}: pages were put together that are sorted in different ways")
            self._asked_at[page.fetch_id] = min(record.began_at, self._asked_at.get(page.fetch_id, record.began_at))
        for seal in record.seals:
            self._whole[seal.fetch_id] = _Whole((seal.studio, seal.window), self._asked_at[seal.fetch_id])

    def _bounded(self, run_id: str) -> None:
        """A process stages no more than what its windows hold, as often as they may be fetched."""
        most = MOST_COPIES * sum(max(self._reports.told(task)) for task in self._scenario.tasks)
        if (rows := sum(self._staged[run_id].values())) > most:
            raise BrokenPromiseError(f"{rows} rows are staged by one process, {most} at most are needed")

    def _unstaged(self, record: SegmentRecord) -> None:
        """What was fetched whole is deleted only when it is published, too old to be used, or settled anyway.

        Or where a later whole fetch of the same task is still staged: then that one is to be published.
        """
        self._unstaged_fetches.update(page.fetch_id for page in record.pages)
        for page in record.pages:
            whole = self._whole.get(page.fetch_id)
            if whole is None or self._is_old(whole) or self._is_superseded(whole):
                continue
            entry = self.entries.get(whole.task)
            if entry is None or not (entry.began_at >= whole.asked_at or self._will_do(whole.task, entry)):
                raise BrokenPromiseError(f"{_name(whole.task)}: was fetched whole and deleted before it was published")

    def _will_do(self, task: TaskKey, entry: Entry) -> bool:
        """Whether what is published is good enough, although a later fetch is staged.

        It is where it is final. It also is where several exporters work at once and a successor goes on with all of
        them: what one has published need not be replaced by what another one asked for a moment later.
        """
        several = len(self._scenario.exporters) > 1
        return self._final(task, entry.began_at) or (several and self.now() - entry.began_at <= GOOD_FOR)

    def _is_superseded(self, whole: _Whole) -> bool:
        return any(
            later.task == whole.task and later.asked_at > whole.asked_at and fetch_id not in self._unstaged_fetches
            for fetch_id, later in self._whole.items()
        )

    def _is_old(self, whole: _Whole) -> bool:
        return self.now() - whole.asked_at > GOOD_FOR and not self._final(whole.task, whole.asked_at)

    def _final(self, task: TaskKey, asked_at: datetime) -> bool:
        studio = self._reports.studio(task[0])
        return is_settled(task[1], studio, asked_at, self._scenario.lookback_days)

    # -- before and after a process

    def settled(self) -> Mapping[TaskKey, str]:
        """Tasks that nobody may ask for any more, and why."""
        return {
            task: f"it was settled by {entry.run_id}"
            for task, entry in self.entries.items()
            if self._final(task, entry.began_at)
        }

    def fetched_whole(self, objects: Mapping[str, bytes]) -> Mapping[TaskKey, str]:
        """Tasks that were staged whole, not long ago, and not published, and that a lone successor must not ask for."""
        found: dict[TaskKey, str] = {}
        for key, data in objects.items():
            if not key.endswith(".arrow"):
                continue
            for seal in decode_segment(data)[0].seals:
                task = (seal.studio, seal.window)
                whole, entry = self._whole[seal.fetch_id], self.entries.get(task)
                owner = json.loads(objects.get(f"{key.rpartition('/')[0]}/run.json", b'{"full": true}'))
                if entry and entry.began_at >= whole.asked_at:
                    continue
                if not self._is_old(whole) and not owner["full"]:
                    found[task] = f"{key} holds it whole"
        return found


def _name(task: TaskKey) -> str:
    return " ".join(map(str, task))


def from_epoch(seconds: float, begins_at: datetime) -> datetime:
    """The time of day of a virtual moment."""
    return begins_at.astimezone(UTC) + timedelta(seconds=seconds)


def _unchanged(record: TaskRecord) -> bool:
    """Whether the run found just the rows that were published before, and left them there."""
    return record.changed is not None and not any(asdict(record.changed).values())

"""Finds what earlier runs left behind: fetched and not published, or published and not recorded.

Rules kept here: whatever was fetched whole, not long ago, is never asked for again; pages of a fetch that was not
completed are used while they are fresh; only what belongs to a dead run is ever deleted.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

from exporter.core.clocks import lies_ahead
from exporter.core.jsonable import parse_moment
from exporter.core.ledger import Ledger
from exporter.core.manifest import Manifest, ObjectRecord, RunState, parse_object
from exporter.core.partition import STAGING, owner_key, parse_partition, staging_prefix
from exporter.core.plan import Scope, Task, TaskId, is_cut_alike, is_settled
from exporter.core.report import Dataset
from exporter.core.staged import SegmentRecord, StagedFetch, collect_fetches
from exporter.errors import DataError, NotFoundError
from exporter.jobs.intake import drops_keys
from exporter.jobs.put import PUT_ATTEMPTS, put_if
from exporter.jobs.replace import sha256
from exporter.store.base import Absent, Condition, ObjectStore
from exporter.tables.segment import decode_segment

#: A run that was stopped, killed or partly failed is continued for so long. A nightly run starts afresh.
CONTINUE_WITHIN = timedelta(hours=12)

#: A fetch that was not completed is continued for so long after its last page; the report may change meanwhile.
#: Counted from the last page, since a fetch may take longer than one process lives (a Lambda function).
PAGES_KEEP = timedelta(minutes=15)

#: A run on another machine that has not been seen for so long is dead.
SEEN_WITHIN = timedelta(minutes=2)

#: What a dead run left for tasks that nobody asks for any more is kept for so long.
KEEP = timedelta(days=7)

#: Segments that are read side by side.
READS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Which process a run is.

    Attributes:
        run_id: of the run.
        began_at, seen_at: UTC.
        full: whether the run fetches settled tasks again.
        host: the machine, until it restarts; empty where that cannot be told.
        process: the process on it, never used twice.
        ended: the run let go of what it staged.
        studios: whose rows it stages; empty where that is not known.
    """

    run_id: str
    began_at: datetime
    seen_at: datetime
    full: bool
    host: str
    process: str
    ended: bool = False
    studios: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """As it stands in the staging area."""
        document = asdict(self) | {"began_at": self.began_at.isoformat(), "seen_at": self.seen_at.isoformat()}
        return json.dumps(document).encode()


def parse_owner(data: bytes) -> Owner:
    """What `Owner.to_json` wrote; ValueError where it is none."""
    try:
        document = json.loads(data)
        moments = {name: parse_moment(document[name]) for name in ("began_at", "seen_at")}
        return Owner(**{**document, **moments, "studios": tuple(document.get("studios", ()))})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a run's record: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What is in the staging area.

    Attributes:
        owners: the records of the dead runs that this one has taken over, as they are now.
        segments: theirs, by key, also of other datasets and grains.
        fetches: theirs of the datasets that are asked for, whole and partial, by task.
        intents: what they put, or were about to put, into partitions, by the key of the note.
    """

    owners: tuple[Owner, ...] = ()
    segments: Mapping[str, SegmentRecord] = field(default_factory=dict)
    fetches: Mapping[TaskId, tuple[StagedFetch, ...]] = field(default_factory=dict)
    intents: Mapping[str, ObjectRecord] = field(default_factory=dict)

    @property
    def whole_since(self) -> Mapping[TaskId, datetime]:
        """When the run began that asked for the latest whole fetch of each task that has one."""
        began = ((task, [fetch.began_at for fetch in fetches if fetch.seal]) for task, fetches in self.fetches.items())
        return {task: max(moments) for task, moments in began if moments}


def pick(
    fetches: Sequence[StagedFetch], task: Task, scope: Scope, *, published: datetime | None = None
) -> StagedFetch | None:
    """The best of *fetches* of *task* that is still good; None where there is none.

    A whole one if there is one, else the partial one with the most pages.

    Args:
        fetches: what is staged of *task*.
        task: what is wanted.
        scope: of the run that wants it.
        published: when the run began that asked for what is published; nothing older is good.
    """
    now = scope.began_at

    def good(fetch: StagedFetch) -> bool:
        if published and fetch.began_at <= published:
            return False
        if lies_ahead(fetch.began_at, now) or not is_cut_alike(task, fetch.zone):
            return False  # how old it is cannot be told, or it is of other hours
        if fetch.seal:
            fresh = now - fetch.began_at <= CONTINUE_WITHIN
            return fresh or is_settled(task, fetch.began_at, scope.lookback_days)
        # Without a total (CSV) nothing would show that the report changed between its pages.
        told = any(page.total is not None for _, page in fetch.pages.values())
        comparable = not drops_keys(task.dataset) and not fetch.is_reduced
        if not told or now - fetch.began_at > CONTINUE_WITHIN:
            return False
        return now - fetch.newest_page_at <= PAGES_KEEP and comparable

    return max(
        (fetch for fetch in fetches if good(fetch)),
        key=lambda fetch: (fetch.seal is not None, fetch.began_at, len(fetch.pages)),
        default=None,
    )


async def take_over(
    store: ObjectStore, scope: Scope, me: Owner, *, is_running: Callable[[Owner], bool | None]
) -> Leftovers:
    """Claim the staging areas of dead runs, and read them.

    Args:
        store: the sink.
        scope: what this run is about; other datasets' rows and other grains are left alone.
        me: this run's process; it becomes the owner of what it takes over.
        is_running: whether a run's process still lives; None where that cannot be told from here.
    """
    grains = {dataset.name: dataset.grain.id for dataset in scope.datasets}
    staged = [info.key.split("/") for info in await store.list(f"{STAGING}/")]
    # What lies in no run's folder is no run's: `doctor` tries the sink there.
    runs = sorted({run_id for _, run_id, *rest in staged if rest} - {me.run_id})
    owners = [owner for run_id in runs if (owner := await _claim(store, run_id, scope, me, is_running))]
    mine = [owner.run_id for owner in owners]
    # Listed when they are ours: until it died, a run may have gone on writing.
    by_run = {run_id: [info.key for info in await store.list(staging_prefix(run_id))] for run_id in mine}
    segments: dict[str, SegmentRecord] = {}
    limit = asyncio.Semaphore(READS_AT_ONCE)

    async def read(key: str) -> None:
        async with limit:
            try:
                segments[key], _ = decode_segment((await store.get(key))[0])
            except (NotFoundError, DataError):
                return  # never written to its end

    await asyncio.gather(*(read(key) for run_id in mine for key in by_run[run_id] if key.endswith(".arrow")))
    fetches: dict[TaskId, tuple[StagedFetch, ...]] = {}
    usable = [(key, record) for key, record in sorted(segments.items()) if grains.get(record.dataset) == record.grain]
    for (dataset, _), fetch in collect_fetches(usable).items():
        if fetch.seal and fetch.seal.rows != fetch.accounted_rows:
            fetch.seal = None  # a segment of it is lost
        task = (dataset, fetch.studio, fetch.window)
        fetches[task] = (*fetches.get(task, ()), fetch)
    intents = {
        key: record
        for run_id in sorted(mine)
        for key in by_run[run_id]
        if key.rpartition("/")[2].startswith("put-") and (record := await _intent(store, key))
    }
    return Leftovers(owners=tuple(owners), segments=segments, fetches=fetches, intents=intents)


async def _claim(
    store: ObjectStore, run_id: str, scope: Scope, me: Owner, is_running: Callable[[Owner], bool | None]
) -> Owner | None:
    """The record of the run *run_id*, if it is dead, of use for *scope*, and now ours."""
    condition: Condition
    for _ in range(PUT_ATTEMPTS):
        try:
            data, info = await store.get(owner_key(run_id))
            owner, condition = parse_owner(data), info.etag
        except NotFoundError:
            # A run writes its record first and deletes it last: here is what one staged after it had been taken over.
            owner, condition = replace(me, run_id=run_id, full=False, ended=True), Absent()
        except ValueError:
            return None
        running = False if owner.ended else is_running(owner)
        if running or (running is None and scope.began_at - owner.seen_at <= SEEN_WITHIN):
            return None
        if scope.full and not owner.full:
            return None
        others = owner.studios and not {studio.id for studio in scope.studios} & {*owner.studios}
        if others and scope.began_at - owner.seen_at <= KEEP:
            return None  # another shard's, that will go on with it
        claimed = replace(owner, host=me.host, process=me.process, seen_at=me.seen_at, ended=False)
        if await put_if(store, owner_key(run_id), claimed.to_json(), condition):
            return claimed
    return None


def continued(
    leftovers: Leftovers, latest: Sequence[Manifest], ledgers: Iterable[Ledger], scope: Scope
) -> frozenset[str]:
    """Ids of the unfinished runs that a run of *scope* goes on with: what they published, not long ago, is done.

    A run that left something staged was killed or stopped; one whose manifest says so was stopped or failed in part.
    Where everything is to be fetched again, only runs that did so too are continued.
    """
    runs = {owner.run_id for owner in leftovers.owners}
    for manifest in latest:
        full = bool(manifest.config.get("full"))
        if manifest.state is not RunState.OK and (full or not scope.full):
            runs |= {manifest.run_id, *manifest.continues}
    fresh = {
        entry.run_id
        for ledger in ledgers
        for entry in ledger.entries
        if scope.began_at - entry.began_at <= CONTINUE_WITHIN and not lies_ahead(entry.began_at, scope.began_at)
    }
    return frozenset(runs & fresh)


async def standing(
    store: ObjectStore, intents: Iterable[ObjectRecord], datasets: Sequence[Dataset]
) -> list[ObjectRecord]:
    """Those of *intents* in *datasets* that were carried out and still stand."""
    names = {dataset.name for dataset in datasets}
    found = []
    for record in intents:
        partition = parse_partition(record.key)
        if partition is None or partition.dataset not in names:
            continue
        try:
            data, _ = await store.get(record.key)
        except NotFoundError:
            continue
        if sha256(data) == record.sha256:
            found.append(record)
    return found


async def _intent(store: ObjectStore, key: str) -> ObjectRecord | None:
    try:
        return parse_object(json.loads((await store.get(key))[0]))
    except (NotFoundError, ValueError, KeyError, TypeError):
        return None

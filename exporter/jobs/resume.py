"""Finds what earlier runs left behind: fetched and not published, or published and not recorded.

Rules kept here: whatever was fetched whole, not long ago, is never asked for again; pages of a fetch that was not
completed are used while they are fresh; only what belongs to a dead run is ever deleted.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

from exporter.core.manifest import Manifest, ObjectRecord, RunState, parse_moment, parse_object
from exporter.core.partition import STAGING, owner_key, parse_partition, staging_prefix
from exporter.core.plan import Scope, Task, TaskId, is_settled
from exporter.core.report import DatasetName, GrainId
from exporter.core.staged import SegmentRecord, StagedFetch, collect_fetches
from exporter.errors import DataError, NotFoundError, OutcomeUnknownError, PreconditionFailedError
from exporter.jobs.stage import drops_keys
from exporter.store.base import ObjectStore
from exporter.tables.segment import decode_segment

#: A run that was stopped, killed or partly failed is gone on with for so long. A nightly run starts afresh.
CONTINUE_WITHIN = timedelta(hours=12)

#: Pages of a fetch that was not completed are used for so long; the report may change meanwhile.
PAGES_KEEP = timedelta(minutes=15)

#: A run on another machine that has not been seen for so long is dead.
SEEN_WITHIN = timedelta(minutes=2)

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
    """

    run_id: str
    began_at: datetime
    seen_at: datetime
    full: bool
    host: str
    process: str

    def to_json(self) -> bytes:
        """As it stands in the staging area."""
        document = asdict(self) | {"began_at": self.began_at.isoformat(), "seen_at": self.seen_at.isoformat()}
        return json.dumps(document).encode()


def parse_owner(data: bytes) -> Owner:
    """What `Owner.to_json` wrote; ValueError where it is none."""
    try:
        document = json.loads(data)
        moments = {name: parse_moment(document[name]) for name in ("began_at", "seen_at")}
        return Owner(**{**document, **moments})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a run's record: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What is in the staging area.

    Attributes:
        owners: the records of the dead runs that this one has taken over, as they are now.
        fetches: theirs, whole and partial, by task.
        intents: what they put, or were about to put, into partitions.
    """

    owners: tuple[Owner, ...] = ()
    fetches: Mapping[TaskId, tuple[StagedFetch, ...]] = field(default_factory=dict)
    intents: tuple[ObjectRecord, ...] = ()

    @property
    def runs(self) -> frozenset[str]:
        """Their ids."""
        return frozenset(owner.run_id for owner in self.owners)

    def of(self, task: Task, scope: Scope) -> StagedFetch | None:
        """What can be used of *task*: a whole fetch if there is one, else the partial one with the most pages."""
        return pick(self.fetches.get(task.id, ()), task, scope)


def pick(fetches: Sequence[StagedFetch], task: Task, scope: Scope) -> StagedFetch | None:
    """The best of *fetches* of *task* that is still good; None where there is none."""
    now = scope.began_at

    def good(fetch: StagedFetch) -> bool:
        if fetch.seal:
            fresh = now - fetch.began_at <= CONTINUE_WITHIN
            return fresh or is_settled(task, fetch.began_at, scope.lookback_days)
        fresh = now - fetch.oldest_page_at <= PAGES_KEEP
        return bool(fetch.pages) and fresh and not drops_keys(task.dataset)

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
    by_run: dict[str, list[str]] = {}
    for info in await store.list(f"{STAGING}/"):
        by_run.setdefault(info.key.split("/")[1], []).append(info.key)
    owners = [owner for run_id in by_run if (owner := await _claim(store, run_id, scope, me, is_running))]
    mine = [owner.run_id for owner in owners]
    segments: list[tuple[str, SegmentRecord]] = []
    limit = asyncio.Semaphore(READS_AT_ONCE)

    async def read(key: str) -> None:
        async with limit:
            try:
                record, _ = decode_segment((await store.get(key))[0])
            except (NotFoundError, DataError):
                return  # never written to its end
        if grains.get(record.dataset) == record.grain:
            segments.append((key, record))

    await asyncio.gather(*(read(key) for run_id in mine for key in by_run[run_id] if key.endswith(".arrow")))
    fetches: dict[TaskId, tuple[StagedFetch, ...]] = {}
    for (dataset, _), fetch in collect_fetches(sorted(segments, key=lambda item: item[0])).items():
        task = (dataset, fetch.studio, fetch.window)
        fetches[task] = (*fetches.get(task, ()), fetch)
    intents = [
        record
        for run_id in sorted(mine)
        for key in by_run[run_id]
        if key.rpartition("/")[2].startswith("put-") and (record := await _intent(store, key))
    ]
    return Leftovers(
        owners=tuple(owners),
        fetches=fetches,
        intents=tuple(record for record in intents if _concerns(record, grains)),
    )


async def _claim(
    store: ObjectStore, run_id: str, scope: Scope, me: Owner, is_running: Callable[[Owner], bool | None]
) -> Owner | None:
    """The record of the run *run_id*, if it is dead, of use for *scope*, and now ours."""
    try:
        data, info = await store.get(owner_key(run_id))
        owner = parse_owner(data)
    except (NotFoundError, ValueError):
        return None  # a run writes its record first and deletes it last
    running = is_running(owner)
    if running or (running is None and scope.began_at - owner.seen_at <= SEEN_WITHIN):
        return None
    if scope.full and not owner.full:
        return None
    claimed = replace(owner, host=me.host, process=me.process, seen_at=me.seen_at)
    try:
        await store.put(owner_key(run_id), claimed.to_json(), condition=info.etag)
    except (PreconditionFailedError, OutcomeUnknownError):
        return None
    return claimed


def continued(leftovers: Leftovers, latest: Sequence[Manifest], scope: Scope) -> frozenset[str]:
    """Ids of the unfinished runs that a run of *scope* goes on with: what they published is done.

    A run that left something staged was killed or stopped; one whose manifest says so was stopped or failed in part.
    Where everything is to be fetched again, only runs that did so too are gone on with.
    """
    runs = set(leftovers.runs)
    for manifest in latest:
        recent = scope.began_at - manifest.started_at <= CONTINUE_WITHIN
        full = bool(manifest.config.get("full"))
        if manifest.state is not RunState.OK and recent and (full or not scope.full):
            runs |= {manifest.run_id, *manifest.continues}
    return frozenset(runs)


async def standing(store: ObjectStore, intents: Sequence[ObjectRecord]) -> list[ObjectRecord]:
    """Those of *intents* that were carried out and still stand."""
    found = []
    for record in intents:
        try:
            data, _ = await store.get(record.key)
        except NotFoundError:
            continue
        if hashlib.sha256(data).hexdigest() == record.sha256:
            found.append(record)
    return found


async def sweep(store: ObjectStore, run_ids: frozenset[str]) -> None:
    """Delete all that *run_ids* staged, their own record last."""
    for run_id in run_ids:
        for info in await store.list(staging_prefix(run_id)):
            if info.key != owner_key(run_id):
                await store.delete(info.key)
        await store.delete(owner_key(run_id))


async def _intent(store: ObjectStore, key: str) -> ObjectRecord | None:
    try:
        return parse_object(json.loads((await store.get(key))[0]))
    except (NotFoundError, ValueError, KeyError, TypeError):
        return None


def _concerns(record: ObjectRecord, grains: Mapping[DatasetName, GrainId]) -> bool:
    partition = parse_partition(record.key)
    return partition is not None and partition.dataset in grains

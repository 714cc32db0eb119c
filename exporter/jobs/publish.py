"""Replaces one partition's object: the rows of some tasks are swapped, every other row stays.

Rules kept here:

- A part is replaced on condition that nobody else did meanwhile; otherwise read, merge, try again (`replace.py`). So
  runs that overlap never lose each other's rows.
- Who is left out of the sink is left out here, of old rows and of new ones, as the list says when the part was put.
- What is about to be put is noted first, so that a run that dies right after it leaves a record.
- Of two fetches of one task the later one stays.
- A part that would hold the rows it holds already is not put again: same object, same bytes, same etag.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from exporter.core.confirmed import Confirmation
from exporter.core.erasure import Suppressed
from exporter.core.ledger import Entry, Ledger
from exporter.core.manifest import Change, ObjectRecord
from exporter.core.partition import Partition, intent_key, parse_partition
from exporter.core.report import Dataset
from exporter.core.studio import StudioId
from exporter.core.window import Window
from exporter.errors import PlanConflictError
from exporter.jobs.put import put_surely
from exporter.jobs.replace import Part, Replacer, sha256
from exporter.jobs.suppression import Suppression
from exporter.store.base import ObjectStore
from exporter.tables.changes import changes
from exporter.tables.erasure import leave_out
from exporter.tables.merge import replace_tasks
from exporter.tables.parquet import encode_part
from exporter.tables.schema import TRAILING, part_schema

_TaskKey = tuple[StudioId, Window]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """What is to be put into one partition.

    Attributes:
        partition, dataset: where.
        rows: of exactly the tasks of *entries*; columns as published.
        entries: one for each task that was fetched whole.
        customer_columns: of the rows, beside those that the catalogue knows.
        drop_all: replace whatever is there, at whatever grain.
        seen: when the runs began whose rows stood there when this one did. What it fetched since is newer, whatever
            the clocks said.
    """

    partition: Partition
    dataset: Dataset
    rows: pa.Table
    entries: tuple[Entry, ...]
    customer_columns: tuple[str, ...] = ()
    drop_all: bool = False
    seen: Mapping[_TaskKey, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What came of a swap.

    Attributes:
        record: the object as it is now.
        changes: of each task that was published before, what is otherwise now.
        entries: of each task, as it is now; without those that a later run has published meanwhile.
        confirmed: the tasks that are as they were, where the object was not put again for that.
    """

    record: ObjectRecord
    changes: Mapping[_TaskKey, Change]
    entries: Mapping[_TaskKey, Entry]
    confirmed: tuple[Confirmation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    """A partition as it shall be; *data* is what it is already, where nothing changed."""

    data: bytes
    rows: int
    columns: tuple[str, ...]
    entries: Sequence[Entry]
    changes: Mapping[_TaskKey, Change] = field(default_factory=dict)
    unchanged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Puts swaps into the sink.

    Attributes:
        store: the sink.
        run_id: of this run.
        compression: of the parts.
        clock: the time, UTC.
        sleep, random: for the wait after a conflict.
        after: when the runs before this one published at the latest. By what their records say this one publishes
            later, whatever the clocks said, so that the last record of an object can be told.
        suppression: says who is left out.
    """

    store: ObjectStore
    run_id: str
    compression: str
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    suppression: Suppression
    after: datetime | None = None

    async def publish(self, swap: Swap) -> Publication:
        """Swap the rows, once and whole, without the people who are left out at the moment of the put.

        Raises:
            PlanConflictError: somebody published rows there that the swap would cut or mix grains with.
            DataError: what is there, or who is left out, cannot be read.
            StoreError: the sink does not take it.
        """
        work = _Work(self, swap)
        put: Publication | None = None
        while True:
            if not await self._replacer.replace(swap.partition, work.make):
                return put or work.publication
            put = work.publication
            # Who was put on the list in between may be in what was put.
            if await self.suppression.read() == work.suppressed:
                return put

    async def leave_out(self, record: ObjectRecord) -> ObjectRecord:
        """Take people who are left out from a part that a run put which may have died before it looked again.

        Args:
            record: the part as it was put.

        Returns:
            The part as it is now, where somebody was in it; else *record*.
        """
        suppressed = await self.suppression.read()
        partition = parse_partition(record.key)
        if not suppressed or partition is None:
            return record
        kept = record

        async def make(old: Part | None) -> bytes | None:
            nonlocal kept
            if old is None:
                return None
            table, ledger = await asyncio.to_thread(leave_out, old.table, old.ledger, suppressed.is_left_out)
            if ledger is old.ledger:
                return None
            data = await asyncio.to_thread(encode_part, table, ledger, self.compression)
            kept = self.record(partition, data, table.num_rows, tuple(table.column_names))
            await self.note(partition, kept)
            return data

        return kept if await self._replacer.replace(partition, make) else record

    def record(
        self, partition: Partition, data: bytes, rows: int, columns: tuple[str, ...], *, unchanged: bool = False
    ) -> ObjectRecord:
        """What a manifest says of the part *data*."""
        return ObjectRecord(
            key=partition.key,
            rows=rows,
            bytes=len(data),
            sha256=sha256(data),
            columns=columns,
            published_at=self._now(),
            unchanged=unchanged,
        )

    async def note(self, partition: Partition, record: ObjectRecord) -> None:
        """Say what is about to be put."""
        document = {**asdict(record), "published_at": record.published_at.isoformat()}
        await put_surely(self.store, intent_key(self.run_id, partition), json.dumps(document).encode())

    def _now(self) -> datetime:
        now = self.clock()
        return max(now, self.after + timedelta(microseconds=1)) if self.after else now

    @property
    def _replacer(self) -> Replacer:
        return Replacer(store=self.store, sleep=self.sleep, random=self.random)


class _Work:
    """One swap on its way, from one attempt to the next.

    Attributes:
        publication: what the last attempt comes to, if it succeeds.
        suppressed: who was left out of it.
    """

    publication: Publication

    def __init__(self, publisher: Publisher, swap: Swap) -> None:
        self._publisher = publisher
        self._swap = swap
        self._seen: dict[_TaskKey, Change] = {}
        self.suppressed = Suppressed()

    async def make(self, old: Part | None) -> bytes | None:
        """What the partition becomes."""
        publisher, swap = self._publisher, self._swap
        self.suppressed = await publisher.suppression.read()
        merged = await asyncio.to_thread(_merge, swap, old, self.suppressed, publisher.compression)
        ours = {_key(e) for e in old.ledger.entries if e.run_id == publisher.run_id} if old else set()
        # What a put of ours did, whose answer was lost, is no longer to be seen; it was seen before.
        self._seen.update({task: change for task, change in merged.changes.items() if task not in ours})
        record = publisher.record(swap.partition, merged.data, merged.rows, merged.columns, unchanged=merged.unchanged)
        self.publication = Publication(
            record=record,
            changes=self._seen,
            entries={_key(entry): entry for entry in merged.entries},
            confirmed=self._confirmed(merged.entries, old.ledger) if old and merged.unchanged else (),
        )
        if merged.unchanged:
            return None
        await publisher.note(swap.partition, record)
        return merged.data

    def _confirmed(self, entries: Sequence[Entry], published: Ledger) -> tuple[Confirmation, ...]:
        """What the run may say of *entries*, which are as *published*."""
        run_id = self._publisher.run_id
        runs = {_key(entry): entry.run_id for entry in published.entries}
        return tuple(
            Confirmation(
                studio=entry.studio,
                window=entry.window,
                published_by=runs[_key(entry)],
                run_id=run_id,
                began_at=entry.began_at,
            )
            for entry in entries
            if runs[_key(entry)] != run_id
        )


def _merge(swap: Swap, old: Part | None, suppressed: Suppressed, compression: str) -> _Merged:
    """What the partition becomes."""
    grain = swap.dataset.grain.id
    table, ledger = (old.table, old.ledger) if old else (None, Ledger(grain=grain))
    fresh = Ledger(grain=grain, entries=swap.entries, customer_columns=swap.customer_columns)
    new = swap.rows
    if suppressed:
        # From both sides, so that what is left out is no change of the report's.
        new, fresh = leave_out(new, fresh, suppressed.is_left_out)
        if table is not None:
            table, ledger = leave_out(table, ledger, suppressed.is_left_out)
    if table is None or swap.drop_all:
        table, ledger = part_schema(swap.dataset).empty_table(), Ledger(grain=grain)
    if ledger.grain != grain:
        if ledger.entries:
            raise PlanConflictError(
                f"{swap.partition}: was published at another grain meanwhile; choose another dataset name, or"
                f" replace it with --rewrite"
            )
        table, ledger = part_schema(swap.dataset).empty_table(), Ledger(grain=grain)
    entries, rows = _newest(fresh.entries, new, ledger, swap.seen)
    merged = replace_tasks(table, rows, [_key(entry) for entry in entries], swap.dataset)
    published = {_key(entry): entry for entry in ledger.entries}
    again = [_key(entry) for entry in entries if _key(entry) in published]
    if _alike(table, merged):
        # The usual case, and found in no time, where finding what changed takes seconds for millions of rows.
        moved: Mapping[_TaskKey, Change] = dict.fromkeys(again, Change())
    else:
        moved = changes(table, rows, again, swap.dataset) if again else {}
    columns = tuple(merged.column_names)
    after = ledger.replace(entries, customer_columns=fresh.customer_columns)
    if (
        old
        and old.ledger is ledger
        and merged.schema.equals(table.schema)
        and not any(moved.values())
        and ledger.customer_columns == after.customer_columns
        and all(_is_as_published(entry, published.get(_key(entry)), swap.seen) for entry in entries)
    ):
        return _Merged(
            data=old.data, rows=table.num_rows, columns=columns, entries=entries, changes=moved, unchanged=True
        )
    data = encode_part(merged, after, compression)
    return _Merged(data=data, rows=merged.num_rows, columns=columns, entries=entries, changes=moved)


def _alike(old: pa.Table, new: pa.Table) -> bool:
    """Whether two tables, sorted alike, hold the same rows but for who fetched them and when."""
    trailing = [field.name for field in TRAILING]
    if not old.schema.equals(new.schema) or old.num_rows != new.num_rows:
        return False
    return bool(old.drop_columns(trailing).equals(new.drop_columns(trailing)))


def _is_as_published(new: Entry, old: Entry | None, seen: Mapping[_TaskKey, datetime]) -> bool:
    """Whether the ledger can stay as it is, too; not where it tells of a time ahead, which must not stay."""
    if old is None or max(old.began_at, seen.get(_key(old), old.began_at)) > new.began_at:
        return False

    def facts(entry: Entry) -> tuple[object, ...]:
        return entry.rows, entry.total, entry.measure, entry.withheld

    return facts(new) == facts(old)


def _key(entry: Entry) -> _TaskKey:
    return entry.studio, entry.window


def _newest(
    new: Sequence[Entry], rows: pa.Table, ledger: Ledger, seen: Mapping[_TaskKey, datetime]
) -> tuple[Sequence[Entry], pa.Table]:
    """Both without tasks that a later run than the one that fetched them has published meanwhile."""
    published = {(entry.studio, entry.window): entry for entry in ledger.entries}
    late = [
        entry
        for entry in new
        if (there := published.get(_key(entry)))
        and there.began_at > max(entry.began_at, seen.get(_key(entry), entry.began_at))
    ]
    if not late:
        return new, rows
    stale = {(entry.studio, entry.window.start) for entry in late}
    keep = [
        (studio, start) not in stale
        for studio, start in zip(
            rows.column("studio_id").to_pylist(), rows.column("window_start").to_pylist(), strict=True
        )
    ]
    return [e for e in new if e not in late], rows.filter(pa.array(keep, pa.bool_()))

"""Replaces one partition's object: the rows of some tasks are swapped, every other row stays.

Rules kept here:

- The only place that changes a published object, and only on condition that nobody else did meanwhile; otherwise
  read, merge, try again. So runs that overlap never lose each other's rows.
- A put whose answer was lost is looked up, not assumed.
- What is about to be put is noted first, so that a run that dies right after it leaves a record.
- Of two fetches of one task the later one stays.
- A part that would hold the rows it holds already is not put again: same object, same bytes, same etag.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from exporter.core.confirmed import Confirmation
from exporter.core.ledger import Entry, Ledger
from exporter.core.manifest import Change, ObjectRecord
from exporter.core.partition import Partition, intent_key
from exporter.core.report import Dataset
from exporter.core.studio import StudioId
from exporter.core.window import Window
from exporter.errors import (
    DataError,
    NotFoundError,
    PlanConflictError,
    StoreError,
)
from exporter.jobs.put import put_if, put_surely
from exporter.store.base import Absent, Condition, ObjectStore
from exporter.tables.changes import changes
from exporter.tables.merge import replace_tasks
from exporter.tables.parquet import decode_part, encode_part
from exporter.tables.schema import TRAILING, part_schema

#: A partition that others replace more often than this while we try is given up.
MOST_CONFLICTS = 50

#: Longest wait before trying again after a conflict, seconds.
LONGEST_WAIT_S = 2.0


_TaskKey = tuple[StudioId, Window]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """What is to be put into one partition.

    Attributes:
        partition, dataset: where.
        rows: of exactly the tasks of *entries*; columns as published.
        entries: one for each task that was fetched whole.
        drop_all: replace whatever is there, at whatever grain.
        seen: when the runs began whose rows stood there when this one did. What it fetched since is newer, whatever
            the clocks said.
    """

    partition: Partition
    dataset: Dataset
    rows: pa.Table
    entries: tuple[Entry, ...]
    drop_all: bool = False
    seen: Mapping[_TaskKey, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What came of a swap.

    Attributes:
        record: the object as it is now.
        changes: of each task that was published before, what is otherwise now.
        confirmed: the tasks that are as they were, where the object was not put again for that.
    """

    record: ObjectRecord
    changes: Mapping[_TaskKey, Change]
    confirmed: tuple[Confirmation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A partition as it was read."""

    data: bytes
    table: pa.Table
    ledger: Ledger


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
    """

    store: ObjectStore
    run_id: str
    compression: str
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    after: datetime | None = None

    async def publish(self, swap: Swap) -> Publication:
        """Swap the rows, once and whole.

        Raises:
            PlanConflictError: somebody published rows there that the swap would cut or mix grains with.
            DataError: what is there cannot be read.
            StoreError: the sink does not take it.
        """
        seen: dict[_TaskKey, Change] = {}
        for conflicts in range(MOST_CONFLICTS):
            if conflicts:
                await self.sleep(self.random() * min(LONGEST_WAIT_S, 0.05 * 2**conflicts))
            old, condition = await self._read(swap.partition)
            merged = await asyncio.to_thread(_merge, swap, old, self.compression)
            ours = {_key(e) for e in old.ledger.entries if e.run_id == self.run_id} if old else set()
            # What a put of ours did, whose answer was lost, is no longer to be seen; it was seen before.
            seen.update({task: change for task, change in merged.changes.items() if task not in ours})
            record = ObjectRecord(
                key=swap.partition.key,
                rows=merged.rows,
                bytes=len(merged.data),
                sha256=hashlib.sha256(merged.data).hexdigest(),
                columns=merged.columns,
                published_at=self._now(),
                unchanged=merged.unchanged,
            )
            if old and merged.unchanged:
                return Publication(record=record, changes=seen, confirmed=self._confirmed(merged.entries, old.ledger))
            await self._note(swap.partition, record)
            if await put_if(self.store, swap.partition.key, merged.data, condition):
                return Publication(record=record, changes=seen)
        raise StoreError(
            f"{swap.partition}: others replaced it {MOST_CONFLICTS} times while this run tried to; run again"
        )

    def _now(self) -> datetime:
        now = self.clock()
        return max(now, self.after + timedelta(microseconds=1)) if self.after else now

    def _confirmed(self, entries: Sequence[Entry], published: Ledger) -> tuple[Confirmation, ...]:
        """What the run may say of *entries*, which are as *published*."""
        runs = {_key(entry): entry.run_id for entry in published.entries}
        return tuple(
            Confirmation(
                studio=entry.studio,
                window=entry.window,
                published_by=runs[_key(entry)],
                run_id=self.run_id,
                began_at=entry.began_at,
            )
            for entry in entries
            if runs[_key(entry)] != self.run_id
        )

    async def _read(self, partition: Partition) -> tuple[_Part | None, Condition]:
        try:
            data, info = await self.store.get(partition.key)
        except NotFoundError:
            return None, Absent()
        try:
            table, ledger = await asyncio.to_thread(decode_part, data)
        except DataError as error:
            raise DataError(f"{partition.key}: {error}; move it away or restore it, then run again") from error
        return _Part(data=data, table=table, ledger=ledger), info.etag

    async def _note(self, partition: Partition, record: ObjectRecord) -> None:
        document = {**asdict(record), "published_at": record.published_at.isoformat()}
        await put_surely(self.store, intent_key(self.run_id, partition), json.dumps(document).encode())


def _merge(swap: Swap, old: _Part | None, compression: str) -> _Merged:
    """What the partition becomes."""
    grain = swap.dataset.grain.id
    table, ledger = (old.table, old.ledger) if old else (None, Ledger(grain=grain))
    if table is None or swap.drop_all:
        table, ledger = part_schema(swap.dataset).empty_table(), Ledger(grain=grain)
    if ledger.grain != grain:
        if ledger.entries:
            raise PlanConflictError(
                f"{swap.partition}: was published at another grain meanwhile; choose another dataset name, or"
                f" replace it with --rewrite"
            )
        table, ledger = part_schema(swap.dataset).empty_table(), Ledger(grain=grain)
    entries, rows = _newest(swap, ledger)
    merged = replace_tasks(table, rows, [_key(entry) for entry in entries], swap.dataset)
    published = {_key(entry): entry for entry in ledger.entries}
    again = [_key(entry) for entry in entries if _key(entry) in published]
    if _alike(table, merged):
        # The usual case, and found in no time, where finding what changed takes seconds for millions of rows.
        moved: Mapping[_TaskKey, Change] = dict.fromkeys(again, Change())
    else:
        moved = changes(table, rows, again, swap.dataset) if again else {}
    columns = tuple(merged.column_names)
    if (
        old
        and old.ledger is ledger
        and merged.schema.equals(table.schema)
        and not any(moved.values())
        and all(_is_as_published(entry, published.get(_key(entry)), swap.seen) for entry in entries)
    ):
        return _Merged(
            data=old.data, rows=table.num_rows, columns=columns, entries=entries, changes=moved, unchanged=True
        )
    data = encode_part(merged, ledger.replace(entries), compression)
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
    return (new.rows, new.total, new.measure) == (old.rows, old.total, old.measure)


def _key(entry: Entry) -> _TaskKey:
    return entry.studio, entry.window


def _newest(swap: Swap, ledger: Ledger) -> tuple[Sequence[Entry], pa.Table]:
    """The swap without tasks that a later run than the one that fetched them has published meanwhile."""
    published = {(entry.studio, entry.window): entry for entry in ledger.entries}
    late = [
        entry
        for entry in swap.entries
        if (there := published.get(_key(entry)))
        and there.began_at > max(entry.began_at, swap.seen.get(_key(entry), entry.began_at))
    ]
    if not late:
        return swap.entries, swap.rows
    stale = {(entry.studio, entry.window.start) for entry in late}
    keep = [
        (studio, start) not in stale
        for studio, start in zip(
            swap.rows.column("studio_id").to_pylist(), swap.rows.column("window_start").to_pylist(), strict=True
        )
    ]
    return [e for e in swap.entries if e not in late], swap.rows.filter(pa.array(keep, pa.bool_()))

"""Replaces one partition's object: the rows of some tasks are swapped, every other row stays.

Rules kept here:

- A part is replaced on condition that nobody else did meanwhile; otherwise read, merge, try again (`replace.py`). So
  runs that overlap never lose each other's rows.
- People on the list of those who are left out are taken out of old rows and of new ones, as the list stands when the
  part is put.
- What is about to be put is noted first, so that a run that dies right after it leaves a record.
- Of two fetches of one task the later one stays.
- A part that would hold the rows it holds already is not put again: same object, same bytes, same etag.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from exporter.core.confirmed import Confirmation
from exporter.core.erasure import Suppressed
from exporter.core.ledger import Entry, Ledger, TaskKey
from exporter.core.manifest import Change, ObjectRecord
from exporter.core.partition import Partition, intent_key, parse_partition
from exporter.jobs.put import put_surely
from exporter.jobs.replace import Part, Replacer, sha256
from exporter.jobs.suppression import Suppression
from exporter.store.base import ObjectStore
from exporter.tables.erasure import leave_out
from exporter.tables.parquet import encode_part
from exporter.tables.swap import Swap, merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What came of a swap.

    Attributes:
        record: the object as it is now.
        changes: for each task that was published before, what differs now.
        entries: of each task, as it is now; not of those that a later run has published meanwhile.
        confirmed: the tasks that are as they were, where the object was not put again for that.
    """

    record: ObjectRecord
    changes: Mapping[TaskKey, Change]
    entries: Mapping[TaskKey, Entry]
    confirmed: tuple[Confirmation, ...] = ()


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
            whole = await asyncio.to_thread(old.file.read)
            table, ledger = await asyncio.to_thread(leave_out, whole, old.ledger, suppressed.is_left_out)
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
        self._seen: dict[TaskKey, Change] = {}
        self.suppressed = Suppressed()

    async def make(self, old: Part | None) -> bytes | None:
        """What the partition becomes."""
        publisher, swap = self._publisher, self._swap
        self.suppressed = await publisher.suppression.read()
        left_out = self.suppressed.is_left_out if self.suppressed else None
        merged = await asyncio.to_thread(merge, swap, old.file if old else None, left_out, publisher.compression)
        ours = {e.task for e in old.ledger.entries if e.run_id == publisher.run_id} if old else set()
        # What a put of ours did, whose answer was lost, is no longer to be seen; it was seen before.
        self._seen.update({task: change for task, change in merged.changes.items() if task not in ours})
        record = publisher.record(swap.partition, merged.data, merged.rows, merged.columns, unchanged=merged.unchanged)
        self.publication = Publication(
            record=record,
            changes=self._seen,
            entries={entry.task: entry for entry in merged.entries},
            confirmed=self._confirmed(merged.entries, old.ledger) if old and merged.unchanged else (),
        )
        if merged.unchanged:
            return None
        await publisher.note(swap.partition, record)
        return merged.data

    def _confirmed(self, entries: Sequence[Entry], published: Ledger) -> tuple[Confirmation, ...]:
        """What the run may say of *entries*, which are as *published*."""
        run_id = self._publisher.run_id
        runs = {entry.task: entry.run_id for entry in published.entries}
        return tuple(
            Confirmation(
                studio=entry.studio,
                window=entry.window,
                published_by=runs[entry.task],
                run_id=run_id,
                began_at=entry.began_at,
            )
            for entry in entries
            if runs[entry.task] != run_id
        )

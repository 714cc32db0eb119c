"""Replaces one partition's object: the rows of some tasks are swapped, every other row stays.

Rules kept here:

- The only place that changes a published object, and only on condition that nobody else did meanwhile; otherwise
  read, merge, try again. So runs that overlap never lose each other's rows.
- A put whose answer was lost is looked up, not assumed.
- What is about to be put is noted first, so that a run that dies right after it leaves a record.
- Of two fetches of one task the later one stays.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import pyarrow as pa

from exporter.core.ledger import Entry, Ledger
from exporter.core.manifest import ObjectRecord
from exporter.core.partition import Partition, intent_key
from exporter.core.report import Dataset
from exporter.errors import (
    DataError,
    NotFoundError,
    PlanConflictError,
    StoreError,
)
from exporter.jobs.put import put_if, put_surely
from exporter.store.base import Absent, Condition, ObjectStore
from exporter.tables.merge import replace_tasks
from exporter.tables.parquet import decode_part, encode_part
from exporter.tables.schema import part_schema

#: A partition that others replace more often than this while we try is given up.
MOST_CONFLICTS = 50

#: Longest wait before trying again after a conflict, seconds.
LONGEST_WAIT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """What is to be put into one partition.

    Attributes:
        partition, dataset: where.
        rows: of exactly the tasks of *entries*; columns as published.
        entries: one for each task that was fetched whole.
        drop_all: replace whatever is there, at whatever grain.
    """

    partition: Partition
    dataset: Dataset
    rows: pa.Table
    entries: tuple[Entry, ...]
    drop_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Puts swaps into the sink.

    Attributes:
        store: the sink.
        run_id: of this run.
        compression: of the parts.
        clock: the time, UTC.
        sleep, random: for the wait after a conflict.
    """

    store: ObjectStore
    run_id: str
    compression: str
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]

    async def publish(self, swap: Swap) -> ObjectRecord:
        """Swap the rows, once and whole.

        Returns:
            The object as it is now.

        Raises:
            PlanConflictError: somebody published rows there that the swap would cut or mix grains with.
            DataError: what is there cannot be read.
            StoreError: the sink does not take it.
        """
        for conflicts in range(MOST_CONFLICTS):
            if conflicts:
                await self.sleep(self.random() * min(LONGEST_WAIT_S, 0.05 * 2**conflicts))
            old, condition = await self._read(swap.partition)
            data, rows, columns = await asyncio.to_thread(_merge, swap, old, self.compression)
            record = ObjectRecord(
                key=swap.partition.key,
                rows=rows,
                bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                columns=columns,
                published_at=self.clock(),
            )
            await self._note(swap.partition, record)
            if await put_if(self.store, swap.partition.key, data, condition):
                return record
        raise StoreError(
            f"{swap.partition}: others replaced it {MOST_CONFLICTS} times while this run tried to; run again"
        )

    async def _read(self, partition: Partition) -> tuple[tuple[pa.Table, Ledger] | None, Condition]:
        try:
            data, info = await self.store.get(partition.key)
        except NotFoundError:
            return None, Absent()
        try:
            return await asyncio.to_thread(decode_part, data), info.etag
        except DataError as error:
            raise DataError(f"{partition.key}: {error}; move it away or restore it, then run again") from error

    async def _note(self, partition: Partition, record: ObjectRecord) -> None:
        document = {**asdict(record), "published_at": record.published_at.isoformat()}
        await put_surely(self.store, intent_key(self.run_id, partition), json.dumps(document).encode())


def _merge(swap: Swap, old: tuple[pa.Table, Ledger] | None, compression: str) -> tuple[bytes, int, tuple[str, ...]]:
    """The partition's new object, its rows and its columns."""
    grain = swap.dataset.grain.id
    table, ledger = old or (None, Ledger(grain=grain))
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
    merged = replace_tasks(table, rows, [(entry.studio, entry.window) for entry in entries], swap.dataset)
    data = encode_part(merged, ledger.replace(entries), compression)
    return data, merged.num_rows, tuple(merged.column_names)


def _newest(swap: Swap, ledger: Ledger) -> tuple[Sequence[Entry], pa.Table]:
    """The swap without tasks that a later run than the one that fetched them has published meanwhile."""
    published = {(entry.studio, entry.window): entry for entry in ledger.entries}
    late = [
        entry
        for entry in swap.entries
        if (there := published.get((entry.studio, entry.window))) and there.began_at > entry.began_at
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

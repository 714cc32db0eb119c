"""Replaces published parts: the only place that does, and only on condition that nobody else did meanwhile.

Otherwise it reads, makes and tries again, so whoever changes a part at the same time never undoes the other's work. A
put whose answer was lost is looked up, not assumed.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from exporter.core.ledger import Ledger
from exporter.core.partition import Partition
from exporter.errors import DamagedError, DataError, NotFoundError, StoreError
from exporter.jobs.conflict import MOST_CONFLICTS, back_off
from exporter.jobs.put import never_written, put_for_etag
from exporter.store.base import Absent, Condition, ObjectStore
from exporter.tables.parquet import PartFile

#: Puts one after the other that did not land although nobody replaced the partition, before we give up.
MOST_MISSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A partition as it was read."""

    etag: str
    file: PartFile

    @property
    def ledger(self) -> Ledger:
        """What is said of its rows."""
        return self.file.ledger


#: What a part becomes; None where it shall stay as it is. Called again after each conflict. Where the part cannot be
#: read, it raises `DamagedError`.
Make = Callable[[Part | None], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacer:
    """Puts parts into the sink.

    Attributes:
        store: the sink.
        sleep, random: for the wait after a conflict.
    """

    store: ObjectStore
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]

    async def replace(self, partition: Partition, make: Make) -> str | None:
        """Make of *partition* what *make* says.

        Returns:
            The etag of what was put; None where nothing was.

        Raises:
            DataError: what is there cannot be read.
            StoreError: the sink does not take it.
        """
        tried: Condition = None
        misses = 0
        for conflicts in range(MOST_CONFLICTS):
            await back_off(conflicts, sleep=self.sleep, random=self.random)
            try:
                old, condition = await self._read(partition)
                misses = misses + 1 if condition == tried else 0
                if misses == MOST_MISSES:
                    raise never_written(partition.key, attempts=MOST_MISSES)
                tried = condition
                data = await make(old)
            except DamagedError as error:
                raise DataError(f"{partition.key}: {error}; move it away or restore it, then run again") from error
            if data is None:
                return None
            etag = await put_for_etag(self.store, partition.key, data, condition)
            if etag is not None:
                return etag
        raise StoreError(f"{partition}: others replaced it {MOST_CONFLICTS} times while this run tried to; run again")

    async def _read(self, partition: Partition) -> tuple[Part | None, Condition]:
        try:
            data, info = await self.store.get(partition.key)
        except NotFoundError:
            return None, Absent()
        return Part(etag=info.etag, file=await asyncio.to_thread(PartFile, data)), info.etag


def sha256(data: bytes) -> str:
    """As manifests and receipts have it."""
    return hashlib.sha256(data).hexdigest()

"""Says in the staging area that a run is alive, for those who cannot see its process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime

from exporter.core.partition import owner_key
from exporter.errors import ExporterError
from exporter.jobs.put import put_surely
from exporter.jobs.resume import Owner
from exporter.store.base import ObjectStore

#: How often a run's record is renewed.
HEARTBEAT_S = 30.0


async def say_alive(store: ObjectStore, owner: Owner) -> None:
    """Write the record of *owner*.

    Raises:
        StoreError: the sink does not take it.
    """
    await put_surely(store, owner_key(owner.run_id), owner.to_json())


async def say_ended(store: ObjectStore, owners: Iterable[Owner]) -> None:
    """Let go of what *owners* staged: the next run need not wait until they look dead.

    Raises:
        StoreError: the sink does not take it.
    """
    for owner in owners:
        await say_alive(store, replace(owner, ended=True))


@asynccontextmanager
async def present(
    store: ObjectStore,
    owners: Sequence[Owner],
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]],
) -> AsyncIterator[None]:
    """Renew the records of *owners* for as long as the block lasts."""

    async def beat() -> None:
        while True:
            await sleep(HEARTBEAT_S)
            with suppress(ExporterError):  # the next one may get through
                for owner in owners:
                    await say_alive(store, replace(owner, seen_at=clock()))

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating

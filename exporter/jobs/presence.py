"""Says in the staging area that a run is alive, for those who cannot see its process.

Rules kept here: a record is renewed only while it is still ours. A run that was not heard of for long may have been
taken for dead; it then stops, since what it staged is its successor's.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from exporter.core.partition import owner_key
from exporter.errors import NotFoundError, StoreError, TakenOverError
from exporter.jobs.put import PUT_ATTEMPTS, put_if, put_surely
from exporter.jobs.resume import Owner, parse_owner
from exporter.store.base import ObjectStore

#: How often a run's record is renewed.
HEARTBEAT_S = 30.0


async def announce(store: ObjectStore, me: Owner) -> None:
    """Write the record of a new run.

    Raises:
        StoreError: the sink does not take it.
    """
    await put_surely(store, owner_key(me.run_id), me.to_json())


async def still_ours(store: ObjectStore, owner: Owner) -> str:
    """The etag of the record of *owner*.

    Raises:
        TakenOverError: it is another process's, or was deleted by one.
        StoreError: the sink cannot be read.
    """
    with suppress(NotFoundError, ValueError):
        data, info = await store.get(owner_key(owner.run_id))
        there = parse_owner(data)
        if (there.host, there.process) == (owner.host, owner.process):
            return info.etag
    raise TakenOverError(
        f"run {owner.run_id}: another run goes on with what it had fetched, since it was not heard of for long; run"
        f" again when that one has ended"
    )


async def renew(store: ObjectStore, owner: Owner) -> None:
    """Write the record of *owner* anew.

    Raises:
        TakenOverError: it is another process's, or was deleted by one.
        StoreError: the sink does not take it.
    """
    key = owner_key(owner.run_id)
    for _ in range(PUT_ATTEMPTS):
        if await put_if(store, key, owner.to_json(), await still_ours(store, owner)):
            return
    raise StoreError(f"{key}: could not be replaced in {PUT_ATTEMPTS} attempts; run again")


async def say_ended(store: ObjectStore, owners: Iterable[Owner]) -> None:
    """Let go of what *owners* staged: the next run need not wait until they look dead.

    Raises:
        StoreError: the sink does not take it.
    """
    for owner in owners:
        with suppress(TakenOverError):
            await renew(store, replace(owner, ended=True))


async def stay_present(
    store: ObjectStore,
    owners: Sequence[Owner],
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Renew the records of *owners* until cancelled.

    Raises:
        TakenOverError: one of them is another process's.
    """
    while True:
        await sleep(HEARTBEAT_S)
        with suppress(StoreError):  # the next one may get through
            for owner in owners:
                await renew(store, replace(owner, seen_at=clock()))

"""Puts that are sure of their outcome, although an answer may be lost on the way."""

from exporter.errors import NotFoundError, OutcomeUnknownError, PreconditionFailedError, StoreError
from exporter.store.base import Absent, Condition, ObjectStore

#: How often a put is sent while nobody knows whether it landed.
PUT_ATTEMPTS = 5


async def put_surely(store: ObjectStore, key: str, data: bytes) -> None:
    """Write an object that may be written twice without harm; when this returns, it is there.

    Raises:
        StoreError: it was not written, or nobody can tell.
    """
    for attempt in range(1, PUT_ATTEMPTS + 1):
        try:
            await store.put(key, data)
            return
        except OutcomeUnknownError:
            if attempt == PUT_ATTEMPTS:
                raise


async def put_if(store: ObjectStore, key: str, data: bytes, condition: Condition) -> bool:
    """Write an object on condition; False where somebody else's stands there, or none.

    Raises:
        StoreError: it was not written, or what stands there cannot be read.
    """
    return await put_for_etag(store, key, data, condition) is not None


async def put_for_etag(store: ObjectStore, key: str, data: bytes, condition: Condition) -> str | None:
    """Like `put_if`, for the etag that the object has now; None where it is not *data*.

    Raises:
        StoreError: it was not written, or what stands there cannot be read.
    """
    try:
        return (await store.put(key, data, condition=condition)).etag
    except (PreconditionFailedError, OutcomeUnknownError):
        # An answer may have been lost, here or in a repetition below us: what stands there tells.
        try:
            found, info = await store.get(key)
        except NotFoundError:
            return None
        return info.etag if found == data else None


async def get_or_put(store: ObjectStore, key: str, data: bytes) -> bytes:
    """What stands under *key*: *data* where nothing did. Of several that write at once, whoever comes first makes it.

    Raises:
        StoreError: it was not written, or what stands there cannot be read.
    """
    for _ in range(PUT_ATTEMPTS):
        try:
            found, _info = await store.get(key)
        except NotFoundError:
            if await put_if(store, key, data, Absent()):
                return data
        else:
            return found
    raise never_written(key)


def never_written(key: str, *, attempts: int = PUT_ATTEMPTS) -> StoreError:
    """Why a put on condition is given up: each of *attempts* may have landed, and nobody else wrote there."""
    return StoreError(
        f"{key}: was not written in {attempts} attempts, and the sink did not say why; see that it takes puts, then"
        " run again"
    )

"""A dictionary as a sink: the reference that the other stores are compared with. Nothing outlives the process."""

import asyncio
from datetime import UTC, datetime
from itertools import count

from exporter.errors import NotFoundError, PreconditionFailedError
from exporter.store.base import Condition, ObjectInfo
from exporter.store.keys import check_key, check_prefix, holds


class MemoryStore:
    """Objects in a dictionary, for one event loop."""

    def __init__(self, *, url: str = "memory:") -> None:
        self._url = url
        self._objects: dict[str, tuple[bytes, ObjectInfo]] = {}
        self._versions = count(1)

    @property
    def url(self) -> str:
        """The name it was given."""
        return self._url

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        """The whole object."""
        check_key(key)
        await _let_others_run()
        if key not in self._objects:
            raise NotFoundError(f"{self._url}/{key}: there is no such object")
        return self._objects[key]

    async def tail(self, key: str, size_bytes: int) -> tuple[bytes, ObjectInfo]:
        """The last *size_bytes* of the object."""
        data, info = await self.get(key)
        return data[max(0, len(data) - size_bytes) :], info

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        """Write the whole object."""
        check_key(key)
        await _let_others_run()
        old = self._objects.get(key)
        if not holds(condition, old[1].etag if old else None):
            raise PreconditionFailedError(f"{self._url}/{key}: someone else wrote it meanwhile; read it and try again")
        info = ObjectInfo(key=key, size=len(data), etag=str(next(self._versions)), modified_at=datetime.now(UTC))
        self._objects[key] = (data, info)
        return info

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """Every object whose key begins with *prefix*."""
        check_prefix(prefix)
        await _let_others_run()
        return [self._objects[key][1] for key in sorted(self._objects) if key.startswith(prefix)]

    async def delete(self, key: str) -> None:
        """Remove the object."""
        check_key(key)
        await _let_others_run()
        self._objects.pop(key, None)

    async def close(self) -> None:
        """There is nothing to give back."""


async def _let_others_run() -> None:
    """Every real store lets other workers run here; one that does not would hide their races."""
    await asyncio.sleep(0)

"""A sink in memory that counts how often it is asked."""

from collections import Counter

from exporter.store.base import Condition, ObjectInfo
from exporter.store.memory import MemoryStore


class CountingStore(MemoryStore):
    """A store in memory.

    Attributes:
        calls: how often each part of the sink was read, listed or written, by the first part of the key.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def _count(self, key: str) -> None:
        self.calls[key.partition("/")[0]] += 1

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        self._count(key)
        return await super().get(key)

    async def tail(self, key: str, size_bytes: int) -> tuple[bytes, ObjectInfo]:
        self._count(key)
        return await super().tail(key, size_bytes)

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        self._count(key)
        return await super().put(key, data, condition=condition)

    async def list(self, prefix: str) -> list[ObjectInfo]:
        self._count(prefix)
        return await super().list(prefix)

    async def delete(self, key: str) -> None:
        self._count(key)
        await super().delete(key)

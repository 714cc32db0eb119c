"""Stores that do not keep to the conditions of puts, as some that call themselves compatible with S3."""

from exporter.store.base import Condition, ObjectInfo
from exporter.store.memory import MemoryStore


class IgnoresConditions(MemoryStore):
    """Takes every put."""

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        return await super().put(key, data)


class IgnoresEtags(MemoryStore):
    """Honours that there is no object yet, and nothing else."""

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        return await super().put(key, data, condition=None if isinstance(condition, str) else condition)

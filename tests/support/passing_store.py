"""A store that passes everything on to another one, step by step."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from exporter.store.base import Condition, ObjectInfo, ObjectStore

_T = TypeVar("_T")


class PassingStore:
    """Whoever inherits says in `step` what becomes of a step.

    Attributes:
        inner: the store.
    """

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    async def step(self, effect: Callable[[], Awaitable[_T]], *, is_put: bool = False) -> _T:
        """One call of the store; *effect* has it done."""
        return await effect()

    @property
    def url(self) -> str:
        return self.inner.url

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        return await self.step(lambda: self.inner.get(key))

    async def tail(self, key: str, size_bytes: int) -> tuple[bytes, ObjectInfo]:
        return await self.step(lambda: self.inner.tail(key, size_bytes))

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        return await self.step(lambda: self.inner.put(key, data, condition=condition), is_put=True)

    async def list(self, prefix: str) -> list[ObjectInfo]:
        return await self.step(lambda: self.inner.list(prefix))

    async def delete(self, key: str) -> None:
        await self.step(lambda: self.inner.delete(key))

    async def close(self) -> None:
        """The inner store is somebody else's."""

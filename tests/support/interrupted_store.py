"""A store in which something else happens, from beginning to end, at a chosen step of whoever uses it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from exporter.store.base import Condition, ObjectInfo, ObjectStore

_T = TypeVar("_T")


class InterruptedStore:
    """Passes everything on to *inner*.

    Attributes:
        steps: begun so far.
    """

    def __init__(self, inner: ObjectStore, *, at: int, by: Callable[[], Awaitable[object]]) -> None:
        """Nothing happened yet.

        Args:
            inner: the store.
            at: the step, from 1, before which *by* happens; whoever takes a later one waits until it is over.
            by: what happens; it must use *inner*.
        """
        self._inner = inner
        self._at = at
        self._by = by
        self._over = asyncio.Event()
        self.steps = 0

    @property
    def url(self) -> str:
        return self._inner.url

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        return await self._step(lambda: self._inner.get(key))

    async def tail(self, key: str, size_bytes: int) -> tuple[bytes, ObjectInfo]:
        return await self._step(lambda: self._inner.tail(key, size_bytes))

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        return await self._step(lambda: self._inner.put(key, data, condition=condition))

    async def list(self, prefix: str) -> list[ObjectInfo]:
        return await self._step(lambda: self._inner.list(prefix))

    async def delete(self, key: str) -> None:
        await self._step(lambda: self._inner.delete(key))

    async def close(self) -> None:
        """The inner store is somebody else's."""

    async def _step(self, effect: Callable[[], Awaitable[_T]]) -> _T:
        self.steps += 1
        if self.steps == self._at:
            await self._by()
            self._over.set()
        elif self.steps > self._at:
            await self._over.wait()
        return await effect()

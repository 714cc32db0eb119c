"""A store in which something else happens, from beginning to end, at a chosen step of whoever uses it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from exporter.store.base import ObjectStore
from tests.support.passing_store import PassingStore

_T = TypeVar("_T")


class InterruptedStore(PassingStore):
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
        super().__init__(inner)
        self._at = at
        self._by = by
        self._over = asyncio.Event()
        self.steps = 0

    async def step(self, effect: Callable[[], Awaitable[_T]], *, is_put: bool = False) -> _T:
        self.steps += 1
        if self.steps == self._at:
            await self._by()
            self._over.set()
        elif self.steps > self._at:
            await self._over.wait()
        return await effect()

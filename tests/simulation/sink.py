"""The sink: a store in memory that tells the judge of every change, and what each process has before it."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Protocol, TypeVar

from exporter.errors import OutcomeUnknownError, PreconditionFailedError, StoreError
from exporter.store.base import Condition, ObjectInfo, ObjectStore
from exporter.store.memory import MemoryStore
from tests.simulation.chance import Chance
from tests.simulation.process import Process, latency_s

_T = TypeVar("_T")


class Witness(Protocol):
    """Who is told of every change, in the step in which it happens."""

    def changed(self, key: str, old: bytes | None, new: bytes | None) -> None:
        """The object under *key* was written, replaced or deleted."""
        ...


class WatchedSink(MemoryStore):
    """What all processes share."""

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self._witness = witness
        self._bytes: dict[str, bytes] = {}

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        info = await super().put(key, data, condition=condition)
        old, self._bytes[key] = self._bytes.get(key), data
        self._witness.changed(key, old, data)
        return info

    async def delete(self, key: str) -> None:
        await super().delete(key)
        if (old := self._bytes.pop(key, None)) is not None:
            self._witness.changed(key, old, None)


class Trouble(Enum):
    """How a call goes wrong."""

    REFUSED = auto()
    LOST_ON_THE_WAY = auto()
    ANSWER_LOST = auto()
    REPEATED_BELOW = auto()


class TroubledSink:
    """The sink as one process sees it: slow, at times out of order, and only there while the process lives."""

    def __init__(
        self,
        inner: ObjectStore,
        process: Process,
        chance: Chance,
        *,
        usual_s: float,
        troubles: float,
        cut_off: tuple[float, float] | None = None,
    ) -> None:
        """Calls that are made within *cut_off* seconds from now wait until it is over."""
        self._clock = asyncio.get_running_loop().time
        self._cut_off = tuple(self._clock() + moment for moment in cut_off) if cut_off else None
        self._inner = inner
        self._process = process
        self._chance = chance
        self._usual_s = usual_s
        self._troubles = troubles

    @property
    def url(self) -> str:
        return self._inner.url

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        return await self._call(f"get {key}", lambda: self._inner.get(key))

    async def tail(self, key: str, size_bytes: int) -> tuple[bytes, ObjectInfo]:
        return await self._call(f"tail {key}", lambda: self._inner.tail(key, size_bytes))

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        return await self._call(
            f"put {key}", lambda: self._inner.put(key, data, condition=condition), put=True, conditional=bool(condition)
        )

    async def list(self, prefix: str) -> list[ObjectInfo]:
        return await self._call(f"list {prefix}", lambda: self._inner.list(prefix))

    async def delete(self, key: str) -> None:
        await self._call(f"delete {key}", lambda: self._inner.delete(key))

    async def close(self) -> None:
        """The sink outlives the process."""

    async def _call(
        self, what: str, effect: Callable[[], Awaitable[_T]], *, put: bool = False, conditional: bool = False
    ) -> _T:
        rng = self._chance.once(what)
        trouble = rng.choice(tuple(Trouble)) if rng.random() < self._troubles else None
        if self._cut_off and self._cut_off[0] <= self._clock() < self._cut_off[1]:
            await self._process.step(self._cut_off[1] - self._clock())
        await self._process.step(latency_s(rng, self._usual_s))
        if trouble is Trouble.REFUSED:
            raise StoreError(f"{what}: 503 SlowDown")
        lost = OutcomeUnknownError if put else StoreError
        if trouble is Trouble.LOST_ON_THE_WAY:
            raise lost(f"{what}: no answer")
        try:
            result = await effect()
        except StoreError:
            if trouble is Trouble.ANSWER_LOST:
                raise lost(f"{what}: no answer") from None
            raise
        await self._process.step(latency_s(rng, self._usual_s))
        if trouble is Trouble.ANSWER_LOST:
            raise lost(f"{what}: no answer")
        if trouble is Trouble.REPEATED_BELOW and conditional:
            raise PreconditionFailedError(f"{what}: 412, since the first attempt of two had landed")
        return result

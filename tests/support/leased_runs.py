"""Runs that share credentials over one store, each with its own gate, leases and clock, on a virtual loop."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from exporter.api.limiter import Gate
from exporter.core.lease import Lease, Process, parse_lease
from exporter.core.pace import Pace
from exporter.core.partition import LEASES, lease_key, salt_key
from exporter.core.studio import CredentialKey
from exporter.jobs.events import Event
from exporter.jobs.leases import Doors, Leases, WhenBusy
from exporter.jobs.resume import Owner
from exporter.jobs.tenure import Surroundings
from exporter.store.base import Condition, ObjectInfo
from exporter.store.memory import MemoryStore
from tests.support.passing_store import PassingStore
from tests.support.timed_api import TimedApi
from tests.support.troubled_store import TroubledStore

_T = TypeVar("_T")

KEY = CredentialKey("key-1")
OTHER = CredentialKey("key-2")
EPOCH = datetime(2025, 3, 1, 12, 0, 0, 700_000, tzinfo=UTC)


class LeaseStore(TroubledStore):
    """A store in memory, whose puts may go wrong.

    Attributes:
        puts: keys, one for each put that was tried.
    """

    def __init__(self) -> None:
        super().__init__()
        self.puts: list[str] = []

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        self.puts.append(key)
        return await super().put(key, data, condition=condition)

    async def lease(self, credential: CredentialKey = KEY) -> Lease:
        """What stands there of *credential*."""
        return parse_lease((await self.get(lease_key(f"name-of-{credential}")))[0])

    async def overwrite(self, data: bytes, credential: CredentialKey = KEY) -> None:
        """Put something else there, whatever stands there."""
        await MemoryStore.put(self, lease_key(f"name-of-{credential}"), data)

    @property
    def lease_puts(self) -> int:
        """Puts of leases that were tried."""
        return sum(key.startswith(LEASES) and key != salt_key() for key in self.puts)


@dataclass(slots=True)
class World:
    """What all runs see.

    Attributes:
        limit: of each credential, at the API and as configured.
        latency: of the API, each way.
        apis: by credential.
        living: processes that run.
    """

    limit: int
    latency: Callable[[], float] = lambda: 0.05
    store: LeaseStore = field(default_factory=LeaseStore)
    apis: dict[CredentialKey, TimedApi] = field(default_factory=dict)
    living: set[str] = field(default_factory=set)
    runs: int = 0
    draw: random.Random = field(default_factory=lambda: random.Random(1))

    def api(self, credential: CredentialKey = KEY) -> TimedApi:
        return self.apis.setdefault(credential, TimedApi(limit=self.limit, latency=self.latency))

    def run(self, host: str = "host-1", *, when_busy: WhenBusy = WhenBusy.WAIT, ahead_s: float = 0.0) -> "LeasedRun":
        """A new run, in a process of its own."""
        self.runs += 1
        process = f"process-{self.runs}"
        self.living.add(process)
        return LeasedRun(self, f"run-{self.runs}", host=host, process=process, when_busy=when_busy, ahead_s=ahead_s)


class _Mortal(PassingStore):
    """The store as one process sees it: once that is dead, nothing it does has an effect, or an end."""

    def __init__(self, world: World, process: str) -> None:
        super().__init__(world.store)
        self._world = world
        self._process = process

    async def step(self, effect: Callable[[], Awaitable[_T]], *, is_put: bool = False) -> _T:
        if self._process not in self._world.living:
            await asyncio.Event().wait()
        return await super().step(effect, is_put=is_put)


class LeasedRun:
    """One run.

    Attributes:
        events: what its observer was told.
        slept_s: seconds for which its machine stood still, in which no timer ran.
    """

    def __init__(
        self, world: World, run_id: str, *, host: str, process: str, when_busy: WhenBusy, ahead_s: float
    ) -> None:
        loop = asyncio.get_running_loop()

        def clock() -> datetime:
            return EPOCH + timedelta(seconds=loop.time() + ahead_s + self.slept_s)

        def is_running(lease: Process) -> bool | None:
            return lease.process in world.living if lease.host == host else None

        self.slept_s = 0.0
        now = clock()
        self._world = world
        self._process = process
        self._tasks: set[asyncio.Task[None]] = set()
        self.events: list[Event] = []
        self.leases = Leases(
            Surroundings(
                me=Owner(run_id=run_id, began_at=now, seen_at=now, full=False, host=host, process=process),
                limit=world.limit,
                store=_Mortal(world, process),
                clock=clock,
                monotonic=loop.time,
                sleep=asyncio.sleep,
                is_running=is_running,
            ),
            Doors(
                observer=self.events.append,
                name_of=lambda credential, _salt: f"name-of-{credential}",
                where=lambda credential: f"credential of {credential}",
                make_pace=lambda _: Pace(world.limit, random=world.draw.random),
                random=world.draw.random,
            ),
            when_busy,
        )
        self.gate = Gate(make_pace=self.leases.pace, max_connections=32, clock=loop.time, permits=self.leases)

    async def ask(self, number: int, credential: CredentialKey = KEY) -> None:
        """So many requests, as fast as they are let through; dies with the run."""
        tasks = [asyncio.create_task(self._one(credential)) for _ in range(number)]
        self._tasks.update(tasks)
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def work(self, number: int, credential: CredentialKey = KEY) -> None:
        """Ask, and give the credential back."""
        await self.ask(number, credential)
        await self.gate.leave(credential)

    def die(self) -> None:
        """Stop for good, without another word to the store; what was sent is on its way."""
        self._world.living.discard(self._process)
        for task in self._tasks:
            task.cancel()

    async def _one(self, credential: CredentialKey) -> None:
        async with self.gate.turn(credential):
            await asyncio.shield(asyncio.create_task(self._world.api(credential).answer()))

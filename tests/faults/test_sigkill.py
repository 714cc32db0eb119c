"""The program itself, killed and stopped at chosen requests, on a folder and on S3 (moto)."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from exporter.sandbox.faults import Fault
from exporter.sandbox.options import SandboxOptions
from exporter.store.base import ObjectStore
from exporter.store.local import LocalStore
from exporter.store.s3 import S3Store
from tests.support.command import Ended, Exporter, ended
from tests.support.exports import Bench, bench, config_for, expected, months, small_world, tokens_of
from tests.support.lives import assert_sound, least_pages, safe_pages
from tests.support.s3_servers import S3Server, moto_server

CONNECTIONS = 4
DAYS = {"start": date(2025, 1, 1), "end": date(2025, 7, 1), "api": f"max_connections = {CONNECTIONS}"}
WINDOWS = months(DAYS["start"], DAYS["end"])

#: Pages that a stop loses: those in flight, and those that came while the pages before them were being written.
MOST_LOST = 3 * CONNECTIONS


#: How long an answer hangs, and how long a run may take that is stopped meanwhile.
HANGING_S, AT_MOST_S = 90, 60


@dataclass(slots=True)
class Signals:
    """A source of faults that sends a signal to a process when a request comes.

    Attributes:
        to: whom.
        number: which signal.
        at: at which request since `aim`.
        then: what becomes of that request and all after it.
    """

    to: int | None = None
    number: signal.Signals = signal.SIGKILL
    at: int = 0
    then: Fault | None = None
    came: int = field(default=0, init=False)

    def aim(self, to: int, at: int) -> None:
        self.to, self.at, self.came = to, at, 0

    def __call__(self, _number: int, _asked: object) -> Fault | None:
        self.came += 1
        if self.to is None or self.came < self.at:
            return None
        if self.came == self.at:
            os.kill(self.to, self.number)
        return self.then


@dataclass(frozen=True, slots=True)
class Place:
    """The program in a folder, the sandbox that it asks, and the sink that it fills."""

    program: Exporter
    running: Bench
    signals: Signals
    store: ObjectStore

    async def interrupted(self, at: int) -> Ended:
        """A run that gets the signal at its request of this number; returns how it ended."""
        async with self._under_way() as process:
            self.signals.aim(process.pid, at)
            end = await ended(process)
        self.signals.to = None
        return end

    async def killed_when_published(self, partitions: int) -> None:
        """A run that is killed as soon as it has told of so many partitions that they are published."""
        async with self._under_way("--log-format", "json") as process:
            assert process.stderr is not None
            while partitions:
                partitions -= json.loads(await process.stderr.readline())["event"] == "published"

    @asynccontextmanager
    async def _under_way(self, *flags: str) -> AsyncIterator[Process]:
        """A run that does not outlive the block."""
        process = await self.program.start("run", *flags)
        try:
            async with asyncio.timeout(AT_MOST_S):
                yield process
        finally:
            if process.returncode is None:
                process.kill()
                await ended(process)

    async def safe_pages(self) -> int:
        """Pages that need not be asked for any more: those of published tasks, and those that are staged."""
        return await safe_pages(self.store)


@asynccontextmanager
async def place(folder: Path, store: ObjectStore, *, sink: str = "./lake", environ=None, **signals):
    world = small_world(3, end=date(2025, 8, 1), per_month=150)
    found = Signals(**signals)
    options = SandboxOptions(rate=None, latency_ms=10, slow_s=HANGING_S, faults=found)
    async with bench(world, options, store) as running:
        (folder / "exporter.toml").write_text(config_for(running.sandbox.base_url, world, sink=sink, **DAYS))
        program = Exporter(folder, {**tokens_of(world), **(environ or {})})
        yield Place(program, running, found, store)


def least(world) -> int:
    return least_pages(expected(world, WINDOWS))


async def assert_kills_cost_little(here: Place, kills) -> None:
    """Kill runs one after the other, then let one come to its end."""
    safe = 0
    for at in kills:
        end = await here.interrupted(at)
        assert end.code == -signal.SIGKILL, end.stderr
        before, safe = safe, await here.safe_pages()
        assert at - (safe - before) <= MOST_LOST
    asked = here.running.asked()
    end = await here.program("run")
    assert end.code == 0, end.stderr
    assert here.running.asked() - asked <= least(here.running.world) - safe
    await assert_sound(here.running, here.store, expected(here.running.world, WINDOWS), **DAYS)


@pytest.mark.parametrize("kills", [(1,), (20,), (12, 7, 5)], ids=str)
async def test_after_sigkill_on_a_folder_the_next_run_asks_only_for_what_was_in_flight(tmp_path, kills):
    async with place(tmp_path, LocalStore(tmp_path / "lake")) as here:
        await assert_kills_cost_little(here, kills)
    assert [path.name for path in tmp_path.glob("lake/**/.*")] == []
    assert {path.name for path in (tmp_path / "lake").iterdir()} == {"_leases", "attendance_strikes_grouped"}


@pytest.mark.parametrize("partitions", [1, len(WINDOWS)])
async def test_after_sigkill_while_partitions_are_published_the_next_run_publishes_the_rest(tmp_path, partitions):
    store = LocalStore(tmp_path / "lake")
    async with place(tmp_path, store) as here:
        await here.killed_when_published(partitions)
        safe, asked = await here.safe_pages(), here.running.asked()
        end = await here.program("run")
        assert end.code == 0, end.stderr
        assert here.running.asked() - asked <= least(here.running.world) - safe
        await assert_sound(here.running, store, expected(here.running.world, WINDOWS), **DAYS)


async def test_sigterm_ends_a_run_soon_although_the_api_hangs_and_the_next_run_goes_on(tmp_path):
    store = LocalStore(tmp_path / "lake")
    async with place(tmp_path, store, number=signal.SIGTERM, then=Fault.SLOW) as here:
        end = await here.interrupted(15)
        assert end.code == 130, end.stderr
        safe, asked = await here.safe_pages(), here.running.asked()
        assert safe >= 15 - MOST_LOST
        end = await here.program("run")
        assert end.code == 0, end.stderr
        assert here.running.asked() - asked <= least(here.running.world) - safe
        await assert_sound(here.running, store, expected(here.running.world, WINDOWS), **DAYS)


@pytest.fixture(scope="module")
def moto(tmp_path_factory) -> Iterator[S3Server]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.mark.xdist_group("s3")
@pytest.mark.parametrize("kills", [(10, 6, 5)], ids=str)
async def test_after_sigkill_on_s3_the_next_run_asks_only_for_what_was_in_flight(tmp_path, moto, kills):
    prefix = tmp_path.name
    environ = {**moto.environment, "EXPORTER__SINK__ENDPOINT_URL": moto.endpoint_url}
    with moto.client() as client:
        store = S3Store(moto.bucket, prefix, client=client)
        sink = f"s3://{moto.bucket}/{prefix}"
        async with place(tmp_path, store, sink=sink, environ=environ) as here:
            await assert_kills_cost_little(here, kills)
        await store.close()

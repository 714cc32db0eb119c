"""The handler in AWS's own runtime (awslambdaric) under AWS's own emulator, which gives it time and takes its life."""

import asyncio
import json
import os
import platform
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import aiohttp
import pytest

from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import Sandbox, serve
from exporter.store.local import LocalStore
from tests.support.exports import (
    DEFAULT_COLUMNS,
    config_for,
    expected,
    groups,
    months,
    published,
    small_world,
    tokens_of,
)
from tests.support.sources import expected_requests

ROOT = Path(__file__).resolve().parents[2]
PARTS = ROOT / ".lambda"
MACHINE = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "")
EMULATOR = PARTS / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{MACHINE}"

pytestmark = [
    pytest.mark.rie,
    pytest.mark.skipif(not EMULATOR.exists(), reason="the emulator is not installed; run make test-lambda"),
]

#: A month of each studio has some twenty pages: two seconds with one connection.
SLOW = SandboxOptions(rate=None, latency_ms=100)
#: Of two studios, some twenty seconds.
SLOWER = SandboxOptions(rate=None, latency_ms=500)
JANUARY = [(date(2025, 1, 1), date(2025, 2, 1))]


@dataclass
class Function:
    """A function that is deployed in the emulator."""

    sandbox: Sandbox
    lake: Path
    url: str
    emulator: asyncio.subprocess.Process
    session: aiohttp.ClientSession

    async def __call__(self, event=None):
        async with self.session.post(self.url, json=event or {}) as answer:
            text = await answer.text()
        try:
            return json.loads(text)
        except ValueError:
            return text  # what the emulator says itself

    @property
    def runtime(self):
        """The process that runs the handler."""
        children = Path(f"/proc/{self.emulator.pid}/task").glob("*/children")
        (pid,) = {pid for path in children for pid in path.read_text().split()}
        return int(pid)

    @property
    def peak_mb(self):
        status = Path(f"/proc/{self.runtime}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    async def rows(self):
        return groups(await published(LocalStore(self.lake)))


@pytest.fixture
def deploy(tmp_path):
    @asynccontextmanager
    async def running(world, options=None, *, timeout_s=60, environ=None, **changes):
        lake = tmp_path / "lake"
        async with serve(world, options or SandboxOptions(rate=None)) as sandbox, aiohttp.ClientSession() as session:
            (tmp_path / "exporter.toml").write_text(config_for(sandbox.base_url, world, sink=str(lake), **changes))
            address, api = (f"127.0.0.1:{free_port()}" for _ in range(2))
            emulator = await asyncio.create_subprocess_exec(
                *(EMULATOR, "--runtime-interface-emulator-address", address, "--runtime-api-address", api),
                *(sys.executable, "-m", "awslambdaric", "exporter.lambda_handler.handler"),
                cwd=tmp_path,
                env={
                    **os.environ,
                    **tokens_of(world),
                    "PYTHONPATH": f"{ROOT}:{PARTS}",
                    "EXPORTER_CONFIG": str(tmp_path / "exporter.toml"),
                    "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
                    **(environ or {}),
                },
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                await listening(address)
                url = f"http://{address}/2015-03-31/functions/function/invocations"
                yield Function(sandbox, lake, url, emulator, session)
            finally:
                os.killpg(emulator.pid, signal.SIGKILL)
                await emulator.wait()

    return running


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def listening(address):
    host, _, port = address.partition(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return


async def until_done(call):
    """The answers to one event, sent again for as long as they say that there is more."""
    answers = [await call()]
    while answers[-1]["state"] == "more":
        assert len(answers) < 50
        answers.append(await call())
    assert answers[-1]["state"] == "ok"
    return answers


async def test_a_cold_start_exports_and_a_warm_one_has_nothing_to_ask(deploy):
    world = small_world()
    async with deploy(world) as call:
        first = await call()
        runtime, asked = call.runtime, len(call.sandbox.requests)
        second = await call()
        assert (first["state"], second["state"]) == ("ok", "ok")
        assert (call.runtime, len(call.sandbox.requests)) == (runtime, asked)
        assert await call.rows() == expected(world, months())


async def test_what_stops_everything_is_the_functions_error_and_the_next_event_is_served(deploy):
    world = small_world(1)
    async with deploy(world) as call:
        error = await call({"studio": ["harbour-yoga"]})
        assert error["errorType"] == "UsageError"
        assert error["errorMessage"] == "event: studio is not a known key; did you mean studios?"
        assert (await call())["state"] == "ok"


async def test_a_program_that_cannot_be_imported_is_told(deploy, tmp_path):
    (tmp_path / "pyarrow.py").write_text("raise ImportError('made up')\n")
    path = f"{tmp_path}:{ROOT}:{PARTS}"
    async with deploy(small_world(1), environ={"PYTHONPATH": path}) as call:
        error = await call()
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert "made up" in error["errorMessage"]


async def test_a_month_that_needs_more_than_the_functions_time_is_handed_over_until_it_is_done(deploy):
    world = small_world(2, per_month=3000)
    changes = {"end": date(2025, 2, 1), "api": "max_connections = 1"}
    async with deploy(world, SLOWER, timeout_s=9, **changes) as call:
        answers = await until_done(call)
        assert len(answers) > 2
        assert await call.rows() == expected(world, JANUARY)
        assert len(call.sandbox.requests) <= expected_requests(world, JANUARY, DEFAULT_COLUMNS) + len(answers) - 1
        assert call.peak_mb < 512


async def test_a_function_that_is_ended_at_the_hard_limit_is_gone_on_with(deploy):
    world = small_world(1, per_month=3000)
    changes = {"end": date(2025, 2, 1), "api": "max_connections = 1"}
    async with deploy(world, SLOW, timeout_s=12, **changes) as call:
        ended = asyncio.create_task(call())
        while len(call.sandbox.requests) < 10:
            assert not ended.done()
            await asyncio.sleep(0.01)
        frozen = call.runtime
        os.kill(frozen, signal.SIGSTOP)  # it will not notice that its time is up
        assert "timed out" in str(await ended)
        staged = list((call.lake / "_staging").glob("*/*.arrow"))
        answers = await until_done(call)
        assert call.runtime != frozen
        assert staged
        assert await call.rows() == expected(world, JANUARY)
        # Beside what each hand-over loses: a page on its way, and one that was on its way to the disk.
        lost = len(answers) - 1 + 2
        assert len(call.sandbox.requests) <= expected_requests(world, JANUARY, DEFAULT_COLUMNS) + lost

"""Whole exports under a clock that jumps: what they take where computing takes no time, and only the API does."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest.mock import patch

from yarl import URL

from bench.server import bodies
from exporter.app_choice import Choice
from exporter.core.manifest import Manifest
from exporter.core.plan import Plan
from exporter.store.memory import MemoryStore
from tests.support.exports import app_for
from tests.support.virtual_time import run_virtual

BEGAN_AT = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(slots=True)
class TimedRun:
    """What came of one export.

    Attributes:
        plan: what it was to do.
        manifest: what it did.
        seconds: from its begin to its end.
        arrivals: when each request came, by the token that it came with.
    """

    plan: Plan
    manifest: Manifest
    seconds: float
    arrivals: Mapping[str, list[float]]


@dataclass(slots=True)
class _Session:
    """As much of an `aiohttp.ClientSession` as a `ReportClient` uses, over pages that are made already."""

    pages: Mapping[tuple[int, str], bytes]
    latency_s: float
    arrivals: dict[str, list[float]] = field(default_factory=dict)

    @asynccontextmanager
    async def get(self, url: URL, *, headers: Mapping[str, str], **_options: object) -> AsyncIterator[SimpleNamespace]:
        self.arrivals.setdefault(headers["Authorization"], []).append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.latency_s)
        kind = url.query["format"]
        _, _, body = self.pages[int(url.query["offset"]), kind].partition(b"\r\n\r\n")
        kinds = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
        yield SimpleNamespace(status=200, ok=True, headers={"Content-Type": kinds[kind]}, content=_Content(body))


@dataclass(slots=True)
class _Content:
    body: bytes

    async def readany(self) -> bytes:
        body, self.body = self.body, b""
        return body


def timed_run(config: str, environ: Mapping[str, str], *, rows: int, latency_s: float) -> TimedRun:
    """Run *config* against an API with *rows* rows in each window, which answers after *latency_s*."""
    session = _Session(bodies(rows), latency_s)

    async def main() -> TimedRun:
        loop = asyncio.get_running_loop()
        app = app_for(config, environ, MemoryStore())
        app.clock = lambda: BEGAN_AT + timedelta(seconds=loop.time())
        plan = await app.plan(Choice())
        began = loop.time()
        (manifest,) = await app.run(Choice(), lambda _: None)
        return TimedRun(plan, manifest, loop.time() - began, session.arrivals)

    with _instead_of_aiohttp(session):
        return run_virtual(main)


@contextmanager
def _instead_of_aiohttp(session: _Session) -> Iterator[None]:
    @asynccontextmanager
    async def open_session(*_options: object) -> AsyncIterator[_Session]:
        yield session

    with patch("exporter.api.client.open_session", open_session):
        yield

"""The API as one process reaches it: stands where the HTTP client has its session, over the sandbox without sockets."""

import asyncio
import gzip
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from exporter.api.answers import parse_retry_after
from exporter.sandbox.faults import Fault
from exporter.sandbox.messages import Answer, Asked, Delivery
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.simulation import BASE_PATH, Simulation
from tests.simulation.chance import Chance
from tests.simulation.judge import Judge
from tests.simulation.process import Process, latency_s
from tests.simulation.record import Record, Traffic
from tests.simulation.scenario import Scenario

BASE_URL = f"https://api.example.test{BASE_PATH}"

_USUAL_S = 0.2
_SLOW_S = 35.0

#: Of a body, read at once at most.
_PIECE_BYTES = 64 * 1024


class Api:
    """The one API that all processes ask."""

    def __init__(self, scenario: Scenario, judge: Judge) -> None:
        self._fault: Fault | None = None
        self._traffic = Traffic(scenario.limit, asyncio.get_running_loop().time)
        self._simulation = Simulation(
            scenario.world,
            SandboxOptions(
                seed=scenario.seed,
                rate=scenario.rate,
                count_rejected=scenario.count_rejected,
                retry_after=scenario.retry_after,
                csv_headers=scenario.csv_headers,
                faults=lambda _number, _asked: self._fault,
                clock=asyncio.get_running_loop().time,
                wall_clock=lambda: judge.now().timestamp(),
            ),
        )

    def answer(self, asked: Asked, fault: Fault | None) -> Answer:
        """The answer to one request, spoilt by *fault*."""
        self._fault = fault
        self._traffic.arrived(asked)
        return self._simulation.answer(asked)


@dataclass(slots=True)
class _Content:
    body: bytes
    cut: bool

    def __post_init__(self) -> None:
        if self.cut:
            self.body = self.body[: len(self.body) // 2]

    async def readany(self) -> bytes:
        """The next piece of the body; half of it and an error where it is cut."""
        piece, self.body = self.body[:_PIECE_BYTES], self.body[_PIECE_BYTES:]
        if self.cut and not piece:
            raise aiohttp.ClientPayloadError("cut off")
        return piece


@dataclass(slots=True)
class _Response:
    status: int
    headers: Mapping[str, str]
    content: _Content

    @property
    def ok(self) -> bool:
        return self.status < 400


@dataclass(slots=True, kw_only=True)
class FakeSession:
    """As much of an `aiohttp.ClientSession` as a `ReportClient` uses.

    Attributes:
        api: who answers.
        process: who asks.
        chance: decides over latency and faults.
        faults: how probable each kind is.
        drifts: how probable a change of the report is.
        judge: hears of every request.
        record: of this process's requests.
    """

    api: Api
    process: Process
    chance: Chance
    faults: Mapping[Fault, float]
    drifts: float
    judge: Judge
    record: Record
    _asked: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def get(self, url: URL, *, headers: Mapping[str, str], **_options: object) -> AsyncIterator[_Response]:
        rng = self.chance.once(str(url.raw_path_qs) + headers.get("TeamUp-Provider-ID", ""))
        asked = Asked(method="GET", path=url.path, params=tuple(url.query.items()), headers=CIMultiDict(headers))
        with self.record.in_flight(asked):
            await self.process.step(latency_s(rng, _USUAL_S))
            fault = self._draw(rng)
            task = self.judge.task_of(asked)
            if task and rng.random() < self.drifts:
                self.judge.change_report(task)
            answer = self.api.answer(asked, fault)
            await self.process.step(latency_s(rng, _USUAL_S) + (_SLOW_S if answer.delivery is Delivery.LATE else 0))
            if answer.delivery is Delivery.RESET:
                raise aiohttp.ServerDisconnectedError
            if answer.status == 429:
                asks_s = parse_retry_after(answer.headers.get("Retry-After"), self.judge.now())
                self.record.told_to_wait(asked, asks_s or 0.0)
            if fault is Fault.WRONG_SORT and answer.rows is not None:
                self.judge.spoilt(task, asked)
            yield self._response(answer, packed=rng.random() < 0.5)

    def _draw(self, rng: Random) -> Fault | None:
        drawn = rng.random()
        for fault, share in self.faults.items():
            drawn -= share
            if drawn < 0:
                return fault
        return None

    def _response(self, answer: Answer, *, packed: bool) -> _Response:
        headers = CIMultiDict({**answer.headers, "Content-Type": answer.content_type})
        body = answer.body
        if packed:
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        return _Response(answer.status, headers, _Content(body, cut=answer.delivery is Delivery.CUT))

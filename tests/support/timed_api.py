"""A report API that is nothing but its rate limit, under the clock of the loop it runs in."""

import asyncio
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from exporter.api.limiter import Gate
from exporter.core.pace import WINDOW_S, Pace
from exporter.core.studio import CredentialKey
from exporter.errors import RateLimitedError


class Minute(Enum):
    """Which minute a server counts requests in."""

    SLIDING = "any sixty seconds"
    FIXED = "the minute of the clock"


@dataclass(slots=True, kw_only=True)
class TimedApi:
    """One credential's share of a server.

    Attributes:
        limit: requests a minute that are accepted; the server is never more lenient.
        minute: which minute.
        burst: makes it a token bucket instead: so many at once, and refilled at the limit.
        latency: draws the seconds on the way to the server, then those on the way back.
        spurious: says of each request whether it is refused for no reason.
        retry_after_s: what a refusal names.
        seen: when each request arrived.
        accepted: when each accepted one arrived.
        in_flight, most_in_flight: requests on the way, now and at most so far.
    """

    limit: float
    minute: Minute = Minute.SLIDING
    burst: float | None = None
    latency: Callable[[], float] = lambda: 0.05
    spurious: Callable[[], bool] = lambda: False
    retry_after_s: float | None = None
    seen: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    _tokens: float = math.inf
    _filled_at: float = 0.0

    @property
    def throttled(self) -> int:
        """Requests that were refused."""
        return len(self.seen) - len(self.accepted)

    async def answer(self) -> None:
        """One request, there and back.

        Raises:
            RateLimitedError: one too many.
        """
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency())
            now = asyncio.get_running_loop().time()
            self.seen.append(now)
            refused = self._full(now) or self.spurious()
            if not refused:
                self.accepted.append(now)
            await asyncio.sleep(self.latency())
            if refused:
                raise RateLimitedError("429", status=429, retry_after_s=self.retry_after_s)
        finally:
            self.in_flight -= 1

    def _full(self, now: float) -> bool:
        if self.burst is not None:
            return self._empty(now, self.burst)
        if self.minute is Minute.SLIDING:
            first = bisect_right(self.accepted, now - WINDOW_S)
        else:
            first = bisect_left(self.accepted, now // WINDOW_S * WINDOW_S)
        return len(self.accepted) - first >= self.limit

    def _empty(self, now: float, burst: float) -> bool:
        self._tokens = min(burst, self._tokens + (now - self._filled_at) * self.limit / WINDOW_S)
        self._filled_at = now
        empty = self._tokens < 1
        self._tokens -= not empty
        return empty


async def ask(gate: Gate, credential: CredentialKey, api: TimedApi) -> None:
    """One request through *gate*, as often as the server refuses it."""
    while True:
        try:
            async with gate.turn(credential):
                return await api.answer()
        except RateLimitedError:
            continue


def make_gate(
    limit: int = 250, *, max_connections: int = 32, spread: bool = False, random: Callable[[], float] = lambda: 0.5
) -> Gate:
    """A gate of the running loop; its lanes are paced alike."""
    return Gate(
        make_pace=lambda _credential: Pace(limit, spread=spread, random=random),
        max_connections=max_connections,
        clock=asyncio.get_running_loop().time,
    )

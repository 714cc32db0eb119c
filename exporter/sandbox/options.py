"""How the simulated API behaves where its documentation leaves a choice, and what it does on request."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from exporter.sandbox.encode import CsvHeaders
from exporter.sandbox.faults import FaultSource, no_faults
from exporter.sandbox.query import ListStyle
from exporter.sandbox.rate import REQUESTS_PER_MINUTE


class RetryAfter(StrEnum):
    """What the Retry-After header of a 429 holds."""

    NONE = "none"
    SECONDS = "seconds"
    DATE = "date"
    ZERO = "zero"
    PAST = "past"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """Settings of one sandbox.

    Attributes:
        seed: decides every order that nobody asked for.
        rate: requests a minute per token (per address for callers without one); None for no limit.
        count_rejected: requests answered 429 count against the rate as well.
        retry_after: what a 429 says of when to come back.
        latency_ms: each answer waits this long.
        faults: what goes wrong.
        slow_s: how late a `slow` answer is, in seconds.
        list_style: how list parameters are read.
        schemes: words accepted before the token, in small letters.
        ignore_provider_header: serve a token's first studio whichever was asked for.
        csv_headers: what the first line of a CSV answer holds.
        required_columns: columns that every answer holds, asked for or not.
        compress: answer in gzip where the client takes it and there is a kilobyte to win from.
        clock: seconds that never go back, for the rate and the log of requests.
        wall_clock: seconds since 1970, for the dates in Retry-After.
    """

    seed: int = 1
    rate: int | None = REQUESTS_PER_MINUTE
    count_rejected: bool = False
    retry_after: RetryAfter = RetryAfter.NONE
    latency_ms: float = 0.0
    faults: FaultSource = no_faults
    slow_s: float = 35.0
    list_style: ListStyle = ListStyle.COMMA
    schemes: frozenset[str] = frozenset({"bearer", "token", "jwt"})
    ignore_provider_header: bool = False
    csv_headers: CsvHeaders = CsvHeaders.KEY
    required_columns: tuple[str, ...] = ()
    compress: bool = True
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time

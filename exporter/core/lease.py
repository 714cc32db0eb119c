"""Who may use a credential, and how much of the last minute is used up: the record that runs hand to each other.

Arithmetic only. Moments are aware UTC, since the next holder may be on another machine.

Rules kept here:

- What a record says of requests is never less than what the API may have seen: seconds are rounded up, and `pending`
  holds, beside the requests under way, every one that may be sent before the next record is written.
- So whoever finds the record of a run that died knows the most that was asked, and when at the latest.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Protocol

from exporter.core.jsonable import parse_moment
from exporter.core.pace import WINDOW_S

#: How long a lease holds unless it is renewed; how often it is renewed at least.
LEASE_S = 60.0
RENEW_S = 15.0

#: The holder sends nothing in the last seconds of a lease: the next one may have a clock that is so much ahead.
GUARD_S = 10.0

#: What the last requests of a run that died need at most to reach the API.
REACH_S = 1.0

#: By how much the clocks of two machines may differ.
CLOCKS_S = 1.0

#: Requests that are reserved with one record: a fifth of a minute's, within these bounds.
FEWEST_RESERVED = 25
MOST_RESERVED = 1000

#: A moment that is so little beyond a second counts for that second: it went through floating point. Within the
#: slack of `core.pace`.
_GRAIN_S = 0.005


class Process(Protocol):
    """Says which process something belongs to."""

    @property
    def host(self) -> str:
        """The machine, until it restarts; empty where that cannot be told."""
        ...

    @property
    def process(self) -> str:
        """The process on it, never used twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What stands in the sink of one credential.

    Attributes:
        run_id: who holds it, or held it last.
        host, process: which process that is, as in a run's own record.
        expires_at: until when it is held; None once it was given back.
        ended: how many requests ended in the second up to each of these (Unix time), by all holders.
        pending: requests under way, and those that the holder may send without writing again.
    """

    run_id: str = ""
    host: str = ""
    process: str = ""
    expires_at: datetime | None = None
    ended: Mapping[int, int] = field(default_factory=dict)
    pending: int = 0

    def to_json(self) -> bytes:
        """As it stands in the sink."""
        expires_at = self.expires_at.isoformat() if self.expires_at else None
        return json.dumps(asdict(self) | {"expires_at": expires_at}).encode()

    def used_since(self, moment: datetime) -> bool:
        """Whether a request may have been sent since *moment*."""
        return self.pending > 0 or any(second >= moment.timestamp() for second in self.ended)

    def usage(self, now: datetime, limit: int, *, clocks_s: float = 0.0) -> list[float]:
        """When the requests ended that still count at *now*, at the latest: rising, in seconds from *now*.

        What was pending is taken to have been sent to the last. A moment that is far ahead is a fault of a clock, and
        taken for now.

        Args:
            now: the time.
            limit: requests in any sliding minute at most; of one moment, more than this say nothing more.
            clocks_s: by how much the clock of the record may be behind.
        """
        reference = now.timestamp()
        stopped = min(now, self.expires_at or now).timestamp() + REACH_S
        counts = [*self.ended.items(), (stopped, self.pending)]
        return sorted(
            min(moment - reference, REACH_S) + clocks_s
            for moment, number in counts
            if moment > reference - WINDOW_S - 1 - clocks_s
            for _ in range(min(number, limit))
        )


def parse_lease(data: bytes) -> Lease:
    """What `Lease.to_json` wrote; ValueError where it is none."""
    try:
        document = json.loads(data)
        expires_at = document["expires_at"]
        return Lease(
            run_id=str(document["run_id"]),
            host=str(document["host"]),
            process=str(document["process"]),
            expires_at=None if expires_at is None else parse_moment(expires_at),
            ended={int(second): int(number) for second, number in document["ended"].items()},
            pending=int(document["pending"]),
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a lease: {error}") from error


def in_seconds(ended: Iterable[float], now: datetime) -> dict[int, int]:
    """How many of *ended* lie in the second up to each second of Unix time.

    Args:
        ended: seconds from *now*, below 0 for the past.
        now: aware.
    """
    reference = now.timestamp()
    return dict(Counter(math.ceil(reference + moment - _GRAIN_S) for moment in ended))


def unknown_usage(limit: int, now: datetime) -> Lease:
    """What a record that cannot be read is taken for: given back just now, with a whole minute used up."""
    return Lease(ended={math.ceil(now.timestamp()): limit})


class Reserve:
    """How many requests may be sent before the next record is written."""

    def __init__(self, limit: int) -> None:
        """None yet.

        Args:
            limit: requests in any sliding minute at most.
        """
        self.size = min(limit, max(FEWEST_RESERVED, min(limit // 5, MOST_RESERVED)))
        self._left = 0
        self._sent = 0

    @property
    def is_low(self) -> bool:
        """Whether it is time to write the next record."""
        return self._left <= self.size // 2

    def take(self) -> bool:
        """Use one, where there is one."""
        if not self._left:
            return False
        self._left -= 1
        self._sent += 1
        return True

    def mark(self) -> int:
        """To be asked when a record is made, and handed to `renew` when it stands in the sink.

        Meanwhile what is left of the old record may be used: it is never more than what the new one reserves.
        """
        return self._sent

    def renew(self, mark: int) -> None:
        """A record stands in the sink that was made at *mark* and reserves `size` requests."""
        self._left = self.size - (self._sent - mark)

    def void(self) -> None:
        """Nothing may be sent any more."""
        self._left = 0

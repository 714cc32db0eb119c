"""How fast one credential may be asked: arithmetic only, the time is an argument.

Rules kept here:

- In no sliding minute does the API see more than `limit` requests. When it sees a request is not known, only that it
  is between sending and answer; so a request counts from the moment it is sent until a minute after it ended. This
  holds from a cold start and after a pause, whatever the latency.
- 429 slows the whole credential. It waits as long as the answer says; where that is nothing or no time at all, or did
  not help several times, exponentially longer each time, with full jitter.
- What the API accepted in the minute before a 429 is taken for its real limit, the ceiling. Now and then one request
  alone tries whether more is accepted: seldom after it was refused, at once after it was accepted. So a limit below
  the configured one is found for the price of a few requests, and a 429 for another reason is soon forgotten: one
  below a ceiling lowers it only until more is accepted again; for good where it is the second at that very number.
- A ceiling that holds is tried with at most one request in two hundred in the long run, however low it is.
- Where more was accepted than the ceiling, and then as many as it was once more, the API counts the minute of the
  clock, and a new one had begun: the ceiling stays, and so do its tries.
- Where refusals look like those of a token bucket, requests are spaced evenly at the rate it is refilled at (`refill`),
  and there is no ceiling.
- The first request goes alone, so a bad credential costs one request.
- What others used of the last minute counts like one's own: `take_up` goes on from where they were.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from exporter.core.refill import FEW, Refill

#: Length of the API's window. Source: rate-limits guide, "250 requests per minute".
WINDOW_S = 60.0

#: Added to the window: clocks of two machines do not tick quite alike.
SLACK_S = 0.01

#: The first wait after a 429 that names none; the longest wait.
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0

#: How many times further apart the tries above a ceiling are after each that is refused. A bucket fills meanwhile, so
#: little is lost by a try that comes late, while a minute that is full refuses each that comes early. Where refusals
#: have been disproved, they are tried sooner.
PROBE_GROWTH = 4.0
PROBE_GROWTH_DISPROVED = 2.0

#: Tries come at most so far apart, or the time that so many requests take at the ceiling, whichever is longer.
LONGEST_PROBE_S = 300.0
REQUESTS_A_PROBE = 200

#: Requests in flight while nothing is known of the latency; more are allowed where the latency needs them.
FEWEST_IN_FLIGHT = 4

#: In flight at most, as a multiple of what the rate and the latency keep in flight on average.
HEADROOM = 2.0

#: A share of refused requests below which a refusal, once disproved, is taken for an accident and forgotten.
SELDOM = 0.1

#: So many refusals in a row may come from somebody else's use or from a breakdown: the wait that they name is too
#: short; once they end, the ceiling is tried at once, and forgotten if it does not hold.
LONG_STREAK = 4

#: The part of a minute in which what was accepted surely counts, whatever the latency made of the order.
SURE_SHARE = 0.95

#: The longest time until the first try above a ceiling that was lowered soon after another refusal.
LONGEST_LOWERED_S = 32.0

#: What was accepted since a ceiling was met, or given up, may differ from it by this share and still count as "as many
#: once more".
ALIKE = 0.05


class Outcome(StrEnum):
    """How a request ended."""

    ACCEPTED = "accepted"
    THROTTLED = "throttled"
    FAILED = "failed"


class Ticket(NamedTuple):
    """One request in flight."""

    sent_at: float
    probe: bool


class _Lowered(NamedTuple):
    """A ceiling that held until it was lowered, how far apart its tries were, and when the next was due."""

    requests: int
    step_s: float
    at: float


class _Disproved(NamedTuple):
    """A ceiling that was given up: how far apart its tries were, and how many requests had been accepted before."""

    step_s: float
    taken: int


class Pace:
    """The pace of one credential. All times are seconds on one monotonic clock."""

    def __init__(self, limit: int, *, spread: bool = False, random: Callable[[], float]) -> None:
        """Nothing sent yet.

        Args:
            limit: requests in any sliding minute at most.
            spread: keep an even distance between requests instead of sending as early as allowed.
            random: uniform in [0, 1).
        """
        self._limit = limit
        self._spread = spread
        self._random = random
        self._proven = False
        self._in_flight = 0
        self._ended: deque[float] = deque()
        self._accepted: deque[float] = deque()
        self._latency_s = 0.0
        self._last_sent_at = -math.inf
        self._blocked_until = -math.inf
        self._throttled_at = -math.inf
        # How many requests were accepted in all: until now, and before the last refusal.
        self._taken = 0
        self._taken_before = -FEW
        self._ceiling: int | None = None
        self._lowered: _Lowered | None = None
        self._disproved = _Disproved(0.0, 0)
        # The ceiling as the last refusals told it, whatever became of it.
        self._found = 0
        self._refusals = 0
        self._refused_share = 0.0
        self._doubted = False
        self._probe_step_s = 0.0
        self._probe_at = -math.inf
        self._probing = False
        self._refill = Refill(limit / WINDOW_S)
        self._rate: float | None = None

    @property
    def limit(self) -> int:
        """Requests a minute that are assumed to be allowed now."""
        if self._rate is not None:
            return math.ceil(WINDOW_S * self._rate)
        return self._limit if self._ceiling is None else min(self._limit, self._ceiling)

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have not ended."""
        return self._in_flight

    def ended(self, now: float) -> tuple[float, ...]:
        """When the requests ended that still count, rising; those of others among them."""
        self._forget(now)
        return tuple(self._ended)

    def take_up(self, ended: Iterable[float]) -> None:
        """Go on from where others were, while nothing is in flight.

        Args:
            ended: when each request of the last minute ended, one's own among them; what is not known for sure may
                lie a little ahead. All are taken to have been accepted.
        """
        self._ended = deque(sorted(ended))
        self._accepted = self._ended.copy()

    def delay_s(self, now: float) -> float:
        """Seconds until the next request may be sent: 0 means now, infinity means when one in flight has ended."""
        self._forget(now)
        if self._in_flight >= self._most_in_flight() or self._probing:
            return math.inf
        self._rate = self._refill.rate(now)
        delay = max(self._blocked_until, self._next_even_moment()) - now
        if self._in_flight + len(self._ended) >= self._limit:
            delay = max(delay, self._until_one_expires(self._ended, self._limit, now))
        if self._above_ceiling():
            assert self._ceiling is not None
            if self._in_flight:
                return math.inf
            expiry = self._until_one_expires(self._accepted, self._ceiling, now)
            delay = max(delay, min(expiry, self._probe_at - now))
        return max(delay, 0.0)

    def start(self, now: float) -> Ticket:
        """A request is sent; only when `delay_s` said 0."""
        probe = self._above_ceiling()
        self._probing = probe
        self._in_flight += 1
        self._last_sent_at = now
        return Ticket(now, probe)

    def finish(self, now: float, ticket: Ticket, outcome: Outcome, retry_after_s: float | None = None) -> None:
        """A request ended: answered, failed or given up."""
        self._forget(now)
        self._in_flight -= 1
        insort(self._ended, now)  # what was taken up may lie ahead
        if ticket.probe:
            self._probing = False
        self._refused_share += 0.03 * ((outcome is Outcome.THROTTLED) - self._refused_share)
        if outcome is Outcome.THROTTLED:
            self._throttle(now, ticket, retry_after_s)
        elif outcome is Outcome.ACCEPTED:
            self._accept(now, ticket)

    def take_back(self, ticket: Ticket) -> None:
        """A request was not sent after all: the API saw nothing of it, so nothing of the minute is used."""
        self._in_flight -= 1
        if ticket.probe:
            self._probing = False

    def prove(self) -> None:
        """The API knows the credential: from now on requests need not go alone."""
        self._proven = True

    def _accept(self, now: float, ticket: Ticket) -> None:
        latency = now - ticket.sent_at
        self._latency_s = latency if not self._latency_s else 0.8 * self._latency_s + 0.2 * latency
        insort(self._accepted, now)
        self._refill.accept()
        self._taken += 1
        streak, self._refusals = self._refusals, 0
        if self._ceiling is None:
            return
        if streak >= LONG_STREAK:
            self._doubted = True
            self._probe_at = min(self._probe_at, now)
        if ticket.sent_at <= self._throttled_at:
            # Sent before the refusal and accepted all the same: the ceiling is that much higher.
            self._ceiling = self._found = max(self._ceiling, len(self._accepted))
            self._taken_before = self._taken
        elif ticket.probe and self._surely_accepted(now) > self._ceiling:
            if self._doubted or self._refused_share < SELDOM:
                self._disprove()
                return
            self._ceiling += 1
            self._probe_step_s /= 2
            self._probe_at = now + self._probe_step_s
        if self._ceiling >= self._limit:
            self._ceiling = None

    def _throttle(self, now: float, ticket: Ticket, retry_after_s: float | None) -> None:
        if retry_after_s:
            self._blocked_until = max(self._blocked_until, now + retry_after_s)
        if ticket.sent_at <= self._throttled_at:
            return  # one of the burst that the last refusal ended
        self._throttled_at = now
        since, self._taken_before = self._taken - self._taken_before, self._taken
        self._refill.refuse(ticket.sent_at)
        self._rate = self._refill.rate(now)
        if self._rate is not None:
            self._ceiling, self._lowered, self._refusals, self._probe_step_s = None, None, 0, 0.0
            return
        if not self._refusals:
            self._find_ceiling(ticket, since)
        self._refusals += 1
        self._doubted = False
        first = self._probe_step_s < FIRST_BACKOFF_S
        longest_s = max(LONGEST_PROBE_S, REQUESTS_A_PROBE * WINDOW_S / self.limit)
        self._probe_step_s = min(max(FIRST_BACKOFF_S, self._probe_growth * self._probe_step_s), longest_s)
        named_s = retry_after_s or 0.0
        self._probe_at = now + (named_s if named_s and first else max(named_s, self._probe_step_s))
        if not named_s or self._refusals >= LONG_STREAK:
            longest = min(FIRST_BACKOFF_S * 2 ** (self._refusals - 1), LONGEST_BACKOFF_S)
            self._blocked_until = max(self._blocked_until, now + self._random() * longest)

    def _find_ceiling(self, ticket: Ticket, since: int) -> None:
        """Take what was accepted in the last minute for the ceiling; *since*: requests accepted since a refusal."""
        if self._ceiling is not None and not ticket.probe:
            # Refused below it. An accident, and it holds all the same; or it is lower now, and tries begin anew.
            if len(self._accepted) == self._found < self._ceiling:
                self._lowered = None  # the same once more: accidents come anywhere
            elif since < FEW:
                self._probe_step_s = min(self._probe_step_s, LONGEST_LOWERED_S / self._probe_growth)
            else:
                self._lowered = self._lowered or _Lowered(self._ceiling, self._probe_step_s, self._probe_at)
                self._probe_step_s = 0.0
        elif self._ceiling is None:
            for again in (since, self._taken - self._disproved.taken):
                if abs(again - self._found) <= ALIKE * self._found:
                    self._met_again(again)
                    break
        self._ceiling = self._found = min(max(1, len(self._accepted)), self._limit)

    def _met_again(self, accepted: int) -> None:
        """As many once more: the API's minute began anew in between, and what was before it does not count."""
        self._probe_step_s = self._disproved.step_s
        while len(self._accepted) > accepted:
            self._accepted.popleft()

    def _disprove(self) -> None:
        """More was accepted than the ceiling; where one was lowered to it, that one holds again."""
        if self._lowered is not None:
            (self._ceiling, self._probe_step_s, self._probe_at), self._lowered = self._lowered, None
        else:
            self._disproved = _Disproved(self._probe_step_s, self._taken - 1)
            self._ceiling, self._probe_step_s = None, 0.0

    @property
    def _probe_growth(self) -> float:
        disproved = self._lowered is not None or self._disproved.taken > 0
        return PROBE_GROWTH_DISPROVED if disproved else PROBE_GROWTH

    def _surely_accepted(self, now: float) -> int:
        """Requests accepted in a little less than the last minute: surely still counted by the API."""
        return len(self._accepted) - bisect_left(self._accepted, now - SURE_SHARE * WINDOW_S)

    def _most_in_flight(self) -> int:
        if not self._proven:
            return 1
        return max(FEWEST_IN_FLIGHT, math.ceil(HEADROOM * self.limit / WINDOW_S * self._latency_s))

    def _above_ceiling(self) -> bool:
        return self._ceiling is not None and self._in_flight + len(self._accepted) >= self._ceiling

    def _until_one_expires(self, ended: deque[float], limit: int, now: float) -> float:
        """Seconds until fewer than *limit* of *ended* and those in flight count."""
        index = self._in_flight + len(ended) - limit
        if index >= len(ended):
            return math.inf
        return ended[index] + WINDOW_S + SLACK_S - now

    def _next_even_moment(self) -> float:
        if self._rate is not None:
            return self._last_sent_at + 1 / self._rate
        return self._last_sent_at + WINDOW_S / self.limit if self._spread else -math.inf

    def _forget(self, now: float) -> None:
        for times in (self._ended, self._accepted):
            while times and times[0] <= now - WINDOW_S - SLACK_S:
                times.popleft()

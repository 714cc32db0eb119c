"""How fast a token bucket is refilled, learnt from its refusals: arithmetic only, the time is an argument.

A refusal tells that the bucket was empty. So what it gave between two of them is what was filled in meanwhile, however
large it is, less what a full one had no room for; so the refusal counts since which it gave the most. Requests at that
rate, evenly spaced, are accepted; a little above it one is refused now and then, which tells the rate ever more
precisely, and finds a higher one. What is refused often all the same is no bucket.
"""

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice

#: So many refusals within so short a time, with a few requests accepted between each two, make a limit look like a
#: bucket: a minute that is full gives nothing before a part of it is over, and refusals for no reason come seldom.
ENOUGH = 3
SOON_S = 20.0
FEW = 20

#: So few accepted between as many refusals while a bucket is assumed: its rate is much lower now.
VERY_FEW = 4

#: So many refusals in a row, with nothing accepted in between, do not come from a bucket that is asked evenly; nor does
#: such a share of refusals, looked at once there were some. For a while no bucket is assumed then.
TOO_MANY = 3
SOME = 8
OFTEN = 0.06

#: How old a refusal may be to tell the rate (a bucket that refuses nothing for so long, or for as many doublings where
#: those take longer than `DOUBLING_S`, is forgotten), and how long no bucket is assumed where there was none.
MEMORY_S = 300.0

#: How much faster than the rate requests are sent at least, and by which part of a request in all that it was learnt
#: from. After so long and so many requests without a refusal, or as long as it took to learn where that is less, it is
#: twice as much. The requests keep refusals of a slow bucket as rare among them as those of a fast one.
EXCESS = 0.002
DOUBT = 0.5
DOUBLING_S = 30.0
DOUBLING_REQUESTS = 50

_MOST_DOUBLINGS = 16.0


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What refusals told: from when, and how many had been accepted until then; the last of them; tokens a second."""

    first_at: float
    before: int
    last_at: float
    rate: float
    surely: float
    excess: float
    doubling_s: float


class Refill:
    """What is known of one bucket. All times are seconds on one monotonic clock."""

    def __init__(self, most: float) -> None:
        """No bucket is assumed.

        Args:
            most: requests a second from which on it does not matter.
        """
        self._most = most
        self._accepted = 0
        self._in_a_row = 0
        # When the bucket was empty, and how many requests had been accepted until then; both only rise.
        self._empty: deque[tuple[float, int]] = deque()
        self._learnt = _Learnt(0.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self._assumed = False
        self._not_before = -math.inf
        # Since a bucket is assumed: refusals, and what had been accepted before.
        self._refused = 0
        self._before = 0

    def accept(self) -> None:
        """A request was accepted."""
        self._accepted += 1
        self._in_a_row = 0

    def refuse(self, sent_at: float) -> None:
        """A request was refused that was sent later than the last of these."""
        self._in_a_row += 1
        if self._in_a_row > 1 and self._empty:
            self._empty.pop()  # it was as empty then, and for longer
        self._empty.append((sent_at, self._accepted))
        self._refused += 1
        if self._assumed and self._is_none():
            self._forget(sent_at + MEMORY_S)
        if len(self._empty) >= ENOUGH and sent_at >= self._not_before and self._is_one():
            self._assume()
        oldest = sent_at - MEMORY_S
        while len(self._empty) > ENOUGH and (not self._assumed or self._empty[0][0] < oldest):
            self._empty.popleft()
        if self._assumed:
            self._learn()

    def rate(self, now: float) -> float | None:
        """Requests a second that are to be sent; None where no bucket is assumed, or one that is never empty."""
        if not self._assumed:
            return None
        learnt = self._learnt
        # What was given since then without a refusal counts, too, as soon as it is more.
        given = (self._accepted - learnt.before - 1) / (now - learnt.first_at)
        quiet_s = now - learnt.last_at
        memory_s = MEMORY_S * max(1.0, learnt.doubling_s / DOUBLING_S)
        if given >= self._most or learnt.surely >= self._most or quiet_s >= memory_s:
            self._forget()
            return None
        excess = learnt.excess * 2 ** min(quiet_s // learnt.doubling_s, _MOST_DOUBLINGS)
        return min(max(learnt.rate, given) * (1 + excess), self._most)

    def _learn(self) -> None:
        """From the time that the bucket was empty since which it gave the most."""
        first_at, before = max(islice(self._empty, len(self._empty) - 1), key=self._surely_given)
        last_at, after = self._empty[-1]
        given, learnt_s = after - before, last_at - first_at
        self._learnt = _Learnt(
            first_at=first_at,
            before=before,
            last_at=last_at,
            rate=given / learnt_s,
            surely=(given - 1) / learnt_s,
            excess=EXCESS + DOUBT / given,
            doubling_s=min(learnt_s, max(DOUBLING_S, DOUBLING_REQUESTS * learnt_s / given)),
        )

    def _surely_given(self, empty: tuple[float, int]) -> float:
        """Tokens a second since then, until the last refusal; almost one may have been left."""
        (first_at, before), (last_at, after) = empty, self._empty[-1]
        return (after - before - 1) / (last_at - first_at)

    def _is_one(self) -> bool:
        """Whether the last refusals are those of a bucket; of one with a much lower rate, where one is assumed."""
        (first_at, before), (last_at, after) = self._empty[-ENOUGH], self._empty[-1]
        return last_at - first_at <= SOON_S and after - before <= (VERY_FEW if self._assumed else FEW)

    def _is_none(self) -> bool:
        """Whether what is assumed to be a bucket refuses more than any would that is asked evenly."""
        often = self._refused > OFTEN * (self._accepted - self._before + self._refused)
        return self._in_a_row >= TOO_MANY or (self._refused >= SOME and often)

    def _assume(self) -> None:
        while len(self._empty) > ENOUGH:
            self._empty.popleft()
        self._assumed, self._refused, self._before = True, 0, self._accepted

    def _forget(self, until: float = -math.inf) -> None:
        self._empty.clear()
        self._assumed = False
        self._not_before = until

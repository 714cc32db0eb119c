"""Who may send the next request: the one gate that every request passes.

A credential has a lane with a pace of its own (`core.pace`), and its share of the connections, however slow its answers
are: none holds up another. Pages of open windows go before new windows, in whatever lane, so that few windows are open
at a time however many lanes there are; a lane whose pages have to wait for its pace keeps no other from opening. Among
pages, and among windows, the earliest day goes first, so that the earliest month is whole soon; lanes that ask for the
same day take turns. Refused credentials close their lane at once. Whether a credential may be used at all, beside other
runs, is asked of the permits.
"""

import asyncio
import math
from bisect import insort
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from heapq import heappop, heappush
from itertools import count
from types import TracebackType
from typing import NamedTuple

from exporter.api.permits import Free, Permits
from exporter.core.pace import Outcome, Pace, Ticket
from exporter.core.studio import CredentialKey
from exporter.errors import CredentialError, RateLimitedError, RejectedError, SourceError, StudioError


class _Waiter(NamedTuple):
    """Who waits for a turn; the earliest day goes first, and who came first."""

    day: date
    number: int
    ticket: asyncio.Future[Ticket]


#: Whether only windows are to be opened, and the day of who waits first.
_Rank = tuple[bool, date]


@dataclass(slots=True)
class _Lane:
    pace: Pace
    pages: list[_Waiter] = field(default_factory=list)
    openings: list[_Waiter] = field(default_factory=list)
    reserved: list[Ticket] = field(default_factory=list)
    in_flight: int = 0
    timer: asyncio.TimerHandle | None = None
    refused: CredentialError | None = None

    def next_waiter(self) -> _Waiter | None:
        for queue in (self.pages, self.openings):
            while queue and queue[0].ticket.done():
                queue.pop(0)
            if queue:
                return queue[0]
        return None

    def rank_of(self, waiter: _Waiter) -> _Rank:
        """Which lanes go before which, the least first; *waiter* is the next one."""
        return not self.pages, waiter.day

    @property
    def active(self) -> bool:
        return bool(self.in_flight or self.pages or self.openings)


class _Turn:
    """One request's time on the wire; written out, since each page has one and a generator takes longer."""

    __slots__ = ("_credential", "_day", "_gate", "_ticket")

    _ticket: Ticket

    def __init__(self, gate: "Gate", credential: CredentialKey, day: date) -> None:
        self._gate = gate
        self._credential = credential
        self._day = day

    async def __aenter__(self) -> None:
        self._ticket = await self._gate.begin(self._credential, self._day)

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.end(self._credential, self._ticket, error)


class Gate:
    """Lets requests through, each credential at its pace, all within the connections there are."""

    def __init__(
        self,
        *,
        make_pace: Callable[[CredentialKey], Pace],
        max_connections: int,
        clock: Callable[[], float],
        permits: Permits | None = None,
    ) -> None:
        """All lanes closed until asked for.

        Args:
            make_pace: the pace of a credential seen for the first time.
            max_connections: requests in flight at most, over all lanes.
            clock: monotonic seconds; the running loop's own time, since its timers wake the lanes.
            permits: knows of other runs; None where nobody else is asked.
        """
        self._permits = permits or Free()
        self._make_pace = make_pace
        self._max = max_connections
        self._clock = clock
        self._lanes: dict[CredentialKey, _Lane] = {}
        #: Lanes to be looked at, the first one first; and the rank that each stands there with.
        self._queue: list[tuple[_Rank, int, CredentialKey]] = []
        self._ranks: dict[CredentialKey, _Rank] = {}
        self._active: set[CredentialKey] = set()
        self._in_flight = 0
        self._held = False
        self._numbers = count()

    def turn(self, credential: CredentialKey, day: date = date.min) -> AbstractAsyncContextManager[None]:
        """Send one request inside the block; how the block ends tells how the request did.

        Args:
            credential: whose request.
            day: the first one that it asks for.

        Raises:
            CredentialError: the credential was refused before.
        """
        return _Turn(self, credential, day)

    async def begin(self, credential: CredentialKey, day: date) -> Ticket:
        """Wait for a `turn`."""
        lane = self._lane(credential)
        if lane.refused:
            self.unused(credential)
            raise _again(lane.refused)
        while lane.reserved and not self._permits.stands(credential):
            self.unused(credential)
        return lane.reserved.pop(0) if lane.reserved else await self._wait(credential, lane, lane.pages, day)

    def end(self, credential: CredentialKey, ticket: Ticket, error: BaseException | None) -> None:
        """A turn is over, and ended in *error*."""
        lane = self._lanes[credential]
        outcome, retry_after_s = Outcome.ACCEPTED, None
        match error:
            case None:
                lane.pace.prove()
            case RateLimitedError():
                outcome, retry_after_s = Outcome.THROTTLED, error.retry_after_s
            case CredentialError():
                self._refuse(lane, error)
            case RejectedError() | StudioError() if error.status is not None:
                lane.pace.prove()
            case _:
                outcome = Outcome.FAILED
        lane.pace.finish(self._clock(), ticket, outcome, retry_after_s)
        self._let_go(credential, lane)

    async def claim(self, credential: CredentialKey) -> bool:
        """Wait until the credential may be used; whether another run may have used it since this one began.

        Raises:
            CredentialError: it will not be ours.
        """
        return await self._permits.held(credential)

    async def opening(self, credential: CredentialKey, day: date = date.min) -> None:
        """Wait until nothing of this credential waits and a request could be sent; the next `turn` is granted it.

        Args:
            credential: whose request.
            day: the first one of the window that is to be opened.

        Raises:
            CredentialError: the credential was refused.
        """
        lane = self._lane(credential)
        lane.reserved.append(await self._wait(credential, lane, lane.openings, day))

    def unused(self, credential: CredentialKey) -> None:
        """Give back what `opening` reserved, where nothing was to be sent after all."""
        lane = self._lane(credential)
        if lane.reserved:
            self._take_back(credential, lane, lane.reserved.pop(0))

    def hold(self, held: bool) -> None:
        """Let nothing more through for now, or go on: what came must be put away first."""
        self._held = held
        if not held:
            self._pump()

    async def leave(self, credential: CredentialKey) -> None:
        """Nothing more of this credential will be sent: other runs may use it."""
        await self._permits.leave(credential)

    def refused(self, credential: CredentialKey) -> CredentialError | None:
        """Why the lane was closed, if it was."""
        return self._lane(credential).refused

    def limit(self, credential: CredentialKey) -> int:
        """Requests a minute that are assumed to be allowed now."""
        return self._lane(credential).pace.limit

    @property
    def _share(self) -> int:
        """Requests that each lane may have in flight."""
        return -(-self._max // max(1, len(self._active)))

    def _lane(self, credential: CredentialKey) -> _Lane:
        lane = self._lanes.get(credential)
        if lane is None:
            lane = self._lanes[credential] = _Lane(self._make_pace(credential))
        return lane

    async def _wait(self, credential: CredentialKey, lane: _Lane, queue: list[_Waiter], day: date) -> Ticket:
        if not lane.refused:
            await self._permits.held(credential)
        if lane.refused:
            raise _again(lane.refused)
        ticket: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(day, next(self._numbers), ticket)
        insort(queue, waiter)
        self._active.add(credential)
        self._enqueue(credential, lane)
        self._pump()
        try:
            return await ticket
        except asyncio.CancelledError:
            if waiter in queue:
                queue.remove(waiter)
                self._look_whether_idle(credential, lane)
            if ticket.done() and not ticket.cancelled() and ticket.exception() is None:
                self._take_back(credential, lane, ticket.result())
            raise

    def _pump(self) -> None:
        """Grant turns, one lane after the other, until nobody can be let through."""
        if self._held or self._in_flight >= self._max:
            return
        now, share = self._clock(), self._share
        while self._in_flight < self._max and not self._held and (following := self._next_waiter()):
            credential, lane, waiter = following
            if lane.in_flight >= share:
                continue
            delay = lane.pace.delay_s(now)
            if delay > 0:
                if delay < math.inf and lane.timer is None:
                    lane.timer = asyncio.get_running_loop().call_later(delay, self._wake, credential, lane)
                continue
            try:
                if not self._permits.take(credential, partial(self._look_again, credential, lane)):
                    continue
            except CredentialError as error:
                self._refuse(lane, error)
                self._look_whether_idle(credential, lane)
                continue
            (lane.pages or lane.openings).pop(0)
            lane.in_flight += 1
            self._in_flight += 1
            waiter.ticket.set_result(lane.pace.start(now))
            self._enqueue(credential, lane)

    def _enqueue(self, credential: CredentialKey, lane: _Lane) -> None:
        """Look at *lane* once it is its turn."""
        waiter = lane.next_waiter()
        if waiter is None:
            return
        rank = lane.rank_of(waiter)
        if credential not in self._ranks or rank < self._ranks[credential]:
            self._ranks[credential] = rank
            heappush(self._queue, (rank, next(self._numbers), credential))

    def _next_waiter(self) -> tuple[CredentialKey, _Lane, _Waiter] | None:
        """Whose turn it is."""
        while self._queue:
            rank, _, credential = heappop(self._queue)
            if self._ranks.get(credential) != rank:
                continue  # it stood here twice, and was looked at
            del self._ranks[credential]
            lane = self._lanes[credential]
            waiter = lane.next_waiter()
            if waiter and lane.rank_of(waiter) == rank:
                return credential, lane, waiter
            self._enqueue(credential, lane)  # what it stood here for waits no more
        return None

    def _wake(self, credential: CredentialKey, lane: _Lane) -> None:
        lane.timer = None
        self._look_again(credential, lane)

    def _look_again(self, credential: CredentialKey, lane: _Lane) -> None:
        self._enqueue(credential, lane)
        self._pump()

    def _take_back(self, credential: CredentialKey, lane: _Lane, ticket: Ticket) -> None:
        """Nothing was sent."""
        lane.pace.take_back(ticket)
        self._let_go(credential, lane)

    def _let_go(self, credential: CredentialKey, lane: _Lane) -> None:
        lane.in_flight -= 1
        self._in_flight -= 1
        if lane.timer is not None:
            # What it waits for may have come nearer.
            lane.timer.cancel()
            lane.timer = None
        self._enqueue(credential, lane)
        self._look_whether_idle(credential, lane)
        self._pump()

    def _look_whether_idle(self, credential: CredentialKey, lane: _Lane) -> None:
        """Where nothing of a lane waits or is under way, the others' share may have grown."""
        if not lane.active:
            before = self._share
            self._active.discard(credential)
            if self._share > before:
                # Only then: with many more lanes than connections, each turn that ends would look at all of them.
                for key in self._active:
                    self._enqueue(key, self._lanes[key])
            self._pump()

    def _refuse(self, lane: _Lane, error: CredentialError) -> None:
        lane.refused = error
        for waiter in (*lane.pages, *lane.openings):
            if not waiter.ticket.done():
                waiter.ticket.set_exception(_again(error))
        lane.pages.clear()
        lane.openings.clear()


def _again(error: SourceError) -> CredentialError:
    """The same refusal for another task; an exception that is raised twice would chain to itself."""
    return CredentialError(str(error), status=error.status)

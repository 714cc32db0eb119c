"""The one retry policy: which errors are tried again, how often, after what wait.

Rules kept here: only `TransientError` is tried again; the server's wait wins over a shorter one of ours; a throttled
attempt neither waits here nor counts as failed, since the credential's pace slows down for all of its requests; what
is given up says how often and how long it was tried. Tenacity is wrapped here and nowhere else; it is called once the
first attempt failed, since it costs about as much as the request itself.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from exporter.errors import RateLimitedError, TransientError, UnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Back-off without a word from the server: the first wait is at most this, each next one twice as much, up to a cap.
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0

#: The longest wait that a server's word brings about.
_LONGEST_ASKED_WAIT_S = 300.0

#: Doublings after which the cap is reached in any case; keeps the power small.
_DOUBLINGS = 16

#: Throttled attempts of one page for each attempt that may fail.
_THROTTLED_PER_ATTEMPT = 5

_OK = 200


@dataclass(slots=True)
class _Tally:
    """Attempts of one call so far."""

    made: int = 0
    failed: int = 0
    throttled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to insist.

    Attributes:
        max_attempts: failed attempts after which a call is given up; throttled ones may be five times as many.
        clock: seconds from any origin, never going back.
        sleep: waits for so many seconds.
        random: a number in [0, 1), new at each call.
    """

    max_attempts: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    async def run(self, where: object, attempt: Callable[[int], Awaitable[T]]) -> T:
        """What *attempt* returns in the end.

        Args:
            where: as text, what every message of *attempt* begins with.
            attempt: one try; told its number, which counts from 1 and includes throttled ones.

        Raises:
            UnavailableError: given up, from the last error.
            Exception: whatever else *attempt* raises, at once.
        """
        began_at = self.clock()
        try:
            return await attempt(1)
        except TransientError as error:
            first = error
        return await self._insist(where, attempt, first, began_at)

    async def _insist(
        self, where: object, attempt: Callable[[int], Awaitable[T]], first: TransientError, began_at: float
    ) -> T:
        """Go on after the *first* attempt's error."""
        tally = _Tally()
        ended = [first]

        async def resumed() -> T:
            """The first attempt as it ended, then new ones."""
            tally.made += 1
            try:
                if ended:
                    raise ended.pop()
                return await attempt(tally.made)
            except RateLimitedError:
                tally.throttled += 1
                raise
            except TransientError:
                tally.failed += 1
                raise

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            stop=lambda _: self._exhausted(tally),
            wait=lambda state: self._wait_s(_error(state), tally),
            sleep=self.sleep,
            before_sleep=_log,
            reraise=True,
        )
        try:
            return await retrying(resumed)
        except TransientError as error:
            raise _given_up(str(where), error, tally.made, self.clock() - began_at) from error

    def _exhausted(self, tally: _Tally) -> bool:
        return tally.failed >= self.max_attempts or tally.throttled >= _THROTTLED_PER_ATTEMPT * self.max_attempts

    def _wait_s(self, error: TransientError, tally: _Tally) -> float:
        """Exponential with full jitter, or as long as the server asked for; none where the credential's pace waits."""
        if isinstance(error, RateLimitedError):
            return 0.0
        ceiling = min(_FIRST_WAIT_S * 2.0 ** min(tally.failed - 1, _DOUBLINGS), _LONGEST_WAIT_S)
        return max(self.random() * ceiling, min(error.retry_after_s or 0.0, _LONGEST_ASKED_WAIT_S))


def _error(state: RetryCallState) -> TransientError:
    """The error of the last attempt; there is one whenever a wait is considered."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, TransientError)
    return error


def _log(state: RetryCallState) -> None:
    error = _error(state)
    when = "in the credential's pace" if isinstance(error, RateLimitedError) else f"in {state.upcoming_sleep:.1f} s"
    logger.info("%s - again %s", error, when, extra={"attempt": state.attempt_number, "status": error.status})


def _given_up(where: str, error: TransientError, attempts: int, elapsed_s: float) -> UnavailableError:
    """The last error in the words of the whole call."""
    what, _, way_out = str(error).removeprefix(f"{where}: ").partition("; ")
    still = what if error.status in {None, _OK} else str(error.status)
    times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return UnavailableError(
        f"{where}: still {still} after {times} in {elapsed_s:.0f} s; "
        f"{f'{way_out}, then ' if way_out else ''}run again to retry just this task",
        status=error.status,
        retry_after_s=error.retry_after_s,
    )

"""The rate limit: no sliding minute holds more requests of one caller than are allowed.

Pure: the time is an argument.
"""

from collections import deque
from collections.abc import Iterable

#: Source: API documentation, "Rate limits": 250 requests a minute per authenticated user.
REQUESTS_PER_MINUTE = 250
_MINUTE_S = 60.0


class SlidingMinute:
    """Counts the requests of one caller.

    Args:
        limit: requests let through in any sixty seconds, at least 1.
        count_rejected: a request that is refused counts as well, so that a caller who keeps asking is kept out.
    """

    def __init__(self, limit: int, *, count_rejected: bool = False) -> None:
        self._limit = limit
        self._count_rejected = count_rejected
        self._counted: deque[float] = deque()

    def ask(self, now: float) -> float | None:
        """None where a request at *now* is let through, else the seconds until one may be.

        Times are seconds that never go back.
        """
        counted = self._counted
        while counted and counted[0] <= now - _MINUTE_S:
            counted.popleft()
        if len(counted) < self._limit:
            counted.append(now)
            return None
        if self._count_rejected:
            counted.append(now)
        return counted[-self._limit] + _MINUTE_S - now


def busiest_minute(times: Iterable[float]) -> int:
    """The most of *times* that lie in one sliding minute; one that is sixty seconds later lies in the next."""
    window: deque[float] = deque()
    most = 0
    for moment in sorted(times):
        window.append(moment)
        while window[0] <= moment - _MINUTE_S:
            window.popleft()
        most = max(most, len(window))
    return most

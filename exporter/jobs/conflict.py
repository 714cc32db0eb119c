"""After somebody else has replaced an object first: how often to read and write again, and how long to wait between."""

from collections.abc import Awaitable, Callable

#: Others that replace one object at the same time, at most, before a job gives up.
MOST_CONFLICTS = 50

#: The longest wait after the first conflict, which doubles with each one more; and after any. Seconds.
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0


async def back_off(conflicts: int, *, sleep: Callable[[float], Awaitable[None]], random: Callable[[], float]) -> None:
    """Wait after so many *conflicts*, exponentially longer with full jitter; not at all before the first.

    Args:
        conflicts: how often somebody else was quicker so far.
        sleep: waits for so many seconds.
        random: uniform in [0, 1).
    """
    if conflicts:
        await sleep(random() * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (conflicts - 1)))

"""Pages that have come and wait to be staged, until there are enough of them for one segment.

Rules kept here: fewer and larger segments cost less to write, to read and to delete. So a page waits for others, but
not for long, and not at all where none is on its way. Where too many wait, no more are asked for; those in flight
still come.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from exporter.jobs.intake import Arrival

#: How long a page waits for others at most, seconds. What came within it would be asked for again after a crash.
LONGEST_WAIT_S = 0.25

#: Where so many wait, no more are asked for.
MOST_WAITING = 64


class Inbox:
    """What waits."""

    def __init__(self, enough: int, on_backlog: Callable[[bool], None]) -> None:
        """Nothing waits.

        Args:
            enough: pages that need not wait for more.
            on_backlog: is told True when too many wait, and False when they no longer do.
        """
        self._enough = min(enough, MOST_WAITING)
        self._on_backlog = on_backlog
        self._waiting: list[Arrival] = []
        self._coming = 0
        self._overdue = False
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    @contextmanager
    def coming(self) -> Iterator[None]:
        """A page is asked for inside the block."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1
            if not self._coming:
                self._changed.set()

    def put(self, arrival: Arrival) -> None:
        """A page has come."""
        self._waiting.append(arrival)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT_S, self._be_overdue)
        if self._is_due:
            self._changed.set()
        if len(self._waiting) >= MOST_WAITING:
            self._on_backlog(True)

    async def take(self) -> Sequence[Arrival]:
        """All that waits, once it need not wait any more."""
        while not self._is_due:
            self._changed.clear()
            await self._changed.wait()
            await asyncio.sleep(0)  # who has just got a page may ask for the next one in the same turn
        return self.empty()

    def empty(self) -> Sequence[Arrival]:
        """All that waits, whether it is enough or not."""
        taken, self._waiting = self._waiting, []
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._overdue = None, False
        self._on_backlog(False)
        return taken

    @property
    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        return self._overdue or not self._coming or len(self._waiting) >= self._enough

    def _be_overdue(self) -> None:
        self._overdue = True
        self._changed.set()

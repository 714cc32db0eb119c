"""The requests of one process, and the promises about them that hold whatever is fetched."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from exporter.sandbox.messages import Asked
from exporter.sandbox.rate import busiest_minute
from tests.simulation.scenario import TaskKey


class BrokenPromiseError(Exception):
    """The exporter did what it must not do."""


class Record:
    """What one process asked.

    Attributes:
        sent: requests so far.
        done: what must not be asked for.
    """

    def __init__(
        self,
        *,
        limit: int,
        max_connections: int,
        done: Mapping[TaskKey, str],
        task_of: Callable[[Asked], TaskKey | None],
        clock: Callable[[], float],
    ) -> None:
        """Nothing is asked yet.

        Args:
            limit: requests a minute of one credential.
            max_connections: requests in flight.
            done: tasks that must not be asked for, and why.
            task_of: what a request is about.
            clock: seconds.
        """
        self.sent: Counter[TaskKey | None] = Counter()
        self._limit = limit
        self._max_connections = max_connections
        self.done = done
        self._task_of = task_of
        self._clock = clock
        self._in_flight = 0
        self._arrived: defaultdict[str, list[float]] = defaultdict(list)
        self._wait_until: dict[str, float] = {}

    @contextmanager
    def in_flight(self, asked: Asked) -> Iterator[None]:
        """A request leaves now, and is answered or given up at the end."""
        task = self._task_of(asked)
        if task and task in self.done:
            raise BrokenPromiseError(f"{_name(task)} was asked for, although {self.done[task]}")
        if self._clock() < self._wait_until.get(_credential(asked), 0.0):
            raise BrokenPromiseError("a request was sent before the time that Retry-After of a 429 had named")
        self.sent[task] += 1
        self._in_flight += 1
        if self._in_flight > self._max_connections:
            raise BrokenPromiseError(f"{self._in_flight} requests at once instead of {self._max_connections} at most")
        try:
            yield
        finally:
            self._in_flight -= 1

    def arrived(self, asked: Asked) -> None:
        """The API sees a request."""
        moments = self._arrived[_credential(asked)]
        moments.append(self._clock())
        if (most := busiest_minute(moments)) > self._limit:
            raise BrokenPromiseError(f"{most} requests of one credential in a minute instead of {self._limit} at most")

    def told_to_wait(self, asked: Asked, seconds: float) -> None:
        """The API's 429 names a wait."""
        until = self._clock() + seconds
        self._wait_until[_credential(asked)] = max(until, self._wait_until.get(_credential(asked), 0.0))


def _credential(asked: Asked) -> str:
    return asked.headers["Authorization"]


def _name(task: TaskKey | None) -> str:
    return " ".join(map(str, task)) if task else "something unknown"


def moment(text: str) -> datetime:
    """What a request's date-time parameter says."""
    return datetime.fromisoformat(text)

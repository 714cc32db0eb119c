"""The requests of one process, and the promises about them that hold whatever is fetched."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from exporter.sandbox.messages import Asked
from tests.simulation.scenario import TaskKey


class BrokenPromiseError(Exception):
    """The exporter did what it must not do."""


class Traffic:
    """What the API sees of each credential, whoever asks."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        """Nothing was asked yet; *limit* requests a minute are configured."""
        self._limit = limit
        self._clock = clock
        self._arrived: defaultdict[str, deque[float]] = defaultdict(deque)

    def arrived(self, asked: Asked) -> None:
        """The API sees a request."""
        moments = self._arrived[credential_of(asked)]
        moments.append(self._clock())
        while moments[0] <= moments[-1] - 60:
            moments.popleft()
        if len(moments) > self._limit:
            raise BrokenPromiseError(
                f"{len(moments)} requests of one credential in a minute instead of {self._limit} at most"
            )


class Record:
    """What one process asked.

    Attributes:
        sent: requests so far.
        done: what must not be asked for.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        done: Mapping[TaskKey, str],
        task_of: Callable[[Asked], TaskKey | None],
        may_ask: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        """Nothing is asked yet.

        Args:
            max_connections: requests in flight.
            done: tasks that must not be asked for, and why.
            task_of: what a request is about.
            may_ask: whether the lease of a credential is the process's own.
            clock: seconds.
        """
        self.sent: Counter[TaskKey | None] = Counter()
        self._max_connections = max_connections
        self.done = dict(done)
        self._task_of = task_of
        self._may_ask = may_ask
        self._clock = clock
        self._in_flight = 0
        self._wait_until: dict[str, float] = {}

    @contextmanager
    def in_flight(self, asked: Asked) -> Iterator[None]:
        """A request leaves now, and is answered or given up at the end."""
        task = self._task_of(asked)
        if task and task in self.done:
            raise BrokenPromiseError(f"{_name(task)} was asked for, although {self.done[task]}")
        if not self._may_ask(credential_of(asked)):
            raise BrokenPromiseError("a request was sent with a credential that another run holds")
        if self._clock() < self._wait_until.get(credential_of(asked), 0.0):
            raise BrokenPromiseError("a request was sent before the time that Retry-After of a 429 had named")
        self.sent[task] += 1
        self._in_flight += 1
        if self._in_flight > self._max_connections:
            raise BrokenPromiseError(f"{self._in_flight} requests at once instead of {self._max_connections} at most")
        try:
            yield
        finally:
            self._in_flight -= 1

    def told_to_wait(self, asked: Asked, seconds: float) -> None:
        """The API's 429 names a wait."""
        until = self._clock() + seconds
        credential = credential_of(asked)
        self._wait_until[credential] = max(until, self._wait_until.get(credential, 0.0))


def credential_of(asked: Asked) -> str:
    """The token that a request came with."""
    return asked.headers["Authorization"].rpartition(" ")[2]


def _name(task: TaskKey | None) -> str:
    return " ".join(map(str, task)) if task else "something unknown"


def moment(text: str) -> datetime:
    """What a request's date-time parameter says."""
    return datetime.fromisoformat(text)

"""An event loop whose time is a number: it jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("nothing is left that could happen: everybody waits for somebody")
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Good for coroutines that wait for each other and for timers; not for sockets. What goes to a thread runs here."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        # The resolution decides which timers count as due; keep it far below what tests look at.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run it now; its result comes in a later turn, so that others can act meanwhile, as with a thread."""
        future: asyncio.Future[T] = self.create_future()
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            self.call_soon(_unless_done, future, future.set_exception, error)
        else:
            self.call_soon(_unless_done, future, future.set_result, result)
        return future


def _unless_done(future: asyncio.Future[T], settle: Callable[[Any], None], value: object) -> None:
    if not future.done():
        settle(value)


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run *main* to its end without waiting for real time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())

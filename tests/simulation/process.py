"""One process of an exporter: takes steps, and dies between two of them."""

import asyncio
from random import Random


class Died(BaseException):
    """The process is gone, as with SIGKILL: nothing catches it, and nothing that it does afterwards has an effect."""


class Process:
    """Counts its steps; whoever stands for the world asks it before and after everything that has an effect.

    Attributes:
        name: of the process; never used twice.
        host: the machine that it is on.
        alive: whether it still runs.
        steps: taken so far.
    """

    def __init__(self, name: str, host: str, *, dies_at: int | None) -> None:
        self.name = name
        self.host = host
        self.alive = True
        self.steps = 0
        self._dies_at = dies_at
        self._main = asyncio.current_task()

    async def step(self, wait_s: float) -> None:
        """Let time pass, and go on if the process is still there.

        Raises:
            Died: it is not.
        """
        self.check()
        await asyncio.sleep(wait_s)
        self.check()
        self.steps += 1
        if self.steps == self._dies_at:
            self.alive = False
            if self._main:
                self._main.cancel()  # so that whoever waits for something else finds out at once
            raise Died

    def check(self) -> None:
        """Raise `Died` if it is dead."""
        if not self.alive:
            raise Died


def latency_s(rng: Random, usual_s: float) -> float:
    """How long something takes: mostly about *usual_s*, now and then much longer."""
    return rng.expovariate(1 / usual_s) if rng.random() < 0.97 else rng.uniform(1, 8)

"""Holds requests back where pages come faster than they can be put away.

Rules kept here: too many pages that wait to be staged stop the requests until they are written. Where that happens,
this machine is the limit and not the API; then nothing is asked for while a partition is published either. Both at
once would take longer than one after the other, since they share one interpreter, and more memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Brake:
    """Whether requests are held back."""

    def __init__(self, hold: Callable[[bool], None]) -> None:
        """They are not.

        Args:
            hold: is told True when requests are to be held back, and False when no longer.
        """
        self._hold = hold
        self._held = False
        self._full = False
        self._behind = False
        self._publishing = False

    def full(self, full: bool) -> None:
        """Whether too many pages wait to be staged."""
        self._full = full
        self._behind |= full
        self._set()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """A partition is being published."""
        self._publishing = True
        self._set()
        try:
            yield
        finally:
            self._publishing = self._behind = False
            self._set()

    def _set(self) -> None:
        held = self._full or (self._publishing and self._behind)
        if held != self._held:
            self._held = held
            self._hold(held)

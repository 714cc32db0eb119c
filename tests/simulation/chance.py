"""Randomness by name: what is drawn for one call does not depend on what was drawn for others before it.

So a small change of the exporter does not make another scenario of every seed, and a seed can be replayed although
asyncio cancels tasks in an order of its own.
"""

from collections import Counter
from random import Random


class Chance:
    """Everything random of one seed, or of one part of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._drawn: Counter[str] = Counter()

    def part(self, name: str) -> "Chance":
        """The randomness of one part."""
        return Chance(f"{self._name}/{name}")

    def once(self, name: str) -> Random:
        """New numbers for one use of *name*; each use has its own."""
        self._drawn[name] += 1
        return Random(f"{self._name}/{name}/{self._drawn[name]}")

"""One thing done with many items, a few at a time: a distant store answers each call late, but takes many at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

#: At once; as many as a bucket is asked at once at most.
_FEW = 16


async def few_at_once(do: Callable[[_T], Awaitable[_R]], items: Iterable[_T]) -> list[_R]:
    """What *do* gives for each of *items*, in their order; the first failure is raised, and nothing more is begun."""
    todo = list(items)
    done: list[_R] = []
    for start in range(0, len(todo), _FEW):
        done += await asyncio.gather(*map(do, todo[start : start + _FEW]))
    return done

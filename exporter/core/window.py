"""Windows: half-open ranges of local days, cut at calendar boundaries.

Rules kept here: the windows of a range tile it once; a window's instants are the first moments of its local days, so
that adjacent windows meet in exactly one instant in every zone and across every change of the clocks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import assert_never
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)


class Every(StrEnum):
    """Width of a window; also a pivot's period."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Local days from *start* up to, not including, *end*."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ValueError(f"a window needs start < end, not {self.start} to {self.end}")

    def __str__(self) -> str:
        if self.start.day == 1 and self.end == _next_boundary(self.start, Every.MONTH):
            return f"{self.start:%Y-%m}"
        return f"{self.start}..{self.end}"

    def covers(self, other: "Window") -> bool:
        """Whether every day of *other* is a day of this window."""
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: "Window") -> bool:
        """Whether the two share a day."""
        return self.start < other.end and other.start < self.end

    def instants(self, zone: str) -> tuple[datetime, datetime]:
        """First moment of the first day, and first moment after the last day, in UTC.

        Both are equal where the zone skipped all these days (Pacific/Apia, 2011-12-30).
        """
        return _instants(self, zone)


@lru_cache(maxsize=65536)
def _instants(window: Window, zone: str) -> tuple[datetime, datetime]:
    tz = ZoneInfo(zone)
    return first_instant(window.start, tz), first_instant(window.end, tz)


def first_instant(day: date, tz: ZoneInfo) -> datetime:
    """The earliest moment whose local date in *tz* is *day* or later, in UTC.

    This is local midnight, except where the clocks skipped it; then it is the moment of the change.
    """
    midnight = datetime.combine(day, time(), tz)
    instant = midnight.astimezone(UTC)
    if instant.astimezone(tz).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return instant
    # Midnight does not exist: the change lies between what the offsets before and after it make of midnight.
    low, high = midnight.replace(fold=1).astimezone(UTC) - _MICROSECOND, instant
    while high - low > _MICROSECOND:
        middle = low + (high - low) / 2
        if middle.astimezone(tz).date() >= day:
            high = middle
        else:
            low = middle
    return high


def _next_boundary(day: date, every: Every) -> date:
    """The first boundary after *day*."""
    match every:
        case Every.DAY:
            return day + _DAY
        case Every.WEEK:
            return day + timedelta(days=7 - day.weekday())
        case Every.MONTH:
            return date(day.year + day.month // 12, day.month % 12 + 1, 1)
        case Every.YEAR:
            return date(day.year + 1, 1, 1)
        case _:
            assert_never(every)


def _cuts(start: date, end: date, every: Every) -> Iterator[date]:
    day = start
    while day < end:
        yield day
        day = _next_boundary(day, every)
    yield end


@lru_cache(maxsize=64)
def cut(start: date, end: date, every: Every) -> tuple[Window, ...]:
    """Windows that tile [*start*, *end*) once, in order; the first and the last may be narrower than *every*.

    They are remembered, so that a thousand studios share them.
    """
    return tuple(Window(a, b) for a, b in pairwise(_cuts(start, end, every)))


def unbroken(windows: Iterable[Window]) -> tuple[Window, ...]:
    """The ranges of days that *windows* make, each as long as possible.

    Args:
        windows: in order, without overlaps; where one does not begin as the one before it ends, a new range begins.
    """
    ranges: list[Window] = []
    for window in windows:
        if ranges and ranges[-1].end == window.start:
            ranges[-1] = Window(ranges[-1].start, window.end)
        else:
            ranges.append(window)
    return tuple(ranges)


def last_instant(end: datetime) -> datetime:
    """The last moment before *end* that the API can tell apart.

    The API's bounds are taken as inclusive, so an event at *end* itself must not be asked for twice.
    Source: docs/api.md section 5, "Bounds inclusive?".
    """
    return end - _MICROSECOND

"""Failures as a person reads them: of very many, those of a studio that have one reason are told once. Pure."""

import re
from collections.abc import Sequence
from datetime import date

from exporter.core.summary import Failure
from exporter.core.text import some
from exporter.core.window import Window, unbroken

#: Failures that have a line each, if there are no more.
EACH_TOLD = 50

#: Ranges of days that are named in a line at most; most failures follow each other.
_NAMED = 5

_FIGURES = re.compile("[0-9]+")


def reason_of(error: str) -> str:
    """What the errors of a studio's windows have in common where the reason is the same.

    They begin with the place and a colon, and may say how long or how often something was tried: neither is part of
    the reason.
    """
    return _FIGURES.sub("", error.partition(": ")[2] or error)


def failure_lines(failures: Sequence[Failure], each_told: int = EACH_TOLD) -> Sequence[str]:
    """A line for each; of more than *each_told* one for a studio and reason: the first error, the windows like it."""
    if len(failures) <= each_told:
        return [failure.error for failure in failures]
    alike: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        alike.setdefault((failure.studio, reason_of(failure.error)), []).append(failure)
    return [_line(those) for those in alike.values()]


def _line(alike: Sequence[Failure]) -> str:
    if len(alike) == 1:
        return alike[0].error
    windows = sorted(Window(date.fromisoformat(f.window_start), date.fromisoformat(f.window_end)) for f in alike)
    days = [str(span) for span in unbroken(windows)]
    return f"{alike[0].error} (alike in {len(alike):,} windows: {some(days, _NAMED)})"

"""What goes wrong, on request: a source of faults is asked at each request whether one happens, and which.

`parse_faults` makes a source from text. A test may hand in any function of its own, which may also change the world.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import TypeAlias

from exporter.errors import UsageError
from exporter.sandbox.messages import Asked
from exporter.sandbox.tabulate import Page, Row, Table


class Fault(StrEnum):
    """One way to go wrong. Only reports that would have been served go wrong in the kinds from `html200` on."""

    ERROR_500 = "500"  # as JSON
    ERROR_502 = "502"  # as an HTML page
    ERROR_503 = "503"  # as JSON
    ERROR_503_WAIT = "503wait"  # with Retry-After: 1
    ERROR_504 = "504"  # as an HTML page
    THROTTLED = "429"  # although the rate was kept
    UNAUTHORIZED = "401"  # although the token is right
    HTML_200 = "html200"  # an HTML page with status 200
    BAD_JSON = "badjson"  # JSON cut in half, the response itself whole
    TRUNCATE = "truncate"  # half of the body, then the connection closes
    RESET = "reset"  # the connection is reset and nothing answered
    SLOW = "slow"  # the right answer, too late
    DRIFT = "drift"  # the report changes just before this answer: an infraction comes or goes
    REPEAT = "repeat"  # the last row of the page is one of another page
    SHORT_PAGE = "shortpage"  # the last row of the page is missing
    WRONG_SORT = "wrongsort"  # the headers tell of another order than asked for
    MISSING_COLUMN = "missingcolumn"  # the first column is missing


#: Names that stand for several kinds; `all` passes when the same request is sent again, and takes no waiting.
GROUPS: Mapping[str, tuple[Fault, ...]] = {
    "all": (
        Fault.ERROR_500,
        Fault.ERROR_502,
        Fault.ERROR_503,
        Fault.ERROR_503_WAIT,
        Fault.ERROR_504,
        Fault.THROTTLED,
        Fault.HTML_200,
        Fault.BAD_JSON,
        Fault.TRUNCATE,
        Fault.RESET,
    ),
    "data": (Fault.DRIFT, Fault.REPEAT, Fault.SHORT_PAGE, Fault.WRONG_SORT),
}

#: The fault of one request, given its number (from 1, every request counts) and what it asks; None for none.
FaultSource: TypeAlias = Callable[[int, Asked], Fault | None]


def no_faults(_number: int, _asked: Asked) -> Fault | None:
    """Nothing goes wrong."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFaults:
    """Faults of given requests and, for all others, of a given share.

    Attributes:
        listed: the fault of single requests, by number.
        shares: how probable each kind is; the sum is at most 1.
        rng: decides.
    """

    listed: Mapping[int, Fault]
    shares: Mapping[Fault, float]
    rng: Random

    def __call__(self, number: int, _asked: Asked) -> Fault | None:
        """The fault of one request."""
        drawn = self.rng.random()
        if number in self.listed:
            return self.listed[number]
        for fault, share in self.shares.items():
            drawn -= share
            if drawn < 0:
                return fault
        return None


def parse_faults(text: str, seed: int = 1) -> FaultSource:
    """Read a plan such as "500:0.05,reset:0.02", "all:0.2" or "drift@12".

    `kind:share` makes the kind happen to this share of the requests, `kind@number` to one request. A group's share is
    divided among its kinds. An empty text plans nothing.

    Raises:
        UsageError: a kind, share or number makes no sense, or the shares exceed 1.
    """
    listed: dict[int, Fault] = {}
    shares: dict[Fault, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, sign, amount = item.partition("@") if "@" in item else item.partition(":")
        kinds = _kinds(item, name)
        if sign == "@":
            listed[_number(item, amount, kinds)] = kinds[0]
            continue
        for kind in kinds:
            shares[kind] = shares.get(kind, 0.0) + _share(item, amount) / len(kinds)
    if (total := sum(shares.values())) > 1 + 1e-9:
        raise UsageError(f'faults: the shares of "{text}" add up to {total:g} instead of at most 1; lower them')
    return PlannedFaults(listed=listed, shares=shares, rng=Random(f"{seed}/faults"))  # noqa: S311 - repeatable


def _kinds(item: str, name: str) -> Sequence[Fault]:
    try:
        return GROUPS.get(name) or (Fault(name),)
    except ValueError:
        known = ", ".join((*GROUPS, *Fault))
        raise UsageError(f'faults: "{item}" names the kind "{name}" instead of one of {known}') from None


def _share(item: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f'faults: "{item}" has the share "{text}" instead of a number from 0 to 1; write kind:0.05')
    return share


def _number(item: str, text: str, kinds: Sequence[Fault]) -> int:
    if len(kinds) > 1:
        raise UsageError(f'faults: "{item}" gives a group to one request; name one kind, such as {kinds[0]}@{text}')
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f'faults: "{item}" has the number "{text}" instead of 1, 2, ...; write kind@12')
    return int(text)


def spoil(page: Page, fault: Fault | None, table: Table, offset: int) -> Page:
    """The page as *fault* would have it; unchanged for a fault that leaves the rows alone.

    Args:
        page: the right page.
        fault: what goes wrong.
        table: the report that the page is of.
        offset: where in the report the page begins.
    """
    match fault:
        case Fault.REPEAT if page.rows:
            return replace(page, rows=_with_repeat(page.rows, table.rows, offset))
        case Fault.SHORT_PAGE:
            return replace(page, rows=page.rows[:-1])
        case Fault.WRONG_SORT:
            first, *others = page.headings
            other_order = "asc" if first.order == "desc" else "desc"
            return replace(page, headings=(replace(first, order=other_order), *others))
        case Fault.MISSING_COLUMN:
            return replace(page, headings=page.headings[1:], rows=tuple(row[1:] for row in page.rows))
        case _:
            return page


def _with_repeat(rows: tuple[Row, ...], report: Sequence[Row], offset: int) -> tuple[Row, ...]:
    """*rows* with the last one replaced by one that is served elsewhere, in a report of one row by adding it again."""
    if len(report) == 1:
        return rows * 2
    elsewhere = report[:offset] or report[offset + len(rows) :] or report
    return (*rows[:-1], elsewhere[0])

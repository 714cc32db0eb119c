"""From infractions to the rows of a report: filter, group, count, sort, page. Pure.

Rules kept here:

- A null sorts after every value, and before them where the order descends.
- No order is kept that was not asked for: rows that the sort leaves equal come in another order each time.
- A pivot puts one column for each period that holds an infraction, in order of time, where `count` stood. Keys are such
  as "2025", "2025-01" and "2025-W03" (ISO weeks) by the start of the event in the studio's zone; values are whole
  numbers, 0 for none.
- `count` alone makes one grand total, and no row where there is nothing to count.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from random import Random
from typing import TypeAlias, assert_never

from exporter.sandbox.catalogue import COUNT, CUSTOMER_ID, Value
from exporter.sandbox.messages import invalid_parameters
from exporter.sandbox.query import Selection
from exporter.sandbox.studios import Infraction, MadeUpStudio

Row: TypeAlias = tuple[Value, ...]

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What an answer says of one of its columns.

    Attributes:
        object: key of the object that its values are parts of, where the answer describes that as one column.
        order: "asc" or "desc" where the report is sorted by it.
        priority: its rank in that sort, from 0.
    """

    key: str
    label: str
    object: str | None = None
    sortable: bool = True
    holds_customer_id: bool = False
    required: bool = False
    order: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows of a report of *total* rows."""

    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]
    total: int


@dataclass(slots=True, kw_only=True)
class Table:
    """A whole report.

    Attributes:
        sort: positions of columns to order by, each with whether it descends.
    """

    headings: tuple[Heading, ...]
    rows: list[Row]
    sort: tuple[tuple[int, bool], ...]
    _settled: bool | None = field(default=None, init=False)

    def page(self, offset: int, limit: int, rng: Random) -> Page:
        """At most *limit* rows from *offset* on; *rng* decides what the sort leaves open."""
        self._arrange(rng)
        return Page(headings=self.headings, rows=tuple(self.rows[offset : offset + limit]), total=len(self.rows))

    def _arrange(self, rng: Random) -> None:
        if self._settled:
            return
        rng.shuffle(self.rows)
        for position, descending in reversed(self.sort):
            self.rows.sort(key=_rank(position), reverse=descending)
        if self._settled is None:
            keys = [tuple(row[position] for position, _ in self.sort) for row in self.rows]
            self._settled = all(one != other for one, other in pairwise(keys))


def tabulate(studio: MadeUpStudio, selection: Selection) -> Table:
    """The report of one studio as it is now.

    Raises:
        RefusalError: 400, where a pivot has more periods than columns are allowed.
    """
    chosen = _filtered(studio.between(selection.since, selection.until), selection)
    if selection.report.grouped and COUNT in selection.columns:
        return _counted(studio, chosen, selection)
    zone = studio.zone
    values = [column.value for column in selection.columns]
    rows: Iterable[Row] = (
        tuple(value(infraction, at) for value in values)
        for infraction, at in ((infraction, infraction.starts_at.astimezone(zone)) for infraction in chosen)
    )
    if selection.report.grouped:
        rows = dict.fromkeys(rows)
    headings = _headings(selection, ())
    return Table(headings=headings, rows=list(rows), sort=_positions(selection, headings))


def _filtered(infractions: Iterable[Infraction], selection: Selection) -> list[Infraction]:
    return [
        infraction
        for infraction in infractions
        if (selection.id_gt is None or infraction.id > selection.id_gt)
        and all(each.value(infraction) in wanted for each, wanted in selection.wanted)
    ]


def _counted(studio: MadeUpStudio, chosen: Iterable[Infraction], selection: Selection) -> Table:
    zone = studio.zone
    values = [column.value for column in selection.columns if column is not COUNT]
    groups: dict[Row, Counter[str]] = {}
    for infraction in chosen:
        at = infraction.starts_at.astimezone(zone)
        group = tuple(value(infraction, at) for value in values)
        groups.setdefault(group, Counter())[_period(at, selection.pivot)] += 1
    periods = _periods(groups.values(), selection)
    place = selection.columns.index(COUNT)
    rows = [
        (*group[:place], *(counts[period] for period in periods), *group[place:]) for group, counts in groups.items()
    ]
    headings = _headings(selection, periods)
    return Table(headings=headings, rows=rows, sort=_positions(selection, headings))


def _periods(groups: Iterable[Counter[str]], selection: Selection) -> list[str]:
    if selection.pivot == "all":
        return [COUNT.key]
    periods = sorted(set[str]().union(*groups))
    if len(periods) > selection.max_pivot_columns:
        message = f"The report has {len(periods)} periods, more than {selection.max_pivot_columns}."
        raise invalid_parameters({"max_pivot_columns": [message]})
    return periods


def _period(at: datetime, pivot: str) -> str:
    """The key of the column that an event at *at*, local time, is counted in."""
    match pivot:
        case "year":
            return f"{at:%Y}"
        case "month":
            return f"{at:%Y-%m}"
        case "week":
            return f"{at:%G-W%V}"
        case _:
            return COUNT.key


def _label(period: str, pivot: str) -> str:
    year, _, rest = period.partition("-")
    match pivot:
        case "month":
            return f"{_MONTHS[int(rest) - 1]} {year}"
        case "week":
            return f"Week {int(rest[1:])}, {year}"
        case _:
            return period


def _headings(selection: Selection, periods: Sequence[str]) -> tuple[Heading, ...]:
    ranks = {column: (rank, descending) for rank, (column, descending) in enumerate(selection.sort)}
    headings = []
    for column in selection.columns:
        if column is COUNT and selection.pivot != "all":
            headings += [Heading(key=each, label=_label(each, selection.pivot), sortable=False) for each in periods]
            continue
        rank, descending = ranks.get(column, (0, None))
        headings.append(
            Heading(
                key=column.key,
                label=column.label,
                object=column.object,
                holds_customer_id=column is CUSTOMER_ID,
                required=column in selection.required,
                order=_order(descending),
                priority=rank,
            )
        )
    return tuple(headings)


def _order(descending: bool | None) -> str | None:
    match descending:
        case None:
            return None
        case True:
            return "desc"
        case False:
            return "asc"
        case _:
            assert_never(descending)


def _positions(selection: Selection, headings: Sequence[Heading]) -> tuple[tuple[int, bool], ...]:
    keys = [heading.key for heading in headings]
    return tuple((keys.index(column.key), descending) for column, descending in selection.sort)


def _rank(position: int) -> Callable[[Row], tuple[bool, Value]]:
    """What rows are ordered by, for one column."""

    def rank(row: Row) -> tuple[bool, Value]:
        value = row[position]
        return (True, 0) if value is None else (False, value)

    return rank

"""Parameters of a request, checked exactly as documented: a `Query`, or the 400 that names every fault at once.

What the documentation leaves open is decided strictly here: an unknown parameter, a limit or page size below 1, a
date-time without offset, an empty list item, and limit/offset together with page/page_size are refused. A parameter
that takes one value keeps the last one where it is repeated, and so does a list in the comma style.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from exporter.sandbox.catalogue import COUNT, Column, Filter, Report
from exporter.sandbox.messages import invalid_parameters

#: Rows in an answer at most, and when nobody says. Source: API reference, "limit".
MAX_LIMIT = 100
DEFAULT_LIMIT = 50

#: Period columns at most, and when nobody says. Source: API reference, "max_pivot_columns".
MAX_PIVOT_COLUMNS = 12
DEFAULT_PIVOT_COLUMNS = 4

PIVOTS = ("all", "year", "month", "week")
FORMATS = ("csv", "json")

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


class ListStyle(StrEnum):
    """How a list parameter is written; the documentation does not say."""

    COMMA = "comma"
    REPEAT = "repeat"
    BRACKETS = "brackets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A whole report, before it is paged and written; hashable.

    Attributes:
        sort: columns to order by, most significant first, each with whether it descends.
        required: columns of *columns* that come whether or not they were asked for.
        since: first moment an event may start, UTC; None for no bound.
        until: last moment an event may start, UTC, inclusive.
        wanted: per filter, the values that it lets through.
        id_gt: infractions of greater ids only.
    """

    report: Report
    columns: tuple[Column, ...]
    sort: tuple[tuple[Column, bool], ...] = ()
    required: tuple[Column, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    wanted: tuple[tuple[Filter, frozenset[str | int]], ...] = ()
    id_gt: int | None = None
    pivot: str = "all"
    max_pivot_columns: int = DEFAULT_PIVOT_COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One page of a report."""

    selection: Selection
    offset: int
    limit: int
    format: str


def parse_query(
    report: Report,
    params: Iterable[tuple[str, str]],
    *,
    list_style: ListStyle = ListStyle.COMMA,
    required: Sequence[str] = (),
) -> Query:
    """Check the parameters of one request.

    Args:
        report: what is asked for.
        params: decoded pairs, in order, repeated names kept.
        list_style: the one style that lists are accepted in.
        required: names of columns that every answer holds, asked for or not.

    Raises:
        RefusalError: 400, with a message for each parameter that is wrong.
    """
    reader = _Reader(params, list_style)
    forced = _unique(column for name in required for column in report.named(name))
    columns = _unique((*forced, *_columns(reader, report)))
    offset, limit = _paging(reader)
    selection = Selection(
        report=report,
        columns=columns,
        required=forced,
        since=reader.moment("event_starts_at_gte"),
        until=reader.moment("event_starts_at_lte"),
        wanted=tuple(_wanted(reader, report.filters)),
        id_gt=reader.integer("id_gt"),
        pivot=reader.choice("pivot", PIVOTS, "all") if report.grouped else "all",
        max_pivot_columns=_max_pivot_columns(reader) if report.grouped else DEFAULT_PIVOT_COLUMNS,
        sort=_sort(reader, report, columns),
    )
    query = Query(
        selection=selection, offset=offset, limit=limit, format=reader.choice("format", FORMATS, default="csv")
    )
    if selection.pivot != "all" and any(column is COUNT for column, _ in selection.sort):
        reader.refuse("sort", "A pivoted report has no count to sort by.")
    reader.finish()
    return query


class _Reader:
    """Takes parameters one by one, and remembers what was wrong with each and which ones nobody took."""

    def __init__(self, params: Iterable[tuple[str, str]], list_style: ListStyle) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in params:
            self._values.setdefault(name, []).append(value)
        self._list_style = list_style
        self._known: set[str] = set()
        self._errors: dict[str, list[str]] = {}

    def refuse(self, name: str, message: str) -> None:
        self._errors.setdefault(name, []).append(message)

    def finish(self) -> None:
        for name in self._values.keys() - self._known:
            self.refuse(name, "Unknown parameter.")
        if self._errors:
            raise invalid_parameters(self._errors)

    def given(self, *names: str) -> bool:
        return any(name in self._values for name in names)

    def text(self, name: str) -> str | None:
        self._known.add(name)
        values = self._values.get(name)
        return values[-1] if values else None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """The items of a list, or None where it was not given."""
        key = f"{name}[]" if self._list_style is ListStyle.BRACKETS else name
        self._known.add(key)
        values = self._values.get(key)
        if values is None:
            return None
        items = values[-1].split(",") if self._list_style is ListStyle.COMMA else values
        if "" in items:
            self.refuse(name, "An item of a list may not be empty.")
        return tuple(item for item in items if item)

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        value = self.text(name)
        if value is None:
            return default
        return value if self._is_choice(name, value, allowed) else default

    def choices(self, name: str, allowed: Sequence[str]) -> frozenset[str] | None:
        items = self.texts(name)
        if items is None:
            return None
        return frozenset(item for item in items if self._is_choice(name, item, allowed))

    def integer(self, name: str, *, least: int | None = None, most: int | None = None) -> int | None:
        value = self.text(name)
        number = None if value is None else self._as_integer(name, value)
        if number is None:
            return None
        if least is not None and number < least:
            self.refuse(name, f"Ensure this value is greater than or equal to {least}.")
        if most is not None and number > most:
            self.refuse(name, f"Ensure this value is less than or equal to {most}.")
        return number

    def integers(self, name: str) -> frozenset[int] | None:
        items = self.texts(name)
        if items is None:
            return None
        numbers = (self._as_integer(name, item) for item in items)
        return frozenset(number for number in numbers if number is not None)

    def moment(self, name: str) -> datetime | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            if _DATE_TIME.fullmatch(value):
                return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        self.refuse(name, "Enter a valid date-time with an offset, such as 2025-01-31T18:30:00Z.")
        return None

    def _as_integer(self, name: str, value: str) -> int | None:
        if _INTEGER.fullmatch(value):
            return int(value)
        self.refuse(name, "A valid integer is required.")
        return None

    def _is_choice(self, name: str, value: str, allowed: Sequence[str]) -> bool:
        if value in allowed:
            return True
        self.refuse(name, f"Not a valid choice; choose from {', '.join(allowed)}.")
        return False


def _unique(columns: Iterable[Column]) -> tuple[Column, ...]:
    return tuple(dict.fromkeys(columns))


def _columns(reader: _Reader, report: Report) -> tuple[Column, ...]:
    names = reader.texts("columns")
    if names is None:
        if report.grouped:
            reader.refuse("columns", "This field is required.")
        return report.columns
    for name in names:
        if not report.named(name):
            reader.refuse("columns", f'"{name}" is not a column of this report.')
    return _unique(column for name in names for column in report.named(name))


def _sort(reader: _Reader, report: Report, columns: Sequence[Column]) -> tuple[tuple[Column, bool], ...]:
    """The columns to order by; a prefix stands for those of its columns that the answer holds."""
    order: dict[Column, bool] = {}
    for item in reader.texts("sort") or ():
        name, descending = item.removeprefix("-"), item.startswith("-")
        found = [column for column in report.named(name) if column in columns]
        if not found:
            reader.refuse("sort", f'"{name}" is not a column of this answer.')
        for column in found:
            # An object is ordered by the first of its values.
            if column.object is None or all(column.object != other.object for other in order):
                order.setdefault(column, descending)
    return tuple(order.items())


def _wanted(reader: _Reader, filters: Iterable[Filter]) -> Iterable[tuple[Filter, frozenset[str | int]]]:
    for each in filters:
        wanted: frozenset[str] | frozenset[int] | None
        if each.allowed:
            wanted = reader.choices(each.name, each.allowed)
        elif each.many:
            wanted = reader.integers(each.name)
        else:
            number = reader.integer(each.name)
            wanted = None if number is None else frozenset({number})
        if wanted is not None:
            yield each, frozenset[str | int](wanted)


def _paging(reader: _Reader) -> tuple[int, int]:
    """Offset and limit."""
    by_page = reader.given("page", "page_size")
    if by_page and reader.given("limit", "offset"):
        reader.refuse("non_field_errors", "Use either limit and offset, or page and page_size.")
    page = reader.integer("page", least=1)
    page_size = reader.integer("page_size", least=1, most=MAX_LIMIT)
    limit = reader.integer("limit", least=1, most=MAX_LIMIT)
    offset = reader.integer("offset", least=0)
    if by_page:
        size = DEFAULT_LIMIT if page_size is None else page_size
        return (0 if page is None else (page - 1) * size), size
    return (0 if offset is None else offset), (DEFAULT_LIMIT if limit is None else limit)


def _max_pivot_columns(reader: _Reader) -> int:
    most = reader.integer("max_pivot_columns", least=1, most=MAX_PIVOT_COLUMNS)
    return DEFAULT_PIVOT_COLUMNS if most is None else most

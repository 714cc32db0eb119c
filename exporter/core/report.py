"""What a report is: its columns, filters and grain. The reports themselves are in `catalogue.py`.

Rules kept here: a column is asked for by its leaf key and written under its snake-case name; a column that a
configuration names twice, in whatever form, is refused; the grain says which rows may stand in one dataset.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from exporter.core.window import Every, Window, cut

GrainId = NewType("GrainId", str)
DatasetName = NewType("DatasetName", str)
Scalar = str | int


class ColumnType(StrEnum):
    """Type of a report's column in the sink."""

    INT64 = "int64"
    FLOAT64 = "float64"
    STRING = "string"


class Pivot(StrEnum):
    """Periods that a grouped report's counts can be split over."""

    ALL = "all"
    YEAR = "year"
    MONTH = "month"
    WEEK = "week"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One leaf of a report's rows.

    Attributes:
        key: where the value sits in a row; dots mean nesting.
        name: the snake-case name in the sink.
        type: how it is stored.
        ask: what names it in the request, where that is not the key (a money object is asked for as a whole).
        personal: whether it identifies a person.
        customer_id: whether its values are the API's ids of customers.
    """

    key: str
    name: str
    type: ColumnType = ColumnType.STRING
    ask: str = ""
    personal: bool = False
    customer_id: bool = False

    @property
    def asked_as(self) -> str:
        """The name that stands in the request's `columns`, `sort` and in the answer's headers."""
        return self.ask or self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One filter of a report.

    Attributes:
        name: as in the API.
        type: type of its values.
        many: whether it takes a list.
        allowed: the documented values; empty where any value is.
    """

    name: str
    type: ColumnType
    many: bool = True
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSpec:
    """One entry of the catalogue.

    Attributes:
        name: as in the API's path.
        path: below the base URL.
        columns: every leaf, in the documented order.
        default_columns: names of what is exported where nothing is configured.
        filters: what may narrow it.
        since, until: the date-time filters on the start (inclusive) and the end (inclusive) of events.
        grouped: whether the attribute columns are a group key.
        measures: names of the columns that add up over rows; they are no part of the key.
        row_key: names of the columns that identify a row; empty means all but the measures.
        pivots: the periods it can be split over; empty where it takes no pivot.
        identity: names of the columns whose values belong to one studio alone.
    """

    name: str
    path: str
    columns: tuple[Column, ...]
    default_columns: tuple[str, ...]
    filters: tuple[Filter, ...]
    since: str
    until: str
    grouped: bool
    measures: tuple[str, ...] = ()
    row_key: tuple[str, ...] = ()
    pivots: tuple[Pivot, ...] = ()
    identity: tuple[str, ...] = ()

    def column_forms(self) -> Mapping[str, tuple[Column, ...]]:
        """Every way to name columns: leaf key, snake-case name, or an object prefix for all leaves below it."""
        forms: dict[str, tuple[Column, ...]] = {}
        for column in self.columns:
            forms[column.name] = forms[column.key] = (column,)
            parts = column.key.split(".")
            prefixes = [".".join(parts[:depth]) for depth in range(1, len(parts))]
            if column.ask:
                prefixes.append(column.ask.replace(".", "_"))
            for prefix in prefixes:
                forms[prefix] = (*forms.get(prefix, ()), column)
        return forms

    def resolve(self, names: Sequence[str]) -> tuple[Column, ...]:
        """The leaves that *names* stand for, in the order asked for.

        Raises:
            ValueError: a name is unknown, or a leaf is named twice.
        """
        forms = self.column_forms()
        chosen: list[Column] = []
        for name in names:
            if name not in forms:
                raise ValueError(f'"{name}" is no column of {self.name}; allowed are {", ".join(self.names())}')
            for column in forms[name]:
                if column in chosen:
                    raise ValueError(f'"{name}" names the column {column.name} a second time; name each column once')
                chosen.append(column)
        return tuple(chosen)

    def names(self) -> tuple[str, ...]:
        """The snake-case names of all columns."""
        return tuple(column.name for column in self.columns)

    def filter(self, name: str) -> Filter | None:
        """The filter called *name*, if the report has it."""
        return next((f for f in self.filters if f.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One table in the sink: a report at one grain.

    Attributes:
        name: folder in the sink and table name.
        spec: the report it comes from.
        columns: leaves asked for, in order.
        every: width of its windows.
        pivot: periods that counts are split over.
        max_pivot_columns: periods in an answer at most.
        filters: values by filter name, as configured.
        drop: names of columns that are never written.
        hash: names of columns that are written as keyed hashes.
        hash_id: tells one hash key from another without saying anything about it.
    """

    name: DatasetName
    spec: ReportSpec
    columns: tuple[Column, ...]
    every: Every
    pivot: Pivot = Pivot.ALL
    max_pivot_columns: int = 4
    filters: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    hash: frozenset[str] = frozenset()
    hash_id: str = ""

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """What identifies a row of an answer: the group key, or the report's row key where it was asked for."""
        wanted = self.spec.row_key
        chosen = tuple(c for c in self.columns if c.name in wanted) if wanted else ()
        return chosen or tuple(c for c in self.columns if c.name not in self.spec.measures)

    @property
    def sort_keys(self) -> tuple[str, ...]:
        """What the report is to be sorted by: every column of the key, so that the order is total.

        An offset over an order that is not total loses and repeats rows.
        """
        return tuple(dict.fromkeys(column.asked_as for column in self.key_columns))

    @property
    def grain(self) -> "Grain":
        """What its rows are grouped by, and what else makes them comparable."""
        columns = {c.name for c in self.columns} - self.drop
        return Grain(
            report=self.spec.name,
            columns=tuple(sorted(columns)),
            every=self.every,
            pivot=self.pivot,
            filters=tuple(sorted((k, tuple(sorted(map(str, v)))) for k, v in self.filters.items() if v)),
            hashed=tuple(sorted(self.hash & columns)),
            hash_id=self.hash_id if self.hash & columns else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grain:
    """What must agree before rows may stand in one dataset."""

    report: str
    columns: tuple[str, ...]
    every: Every
    pivot: Pivot
    filters: tuple[tuple[str, tuple[str, ...]], ...]
    hashed: tuple[str, ...]
    hash_id: str

    @property
    def id(self) -> GrainId:
        """Short digest; equal grains have equal ids, in every version of this program."""
        parts = [self.report, self.columns, self.every, self.pivot, self.filters, self.hashed, self.hash_id]
        text = json.dumps(parts, separators=(",", ":"))
        return GrainId(hashlib.sha256(text.encode()).hexdigest()[:16])


def periods_within(window: Window, pivot: Pivot) -> int:
    """How many of the pivot's calendar periods *window* touches."""
    if pivot is Pivot.ALL:
        return 0
    # A range that begins and ends inside a period touches it; cut() counts a cut period as one.
    return len(cut(window.start, window.end, Every(pivot.value)))


def most_periods(every: Every, pivot: Pivot, start_to_end: Window) -> int:
    """The largest number of periods that any window of the range touches."""
    windows = cut(start_to_end.start, start_to_end.end, every)
    return max((periods_within(w, pivot) for w in windows), default=0)

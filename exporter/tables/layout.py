"""Where each column of an answer comes from, and what it is called in the sink.

Rules kept here: every column that came is read; what was asked for comes first; a key that the catalogue knows has the
catalogue's name and type, any other is kept as text under a name of its own. With a pivot, a key that is neither
asked for, nor known, nor `required`, is a period.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from exporter.core.answer import Header
from exporter.core.catalogue import CUSTOMER_ID_COLUMNS
from exporter.core.report import Column, ColumnType, Dataset, Pivot, ReportSpec
from exporter.tables.schema import ARROW_TYPES, LEADING, PERIOD_KEY, PERIOD_LABEL, TRAILING

#: Names that an unknown column may not take: the exporter's own, and the partition's.
_RESERVED = frozenset({*(f.name for f in (*LEADING, *TRAILING)), PERIOD_KEY, PERIOD_LABEL, "month"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of a row.

    Attributes:
        key: dotted path.
        name: in the sink; for a period, its key.
        type: None where the catalogue does not know the key.
    """

    key: str
    name: str
    type: ColumnType | None

    @property
    def arrow_type(self) -> pa.DataType:
        """How it is stored; what is unknown is text."""
        return ARROW_TYPES[self.type or ColumnType.STRING]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What stands in the rows of one set of answers.

    Attributes:
        dataset: what was asked for.
        extras: columns that came unasked.
        periods: the pivot's columns, in the order of the headers.
        customer_columns: names of columns that hold customers' ids as the headers say, without those that the
            catalogue knows; sorted.
    """

    dataset: Dataset
    extras: tuple[Leaf, ...] = ()
    periods: tuple[Header, ...] = ()
    customer_columns: tuple[str, ...] = ()

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """All values of a row; no two have one key."""
        return (
            *(Leaf(c.key, c.name, c.type) for c in self.dataset.columns),
            *self.extras,
            *(Leaf(h.key, h.key, ColumnType.INT64) for h in self.periods),
        )

    def unasked(self, key: str, others: Iterable[Leaf]) -> Leaf:
        """The leaf for *key*, which nobody asked for and which comes beside *others*."""
        column = known_columns(self.dataset.spec).get(key)
        if column:
            return Leaf(column.key, column.name, column.type)
        # A column that the catalogue knows may come after this one, and has its name already.
        taken = _RESERVED | {c.name for c in self.dataset.spec.columns} | {leaf.name for leaf in others}
        return Leaf(key, _free_name(key, taken), None)


def known_columns(spec: ReportSpec) -> dict[str, Column]:
    """The report's columns by key and by snake-case name."""
    return {column.name: column for column in spec.columns} | {column.key: column for column in spec.columns}


def object_keys(leaves: Iterable[Leaf], spec: ReportSpec) -> set[str]:
    """Keys under which other keys lie: in a row they hold an object or null, and nothing of their own."""
    keys = [*(leaf.key for leaf in leaves), *(column.key for column in spec.columns)]
    return {key[: dot.start()] for key in keys for dot in re.finditer(r"\.", key)}


def layout_of(headers: Sequence[Header], dataset: Dataset) -> Layout:
    """What the answer's headers say of its rows."""
    known, objects = known_columns(dataset.spec), object_keys((), dataset.spec)
    layout = Layout(dataset=dataset)
    extras: dict[str, Leaf] = {}
    periods: dict[str, Header] = {}
    for header in headers:
        column = known.get(header.key)
        if column in dataset.columns or header.key in objects:
            continue
        if column is None and dataset.pivot is not Pivot.ALL and not header.required:
            periods.setdefault(header.key, header)
        else:
            leaf = layout.unasked(header.key, extras.values())
            extras.setdefault(leaf.key, leaf)
    names = {key: column.name for key, column in known.items()} | {key: leaf.name for key, leaf in extras.items()}
    flagged = {names[header.key] for header in headers if header.holds_customer_id and header.key in names}
    return Layout(
        dataset=dataset,
        extras=tuple(extras.values()),
        periods=tuple(periods.values()),
        customer_columns=tuple(sorted(flagged - CUSTOMER_ID_COLUMNS)),
    )


def _free_name(key: str, taken: set[str] | frozenset[str]) -> str:
    # Lower-case ASCII, digits and underscores: what every reader of the sink takes without quoting.
    name = re.sub(r"[^0-9a-z]+", "_", key.lower()).strip("_") or "column"
    while name in taken:
        name += "_"
    return name

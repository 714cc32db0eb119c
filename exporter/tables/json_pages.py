"""JSON rows -> Arrow columns.

Two ways that give the same columns. The quick one decodes into structs made for the expected nesting; whatever they do
not expect (a dotted key, an unannounced column, a number as text) makes it give up, so it can lose nothing. The
thorough one then reads every value of every row, wherever it stands, and refuses what does not fit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from exporter.core.answer import LONGEST_NAME, MOST_COLUMNS, Page
from exporter.core.report import ColumnType, Pivot
from exporter.core.text import excerpt
from exporter.errors import ChangedError, DataError
from exporter.tables.layout import Layout, Leaf, object_keys
from exporter.tables.values import Misfit, Value, fit

#: What decoding of foreign bytes raises: malformed or misfitting JSON, invalid UTF-8, numbers or nesting without end.
_UNREADABLE = (ValueError, ArithmeticError, RecursionError)

#: Leaves that structs are made for at most, and how deep they may lie; what goes beyond is not ordinary.
_MOST_QUICK_LEAVES = 200
_DEEPEST_QUICK_LEAF = 8

_ANYTHING = msgspec.json.Decoder(float_hook=Decimal)
_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_QUICK_TYPES: Mapping[ColumnType | None, Any] = {
    ColumnType.INT64: _INT64 | None,
    ColumnType.FLOAT64: float | None,
    ColumnType.STRING: str | None,
    None: str | None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What was read from some pages.

    Attributes:
        leaves: the values of a row; more than the layout's where rows held what no header announced.
        arrays: by leaf key, the pages' rows in order.
        page_rows: rows of each page.
    """

    leaves: tuple[Leaf, ...]
    arrays: Mapping[str, pa.Array]
    page_rows: tuple[int, ...]


def read_json(pages: Sequence[Page], layout: Layout) -> Columns:
    """The rows of *pages*, which have one layout.

    Raises:
        DataError: a value does not fit its column, or a body is no array of objects.
        ChangedError: a body is no JSON; where an answer was cut out of what is known, nobody looked into it before.
    """
    return read_quickly(pages, layout) or read_thoroughly(pages, layout)


def occurring_keys(page: Page) -> set[str] | None:
    """Paths of all values, nulls included, in the rows of *page*; None where it has no rows.

    Raises:
        DataError: the body is no array of objects.
    """
    rows = _rows(page)
    try:
        return {path for row in rows for path, _ in _values(row, frozenset())} if rows else None
    except Misfit as error:
        raise DataError(f"{page.request}: a row {error}; the task is left as it was") from None


# The quick way ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Node:
    """The struct of one object of a row; *fields* and *children* go from struct fields to leaf keys and structs."""

    type: type[msgspec.Struct]
    fields: Mapping[str, str]
    children: Mapping[str, "_Node"]


def read_quickly(pages: Sequence[Page], layout: Layout) -> Columns | None:
    """As `read_json`; None where the rows are not nested just as expected."""
    leaves = layout.leaves
    shape = _shape(leaves)
    if shape is None:
        return None
    decode, root = shape
    rows: list[msgspec.Struct] = []
    ends = []
    try:
        for page in pages:
            rows += decode(page.body)
            ends.append(len(rows))
    except _UNREADABLE:
        return None
    values = dict(_collect(root, rows))
    return Columns(
        leaves=leaves,
        arrays={leaf.key: pa.array(values[leaf.key], leaf.arrow_type) for leaf in leaves},
        page_rows=tuple(end - start for start, end in zip((0, *ends), ends, strict=False)),
    )


@lru_cache(maxsize=32)
def _shape(leaves: tuple[Leaf, ...]) -> tuple[Any, _Node] | None:
    """How to decode a page of rows with *leaves*; None where they are too many, or one has no place in a struct.

    One that lies under another has none, nor has one whose key JSON would escape.
    """
    keys = {leaf.key for leaf in leaves}
    if (
        len(keys) > _MOST_QUICK_LEAVES
        or not all(map(_is_ordinary, keys))
        or any(key.startswith(f"{other}.") for key in keys for other in keys)
    ):
        return None
    root = _node([(leaf.key.split("."), leaf) for leaf in leaves])
    return msgspec.json.Decoder(list[root.type]).decode, root  # type: ignore[name-defined]


def _is_ordinary(key: str) -> bool:
    return key.isprintable() and key.count(".") < _DEEPEST_QUICK_LEAF and not {'"', "\\"}.intersection(key)


def _node(paths: Sequence[tuple[list[str], Leaf]]) -> _Node:
    below: dict[str, list[tuple[list[str], Leaf]]] = {}
    for (head, *rest), leaf in paths:
        below.setdefault(head, []).append((rest, leaf))
    fields: dict[str, str] = {}
    children: dict[str, _Node] = {}
    types: list[tuple[str, Any, None]] = []
    names: dict[str, str] = {}
    for number, (head, inner) in enumerate(below.items()):
        field = f"f{number}"
        names[field] = head
        if inner[0][0]:
            children[field] = _node(inner)
            types.append((field, children[field].type | None, None))
        else:
            fields[field] = inner[0][1].key
            types.append((field, _QUICK_TYPES[inner[0][1].type], None))
    # Unknown fields are refused: ignoring one would turn a dotted key into a null, or lose a column.
    struct = msgspec.defstruct("Row", types, rename=names, forbid_unknown_fields=True, gc=False)
    return _Node(struct, fields, children)


def _collect(node: _Node, rows: list[Any]) -> Iterator[tuple[str, list[Value]]]:
    """The values of each leaf at or below *node*, whose structs *rows* are."""
    for field, key in node.fields.items():
        yield key, list(map(attrgetter(field), rows))
    for field, child in node.children.items():
        inner = list(map(attrgetter(field), rows))
        if not all(inner):  # an object is true; null is not
            absent = child.type()
            inner = [one or absent for one in inner]
        yield from _collect(child, inner)


# The thorough way ---------------------------------------------------------------------------------------------------


def read_thoroughly(pages: Sequence[Page], layout: Layout) -> Columns:
    """As `read_json`, for rows nested in whatever way."""
    table = _Reading(layout)
    page_rows = []
    for page in pages:
        rows = _rows(page)
        for number, row in enumerate(rows, 1):
            try:
                table.add(row)
            except (Misfit, RecursionError) as error:
                reason = error if isinstance(error, Misfit) else "is nested too deeply"
                raise DataError(f"{page.request} row {number}: {reason}; the task is left as it was") from None
        page_rows.append(len(rows))
    return Columns(leaves=tuple(table.leaves.values()), arrays=table.arrays(), page_rows=tuple(page_rows))


def _rows(page: Page) -> list[dict[str, object]]:
    try:
        rows = _ANYTHING.decode(page.body)
    except _UNREADABLE as error:
        # Without its cause: an error about invalid UTF-8 carries the whole body.
        raise ChangedError(f"{page.request}: the rows are no valid JSON ({type(error).__name__})") from None
    if not isinstance(rows, list):
        raise DataError(f"{page.request}: the rows are no JSON array")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{page.request} row {number}: is no JSON object; the task is left as it was")
    return rows


def _values(row: Mapping[str, object], whole: frozenset[str]) -> Iterator[tuple[str, object]]:
    """Path and value of everything in *row* that is no object, or that is under one of the keys *whole*.

    An empty object is as good as null. A dotted key and the nesting it stands for have the same path.

    Raises:
        Misfit: a path is longer than any name may be.
    """
    # A stack of our own: Python's is too small for what a hostile answer may nest.
    open_objects = [("", iter(row.items()))]
    while open_objects:
        above, members = open_objects[-1]
        for key, value in members:
            path = above + key
            if len(path) > LONGEST_NAME:
                raise Misfit("is nested too deeply, or a name in it is too long")
            if isinstance(value, dict) and path not in whole:
                if value:
                    open_objects.append((f"{path}.", iter(value.items())))
                    break
                yield path, None
            else:
                yield path, value
        else:
            open_objects.pop()


class _Reading:
    """Columns that grow row by row, and by the leaves that no header announced."""

    def __init__(self, layout: Layout) -> None:
        self.leaves = {leaf.key: leaf for leaf in layout.leaves}
        self._layout = layout
        self._objects = object_keys(layout.leaves, layout.dataset.spec)
        self._whole = frozenset(leaf.key for leaf in layout.extras if leaf.type is None) - self._objects
        # A path is a key; failing that, the catalogue's snake-case name.
        self._paths = {leaf.name: leaf for leaf in layout.leaves if leaf.type} | self.leaves
        self._columns: dict[str, list[Value]] = {key: [] for key in self.leaves}
        self._rows = 0

    def add(self, row: Mapping[str, object]) -> None:
        """Append one row.

        Raises:
            Misfit: it does not fit.
        """
        values: dict[str, Value] = {}
        for path, value in _values(row, self._whole):
            if value is None:
                continue
            leaf = self._paths.get(path) or self._unannounced(path)
            try:
                fitting = fit(value, leaf.type)
            except Misfit as error:
                raise Misfit(f"column {excerpt(leaf.name)} {error}") from None
            if values.setdefault(leaf.key, fitting) != fitting:
                raise Misfit(f"column {excerpt(leaf.name)} comes twice with different values")
        for key, column in self._columns.items():
            column.append(values.get(key))
        self._rows += 1

    def arrays(self) -> dict[str, pa.Array]:
        """The columns by key."""
        return {key: pa.array(self._columns[key], leaf.arrow_type) for key, leaf in self.leaves.items()}

    def _unannounced(self, path: str) -> Leaf:
        if path in self._objects:
            raise Misfit(f"{excerpt(path)} is a plain value instead of an object")
        if len(self.leaves) >= MOST_COLUMNS:
            raise Misfit(f"holds more than {MOST_COLUMNS} columns")
        leaf = self._layout.unasked(path, self.leaves.values())
        if leaf.type is None and self._layout.dataset.pivot is not Pivot.ALL:
            raise Misfit(f"{excerpt(path)} is in no header, so it may be a period or not")
        self.leaves[leaf.key] = self._paths[leaf.key] = self._paths[path] = leaf
        self._columns[leaf.key] = [None] * self._rows
        return leaf

"""A page as bytes: JSON with nested rows, or CSV.

An object whose every asked value is null is null itself, at the highest level. The CSV form is not documented: here it
has one line of headers (keys or labels), the same rows as the JSON form, a field for each value of an object, and no
total.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

from exporter.sandbox.tabulate import Heading, Page, Row

_Json: TypeAlias = "dict[str, _Json] | str | float | None"


class CsvHeaders(StrEnum):
    """What the first line of a CSV answer holds."""

    KEY = "key"
    LABEL = "label"


def to_json(page: Page) -> bytes:
    """The documented envelope: total, column_headers, rows."""
    paths = [heading.key.split(".") for heading in page.headings]
    return msgspec.json.encode(
        {
            "total": page.total,
            "column_headers": _headers(page.headings),
            "rows": [_nested(paths, row) for row in page.rows],
        }
    )


def to_csv(page: Page, headers: CsvHeaders) -> bytes:
    """One line of headers, then the rows; null is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heading.label if headers is CsvHeaders.LABEL else heading.key for heading in page.headings)
    writer.writerows(page.rows)
    return text.getvalue().encode()


def _headers(headings: Iterable[Heading]) -> list[dict[str, object]]:
    """One for each column; an object's values are one column, described by the first of them."""
    described: dict[str, dict[str, object]] = {}
    for heading in headings:
        key = heading.object or heading.key
        described.setdefault(key, _header(key, heading))
    return list(described.values())


def _header(key: str, heading: Heading) -> dict[str, object]:
    header: dict[str, object] = {"label": heading.label, "key": key, "sortable": heading.sortable}
    if heading.holds_customer_id:
        header["holds_customer_id"] = True
    if heading.order is not None:
        header["sorted"] = {"order": heading.order, "priority": heading.priority}
    header["required"] = heading.required
    return header


def _nested(paths: Sequence[Sequence[str]], row: Row) -> dict[str, _Json]:
    whole: dict[str, _Json] = {}
    for path, value in zip(paths, row, strict=True):
        if value is not None:
            node = whole
            for part in path[:-1]:
                child = node.setdefault(part, {})
                assert isinstance(child, dict)
                node = child
            node[path[-1]] = value
    for path, value in zip(paths, row, strict=True):
        if value is None:
            _put_null(whole, path)
    return whole


def _put_null(whole: dict[str, _Json], path: Sequence[str]) -> None:
    """Null at the first part of *path* that holds nothing yet."""
    node = whole
    for part in path:
        if part not in node:
            node[part] = None
        child = node[part]
        if not isinstance(child, dict):
            return
        node = child

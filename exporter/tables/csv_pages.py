"""CSV rows -> Arrow columns.

A field without quotes and without content is null; quoted it is the empty string, unless the writer quotes
everything: then that too is null. Such a writer is known by a first line with quotes around every name, also around
those that need none. In a column of numbers both kinds of empty field are null.

As with JSON there are two ways that give the same columns: a quick one for what is ordinary, which gives up on
anything else, and a thorough one.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from exporter.core.answer import LONGEST_NAME, MOST_COLUMNS, Page
from exporter.core.report import ColumnType
from exporter.core.text import excerpt
from exporter.errors import DataError
from exporter.tables.json_pages import Columns
from exporter.tables.layout import Layout, Leaf
from exporter.tables.values import Misfit, Value, fit

_NEEDS_QUOTES = re.compile(r'[",\r\n]')

#: As `values.py` takes an integer written as text. The parser itself would also take 007, 0x1F and blanks around it.
_INTEGER = "^-?(0|[1-9][0-9]*)$"


@dataclass(frozen=True, slots=True)
class _Text:
    """A body, cut behind its first line."""

    names: tuple[str, ...]
    quotes_all: bool
    rows: str


def csv_header(page: Page) -> tuple[str, ...]:
    """The names in the first line of *page*; none where the body is empty.

    Raises:
        DataError: the body is no UTF-8, or its first line no CSV or longer than that of any report.
    """
    if names := _plain_names(first_line(page.body)):
        return names
    names = _split(page).names
    if _are_too_many(names):
        raise DataError(f"{page.request}: the CSV has too many columns, or a name of one is too long")
    return names


@lru_cache(maxsize=64)
def _plain_names(line: bytes) -> tuple[str, ...]:
    """The names in a first line that needs no parser; none in any other, nor where they are too many."""
    line = line.rstrip(b"\r\n")
    plain = line and line.isascii() and b'"' not in line and b"\r" not in line
    names = tuple(line.decode().split(",")) if plain else ()
    return () if _are_too_many(names) else names


def _are_too_many(names: Sequence[str]) -> bool:
    """Whether there are more names, or longer ones, than any report has."""
    return len(names) > MOST_COLUMNS or any(len(name) > LONGEST_NAME for name in names)


def read_csv(pages: Sequence[Page], keys: Sequence[str], layout: Layout) -> Columns:
    """The rows of *pages*, which have one layout.

    Args:
        pages: their first lines are equal, or missing where there are no rows.
        keys: the leaf key of each field of a row.
        layout: it has a leaf for each of *keys*; leaves without a field are null.

    Raises:
        DataError: a row has more or fewer fields, or a field does not fit its column.
    """
    return read_quickly(pages, keys, layout) or read_thoroughly(pages, keys, layout)


# The quick way ------------------------------------------------------------------------------------------------------


def read_quickly(pages: Sequence[Page], keys: Sequence[str], layout: Layout) -> Columns | None:
    """As `read_csv`, with the parser's own columns; None where something is out of the ordinary."""
    bodies = _ordinary(pages)
    if bodies is None or len(keys) == 1:
        return None
    if any(b'"' in body for body in bodies):
        found = [table for body in bodies if (table := _parse(body, keys)) is not None]
        if len(found) < len(bodies):
            return None
        page_rows = [table.num_rows for table in found]
        whole = pa.concat_tables(found)
    else:
        # Without quotes every line is a row, so all pages can be parsed in one go and told apart afterwards.
        page_rows = [_count_lines(body) for body in bodies]
        parsed = _parse(b"".join(bodies), keys)
        if parsed is None or parsed.num_rows != sum(page_rows):
            return None
        whole = parsed
    arrays: dict[str, pa.Array] = {}
    for leaf in layout.leaves:
        column = _in_one_piece(whole.column(leaf.key)) if leaf.key in keys else pa.nulls(whole.num_rows, pa.string())
        if leaf.type is ColumnType.FLOAT64:
            return None
        if leaf.type is ColumnType.INT64:
            if not _are_integers(column):
                return None
            try:
                column = column.cast(pa.int64())
            except pa.ArrowInvalid:
                return None
        arrays[leaf.key] = column
    return Columns(leaves=layout.leaves, arrays=arrays, page_rows=tuple(page_rows))


def _ordinary(pages: Sequence[Page]) -> list[bytes] | None:
    """What stands behind one common first line without quotes, whole lines each; None where there is no such line."""
    head = first_line(pages[0].body) if pages else b""
    if not head.endswith(b"\n") or b'"' in head:
        return None
    found = []
    for page in pages:
        if not page.body.startswith(head):
            return None
        body = page.body[len(head) :]
        if body and not body.endswith(b"\n"):
            body += b"\n"
        if b'"' in body and body.count(b'"') % 2:
            return None
        found.append(body)
    return found


def _count_lines(body: bytes) -> int:
    """Ends of lines as the parser takes them: a carriage return, a line feed, or both."""
    return len(body.splitlines()) if b"\r" in body else body.count(b"\n")


def _in_one_piece(column: pa.ChunkedArray) -> pa.Array:
    """The values behind each other; copied only where they are not."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _are_integers(column: pa.Array) -> bool:
    """Whether all texts, nulls apart, are integers as `values.py` takes them."""
    digits = pc.all(pc.ascii_is_decimal(column), min_count=0).as_py()
    if digits and not pc.any(pc.starts_with(column, "0"), min_count=0).as_py():
        return True
    return bool(pc.all(pc.match_substring_regex(column, _INTEGER), min_count=0).as_py())


def _parse(body: bytes, keys: Sequence[str]) -> pa.Table | None:
    """The fields as text, empty ones without quotes as null; None where a row does not fit."""
    if not body:
        return pa.table({key: pa.array([], pa.string()) for key in keys})
    try:
        return pacsv.read_csv(
            pa.BufferReader(body),
            read_options=pacsv.ReadOptions(use_threads=False, block_size=len(body) + 1, column_names=list(keys)),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=False,
                check_utf8=not body.isascii(),
            ),
        )
    except pa.ArrowInvalid:
        return None


def first_line(body: bytes) -> bytes:
    """The bytes up to the first line feed, and with it."""
    return body[: body.find(b"\n") + 1] or body


# The thorough way ---------------------------------------------------------------------------------------------------


def read_thoroughly(pages: Sequence[Page], keys: Sequence[str], layout: Layout) -> Columns:
    """As `read_csv`, value by value."""
    leaves = {leaf.key: leaf for leaf in layout.leaves}
    columns: dict[str, list[Value]] = {key: [] for key in leaves}
    page_rows = []
    for page in pages:
        fields = _fields(page, len(keys))
        rows = len(fields[0]) if fields else 0
        by_key = dict(zip(keys, fields, strict=True)) if fields else {}
        for key, leaf in leaves.items():
            columns[key] += _fit_all(page, leaf, by_key[key]) if key in by_key else [None] * rows
        page_rows.append(rows)
    arrays = {key: pa.array(columns[key], leaf.arrow_type) for key, leaf in leaves.items()}
    return Columns(leaves=layout.leaves, arrays=arrays, page_rows=tuple(page_rows))


def _split(page: Page) -> _Text:
    try:
        text = page.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Without its cause, which carries the whole body.
        raise DataError(f"{page.request}: the CSV is no valid UTF-8; the task is left as it was") from None
    stream = io.StringIO(text, newline="")
    try:
        names = next(csv.reader(stream, strict=True), [])
    except csv.Error as error:
        raise DataError(f"{page.request}: the first line is no CSV; the task is left as it was") from error
    rows = stream.read()
    if rows and not names:
        raise DataError(f"{page.request}: the first line of the CSV is blank, so its columns are unknown")
    first = text[: len(text) - len(rows)].rstrip("\r\n")
    quoted = ",".join('"{}"'.format(name.replace('"', '""')) for name in names)
    return _Text(tuple(names), first == quoted and not all(_NEEDS_QUOTES.search(name) for name in names), rows)


def _fields(page: Page, width: int) -> list[list[str | None]]:
    """The text of each field, by column; no columns where there are no rows."""
    text = _split(page)
    # A blank line is a null row where rows have one field; elsewhere it is no row.
    if not (text.rows if width == 1 else text.rows.strip("\r\n")):
        return []
    if text.rows.count('"') % 2:
        # The parser would take the rest of the body for the last field.
        raise DataError(f"{page.request}: a quote is never closed, so the CSV is cut off; fetch the page again")
    body = text.rows.encode()
    misfits: list[tuple[int, int]] = []

    def keep_in_mind(row: pacsv.InvalidRow) -> str:
        misfits.append((row.number, row.actual_columns))
        return "skip"

    names = [str(number) for number in range(width)]
    try:
        table = pacsv.read_csv(
            pa.BufferReader(body),
            read_options=pacsv.ReadOptions(use_threads=False, block_size=len(body) + 1, column_names=names),
            parse_options=pacsv.ParseOptions(
                newlines_in_values=True, ignore_empty_lines=width > 1, invalid_row_handler=keep_in_mind
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=text.quotes_all,
            ),
        )
    except pa.ArrowInvalid:
        # Without its cause, which may quote a row.
        raise DataError(f"{page.request}: the rows are no CSV; the task is left as it was") from None
    for number, seen in misfits:
        raise DataError(
            f"{page.request} row {number}: has {seen} fields instead of {width}; the task is left as it was"
        )
    return [column.to_pylist() for column in table.columns]


def _fit_all(page: Page, leaf: Leaf, fields: Sequence[str | None]) -> list[Value]:
    empty_is_null = leaf.type not in {ColumnType.STRING, None}
    values: list[Value] = []
    for field in fields:
        try:
            values.append(None if empty_is_null and field == "" else fit(field, leaf.type))
        except Misfit as error:
            raise DataError(
                f"{page.request} row {len(values) + 1}: column {excerpt(leaf.name)} {error}; the task is left as it was"
            ) from None
    return values

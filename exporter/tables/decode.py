"""Pages -> one typed Arrow table, the same from JSON and from CSV.

No value is dropped, rounded or guessed: what does not fit is an error, with the place and the type seen, never with the
value. Headers of JSON pages are checked by `headers.check_headers` before; how rows are read is in `json_pages` and
`csv_pages`.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa

from exporter.core.answer import Format, Page
from exporter.core.report import Dataset, Pivot
from exporter.errors import ChangedError, DataError
from exporter.tables.csv_pages import csv_header, read_csv
from exporter.tables.headers import refuse_missing, required_columns
from exporter.tables.json_pages import Columns, read_json
from exporter.tables.labels import Labels, learn_labels, resolve_csv_header
from exporter.tables.layout import Layout, layout_of
from exporter.tables.pivot import check_periods, unfold, wrong_sum
from exporter.tables.schema import COUNT, report_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The rows of some pages.

    Attributes:
        table: schema `report_fields` of the dataset and the extras; the pages' rows in order.
        page_rows: rows of each page as the API counts them: before a pivot was unfolded.
        extras: names of columns that came unasked, sorted; they are the table's last ones.
        customer_columns: see `Layout`.
    """

    table: pa.Table
    page_rows: tuple[int, ...]
    extras: tuple[str, ...]
    customer_columns: tuple[str, ...] = ()


def decode_pages(pages: Sequence[Page], dataset: Dataset, labels: Labels | None = None) -> Decoded:
    """Read *pages*, which are answers of one format with one set of headers.

    Args:
        pages: in the order that the rows shall have; a page without rows may lack headers.
        dataset: its columns are those asked for.
        labels: of a JSON answer of the dataset; needed where a CSV answer names its columns by label.

    Raises:
        DataError: rows do not fit; `MissingColumnError` where CSV lacks a column that was asked for.
        ChangedError: formats or headers differ between pages.
    """
    if pages and pages[0].format is Format.CSV:
        layout, read = _read_csv(pages, dataset, labels)
    else:
        _refuse_differing([(page, page.format, tuple(h.key for h in page.headers)) for page in pages])
        headers = next((page.headers for page in pages if page.headers), ())
        layout = layout_of(headers, dataset)
        read = read_json(pages, layout)
    return _assemble(pages, layout, read)


def _read_csv(pages: Sequence[Page], dataset: Dataset, labels: Labels | None) -> tuple[Layout, Columns]:
    first_lines = [csv_header(page) for page in pages]
    _refuse_differing([(page, page.format, line) for page, line in zip(pages, first_lines, strict=True)])
    names = next((line for line in first_lines if line), ())
    keys = resolve_csv_header(names, dataset, labels)
    where = pages[0].request
    if keys is None:
        raise DataError(f'{where}: the CSV names its columns by unknown labels; set api.format to "json"')
    if len(set(keys)) != len(keys):
        raise DataError(f"{where}: the CSV has two columns of one name; the task is left as it was")
    if names:
        refuse_missing(pages[0], [column for column in required_columns(dataset) if column.key not in keys])
    described = labels or learn_labels(())
    layout = layout_of([described.describe(key, name) for key, name in zip(keys, names, strict=True)], dataset)
    leaves = {leaf.key for leaf in layout.leaves}
    for key in keys:
        if key not in leaves:
            raise DataError(f"{where}: the CSV column {key} stands for an object, which CSV cannot hold")
    return layout, read_csv(pages, keys, layout)


def _refuse_differing(pages: Sequence[tuple[Page, Format, tuple[str, ...]]]) -> None:
    """Raise `ChangedError` unless all pages have one format and, where they have any, one set of headers."""
    first: tuple[str, ...] = ()
    for page, kind, keys in pages:
        if kind is not pages[0][1] or (first and keys and keys != first):
            raise ChangedError(f"{page.request}: format or headers differ from {pages[0][0].request}; fetch again")
        first = first or keys


def _assemble(pages: Sequence[Page], layout: Layout, read: Columns) -> Decoded:
    dataset = layout.dataset
    periods = {period.key for period in layout.periods}
    own = {column.key for column in dataset.columns} | periods
    extras = sorted((leaf for leaf in read.leaves if leaf.key not in own), key=lambda leaf: leaf.name)
    fields = report_fields(dataset, [pa.field(leaf.name, leaf.arrow_type) for leaf in extras])
    arrays = {leaf.name: read.arrays[leaf.key] for leaf in read.leaves if leaf.key not in periods}
    if dataset.pivot is not Pivot.ALL:
        counts = [read.arrays[period.key] for period in layout.periods]
        if any(read.page_rows):
            check_periods(layout.periods, dataset, str(pages[0].request))
        wrong = wrong_sum(arrays.pop(COUNT), counts)
        if wrong is not None:
            raise DataError(
                f"{_place(pages, read, wrong)}: the periods do not add up to count, so some were cut off; "
                "raise max_pivot_columns, or choose narrower windows"
            )
        arrays = unfold(arrays, layout.periods, counts)
    for field in fields:
        if not field.nullable and arrays[field.name].null_count:
            index = arrays[field.name].is_null().index(True).as_py()
            raise DataError(f"{_place(pages, read, index)}: column {field.name} is null; the task is left as it was")
    table = pa.Table.from_arrays([arrays[field.name] for field in fields], schema=pa.schema(fields))
    return Decoded(
        table=table,
        page_rows=read.page_rows,
        extras=tuple(leaf.name for leaf in extras),
        customer_columns=layout.customer_columns,
    )


def _place(pages: Sequence[Page], read: Columns, index: int) -> str:
    """Page and row (from 1) of the row *index* (from 0) of all pages."""
    starts = [0, *accumulate(read.page_rows)]
    at = bisect_right(starts, index) - 1
    return f"{pages[at].request} row {index - starts[at] + 1}"

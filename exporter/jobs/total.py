"""Asks the API what a studio's rows add up to over a range of days: one request where it can be done in one."""

from dataclasses import replace

import pyarrow.compute as pc

from exporter.api.base import ReportSource
from exporter.core.answer import Format, PageRequest
from exporter.core.report import Dataset, Pivot
from exporter.core.studio import Studio
from exporter.core.window import Window
from exporter.errors import DataError
from exporter.tables.decode import decode_pages
from exporter.tables.schema import COUNT


async def ask_total(source: ReportSource, dataset: Dataset, studio: Studio, days: Window) -> int:
    """What the API counts, with the dataset's filters.

    A grouped report is asked for its measures alone: one row, or none; more where the API insists on other columns.
    Of any other the number of rows is wanted, which every page tells.

    Raises:
        SourceError: the API does not answer.
        DataError: its answer does not tell.
    """
    spec = dataset.spec
    names = spec.measures or spec.row_key
    columns = tuple(column for column in spec.columns if column.name in names)
    plain = replace(dataset, columns=columns, pivot=Pivot.ALL, drop=frozenset(), hash=frozenset())
    request = PageRequest(dataset=plain, studio=studio, window=days, format=Format.JSON, grand_total=True)
    if not spec.measures:
        page = await source.fetch(request._replace(limit=1))
        if page.total is None:
            raise DataError(f"{request}: the API does not tell how many rows there are")
        return page.total
    page = await source.fetch(request)
    if (page.total or 0) > request.limit:
        # Pages need one order, so the columns that it insists on are asked for, and thereby sorted by.
        insisted = {header.key for header in page.headers}
        columns = tuple(column for column in spec.columns if column.key in insisted)
        request = request._replace(dataset=replace(plain, columns=columns))
        page = await source.fetch(request)
    total = 0
    while True:
        decoded = decode_pages([page], request.dataset)
        total += pc.sum(decoded.table.column(COUNT)).as_py() or 0
        request = request._replace(offset=request.offset + request.limit)
        is_last = decoded.page_rows[0] < request.limit if page.total is None else request.offset >= page.total
        if is_last:
            return total
        page = await source.fetch(request)

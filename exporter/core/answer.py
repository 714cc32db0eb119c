"""One answer of the report API, before its rows are decoded.

What is made for each page, here and elsewhere, is a tuple: a frozen dataclass takes twice as long to make.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from exporter.core.report import Dataset
from exporter.core.studio import Studio
from exporter.core.window import Window

#: Columns of an answer at most, and characters of the name of one. The longest documented report has 56 columns.
MOST_COLUMNS = 1000
LONGEST_NAME = 500


class Format(StrEnum):
    """How an answer's rows are written."""

    JSON = "json"
    CSV = "csv"


class PageRequest(NamedTuple):
    """What is asked of the API for one page.

    Attributes:
        dataset: the report, its columns and filters.
        studio: whose report.
        window: local days; events that start in it are asked for.
        offset: rows to skip; a multiple of *limit*.
        limit: rows wanted at most, 1 to 100.
        format: how the rows shall be written.
        grand_total: it is asked for what the rows of many windows add up to; no task's request.
    """

    dataset: Dataset
    studio: Studio
    window: Window
    offset: int = 0
    limit: int = 100
    format: Format = Format.JSON
    grand_total: bool = False

    def __str__(self) -> str:
        if self.grand_total:
            return f"{self.studio.id} {self.window} total"
        return f"{self.studio.id} {self.window} page {self.offset // self.limit + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an answer says of one of its columns.

    Attributes:
        key: dotted path of the value in a row.
        label: name shown to people.
        required: the column comes whether or not it was asked for.
        holds_customer_id: its values are customers' ids.
        order: "asc" or "desc" while the report is sorted by it, else None.
        priority: rank among the sorted columns, least first; None where the answer does not say.
    """

    key: str
    label: str
    required: bool = False
    holds_customer_id: bool = False
    order: str | None = None
    priority: float | None = None


class Page(NamedTuple):
    """One response of at most `limit` rows.

    Attributes:
        request: what was asked.
        format: how *body* is written.
        headers: the columns, in order; empty for CSV, whose first line names them.
        total: rows of the whole report; None where the answer does not say (CSV never does).
        body: JSON: the array of rows, as it came. CSV: the whole text, UTF-8.
        received_at: when the answer was complete, UTC.
        size_bytes: bytes that came over the network.
    """

    request: PageRequest
    format: Format
    headers: tuple[Header, ...]
    total: int | None
    body: bytes
    received_at: datetime
    size_bytes: int

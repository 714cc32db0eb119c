"""Puts the pages of one fetch together and holds them against each other.

Rules kept here: every page tells the same total and the same order, be it another than was asked for; every page but
the last is full; the rows add up to the total; no group key stands twice. A report that breaks one changed while it was
paged, and is fetched again as a whole.
"""

from collections.abc import Mapping

import pyarrow as pa

from exporter.core.plan import Task
from exporter.core.report import Pivot
from exporter.core.staged import StagedPage
from exporter.errors import ChangedError, DataError
from exporter.tables.pieces import Piece, joined
from exporter.tables.schema import PERIOD_KEY, PERIOD_LABEL
from exporter.tables.uniqueness import repeated_keys

#: Rows of one window at most: what is promised beyond is not believed, and could not be held in memory.
MOST_ROWS = 1_000_000

#: Columns that a pivot adds.
_PERIOD = (PERIOD_KEY, PERIOD_LABEL)


class Assembly:
    """The pages of one fetch so far."""

    def __init__(self, task: Task, fetch_id: str, limit: int) -> None:
        """No page yet.

        Args:
            task: what is fetched.
            fetch_id: tells this fetch from others of the same task.
            limit: rows asked for in a page.
        """
        self.task = task
        self.fetch_id = fetch_id
        self.limit = limit
        self.total: int | None = None
        self.resumed = False
        self._pieces: dict[int, Piece] = {}
        self._stored: dict[int, Piece] = {}
        self._api_rows: dict[int, int] = {}
        self._order: str | None = None

    @property
    def offsets(self) -> frozenset[int]:
        """Offsets of the pages that are in."""
        return frozenset(self._pieces)

    @property
    def missing(self) -> tuple[int, ...]:
        """Offsets of the pages that are still to come, in order; the next one alone while the total is unknown."""
        if self.total is None:
            return (len(self._pieces) * self.limit,)
        return self.promised(self.total)

    def promised(self, total: int | None) -> tuple[int, ...]:
        """What is missing where the report has *total* rows; nothing where they are unknown, or too many."""
        if total is None or total > MOST_ROWS:
            return ()
        return tuple(o for o in range(0, max(total, 1), self.limit) if o not in self._pieces)

    @property
    def is_whole(self) -> bool:
        """Whether every page is in."""
        if self.total is None or len(self._pieces) * self.limit < self.total:
            return False
        return not self.missing

    @property
    def rows(self) -> int:
        """Rows so far, as they will be written."""
        return sum(piece.num_rows for piece in self._pieces.values())

    def add(self, page: StagedPage, piece: Piece, stored: Piece | None = None) -> None:
        """Take a page in.

        Args:
            page: what is said of it.
            piece: its rows, as they are held against others.
            stored: its rows as they are staged; None where they are the same.

        Raises:
            ChangedError: it does not agree with the pages before it.
            DataError: the window has too many rows to be fetched as one.
        """
        if page.api_rows > self.limit:
            raise ChangedError(f"{self._where(page)}: {page.api_rows} rows came, {self.limit} were asked for")
        self._hold_order(page)
        promised = max(page.total or 0, page.offset + page.api_rows)
        if promised > MOST_ROWS:
            raise DataError(
                f"{self._where(page)}: the API counts more than {MOST_ROWS:,} rows; choose a smaller windows.every, or"
                " filters"
            )
        told = page.total
        if told is None and self.total is None and page.api_rows < self.limit:
            told = page.offset + page.api_rows  # a short page is the last one
        if told is not None:
            if self.total is not None and told != self.total:
                raise ChangedError(
                    f"{self._where(page)}: the API counts {told} rows, on another page it was {self.total}"
                )
            if self.total is None and any(n != self._share(offset, told) for offset, n in self._api_rows.items()):
                raise ChangedError(
                    f"{self._where(page)}: the API counts {told} rows, which the pages before it do not fit"
                )
            self.total = told
        if self.total is not None:
            expected = self._share(page.offset, self.total)
            if page.api_rows != expected:
                raise ChangedError(
                    f"{self._where(page)}: {page.api_rows} rows came instead of {expected}"
                    f" (the API counts {self.total} in all)"
                )
        self._pieces[page.offset] = piece
        self._stored[page.offset] = stored or piece
        self._api_rows[page.offset] = page.api_rows

    def _hold_order(self, page: StagedPage) -> None:
        if page.order is None:
            return
        if self._order is not None and page.order != self._order:
            told, before = (order or "what was asked for" for order in (page.order, self._order))
            raise ChangedError(f"{self._where(page)}: is sorted by {told}, the window's other pages by {before}")
        self._order = page.order

    def stored(self, checked: pa.Table) -> pa.Table:
        """All its rows as they are staged, in the order of the pages; *checked* is what `check` returned."""
        if all(piece is self._pieces[offset] for offset, piece in self._stored.items()):
            return checked
        return _in_order(self._stored)

    def _where(self, page: StagedPage) -> str:
        return f"{self.task} page {page.offset // self.limit + 1}"

    def _share(self, offset: int, total: int) -> int:
        """Rows that the page at *offset* has to have."""
        return min(self.limit, max(0, total - offset))

    def check(self) -> pa.Table:
        """Hold the whole fetch against the rules.

        Returns:
            All its rows, in the order of the pages.

        Raises:
            ChangedError: a group key stands twice.
        """
        table = _in_order(self._pieces)
        dataset = self.task.dataset
        asked = {column.name for column in dataset.columns}
        there = table.column_names
        names = [column.name for column in dataset.key_columns if column.name in there]
        if not dataset.spec.row_key:
            names += [n for n in there if n not in asked and n not in _PERIOD]
        if dataset.pivot is not Pivot.ALL:
            names.append(PERIOD_KEY)
        repeated = repeated_keys(table, names)
        if repeated:
            raise ChangedError(f"{self.task}: {repeated} of {table.num_rows} rows repeat the group of another row")
        return table


def _in_order(pieces: Mapping[int, Piece]) -> pa.Table:
    """The rows of *pieces*, ascending by their offsets."""
    return pa.concat_tables(joined(piece for _, piece in sorted(pieces.items())), promote_options="default")

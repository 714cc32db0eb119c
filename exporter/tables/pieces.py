"""Rows within tables that hold more of them: pages are decoded together, and then go separate ways.

Rules kept here: a table is made of pieces only where one is needed, and of as few pieces as possible; to make
a table of one page, and to free it, takes longer than to read its rows.
"""

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa


class Piece(NamedTuple):
    """Rows within a table that holds more; a slice of it would take more memory than the rows of a page do."""

    table: pa.Table
    start: int
    num_rows: int

    def rows(self) -> pa.Table:
        """The rows alone, not copied."""
        if self.num_rows == self.table.num_rows:
            return self.table
        return self.table.slice(self.start, self.num_rows)


def whole(table: pa.Table) -> Piece:
    """All rows of *table*."""
    return Piece(table, 0, table.num_rows)


def joined(pieces: Iterable[Piece]) -> list[pa.Table]:
    """The rows of *pieces* in their order, not copied; those that lie behind each other in one table are one."""
    runs: list[Piece] = []
    for piece in pieces:
        last = runs[-1] if runs else None
        if last and last.table is piece.table and last.start + last.num_rows == piece.start:
            runs[-1] = Piece(piece.table, last.start, last.num_rows + piece.num_rows)
        else:
            runs.append(piece)
    return [run.rows() for run in runs]

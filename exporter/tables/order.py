"""In what order rows stand: where those of another task begin, and whether they ascend.

Rules kept here: rows are held against their neighbours alone, which costs little beside grouping or sorting them; the
order is that of a part: ascending, strings by code point, nulls last.
"""

from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from exporter.core.ledger import TaskKey
from exporter.core.studio import StudioId
from exporter.core.window import Window
from exporter.tables.pieces import Piece
from exporter.tables.schema import STUDIO_ID, WINDOW_END, WINDOW_START

#: What tells the rows of one task from those of another.
TASK = (STUDIO_ID, WINDOW_START, WINDOW_END)

#: Rows of one task that stand behind each other.
Run = tuple[TaskKey, Piece]


def runs(table: pa.Table) -> list[Run]:
    """The rows of a part, or of some of it, cut where those of another task begin."""
    if not table.num_rows:
        return []
    studio, start, end = (pc.not_equal(*_neighbours(table.column(name))) for name in TASK)
    begins = [0, *(row + 1 for row in pc.indices_nonzero(pc.or_(pc.or_(studio, start), end)).to_pylist())]
    firsts = [table.column(name).take(pa.array(begins)).to_pylist() for name in TASK]
    tasks = [(StudioId(studio), Window(start, end)) for studio, start, end in zip(*firsts, strict=True)]
    spans = pairwise([*begins, table.num_rows])
    return [(task, Piece(table, begin, end - begin)) for task, (begin, end) in zip(tasks, spans, strict=True)]


def ties(table: pa.Table, names: Sequence[str], begins: Sequence[int] = ()) -> int | None:
    """How many rows are alike with the one before them; None where one ought to stand before it.

    Args:
        table: any rows.
        names: the columns that order them; at least one.
        begins: numbers of rows that are not held against the one before.
    """
    # Most often the first column tells nearly all.
    before, after = _neighbours(table.column(names[0]))
    pairs = pc.indices_nonzero(pc.fill_null(pc.invert(pc.less(before, after)), fill_value=True))
    pairs = pairs.filter(pc.invert(pc.is_in(pairs, pa.array([row - 1 for row in begins], pairs.type))))
    for name in names:
        if not len(pairs):
            break
        before, after = table.column(name).take(pairs), table.column(name).take(pc.add(pairs, 1))
        if not pc.all(pc.coalesce(pc.less_equal(before, after), pc.is_null(after))).as_py():
            return None
        pairs = pairs.filter(pc.coalesce(pc.equal(before, after), pc.is_null(before)))
    return len(pairs)


def _neighbours(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Each value but the last, and each but the first."""
    return column.slice(0, max(0, len(column) - 1)), column.slice(1)

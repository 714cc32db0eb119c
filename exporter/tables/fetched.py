"""The rows of whole fetches on their way into a part.

Rules kept here: what says the same in each row of a fetch (whose it is, who fetched it and when) is two fifths of a
part's bytes, so it is spelled out only for the rows that are merged next.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from exporter.core.ledger import TaskKey
from exporter.core.studio import StudioId
from exporter.core.window import Window
from exporter.tables.order import ties
from exporter.tables.pieces import Piece, joined, whole
from exporter.tables.schema import LEADING, TRAILING

#: Rows that are held against their neighbours in one go; it takes some memory for each.
HELD_ROWS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One whole fetch.

    Attributes:
        studio, window: the task.
        run_id: of the run that publishes it.
        exported_at: when it was whole, UTC.
        pieces: its rows, in the order in which they came; the report's columns as they are published.
    """

    studio: StudioId
    window: Window
    run_id: str
    exported_at: datetime
    pieces: Sequence[Piece]

    @property
    def task(self) -> TaskKey:
        """Whose rows they are."""
        return self.studio, self.window

    @property
    def num_rows(self) -> int:
        """Of all pieces."""
        return sum(piece.num_rows for piece in self.pieces)


def fetched_schema(fetches: Iterable[Fetched]) -> pa.Schema | None:
    """Of the rows of all *fetches* as they stand in a part; None where they have no pieces."""
    tables = {id(piece.table): piece.table for fetched in fetches for piece in fetched.pieces}
    if not tables:
        return None
    report = pa.unify_schemas([schema for schema, _ in groupby(table.schema for table in tables.values())])
    return pa.schema([*LEADING, *report, *TRAILING])


def in_order(fetched: Fetched, names: Sequence[str]) -> Fetched:
    """The same fetch with its rows in the order of those of *names* that they have; not copied where they are."""
    if not fetched.num_rows:
        return fetched
    table = pa.concat_tables(joined(fetched.pieces), promote_options="default")
    there = [name for name in names if name in table.column_names]
    spans = (table.slice(start, HELD_ROWS + 1) for start in range(0, table.num_rows, HELD_ROWS))
    if not there or all(ties(span, there) is not None for span in spans):
        return fetched
    # One chunk instead of many: who sorts looks every value up in its chunk.
    return replace(fetched, pieces=[whole(table.combine_chunks().sort_by([(name, "ascending") for name in there]))])


def cut_up(fetches: Iterable[Fetched], most: int) -> Iterator[Sequence[Fetched]]:
    """The rows of *fetches*, *most* at a time; the last ones may be none."""
    few: list[Fetched] = []
    room = most
    for fetched in fetches:
        for table, start, rows in fetched.pieces:
            at, end = start, start + rows
            while at < end:
                taken = min(room, end - at)
                few.append(replace(fetched, pieces=[Piece(table, at, taken)]))
                at, room = at + taken, room - taken
                if not room:
                    yield few
                    few, room = [], most
    yield few


def spelled_out(fetches: Sequence[Fetched], schema: pa.Schema) -> pa.Table:
    """The rows of *fetches* one after the other, with all columns of *schema*, which `fetched_schema` gave."""
    fetches = [fetched for fetched in fetches if fetched.num_rows]
    own = pa.schema([field for field in schema if field not in (*LEADING, *TRAILING)])
    rows = [own.empty_table(), *joined(p for fetched in fetches for p in fetched.pieces if p.num_rows)]
    table = pa.concat_tables(rows, promote_options="default")
    lengths = pa.array([fetched.num_rows for fetched in fetches], pa.int64())
    ends = pc.cumulative_sum(lengths)
    values = (
        [fetched.studio for fetched in fetches],
        [fetched.window.start for fetched in fetches],
        [fetched.window.end for fetched in fetches],
        [fetched.run_id for fetched in fetches],
        [fetched.exported_at for fetched in fetches],
    )
    spread = [
        pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(ends, pa.array(one, field.type)))
        if fetches
        else pa.array([], field.type)
        for one, field in zip(values, (*LEADING, *TRAILING), strict=True)
    ]
    return pa.table([*spread[: len(LEADING)], *table.columns, *spread[len(LEADING) :]], schema=schema)

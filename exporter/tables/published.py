"""The rows of a published part, without people who are left out, read from front to back and never all at once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from exporter.core.erasure import LeftOut
from exporter.core.ledger import Ledger, TaskKey
from exporter.core.report import Dataset, GrainId
from exporter.core.studio import StudioId
from exporter.errors import DamagedError
from exporter.tables.erasure import id_columns, rows_of, without
from exporter.tables.order import Run, runs
from exporter.tables.parquet import PartFile
from exporter.tables.schema import COUNT, STUDIO_ID, WINDOW_END, WINDOW_START, part_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A part as it may stay.

    Attributes:
        schema: of the rows.
        ledger: what is said of them; its entries tell what is withheld.
        tasks: how many rows each task has, without those that have none.
        file: where the rows are; None where there are none.
        gone: which of the file's rows are left out, a piece of it each; None for a piece that stays whole.
    """

    schema: pa.Schema
    ledger: Ledger
    tasks: Mapping[TaskKey, int]
    file: PartFile | None = None
    gone: Sequence[pa.ChunkedArray | None] = ()

    @property
    def is_as_stored(self) -> bool:
        """Whether all of a part stays."""
        return self.file is not None and not any(mask is not None for mask in self.gone)

    def rows(self) -> "Reader":
        """The rows themselves."""
        pieces = self.file.pieces() if self.file else iter(())
        kept = (
            piece if gone is None else piece.filter(pc.invert(gone))
            for piece, gone in zip(pieces, self.gone, strict=True)
        )
        return Reader(chain([self.schema.empty_table()], kept))


class Reader:
    """The rows of a part, from front to back."""

    def __init__(self, pieces: Iterator[pa.Table]) -> None:
        """Nothing is read yet.

        Args:
            pieces: the rows; at least one piece, be it empty.
        """
        self._pieces = pieces
        self._piece = next(pieces)

    def up_to(self, studio: StudioId, most: int) -> Iterator[pa.Table]:
        """What is left of the studios up to *studio*, *most* rows at a time; at least one table, be it empty.

        Raises:
            DamagedError: the part cannot be read.
        """
        while True:
            theirs = pc.sum(pc.less_equal(self._piece[STUDIO_ID], studio)).as_py() or 0
            for start in range(0, max(1, theirs), most):
                yield self._piece.slice(start, min(most, theirs - start))
            self._piece = self._piece.slice(theirs)
            if self._piece.num_rows:
                return
            following = next(self._pieces, None)
            if following is None:
                return
            self._piece = following


def nothing_published(dataset: Dataset, grain: GrainId) -> Published:
    """What there is of a partition that is new, or that is replaced whatever it holds."""
    return Published(schema=part_schema(dataset), ledger=Ledger(grain=grain), tasks={})


def look_through(file: PartFile, left_out: LeftOut | None) -> Published:
    """Find whose rows there are, and who is to be left out of them, in the columns that tell.

    Args:
        file: the part.
        left_out: says who is left out; None where nobody is.

    Raises:
        DamagedError: the part cannot be read, or is not sorted.
    """
    ledger = file.ledger
    columns = [STUDIO_ID, WINDOW_START, WINDOW_END]
    if left_out:
        columns += [*id_columns(file.schema.names, ledger.customer_columns), COUNT]
    tasks: Counter[TaskKey] = Counter()
    gone: list[pa.ChunkedArray | None] = []
    last = ""
    for piece in file.pieces([name for name in file.schema.names if name in columns]):
        there = runs(piece)
        last = _last_studio(there, last)
        found = rows_of(piece, piece[STUDIO_ID], ledger.customer_columns, left_out) if left_out else None
        if found is not None:
            ledger = without(ledger, piece.filter(found))
        gone.append(found)
        for task, rows in there if found is None else runs(piece.filter(pc.invert(found))):
            tasks[task] += rows.num_rows
    return Published(schema=file.schema, ledger=ledger, tasks=tasks, file=file, gone=gone)


def _last_studio(there: Sequence[Run], before: str) -> str:
    """The studio of the last rows, where the studios ascend from *before* on."""
    last = before
    for (studio, _), _ in there:
        if studio < last:
            raise DamagedError("is not sorted by studio, so another program has changed it")
        last = studio
    return last

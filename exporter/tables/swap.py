"""Swaps the rows of some tasks of a part for new ones, in a stream: a part is never in memory as a whole.

Rules kept here:

- Rows are read, merged, compared and written a few studios at a time, and those of a large one a range at a time; the
  result is the same as in one go.
- People who are left out are taken out of old rows and of new ones, so that this does not count as a change of the
  report.
- Of two fetches of one task the later one stays.
- A part that would hold the rows it holds already is not written again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from exporter.core.erasure import LeftOut
from exporter.core.ledger import Entry, TaskKey, Withheld
from exporter.core.manifest import Change
from exporter.core.partition import Partition
from exporter.core.report import Dataset
from exporter.core.studio import StudioId
from exporter.errors import PlanConflictError
from exporter.tables.changes import changes, key_names
from exporter.tables.erasure import rows_of, withheld
from exporter.tables.fetched import Fetched, cut_up, fetched_schema, in_order, spelled_out
from exporter.tables.merge import covered, replace_tasks, sort_names, union
from exporter.tables.parquet import PartFile, PartWriter
from exporter.tables.pieces import Piece, whole
from exporter.tables.published import Published, look_through, nothing_published
from exporter.tables.ranges import ranges
from exporter.tables.schema import TRAILING, part_schema

#: Rows, old and new, that are merged in one go, about.
BLOCK_ROWS = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """What is to be put into one partition.

    Attributes:
        partition, dataset: where.
        rows: of exactly the tasks of *entries*.
        entries: one for each task that was fetched whole.
        customer_columns: of the rows, beside those that the catalogue knows.
        drop_all: replace whatever is there, at whatever grain.
        seen: when the runs began whose rows stood there when this one did. What it fetched since is newer, whatever
            the clocks said.
    """

    partition: Partition
    dataset: Dataset
    rows: Sequence[Fetched]
    entries: Sequence[Entry]
    customer_columns: tuple[str, ...] = ()
    drop_all: bool = False
    seen: Mapping[TaskKey, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A partition as it shall be.

    Attributes:
        data: the part.
        rows, columns: of it.
        entries: of the swap's tasks, without those that a later run has published meanwhile.
        changes: for each task that was published before, what differs now.
        unchanged: whether it is the part that was there.
    """

    data: bytes
    rows: int
    columns: tuple[str, ...]
    entries: Sequence[Entry]
    changes: Mapping[TaskKey, Change]
    unchanged: bool


def merge(swap: Swap, old: PartFile | None, left_out: LeftOut | None, compression: str) -> Merged:
    """What a partition becomes.

    Args:
        swap: what is to be put into it.
        old: the part as it is; None where there is none.
        left_out: says who is left out; None where nobody is.
        compression: of the part.

    Raises:
        PlanConflictError: it was published at another grain.
        DataError: a published window overlaps a task that does not cover it; a column's type is not the published
            one; a column that may not be null is; rows are of a task that has no entry.
        DamagedError: *old* cannot be read.
    """
    published = _published(swap, old, left_out)
    entries, rows = _newest(swap, published)
    if left_out:
        entries, rows = _without(left_out, entries, rows, swap.customer_columns)
    return _Merge(swap, published, entries, rows).go(compression)


class _Merge:
    """One merge, of which everything is known but the rows themselves."""

    def __init__(self, swap: Swap, published: Published, entries: Sequence[Entry], rows: Sequence[Fetched]) -> None:
        self._swap = swap
        self._published = published
        self._entries = entries
        self._rows = rows
        self._fresh_schema = fetched_schema(swap.rows) or part_schema(swap.dataset)
        self._schema = union(published.schema, self._fresh_schema, swap.dataset)
        self._order = sort_names(self._schema.names, swap.dataset)
        self._key = self._cut_by(published.schema.names)
        self._before = {entry.task: entry for entry in published.ledger.entries}
        self._after = published.ledger.replace(entries, customer_columns=swap.customer_columns)
        gone = covered(published.tasks, [entry.task for entry in entries])
        kept = sum(published.tasks.values()) - sum(published.tasks[task] for task in gone)
        self._count = kept + sum(fetched.num_rows for fetched in rows)

    def go(self, compression: str) -> Merged:
        """Look whether anything changed, where that is not certain, and write."""
        moved = {entry.task: Change() for entry in self._entries if entry.task in self._before}
        data = self._old_data_if_unchanged()
        unchanged = data is not None
        if data is None:
            writer = PartWriter(self._schema, self._count, compression)
            for block in self._blocks():
                writer.write(block.merged)
                for task, change in block.changes().items():
                    moved[task] += change
            data = writer.finish(self._after)
        return Merged(
            data=data,
            rows=self._count,
            columns=tuple(self._schema.names),
            entries=self._entries,
            changes=moved,
            unchanged=unchanged,
        )

    def _cut_by(self, published: Sequence[str]) -> Sequence[str]:
        """The columns of a key by which both sides can be cut; none where one of them is in another order."""
        dataset = self._swap.dataset
        trailing = {field.name for field in TRAILING}
        key = key_names([name for name in self._schema.names if name not in trailing], dataset)
        as_now = [name for name in self._order if name in published] == sort_names(published, dataset)
        return key if as_now and self._order[: len(key)] == key else ()

    def _old_data_if_unchanged(self) -> bytes | None:
        """The part that can stay; read only where nothing else has changed, which is cheap to tell."""
        published = self._published
        if (
            published.file is None
            or not published.is_as_stored
            or not self._schema.equals(published.schema)
            or published.ledger.customer_columns != self._after.customer_columns
            or not all(_is_as_published(e, self._before.get(e.task), self._swap.seen) for e in self._entries)
            or any(any(block.changes().values()) for block in self._blocks())
        ):
            return None
        return published.file.data

    def _blocks(self) -> Iterator["_Block"]:
        """All rows, from front to back."""
        fetches, tasks = defaultdict[StudioId, list[Fetched]](list), defaultdict[StudioId, list[TaskKey]](list)
        for fetched in self._rows:
            fetches[fetched.studio].append(fetched)
        for entry in self._entries:
            tasks[entry.studio].append(entry.task)
        published = self._published.rows()
        for studios, size in self._studios():
            theirs = [fetched for studio in studios for fetched in fetches[studio]]
            named = [task for studio in studios for task in tasks[studio]]
            old = published.up_to(studios[-1], BLOCK_ROWS)
            in_ranges = self._key and size > 2 * BLOCK_ROWS
            for before, new in self._ranges(old, theirs) if in_ranges else self._at_once(old, theirs):
                yield _Block(
                    old=before,
                    new=new,
                    merged=replace_tasks(before, new, named, self._swap.dataset),
                    again=[task for task in named if task in self._before],
                    dataset=self._swap.dataset,
                )

    def _at_once(self, old: Iterable[pa.Table], new: Sequence[Fetched]) -> Iterable[tuple[pa.Table, pa.Table]]:
        return [(pa.concat_tables(old), spelled_out(new, self._fresh_schema))]

    def _ranges(self, old: Iterable[pa.Table], new: Sequence[Fetched]) -> Iterable[tuple[pa.Table, pa.Table]]:
        """The same in ranges of rows."""
        sorted_rows = (in_order(fetched, self._order) for fetched in sorted(new, key=_task_of))
        few_at_once = (spelled_out(few, self._fresh_schema) for few in cut_up(sorted_rows, BLOCK_ROWS))
        return ranges(old, few_at_once, self._key)

    def _studios(self) -> Sequence[tuple[Sequence[StudioId], int]]:
        """The studios of each block, in order, and how many rows they have, old and new."""
        rows = Counter[StudioId]()
        for (studio, _), number in self._published.tasks.items():
            rows[studio] += number
        for fetched in self._rows:
            rows[fetched.studio] += fetched.num_rows
        blocks: list[list[StudioId]] = [[]]
        sizes = [0]
        for studio in sorted(rows.keys() | {entry.studio for entry in self._entries}):
            if sizes[-1] >= BLOCK_ROWS:
                blocks.append([])
                sizes.append(0)
            blocks[-1].append(studio)
            sizes[-1] += rows[studio]
        return [(block, size) for block, size in zip(blocks, sizes, strict=True) if block]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """All rows of some studios: as published, as fetched, and as they shall be."""

    old: pa.Table
    new: pa.Table
    merged: pa.Table
    again: Sequence[TaskKey]
    dataset: Dataset

    def changes(self) -> Mapping[TaskKey, Change]:
        """What differs for those that were published before; empty where nothing does."""
        # The usual case, and found in no time, where finding what changed takes seconds for millions of rows.
        if not self.again or _alike(self.old, self.merged):
            return {}
        return changes(self.old, self.new, self.again, self.dataset)


def _task_of(fetched: Fetched) -> TaskKey:
    return fetched.task


def _published(swap: Swap, old: PartFile | None, left_out: LeftOut | None) -> Published:
    """What is there, as far as it may stay."""
    grain = swap.dataset.grain.id
    if old is None or swap.drop_all or (old.ledger.grain != grain and not old.ledger.entries):
        return nothing_published(swap.dataset, grain)
    if old.ledger.grain != grain:
        raise PlanConflictError(
            f"{swap.partition}: was published at another grain meanwhile; choose another dataset name, or"
            f" replace it with --rewrite"
        )
    return look_through(old, left_out)


def _newest(swap: Swap, published: Published) -> tuple[Sequence[Entry], Sequence[Fetched]]:
    """What is swapped, without tasks that a later run than the one that fetched them has published meanwhile."""
    there = {entry.task: entry.began_at for entry in published.ledger.entries}
    late = {
        entry.task
        for entry in swap.entries
        if (began_at := there.get(entry.task))
        and began_at > max(entry.began_at, swap.seen.get(entry.task, entry.began_at))
    }
    return [e for e in swap.entries if e.task not in late], [f for f in swap.rows if f.task not in late]


def _without(
    left_out: LeftOut, entries: Sequence[Entry], rows: Sequence[Fetched], customer_columns: Sequence[str]
) -> tuple[Sequence[Entry], Sequence[Fetched]]:
    """Both without people who are left out."""
    gone: dict[TaskKey, Withheld] = {}
    kept = []
    for fetched in rows:
        theirs: list[Piece] = []
        for piece in fetched.pieces:
            table = piece.rows()
            found = rows_of(table, pa.repeat(fetched.studio, table.num_rows), customer_columns, left_out)
            if found is not None:
                gone[fetched.task] = gone.get(fetched.task, Withheld()) + withheld(table, found)
                table = table.filter(pc.invert(found))
            theirs.append(piece if found is None else whole(table))
        kept.append(replace(fetched, pieces=theirs))
    return [entry.leave_out(gone[entry.task]) if entry.task in gone else entry for entry in entries], kept


def _alike(old: pa.Table, new: pa.Table) -> bool:
    """Whether two tables, sorted alike, hold the same rows but for who fetched them and when."""
    trailing = [field.name for field in TRAILING]
    if not old.schema.equals(new.schema) or old.num_rows != new.num_rows:
        return False
    return bool(old.drop_columns(trailing).equals(new.drop_columns(trailing)))


def _is_as_published(new: Entry, old: Entry | None, seen: Mapping[TaskKey, datetime]) -> bool:
    """Whether the ledger can stay as it is, too; not where it tells of a time ahead, which must not stay."""
    if old is None or max(old.began_at, seen.get(old.task, old.began_at)) > new.began_at:
        return False

    def facts(entry: Entry) -> tuple[object, ...]:
        return entry.rows, entry.total, entry.measure, entry.withheld, entry.zone

    return facts(new) == facts(old)

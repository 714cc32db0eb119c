"""A small sample of the ids in a table, the same for the same ids, to see whether two studios are one."""

from collections.abc import Sequence
from heapq import nsmallest

import pyarrow as pa

#: Ids in a sketch at most.
SKETCH_SIZE = 32


def sketch(table: pa.Table, names: Sequence[str]) -> frozenset[int]:
    """Hashes of the distinct combinations of *names* in *table*, the smallest 32 of them; comparable in one process."""
    columns = [table.column(name).to_pylist() for name in names if name in table.column_names]
    if not columns:
        return frozenset()
    return frozenset(nsmallest(SKETCH_SIZE, {hash(ids) for ids in zip(*columns, strict=True)}))

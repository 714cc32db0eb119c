"""Whether a key repeats."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from exporter.tables.uniqueness import repeated_keys

_ROWS = st.lists(st.tuples(st.none() | st.integers(0, 2), st.none() | st.sampled_from(["", "a"]), st.integers(0, 9)))


@given(rows=_ROWS, in_order=st.booleans())
def test_rows_are_counted_whose_key_an_earlier_row_has(rows, in_order):
    rows = sorted(rows, key=lambda row: [(value is None, value) for value in row]) if in_order else rows
    table = pa.table(
        {
            "id": pa.array([a for a, _, _ in rows], pa.int64()),
            "status": pa.array([b for _, b, _ in rows], pa.string()),
            "count": pa.array([c for _, _, c in rows], pa.int64()),
        }
    )
    assert repeated_keys(table, ["id", "status"]) == len(rows) - len({(a, b) for a, b, _ in rows})


def test_without_key_columns_every_row_but_the_first_repeats():
    assert [repeated_keys(pa.table({"count": [1] * rows}), []) for rows in (0, 1, 3)] == [0, 0, 2]

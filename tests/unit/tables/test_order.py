"""What rows tell beside their neighbours, held against lists."""

from itertools import groupby, pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from exporter.tables.order import runs, ties
from tests.support.parts import january, part, task

ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 2),
        st.none() | st.sampled_from(["Open", "open", "été"]),
        st.none() | st.floats(allow_nan=False),
    ),
    max_size=8,
)
TASKS = st.sampled_from([task(studio, january(*days)) for studio in ("cove", "élan") for days in [(1,), (2,), (1, 2)]])


def table_of(rows, chunk=8):
    columns = [[row[n] for row in rows] for n in range(3)]
    types = (pa.int64(), pa.string(), pa.float64())
    chunked = [
        pa.chunked_array([values[at : at + chunk] for at in range(0, len(rows), chunk)], kind)
        for values, kind in zip(columns, types, strict=True)
    ]
    return pa.table(chunked, names=["a", "b", "c"])


def nulls_last(row):
    return [(value is None, value) for value in row]


@given(rows=ROWS, chunk=st.integers(1, 8), begins=st.sets(st.integers(1, 7)), in_order=st.booleans())
def test_rows_ascend_where_each_is_at_least_the_one_before(rows, chunk, begins, in_order):
    rows = sorted(rows, key=nulls_last) if in_order else rows
    held = [
        (nulls_last(one), nulls_last(other))
        for n, (one, other) in enumerate(pairwise(rows), start=1)
        if n not in begins
    ]
    expected = sum(one == other for one, other in held) if all(one <= other for one, other in held) else None
    assert ties(table_of(rows, chunk), ["a", "b", "c"], sorted(begins)) == expected


def test_where_a_value_is_no_number_nothing_is_said_of_the_order():
    assert ties(pa.table({"c": [1.0, float("nan"), 2.0]}), ["c"]) is None


@given(tasks=st.lists(TASKS, max_size=12), chunk=st.integers(1, 5))
def test_rows_are_cut_where_those_of_another_task_begin(tasks, chunk):
    whole = part([(one, {"count": n}) for n, one in enumerate(tasks)])
    table = pa.concat_tables([whole.slice(at, chunk) for at in range(0, max(1, len(tasks)), chunk)])
    expected = [
        (one, [n for n, _ in rows]) for one, rows in groupby(enumerate(tasks), key=lambda numbered: numbered[1])
    ]
    assert [(one, piece.rows()["count"].to_pylist()) for one, piece in runs(table)] == expected

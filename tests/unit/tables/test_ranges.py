"""Streams of sorted rows cut at the same places, with so few rows in a table that keys lie on both sides of an end."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.tables.ranges import ranges

KEY = ["text", "number"]
SCHEMA = pa.schema([("text", pa.string()), ("number", pa.int64()), ("count", pa.int64())])

#: Few values, so that keys meet. The second letter's bytes stand behind the third's, as its code point does.
ROWS = st.lists(st.tuples(st.sampled_from([None, "a", "\U00010000", "\uffff"]), st.sampled_from([None, -1, 2])))
SIZES = st.integers(1, 4)


def key(row):
    return [(value is None, value) for value in row[:2]]


def in_tables(rows, size):
    """Sorted, *size* rows a table."""
    return cut(sorted(rows, key=key), size)


def cut(rows, size):
    parts = [rows[start : start + size] for start in range(0, len(rows), size)] or [[]]
    return [pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in part], SCHEMA) for part in parts]


def rows_of(table):
    return [tuple(row.values()) for row in table.to_pylist()]


def numbered(rows):
    return [(*row, number) for number, row in enumerate(rows)]


@given(ROWS.map(numbered), ROWS.map(numbered), SIZES, SIZES)
def test_each_row_is_in_one_range_in_its_order_and_keys_are_not_parted(one, other, size, other_size):
    found = list(ranges(in_tables(one, size), in_tables(other, other_size), KEY))
    for side, rows in enumerate((one, other)):
        assert [row for pair in found for row in rows_of(pair[side])] == sorted(rows, key=key)
    keys = [[tuple(key(row)) for side in pair for row in rows_of(side)] for pair in found]
    assert all(max(before) < min(after) for before, after in pairwise(keys))


@given(ROWS.map(numbered), ROWS.map(numbered), SIZES, SIZES)
def test_rows_in_no_order_are_in_one_range_each_all_the_same(one, other, size, other_size):
    found = list(ranges(cut(one, size), cut(other, other_size), KEY))
    for number, rows in enumerate((one, other)):
        assert [row for pair in found for row in rows_of(pair[number])] == rows


@given(st.sets(st.integers(-9, 9)), st.sets(st.integers(-9, 9)), SIZES)
def test_no_range_has_more_rows_of_a_side_than_one_of_its_tables_and_one_more(one, other, size):
    sides = [in_tables([(None, number, 0) for number in numbers], size) for numbers in (one, other)]
    assert all(side.num_rows <= size + 1 for pair in ranges(*sides, KEY) for side in pair)


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_column_that_one_side_lacks_is_null_there(lacking):
    tables = in_tables([("a", 1, 0), ("a", 2, 0), ("a", None, 0)], 1)
    sides = [tables, tables]
    sides[lacking] = [table.drop_columns(["number"]) for table in tables]
    found = [(before.num_rows, after.num_rows) for before, after in ranges(*sides, KEY)]
    assert found[-1] == ((3, 1) if lacking == 0 else (1, 3))
    assert [sum(side) for side in zip(*found, strict=True)] == [3, 3]


def test_where_neither_side_has_rows_there_is_no_range():
    assert list(ranges(in_tables([], 1), in_tables([], 1), KEY)) == []

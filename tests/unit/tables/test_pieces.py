"""Pieces of tables are put together as they stand, in as few slices as there can be."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from exporter.tables.pieces import Piece, joined, whole

TABLES = [pa.table({"customer_id": pa.array(range(start, start + 9), pa.int64())}) for start in (0, 100)]

pieces = st.lists(
    st.builds(
        lambda table, start, rows: Piece(table, start, min(rows, table.num_rows - start)),
        st.sampled_from(TABLES),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=12,
)


@given(pieces)
def test_joined_pieces_have_the_rows_of_each_in_their_order(given_pieces):
    one_by_one = pa.concat_tables([piece.rows() for piece in given_pieces])
    assert pa.concat_tables(joined(given_pieces)).equals(one_by_one)


def test_pieces_behind_each_other_in_one_table_are_one_slice():
    first, second = TABLES
    parts = [Piece(first, 0, 3), Piece(first, 3, 0), Piece(first, 3, 6), Piece(second, 0, 2), Piece(second, 4, 1)]
    assert [table.num_rows for table in joined(parts)] == [9, 2, 1]


def test_a_whole_table_is_one_piece():
    assert whole(TABLES[0]).rows().equals(TABLES[0])

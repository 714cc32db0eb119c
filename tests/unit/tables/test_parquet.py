import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.ledger import Ledger
from exporter.errors import DataError
from exporter.tables.parquet import LEDGER_KEY, encode_part, read_ledger
from tests.support.parts import STRIKES, dataset, decode_part, january, ledger, part, task

TASK = task("harbour-yoga", january(1, 31))
PART = part([(TASK, {"status": "open", "customer_id": n, "count": n + 1}) for n in range(20)])
LEDGER = ledger(TASK)
DATA = encode_part(PART, LEDGER, "zstd")

#: Both ways to the ledger of a whole object.
READERS = (decode_part, lambda whole: read_ledger(whole, len(whole)))

MONEY = dataset("id", "status", "penalty_charge_amount_decimal", report="attendance_strikes")
VALUES = st.fixed_dictionaries(
    {
        "id": st.none() | st.integers(-(2**63), 2**63 - 1),
        "status": st.none() | st.text(),
        "penalty_charge_amount_decimal": st.none() | st.floats(allow_nan=False),
    }
)


def money(values):
    return part([(TASK, row) for row in values], MONEY)


def footer_of(data):
    return pq.read_metadata(io.BytesIO(data))


@given(values=st.lists(VALUES, max_size=30), compression=st.sampled_from(["zstd", "snappy", "none"]))
@settings(max_examples=50, deadline=None)
def test_what_was_encoded_decodes_to_the_same_table_and_ledger(values, compression):
    table = money(values)
    decoded, found = decode_part(encode_part(table, LEDGER, compression))
    assert decoded.equals(table, check_metadata=True)
    assert found == LEDGER


@given(values=st.lists(VALUES, min_size=1, max_size=30), cuts=st.sets(st.integers(1, 29)))
@settings(max_examples=50, deadline=None)
def test_the_same_rows_give_the_same_bytes_however_they_are_chunked(values, cuts):
    table = money(values)
    edges = [0, *sorted(cuts), 30]
    chunked = pa.concat_tables([table.slice(a, b - a) for a, b in pairwise(edges)])
    assert encode_part(chunked, LEDGER, "zstd") == encode_part(table, LEDGER, "zstd")


def test_long_columns_give_the_same_bytes_however_they_are_chunked():
    values = {"status": pa.array([f"{n:0100}" for n in range(60_000)]), "customer_id": pa.array(range(60_000))}
    table = pa.table({"studio_id": pa.array(["a"] * 60_000), "window_start": pa.array(range(60_000)), **values})
    chunked = pa.concat_tables([table.slice(0, 777), table.slice(777, 30_000), table.slice(30_777)])
    assert encode_part(chunked, LEDGER, "zstd") == encode_part(table, LEDGER, "zstd")


def test_a_part_without_rows_still_carries_its_ledger():
    empty = part([])
    decoded, found = decode_part(encode_part(empty, LEDGER, "zstd"))
    assert decoded.equals(empty)
    assert found == LEDGER


def test_the_ledger_is_the_only_entry_of_the_footer():
    table = PART.replace_schema_metadata({"pandas": "{}"})
    assert set(footer_of(encode_part(table, LEDGER, "zstd")).metadata) == {LEDGER_KEY.encode()}


@pytest.mark.parametrize(("compression", "codec"), [("zstd", "ZSTD"), ("snappy", "SNAPPY"), ("none", "UNCOMPRESSED")])
def test_columns_are_compressed_as_asked(compression, codec):
    group = footer_of(encode_part(PART, LEDGER, compression)).row_group(0)
    assert {group.column(n).compression for n in range(group.num_columns)} == {codec}


def test_times_are_stored_as_utc_microseconds():
    column = footer_of(DATA).schema.column(PART.schema.get_field_index("exported_at"))
    assert column.physical_type == "INT64"
    assert "isAdjustedToUTC=true, timeUnit=microseconds" in str(column.logical_type)


def test_the_footer_helps_readers_to_skip():
    group = footer_of(DATA).row_group(0)
    assert [(c.column_index, c.descending) for c in group.sorting_columns] == [(0, False), (1, False)]
    for n in range(group.num_columns):
        column = group.column(n)
        assert column.is_stats_set
        assert column.has_offset_index
        assert column.has_column_index
        assert "RLE_DICTIONARY" in column.encodings


@pytest.mark.parametrize(
    ("rows", "groups"),
    [(1, [1]), (14_999, [14_999]), (15_001, [7_501, 7_500]), (30_000, [10_000] * 3), (1_000_000, [31_250] * 32)],
)
def test_row_groups_are_of_like_size_and_grow_with_the_part(rows, groups):
    table = pa.table({"studio_id": pa.repeat("a", rows), "window_start": pa.repeat(1, rows)})
    footer = footer_of(encode_part(table, LEDGER, "none"))
    assert [footer.row_group(n).num_rows for n in range(footer.num_row_groups)] == groups


@pytest.mark.parametrize("hashed", [False, True], ids=["ids", "hashes"])
def test_row_groups_without_a_customer_are_known_by_a_filter_that_others_read(hashed, tmp_path):
    customers = [str(n) if hashed else n for n in range(0, 40_000, 2)]
    rows = {"studio_id": pa.repeat("a", 20_000), "window_start": pa.repeat(1, 20_000), "customer_id": customers}
    (tmp_path / "part.parquet").write_bytes(encode_part(pa.table(rows), LEDGER, "zstd"))

    def groups_that_may_hold(customer):
        probe = f"FROM parquet_bloom_probe('{tmp_path}/part.parquet', 'customer_id', {customer!r})"
        return [group for _, group, excluded in duckdb.sql(probe).fetchall() if not excluded]

    assert [groups_that_may_hold(customer) for customer in (customers[0], customers[-1])] == [[0], [1]]
    absent = [str(n) if hashed else n for n in range(1, 200, 2)]
    assert sum(len(groups_that_may_hold(customer)) for customer in absent) < 40


def test_a_null_in_a_column_that_has_none_is_refused():
    with pytest.raises(DataError, match="column count has no value in 1 of 2 rows"):
        encode_part(part([(TASK, {"count": None}), (TASK, {})]), LEDGER, "zstd")


def test_the_ledger_is_read_from_any_tail_that_holds_the_footer():
    needed = footer_of(DATA).serialized_size + 8
    for size in range(len(DATA) + 1):
        found = read_ledger(DATA[len(DATA) - size :], len(DATA))
        if size < needed:
            assert isinstance(found, int)
            assert size < found <= needed
        else:
            assert found == LEDGER


def test_two_reads_find_a_ledger_of_any_size():
    long = ledger(*(task(f"studio-{n}", january(1, 31)) for n in range(500)))
    data = encode_part(PART, long, "zstd")
    needed = read_ledger(data[-64:], len(data))
    assert isinstance(needed, int)
    assert read_ledger(data[-needed:], len(data)) == long


def test_an_object_cut_short_anywhere_is_not_whole():
    for size in range(len(DATA)):
        for read in READERS:
            with pytest.raises(DataError, match="whole"):
                read(DATA[:size])


def test_a_tail_whose_beginning_was_lost_is_not_whole():
    needed = footer_of(DATA).serialized_size + 8
    with pytest.raises(DataError, match=f"its footer needs {needed} bytes, but the object has {needed - 1}"):
        read_ledger(DATA[1 - needed :], needed - 1)


def test_a_damaged_page_is_noticed():
    data = encode_part(part([(TASK, {"status": "in_penalty_sequence"})]), LEDGER, "none")
    with pytest.raises(DataError, match="is not whole"):
        decode_part(data.replace(b"in_penalty_sequence", b"in-penalty-sequence", 1))


def test_a_damaged_footer_is_noticed_without_quoting_it():
    size = footer_of(DATA).serialized_size
    data = DATA[: -size - 8] + b"\xff" * size + DATA[-8:]
    for read in READERS:
        with pytest.raises(DataError) as caught:
            read(data)
        assert str(caught.value).isascii()


@pytest.mark.parametrize("read", READERS)
def test_a_part_of_another_program_is_refused(read):
    foreign = io.BytesIO()
    pq.write_table(PART, foreign)
    with pytest.raises(DataError, match="was not written by this program"):
        read(foreign.getvalue())


@pytest.mark.parametrize("text", ["", "not a ledger", "\N{SNOWMAN}"])
def test_a_ledger_that_is_none_is_refused(text):
    foreign = io.BytesIO()
    with pq.ParquetWriter(foreign, PART.schema) as writer:
        writer.add_key_value_metadata({LEDGER_KEY: text})
    with pytest.raises(DataError, match="written by another version of this program, or is damaged"):
        decode_part(foreign.getvalue())


def test_an_empty_ledger_is_a_ledger():
    nothing = Ledger(grain=LEDGER.grain)
    assert decode_part(encode_part(part([], STRIKES), nothing, "zstd"))[1] == nothing


_THREADS_OF_READING = """
import os, sys
from exporter.tables.parquet import PartFile

def threads():
    return set(os.listdir("/proc/self/task"))

part = PartFile(sys.stdin.buffer.read())
before = threads()  # the allocator has one of its own
rows = [part.read().num_rows, sum(piece.num_rows for piece in part.pieces())]
print(rows, len(threads() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted where Linux lists them")
def test_a_part_is_read_by_no_thread_that_could_outlive_the_interpreter():
    command = [sys.executable, "-c", _THREADS_OF_READING]
    shown = subprocess.run(command, input=DATA, capture_output=True, check=True)
    assert shown.stdout == b"[20, 20] 0\n"

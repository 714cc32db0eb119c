"""Columns dropped or hashed before anything is written."""

import hashlib
import hmac

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.tables import privacy
from exporter.tables.schema import report_fields, written_fields
from tests.support.pages import dataset_of

KEY = b"made-up key"
NAMES = ("customer_id", "customer_name", "customer_email", "status", "count")


def table_of(dataset, rows, extras=()):
    return pa.Table.from_pylist(rows, schema=pa.schema(report_fields(dataset, extras)))


def digest(text: str, key: bytes = KEY) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def test_dropped_columns_are_gone_and_hashed_ones_are_keyed_hashes_of_their_text():
    dataset = dataset_of(*NAMES, drop=["customer_name"], hashed=["customer_id", "customer_email"])
    row = {"customer_id": -7, "customer_name": "Ann", "customer_email": "é@example.test", "status": "open", "count": 1}
    assert privacy.apply(table_of(dataset, [row]), dataset, KEY).to_pylist() == [
        {"customer_id": digest("-7"), "customer_email": digest("é@example.test"), "status": "open", "count": 1}
    ]


@given(st.lists(st.none() | st.text(max_size=3), max_size=8), st.lists(st.none() | st.integers(0, 3), max_size=8))
def test_equal_values_have_equal_hashes_and_null_stays_null(names, ids):
    dataset = dataset_of(*NAMES, hashed=["customer_id", "customer_name"])
    rows = [{"customer_name": n, "count": 1} for n in names] + [{"customer_id": i, "count": 1} for i in ids]
    result = privacy.apply(table_of(dataset, rows), dataset, KEY)
    assert result["customer_name"].to_pylist()[: len(names)] == [None if n is None else digest(n) for n in names]
    assert result["customer_id"].to_pylist()[len(names) :] == [None if i is None else digest(str(i)) for i in ids]


@pytest.mark.parametrize("rows", [0, 3])
def test_the_schema_is_that_of_what_is_written(rows):
    extras = (pa.field("customer_email", pa.string()), pa.field("tags", pa.string()))
    dataset = dataset_of("customer_id", "status", "count", drop=["customer_email", "status"], hashed=["customer_id"])
    result = privacy.apply(table_of(dataset, [{"count": 1}] * rows, extras), dataset, KEY)
    assert result.schema.equals(pa.schema(written_fields(dataset, extras)))
    assert result.column_names == ["customer_id", "count", "tags"]
    assert result.num_rows == rows


def test_a_column_that_came_unasked_is_hashed_by_its_name():
    extras = (pa.field("customer_email", pa.string()),)
    dataset = dataset_of("status", "count", hashed=["customer_email"])
    table = table_of(dataset, [{"count": 1, "customer_email": "ann@example.test"}], extras)
    assert privacy.apply(table, dataset, KEY)["customer_email"].to_pylist() == [digest("ann@example.test")]


def test_chunks_are_hashed_alike():
    dataset = dataset_of("customer_id", "count", hashed=["customer_id"])
    one = table_of(dataset, [{"customer_id": 1, "count": 1}])
    assert privacy.apply(pa.concat_tables([one, one]), dataset, KEY)["customer_id"].to_pylist() == [digest("1")] * 2


def test_another_key_gives_other_hashes_and_an_empty_one_is_refused():
    dataset = dataset_of("customer_id", "count", hashed=["customer_id"])
    table = table_of(dataset, [{"customer_id": 1, "count": 1}])
    assert privacy.apply(table, dataset, b"other")["customer_id"].to_pylist() == [digest("1", b"other")]
    with pytest.raises(ValueError, match="empty key"):
        privacy.apply(table, dataset, b"")


def test_without_anything_to_protect_the_table_is_as_it_was():
    dataset = dataset_of("customer_id", "count")
    table = table_of(dataset, [{"customer_id": 1, "count": 1}])
    assert privacy.apply(table, dataset, b"").equals(table)

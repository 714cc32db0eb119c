"""Pages -> one typed table: the laws that hold for every way of writing rows."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.answer import Format, Header, Page
from exporter.core.report import ColumnType, Dataset
from exporter.errors import ChangedError, DataError
from exporter.tables.decode import decode_pages
from exporter.tables.json_pages import Columns, read_quickly, read_thoroughly
from exporter.tables.labels import learn_labels
from exporter.tables.layout import layout_of
from exporter.tables.schema import report_fields
from tests.support.pages import csv_page, csv_text, dataset_of, headers_of, json_page, nested, page

EVERYTHING = dataset_of(*dataset_of("count").spec.names())
UNGROUPED = dataset_of(
    "id", "status", "penalty_charge_amount_decimal", "penalty_charge_amount_string", report="attendance_strikes"
)
_VALUES = {
    ColumnType.INT64: st.integers(-(2**63), 2**63 - 1),
    ColumnType.FLOAT64: st.floats(allow_nan=False, allow_infinity=False),
    ColumnType.STRING: st.text(max_size=12),
}


def rows_of(dataset: Dataset) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows under their dotted keys, in the order asked for; only measures are never null."""
    keys = [c.key for c in dataset.columns]
    values = [
        _VALUES[c.type] if c.name in dataset.spec.measures else st.none() | _VALUES[c.type] for c in dataset.columns
    ]
    return st.lists(st.tuples(*values).map(lambda row: dict(zip(keys, row, strict=True))), max_size=4)


def written_in_every_way(dataset: Dataset, rows: list[dict[str, Any]]) -> dict[str, Page]:
    keys = [c.key for c in dataset.columns]
    names = [c.name for c in dataset.columns]
    integers = {c.key for c in dataset.columns if c.type is ColumnType.INT64}
    spelt = [{k: str(v) if k in integers and v is not None else v for k, v in row.items()} for row in rows]
    return {
        "nested": json_page(dataset, [nested(row) for row in rows]),
        "dotted": json_page(dataset, rows),
        "snake case": json_page(dataset, [dict(zip(names, row.values(), strict=True)) for row in rows]),
        "nulls left out": json_page(dataset, [{k: v for k, v in row.items() if v is not None} for row in rows]),
        "without headers": json_page(dataset, [nested(row) for row in rows], headers=()),
        "integers as text": json_page(dataset, [nested(row) for row in spelt]),
        "csv by key": csv_page(dataset, csv_text(keys, rows)),
        "csv by name": csv_page(dataset, "\ufeff" + csv_text(names, rows, end="\r\n")),
        "csv by label": csv_page(dataset, csv_text([h.label for h in headers_of(dataset)], rows)),
    }


@pytest.mark.parametrize("dataset", [EVERYTHING, UNGROUPED], ids=["grouped", "ungrouped"])
@given(data=st.data())
def test_every_way_of_writing_rows_gives_the_same_table(dataset: Dataset, data: st.DataObject):
    rows = data.draw(rows_of(dataset))
    wanted = pa.Table.from_pylist(
        [{c.name: row[c.key] for c in dataset.columns} for row in rows], schema=pa.schema(report_fields(dataset))
    )
    labels = learn_labels(headers_of(dataset))
    for way, written in written_in_every_way(dataset, rows).items():
        decoded = decode_pages([written], dataset, labels)
        assert decoded.table.equals(wanted), way
        assert decoded.page_rows == (len(rows),), way
        assert decoded.extras == (), way


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "name", "venue", "venue.id", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_LOOSE_ROW = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("event", "event.venue.id", "venue_name", "status", "count", "tags", "x"), _JSON)
)
_TIDY_ROW = st.fixed_dictionaries(
    {"count": st.integers(0, 9)},
    optional={
        "event": st.none() | st.fixed_dictionaries({}, optional={"venue": st.none() | st.just({"id": 3, "name": "A"})}),
        "status": st.none() | st.text(max_size=3),
        "tags": st.none() | st.just("new"),
    },
)


@given(st.lists(_LOOSE_ROW | _TIDY_ROW, max_size=3), st.booleans())
def test_quick_reading_gives_what_thorough_reading_gives_or_nothing(rows: list[object], tags_announced: bool):
    dataset = dataset_of("venue_id", "venue_name", "status", "count")
    headers = (*headers_of(dataset), *([Header(key="tags", label="Tags")] if tags_announced else []))
    written, layout = [json_page(dataset, rows, headers=headers)], layout_of(headers, dataset)
    quick = read_quickly(written, layout)
    if quick is not None:
        assert _content(quick) == _content(read_thoroughly(written, layout))


def _content(columns: Columns) -> tuple[object, ...]:
    return columns.leaves, {key: array.to_pylist() for key, array in columns.arrays.items()}, columns.page_rows


def test_quick_reading_takes_documented_rows():
    rows = [{"event": {"venue": {"id": 1, "name": "A"}}, "count": 2}, {"event": None, "count": 1}]
    dataset = dataset_of("venue_id", "venue_name", "count")
    assert read_quickly([json_page(dataset, rows)], layout_of(headers_of(dataset), dataset)) is not None


_CSV_SCRAPS = st.lists(st.sampled_from([b"1", b"x", b",", b'"', b"\n", b"\r", b"\xc3\xa9", b"\xff", b"\0"]), max_size=9)


@given(
    st.binary(max_size=40)
    | st.text(max_size=20).map(lambda text: f'[{{"status": "{text}"}}]'.encode())
    | _CSV_SCRAPS.map(lambda scraps: b"customer_id,status\n" + b"".join(scraps))
)
def test_no_bytes_whatever_make_decoding_crash(body: bytes):
    dataset = dataset_of("status", "customer_id")
    for kind in Format:
        try:
            decode_pages([page(dataset, kind, body)], dataset)
        except DataError:
            continue


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b"[null]",
        b'[{"status": "\\ud800", "count": 1}]',
        b'[{"status": "\xff", "count": 1}]',
        b'[{"\xff": 1, "count": 1}]',
        b'[{"count": NaN}]',
        b'[{"count": 1e99999999999999999999}]',
        b"[" * 100_000,
        b'[{"a":' * 3000 + b"1" + b"}]" * 3000,
    ],
    ids=range(11),
)
def test_a_body_that_is_no_array_of_valid_objects_is_refused(body: bytes):
    dataset = dataset_of("status", "count")
    with pytest.raises(DataError, match="harbour-yoga 2025-01 page 1"):
        decode_pages([page(dataset, Format.JSON, body, headers=headers_of(dataset))], dataset)


@pytest.mark.parametrize(
    ("column", "value", "seen"),
    [
        ("customer_id", True, "a boolean"),
        ("customer_id", 1.5, "a fraction"),
        ("customer_id", 2**63, "beyond"),
        ("customer_id", 1e300, "beyond"),
        ("customer_id", str(2**63), "beyond"),
        ("customer_id", "007", "text"),
        ("customer_id", "+7", "text"),
        ("customer_id", " 7", "text"),
        ("customer_id", "7.0", "text"),
        ("customer_id", "\N{ARABIC-INDIC DIGIT SEVEN}", "text"),
        ("customer_id", "", "text"),
        ("customer_id", [7], "an array"),
        ("customer_name", False, "a boolean"),
        ("customer_name", 1.5, "a fraction"),
        ("customer_name", [], "an array"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_place_and_type_but_not_by_value(column, value, seen):
    dataset = dataset_of("customer_id", "customer_name", "count")
    good = {"customer": {"id": 1, "name": "Ann"}, "count": 1}
    bad = {column: value, "count": 1}
    written = [json_page(dataset, [good]), json_page(dataset, [good, bad], number=2)]
    with pytest.raises(DataError, match=f"harbour-yoga 2025-01 page 2 row 2: column {column} is {seen}") as caught:
        decode_pages(written, dataset)
    assert str(value) not in str(caught.value) or value == ""


def test_numbers_that_are_whole_are_integers_however_they_are_written():
    dataset = dataset_of("customer_id", "count")
    body = b'[{"customer": {"id": 3.0}, "count": 1e2}, {"customer": {"id": "-0"}, "count": 9007199254740993.0}]'
    decoded = decode_pages([page(dataset, Format.JSON, body)], dataset)
    assert decoded.table.to_pylist() == [
        {"customer_id": 3, "count": 100},
        {"customer_id": 0, "count": 9007199254740993},
    ]


def test_an_integer_in_a_column_of_text_is_its_decimal_text():
    dataset = dataset_of("status", "count")
    rows = [{"status": 12345678901234567890123, "count": 1}]
    assert decode_pages([json_page(dataset, rows)], dataset).table["status"].to_pylist() == ["12345678901234567890123"]


@pytest.mark.parametrize("value", ["1e999", "x", "0x1F", "inf", True, [1], 10**400])
def test_a_number_that_is_none_or_not_finite_is_refused(value):
    rows = [{"id": 1, "penalty": {"charge": {"amount": {"decimal": value}}}}]
    with pytest.raises(DataError, match="column penalty_charge_amount_decimal is"):
        decode_pages([json_page(UNGROUPED, rows)], UNGROUPED)


def test_a_number_may_be_whole_or_text():
    amounts = [12, "12.50", 1e3, None]
    rows = [{"penalty": {"charge": {"amount": {"decimal": amount}}}} for amount in amounts]
    decoded = decode_pages([json_page(UNGROUPED, rows)], UNGROUPED)
    assert decoded.table["penalty_charge_amount_decimal"].to_pylist() == [12.0, 12.5, 1000.0, None]


def test_unknown_enum_values_are_kept():
    dataset = dataset_of("status", "count")
    rows = [{"status": "late_cancelled", "count": 1}]
    assert decode_pages([json_page(dataset, rows)], dataset).table["status"].to_pylist() == ["late_cancelled"]


@pytest.mark.parametrize("row", [{"status": "open"}, {"status": "open", "count": None}])
def test_a_measure_that_is_null_is_refused(row):
    dataset = dataset_of("status", "count")
    written = [json_page(dataset, [{"count": 1}]), json_page(dataset, [{"count": 1}, row], number=2)]
    with pytest.raises(DataError, match="page 2 row 2: column count is null"):
        decode_pages(written, dataset)


def test_a_plain_value_in_place_of_an_object_is_refused():
    dataset = dataset_of("customer_id", "count")
    with pytest.raises(DataError, match="row 1: customer is a plain value instead of an object"):
        decode_pages([json_page(dataset, [{"customer": "Ann", "count": 1}])], dataset)


def test_a_value_that_comes_nested_and_dotted_must_be_the_same():
    dataset = dataset_of("customer_id", "count")
    same = {"customer": {"id": 1}, "customer.id": "1", "count": 1}
    one_null = {"customer": {"id": None}, "customer_id": 1, "count": 1}
    assert decode_pages([json_page(dataset, [same, one_null])], dataset).table["customer_id"].to_pylist() == [1, 1]
    with pytest.raises(DataError, match="column customer_id comes twice with different values"):
        decode_pages([json_page(dataset, [same | {"customer.id": 2}])], dataset)


def test_columns_that_came_unasked_are_kept_behind_the_others_and_reported():
    dataset = dataset_of("status", "count")
    extras = [("venue.size", "Size"), ("customer_id", "Customer ID"), ("Tags", "Tags"), ("status-2", "Status")]
    headers = (*headers_of(dataset), *(Header(key=k, label=label, required=True) for k, label in extras))
    rows = [
        {
            "status": "open",
            "count": 1,
            "customer": {"id": 7},
            "Tags": {"b": [1.50, None], "a": "é"},
            "venue": {"size": True},
        },
        {"status": "open", "count": 2, "customer.id": "8", "Tags": "new", "venue.size": 12, "status-2": 1.5},
    ]
    decoded = decode_pages([json_page(dataset, rows, headers=headers)], dataset)
    assert decoded.extras == ("customer_id", "status_2", "tags", "venue_size")
    assert decoded.table.column_names == ["status", "count", *decoded.extras]
    assert decoded.table.schema.field("customer_id").type == pa.int64()
    assert decoded.table.select(decoded.extras).to_pylist() == [
        {"customer_id": 7, "status_2": None, "tags": '{"b":[1.5,null],"a":"é"}', "venue_size": "true"},
        {"customer_id": 8, "status_2": "1.5", "tags": "new", "venue_size": "12"},
    ]


@pytest.mark.parametrize("key", ['a"b', "a\\b", "a\nb", "a\0b", "é", ".".join("abcdefghijklmn")])
def test_a_header_may_have_any_key(key):
    strikes = dataset_of("customer_id", "status", "count")
    headers = [*headers_of(strikes), Header(key=key, label="")]
    row = {"customer": {"id": 1}, "status": "open", "count": 2, key: "kept"}
    decoded = decode_pages([json_page(strikes, [row], headers=headers)], strikes)
    assert decoded.table.column(decoded.extras[0]).to_pylist() == ["kept"]


def test_a_value_that_no_header_announced_is_kept_in_every_row():
    dataset = dataset_of("status", "count")
    first, second = {"count": 1, "x": None}, {"count": 2, "customer": {"email": "ann@example.test", "id": None}}
    pages = [json_page(dataset, [first, second]), json_page(dataset, [first | {"seen": {"at": 5}}], number=2)]
    decoded = decode_pages(pages, dataset)
    assert decoded.extras == ("customer_email", "seen_at")
    assert decoded.table["customer_email"].to_pylist() == [None, "ann@example.test", None]
    assert decoded.table["seen_at"].to_pylist() == [None, None, "5"]


def test_an_unknown_column_never_takes_a_name_of_the_exporter_or_of_a_column_asked_for():
    dataset = dataset_of("status", "count")
    keys = ["month", "run_id", "Status", "日", "_"]
    headers = (*headers_of(dataset), *(Header(key=key, label=key) for key in keys))
    rows = [{"count": 1, **dict.fromkeys(keys, "v")}]
    decoded = decode_pages([json_page(dataset, rows, headers=headers)], dataset)
    assert decoded.extras == ("column", "column_", "month_", "run_id_", "status_")


def test_an_object_that_the_catalogue_knows_is_kept_by_its_leaves():
    dataset = dataset_of("status", "count")
    headers = (*headers_of(dataset), Header(key="customer", label="Customer"))
    rows = [{"count": 1, "customer": {"email": "ann@example.test"}}]
    assert decode_pages([json_page(dataset, rows, headers=headers)], dataset).extras == ("customer_email",)


def test_rows_of_several_pages_stand_in_the_order_of_the_pages():
    dataset = dataset_of("count")
    pages = [json_page(dataset, [{"count": n} for n in range(size)], number=i) for i, size in enumerate((2, 0, 3), 1)]
    decoded = decode_pages(pages, dataset)
    assert decoded.page_rows == (2, 0, 3)
    assert decoded.table["count"].to_pylist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("dataset", [EVERYTHING, UNGROUPED], ids=["grouped", "ungrouped"])
def test_no_rows_are_an_empty_table_of_the_right_schema(dataset: Dataset):
    schema = pa.schema(report_fields(dataset))
    for pages in ([], [json_page(dataset, [])], [json_page(dataset, [], headers=())], [csv_page(dataset, "")]):
        assert decode_pages(pages, dataset).table.equals(schema.empty_table())


def test_headers_that_change_between_pages_mean_that_the_report_changed():
    dataset = dataset_of("count")
    more = (*headers_of(dataset), Header(key="x", label="X"))
    with pytest.raises(ChangedError, match="page 2"):
        decode_pages([json_page(dataset, []), json_page(dataset, [], headers=more, number=2)], dataset)
    with pytest.raises(ChangedError, match="page 2"):
        decode_pages([json_page(dataset, []), csv_page(dataset, "", number=2)], dataset)


def test_an_unknown_column_leaves_its_name_to_a_known_one_that_comes_after_it():
    dataset = dataset_of("customer_id", "status", "count")
    keys = ("venue.name", "event.venue.name")
    headers = (*headers_of(dataset), *(Header(key=key, label=key) for key in keys))
    row = {
        "customer": {"id": 1},
        "status": "open",
        "count": 2,
        "venue": {"name": "a"},
        "event": {"venue": {"name": "b"}},
    }
    (found,) = decode_pages([json_page(dataset, [row], headers=headers)], dataset).table.to_pylist()
    assert (found["venue_name"], found["venue_name_"]) == ("b", "a")

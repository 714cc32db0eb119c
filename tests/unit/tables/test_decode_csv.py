"""CSV pages: first lines, quotes, nulls, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.answer import Format, Header
from exporter.errors import ChangedError, DataError, MissingColumnError
from exporter.tables.csv_pages import csv_header, read_quickly, read_thoroughly
from exporter.tables.decode import decode_pages
from exporter.tables.labels import learn_labels, resolve_csv_header
from exporter.tables.layout import layout_of
from tests.support.pages import csv_page, dataset_of, headers_of, page

STRIKES = dataset_of("customer_id", "status", "count")
KEYS = ("customer.id", "status", "count")


def rows(text: str, dataset=STRIKES, labels=None):
    return decode_pages([csv_page(dataset, text)], dataset, labels).table.to_pylist()


def test_a_quoted_empty_field_is_text_where_not_everything_is_quoted():
    assert [r["status"] for r in rows('customer_id,status,count\n,"",1\n,,1\n')] == ["", None]


def test_an_empty_field_is_null_where_everything_is_quoted():
    text = '"customer_id","status","count"\r\n"","","1"\r\n"7","open","2"\r\n'
    assert rows(text) == [
        {"customer_id": None, "status": None, "count": 1},
        {"customer_id": 7, "status": "open", "count": 2},
    ]


def test_an_empty_number_is_null_quoted_or_not():
    assert [r["customer_id"] for r in rows('customer_id,status,count\n"",a,1\n,b,1\n')] == [None, None]


def test_quotes_commas_and_newlines_within_a_field_are_kept():
    text = 'status,count,customer_id\n"a ""b"",\r\nc\n\nd",1,2\n'
    assert rows(text) == [{"customer_id": 2, "status": 'a "b",\r\nc\n\nd', "count": 1}]


_FIELD = st.sampled_from(["", "1", "0", "-7", "007", "a", "é", '""', '"b"', '"c\r\nd"', '"'])
_ROW = st.lists(_FIELD, min_size=2, max_size=4).map(",".join)
_LINE = st.tuples(_ROW | st.just(""), st.sampled_from(["\r\n", "\n", "\r"])).map("".join)
_ORDINARY_LINE = st.sampled_from(["1,open,2\r\n", ",,1\r\n", "7,é,0\r\n"])


@given(st.lists(st.lists(_LINE | _ORDINARY_LINE, max_size=3).map("".join), min_size=1, max_size=3), st.data())
def test_quick_reading_gives_what_thorough_reading_gives_or_nothing(bodies: list[str], data: st.DataObject):
    head = ",".join(KEYS) + data.draw(st.sampled_from(["\r\n", "\n"]))
    pages = [csv_page(STRIKES, head + body, number=number) for number, body in enumerate(bodies, 1)]
    layout = layout_of(headers_of(STRIKES), STRIKES)
    quick = read_quickly(pages, KEYS, layout)
    if quick is not None:
        thorough = read_thoroughly(pages, KEYS, layout)
        assert quick.page_rows == thorough.page_rows
        assert quick.arrays == thorough.arrays


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_quick_reading_takes_pages_whose_lines_end_alike(end: str):
    pages = [csv_page(STRIKES, f"{','.join(KEYS)}\r\n1,a,1{end}2,b,2{end}"), csv_page(STRIKES, ",".join(KEYS) + "\r\n")]
    quick = read_quickly(pages, KEYS, layout_of(headers_of(STRIKES), STRIKES))
    assert quick is not None
    assert quick.page_rows == (2, 0)


def test_the_last_line_needs_no_end_and_blank_lines_are_no_rows():
    assert [r["count"] for r in rows("customer_id,status,count\n1,a,1\n\n2,b,2")] == [1, 2]


def test_a_blank_line_is_a_null_where_there_is_one_column():
    dataset = dataset_of("status", report="attendance_strikes")
    assert [r["status"] for r in rows("status\na\n\nb\n", dataset)] == ["a", None, "b"]


@pytest.mark.parametrize("text", ["", "\ufeff", "customer_id,status,count", "customer_id,status,count\r\n\r\n"])
def test_a_first_line_alone_is_no_rows(text):
    assert rows(text) == []


def test_the_first_line_is_read_as_csv_without_its_byte_order_mark():
    assert csv_header(csv_page(STRIKES, '\ufeff"a, ""b""\nc",d\n1,2\n')) == ('a, "b"\nc', "d")
    assert csv_header(csv_page(STRIKES, "")) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("customer_id,status,count\n1,open,1\n2,open\n", "row 2: has 2 fields instead of 3"),
        ("customer_id,status,count\n1,open,1,9\n", "row 1: has 4 fields instead of 3"),
        ("customer_id,status,count\n1,open,1\nx1,open,1\n", "row 2: column customer_id is text"),
        ("customer_id,status,count\n1,open,01\n", "row 1: column count is text"),
        ("customer_id,status,count\n1,open,\n", "row 1: column count is null"),
        ('customer_id,status,count\n1,"open,1\n', "a quote is never closed"),
        ("customer_id,customer.id,status,count\n1,1,open,1\n", "two columns of one name"),
        ("customer_id,status,count,customer\n1,open,1,Ann\n", "customer stands for an object"),
        ('"customer_id"x,status\n', "the first line is no CSV"),
        ("\ncustomer_id,status,count\n", "the first line of the CSV is blank"),
    ],
)
def test_what_is_not_the_documented_rows_is_refused_without_its_text(text, reason):
    with pytest.raises(DataError, match=f"harbour-yoga 2025-01 page 1.*{reason}") as caught:
        rows(text)
    assert "x1" not in str(caught.value)
    assert "Ann" not in str(caught.value)


def test_invalid_utf8_is_refused():
    with pytest.raises(DataError, match="no valid UTF-8"):
        decode_pages([page(STRIKES, Format.CSV, b"customer_id,status,count\n1,\xff,1\n")], STRIKES)


def test_a_column_that_is_missing_is_an_error_with_the_way_out():
    with pytest.raises(MissingColumnError, match=r"\(customer_id\).*list_style"):
        rows("status,count\nopen,1\n", labels=learn_labels(headers_of(STRIKES)))


def test_labels_that_nobody_taught_are_refused():
    with pytest.raises(DataError, match="unknown labels"):
        rows("Customer ID,Status,Count\n1,open,1\n")


def test_a_column_that_came_unasked_is_kept_as_text():
    decoded = decode_pages([csv_page(STRIKES, "customer_id,status,count,Extra\n1,a,2,007\n")], STRIKES)
    assert decoded.extras == ("extra",)
    assert decoded.table["extra"].to_pylist() == ["007"]


def test_a_first_line_that_changes_between_pages_means_that_the_report_changed():
    pages = [csv_page(STRIKES, "customer_id,status,count\n"), csv_page(STRIKES, "status,customer_id,count\n", number=2)]
    with pytest.raises(ChangedError, match="page 2"):
        decode_pages(pages, STRIKES)


def test_keys_and_names_need_no_labels():
    assert resolve_csv_header(KEYS, STRIKES, None) == KEYS
    assert resolve_csv_header(("count", "x", "status", "customer_id"), STRIKES, None) == (
        "count",
        "x",
        "status",
        "customer.id",
    )
    assert resolve_csv_header((), STRIKES, None) == ()


def test_labels_are_needed_where_names_are_no_keys():
    assert resolve_csv_header(("Customer ID", "Status", "Count"), STRIKES, None) is None


def test_equal_labels_are_told_apart_by_position():
    headers = [Header(key=key, label="Same") for key in KEYS]
    assert resolve_csv_header(("Same", "Same", "Same"), STRIKES, learn_labels(headers)) == KEYS


def test_labels_in_another_order_are_matched_one_by_one():
    labels = learn_labels([Header(key=key, label=label) for key, label in zip(KEYS, ("Who", "How", "n"), strict=True)])
    assert resolve_csv_header(("n", "Who", "Other", "How"), STRIKES, labels) == (
        "count",
        "customer.id",
        "Other",
        "status",
    )


def test_a_label_that_reads_like_the_key_of_another_column_is_still_a_label():
    dataset = dataset_of("status", "attendance_status", "count")
    pairs = (("status", "strike"), ("attendance.status", "status"), ("count", "n"))
    labels = learn_labels([Header(key=key, label=label) for key, label in pairs])
    assert resolve_csv_header(("n", "status", "strike"), dataset, labels) == ("count", "attendance.status", "status")

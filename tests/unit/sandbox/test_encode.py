import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from exporter.sandbox.encode import CsvHeaders, to_csv, to_json
from exporter.sandbox.tabulate import Heading, Page


def page(keys, *rows) -> Page:
    return Page(headings=tuple(Heading(key=key, label=key.upper()) for key in keys), rows=rows, total=len(rows))


def test_rows_nest_along_the_dots():
    document = json.loads(
        to_json(page(["customer.id", "status", "event.venue.id", "event.venue.name"], (1, "a", 2, "b")))
    )
    assert document["rows"] == [{"customer": {"id": 1}, "status": "a", "event": {"venue": {"id": 2, "name": "b"}}}]


def test_an_object_without_values_is_null_at_its_highest_level():
    keys = ["customer_membership.membership.id", "customer_membership.membership.name", "customer.id"]
    assert json.loads(to_json(page(keys, (None, None, 1))))["rows"] == [
        {"customer": {"id": 1}, "customer_membership": None}
    ]


def test_a_null_beside_values_stays_at_its_place():
    document = json.loads(to_json(page(["customer.id", "customer.name"], (1, None))))
    assert document["rows"] == [{"customer": {"id": 1, "name": None}}]


def test_a_header_says_sorted_only_where_it_is():
    headings = (
        Heading(key="customer.id", label="Customer ID", holds_customer_id=True, order="desc", priority=1),
        Heading(key="count", label="Count", required=True),
    )
    assert json.loads(to_json(Page(headings=headings, rows=(), total=7))) == {
        "total": 7,
        "column_headers": [
            {
                "label": "Customer ID",
                "key": "customer.id",
                "sortable": True,
                "holds_customer_id": True,
                "sorted": {"order": "desc", "priority": 1},
                "required": False,
            },
            {"label": "Count", "key": "count", "sortable": True, "required": True},
        ],
        "rows": [],
    }


def test_an_object_is_one_column_of_json_and_several_of_csv():
    headings = [Heading(key=f"amount.{part}", label=part, object="amount") for part in ("decimal", "string")]
    whole = Page(headings=tuple(headings), rows=((5.0, "£5.00"),), total=1)
    document = json.loads(to_json(whole))
    assert [header["key"] for header in document["column_headers"]] == ["amount"]
    assert document["rows"] == [{"amount": {"decimal": 5.0, "string": "£5.00"}}]
    assert to_csv(whole, CsvHeaders.KEY).decode() == "amount.decimal,amount.string\r\n5.0,£5.00\r\n"


def test_the_first_line_of_csv_holds_keys_or_labels():
    assert to_csv(page(["customer.id", "count"], (1, 2)), CsvHeaders.KEY) == b"customer.id,count\r\n1,2\r\n"
    assert to_csv(page(["customer.id", "count"], (1, 2)), CsvHeaders.LABEL) == b"CUSTOMER.ID,COUNT\r\n1,2\r\n"


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.integers())))
def test_any_text_comes_back_from_csv(rows):
    text = to_csv(page(["name", "count"], *rows), CsvHeaders.KEY).decode()
    written = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert written == [[name, str(count)] for name, count in rows]

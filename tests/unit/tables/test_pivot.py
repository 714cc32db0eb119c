"""A row for each period."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.answer import Header
from exporter.core.report import Pivot
from exporter.errors import DataError
from exporter.tables.decode import decode_pages
from exporter.tables.labels import learn_labels
from exporter.tables.schema import report_fields
from tests.support.pages import csv_page, csv_text, dataset_of, json_page, nested

MONTHLY = dataset_of("customer_id", "count", "status", pivot=Pivot.MONTH)
PERIODS = (Header(key="count.2025-01", label="January"), Header(key="count.2025-02", label="February"))
OWN = (Header(key="customer.id", label="Customer ID"), Header(key="status", label="Status"))


def decoded(rows: list[Any], headers=(*OWN, *PERIODS), dataset=MONTHLY):
    return decode_pages([json_page(dataset, rows, headers=headers)], dataset)


def test_each_row_becomes_one_row_per_period_in_the_order_of_the_headers():
    rows = [
        {"customer": {"id": 1}, "status": "open", "count": {"2025-01": 3, "2025-02": None}},
        {"customer": {"id": 2}, "status": None, "count.2025-02": "4"},
    ]
    result = decoded(rows)
    assert result.page_rows == (2,)
    assert result.extras == ()
    assert result.table.schema.equals(pa.schema(report_fields(MONTHLY)))
    assert [tuple(row.values()) for row in result.table.to_pylist()] == [
        (1, "count.2025-01", "January", 3, "open"),
        (1, "count.2025-02", "February", 0, "open"),
        (2, "count.2025-01", "January", 0, None),
        (2, "count.2025-02", "February", 4, None),
    ]


@given(
    st.lists(st.lists(st.integers(0, 99), min_size=3, max_size=3), max_size=5),
    st.sampled_from(["2025-W0{}", "count.2025-0{}", "{}"]),
)
def test_counts_over_all_periods_add_up_to_the_plain_counts(counts: list[list[int]], key: str):
    periods = [Header(key=key.format(n), label=f"Period {n}") for n in range(3)]
    headers = (*OWN, Header(key="count", label="Count"), *periods)
    rows = [
        {
            "customer.id": n,
            "status": "open",
            "count": sum(row),
            **{p.key: c for p, c in zip(periods, row, strict=True)},
        }
        for n, row in enumerate(counts)
    ]
    result = decoded(rows, headers)
    table = result.table
    assert table.num_rows == 3 * len(counts)
    assert sum(table["count"].to_pylist()) == sum(map(sum, counts))
    assert table["count"].to_pylist() == [count for row in counts for count in row]


@given(st.lists(st.tuples(st.none() | st.integers(), st.text(max_size=4), st.none() | st.integers(0, 9)), max_size=4))
def test_json_and_csv_give_the_same_rows(values: list[tuple[int | None, str, int | None]]):
    values = [(who, status, n) for who, status, n in values if who is None or abs(who) < 2**63]
    rows = [{"customer.id": who, "status": status, "count.2025-01": n, "count.2025-02": 1} for who, status, n in values]
    labels = learn_labels((*OWN, *PERIODS))
    wanted = decoded([nested(row) for row in rows]).table
    for names in ([h.key for h in labels.headers], [h.label for h in labels.headers]):
        page = csv_page(MONTHLY, csv_text(names, rows))
        assert decode_pages([page], MONTHLY, labels).table.equals(wanted)


def test_without_labels_a_period_in_csv_is_called_as_its_column():
    page = csv_page(MONTHLY, "customer_id,status,Jan 2025\n1,open,2\n")
    assert decode_pages([page], MONTHLY).table.to_pylist() == [
        {"customer_id": 1, "period_key": "Jan 2025", "period_label": "Jan 2025", "count": 2, "status": "open"}
    ]


def test_a_column_that_comes_without_being_asked_for_is_no_period():
    known, required = Header(key="customer.name", label="Name"), Header(key="hall", label="Hall", required=True)
    rows = [{"status": "open", "count": {"2025-01": 1}, "hall": "Big", "customer": {"id": 1, "name": "Ann"}}]
    result = decoded(rows, (*OWN, known, PERIODS[0], required))
    assert result.extras == ("customer_name", "hall")
    assert [tuple(row.values()) for row in result.table.to_pylist()] == [
        (1, "count.2025-01", "January", 1, "open", "Ann", "Big")
    ]


def test_periods_that_do_not_add_up_to_count_were_cut_off():
    headers = (*OWN, Header(key="count", label="Count"), *PERIODS)
    good = {"customer.id": 1, "count": 3, "count.2025-01": 1, "count.2025-02": 2}
    with pytest.raises(DataError, match=r"page 1 row 2: .*max_pivot_columns"):
        decoded([good, good | {"count": 4}], headers)


def test_more_periods_than_were_asked_for_are_refused():
    headers = (*OWN, *(Header(key=f"2025-0{n}", label=str(n)) for n in range(1, 6)))
    with pytest.raises(DataError, match="5 periods, more than max_pivot_columns = 4"):
        decoded([{"customer": {"id": 1}, "status": "open"}], headers)


@pytest.mark.parametrize("headers", [OWN, (*OWN, Header(key="count", label="Count")), ()])
def test_rows_without_any_period_are_refused(headers):
    with pytest.raises(DataError, match="no column of the answer is a period"):
        decoded([{"customer": {"id": 1}, "status": "open", "count": 3}], headers)


def test_no_rows_need_no_periods():
    assert decoded([], OWN).table.equals(pa.schema(report_fields(MONTHLY)).empty_table())
    assert decoded([], (*OWN, *PERIODS)).table.num_rows == 0


def test_a_value_that_no_header_announces_may_be_a_period_and_is_refused():
    with pytest.raises(DataError, match=r"count\.2025-03 is in no header"):
        decoded([{"customer.id": 1, "count": {"2025-01": 1, "2025-03": 1}}])


@pytest.mark.parametrize("value", ["many", 1.5, True])
def test_a_period_that_holds_no_integer_is_refused(value):
    with pytest.raises(DataError, match=r"row 1: column count\.2025-01 is"):
        decoded([{"customer.id": 1, "count": {"2025-01": value}}])

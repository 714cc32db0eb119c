"""What headers must say before rows are read."""

import pytest

from exporter.core.answer import Header
from exporter.core.report import Pivot
from exporter.errors import MissingColumnError
from exporter.tables.headers import check_headers, told_order
from tests.support.pages import csv_page, dataset_of, headers_of, json_page

STRIKES = dataset_of("customer_id", "status", "count")


def sorted_by(*columns: tuple[str, str | None, float | None]) -> tuple[Header, ...]:
    return tuple(Header(key=key, label=key, order=order, priority=priority) for key, order, priority in columns)


@pytest.mark.parametrize("key", ["customer.id", "customer_id"])
def test_a_column_is_announced_by_its_key_or_its_name(key):
    headers = (Header(key=key, label="Customer"), *headers_of(STRIKES)[1:])
    check_headers(json_page(STRIKES, [], headers=headers), STRIKES)


@pytest.mark.parametrize("key", ["penalty.charge.amount", "penalty_charge_amount", "penalty.charge.amount.decimal"])
def test_a_part_of_a_money_object_is_announced_by_the_object(key):
    dataset = dataset_of("penalty_charge_amount_decimal", report="attendance_strikes")
    check_headers(json_page(dataset, [], headers=[Header(key=key, label="Amount")]), dataset)


def test_a_column_that_no_header_announces_is_missing_and_the_way_out_is_named():
    page = json_page(STRIKES, [{"status": "open"}], headers=[Header(key="status", label="Status")])
    with pytest.raises(MissingColumnError, match=r"page 1: .*customer_id, count.*list_style"):
        check_headers(page, STRIKES)


def test_without_headers_each_column_must_occur_in_some_row():
    rows = [{"customer": None, "status": "open"}, {"count": 1}]
    check_headers(json_page(STRIKES, rows, headers=()), STRIKES)
    check_headers(json_page(STRIKES, [], headers=()), STRIKES)
    check_headers(json_page(STRIKES, [{"customer_id": 1, "status": None, "count": 1}], headers=()), STRIKES)
    with pytest.raises(MissingColumnError, match="customer_id, count"):
        check_headers(json_page(STRIKES, [{"customer": {"name": "Ann"}, "status": "x"}], headers=()), STRIKES)
    with pytest.raises(MissingColumnError, match="customer_id, status, count"):
        check_headers(json_page(STRIKES, [{}], headers=()), STRIKES)


def test_a_pivot_needs_no_header_for_the_measure():
    dataset = dataset_of("status", "count", pivot=Pivot.MONTH)
    check_headers(json_page(dataset, [], headers=[Header(key="status", label="Status")]), dataset)


@pytest.mark.parametrize(
    "headers",
    [
        sorted_by(("customer.id", "asc", 0), ("status", "asc", 1), ("count", None, None)),
        sorted_by(("status", "asc", 5), ("customer_id", "ASC", 2), ("count", None, None)),
        sorted_by(("status", "asc", None), ("customer.id", "asc", None), ("count", None, None)),
    ],
)
def test_an_order_that_is_as_asked_is_nothing_to_tell(headers):
    assert told_order(json_page(STRIKES, [], headers=headers), STRIKES) == ""


def test_headers_that_are_marked_as_unsorted_tell_no_order():
    headers = sorted_by(("status", None, None), ("customer.id", None, None), ("count", None, None))
    assert told_order(json_page(STRIKES, [], headers=headers), STRIKES) is None


@pytest.mark.parametrize(
    "headers",
    [
        sorted_by(("customer.id", "asc", 1), ("status", "asc", 0), ("count", None, None)),
        sorted_by(("customer.id", "asc", 0), ("status", "desc", 1), ("count", None, None)),
        sorted_by(("customer.id", "asc", 0), ("status", None, None), ("count", None, None)),
        sorted_by(("customer.id", "asc", 0), ("status", "asc", 1), ("count", "asc", 2)),
        sorted_by(("customer.id", "asc", None), ("status", None, None), ("count", None, None)),
    ],
)
def test_another_order_than_asked_is_told(headers):
    assert (told_order(json_page(STRIKES, [], headers=headers), STRIKES) or "").startswith("customer.id asc")


def test_a_header_s_text_in_a_message_is_one_short_line():
    hostile = sorted_by(*((f"\x1b[2J\nfine {number}", "asc\r", number) for number in range(999)))
    headers = (*headers_of(STRIKES), *hostile)
    told = told_order(json_page(STRIKES, [], headers=headers), STRIKES)
    assert told is not None
    assert told.isprintable()
    assert len(told) < 400


def test_where_no_order_was_asked_for_none_is_told():
    total = dataset_of("count")
    headers = sorted_by(("count", "desc", 0))
    assert told_order(json_page(total, [], headers=headers), total) is None


def test_csv_is_checked_by_its_first_line_when_it_is_decoded():
    check_headers(csv_page(STRIKES, "nothing\n"), STRIKES)

from datetime import UTC, datetime

import pytest

from exporter.sandbox.catalogue import REPORTS
from exporter.sandbox.messages import RefusalError
from exporter.sandbox.query import ListStyle, Query, parse_query

GROUPED = REPORTS["/reports/attendance_strikes.grouped/data"]
UNGROUPED = REPORTS["/reports/attendance_strikes/data"]


def parse(report=GROUPED, /, *, list_style=ListStyle.COMMA, required=(), **params) -> Query:
    pairs = list(params.items())
    if report is GROUPED and not any(name.startswith("columns") for name in params):
        pairs.append(("columns", "status,count"))
    return parse_query(report, pairs, list_style=list_style, required=required)


def refused(report=GROUPED, /, **params) -> dict[str, list[str]]:
    with pytest.raises(RefusalError) as caught:
        parse(report, **params)
    assert (caught.value.status, caught.value.code) == (400, "parameter_invalid")
    return caught.value.field_errors


def keys(query: Query) -> list[str]:
    return [column.key for column in query.selection.columns]


def test_defaults_are_the_documented_ones():
    query = parse()
    assert (query.offset, query.limit, query.format) == (0, 50, "csv")
    assert (query.selection.pivot, query.selection.max_pivot_columns) == ("all", 4)


@pytest.mark.parametrize("name", ["customer_id", "customer.id"])
def test_alias_and_key_bring_the_same_column(name):
    assert keys(parse(columns=name)) == ["customer.id"]


def test_a_prefix_stands_for_every_column_below_it():
    assert keys(parse(columns="customer,event.venue")) == [
        "customer.id",
        "customer.name",
        "customer.email",
        "event.venue.id",
        "event.venue.name",
    ]


def test_a_column_asked_for_twice_comes_once_at_its_first_place():
    assert keys(parse(columns="status,customer_id,customer,status")) == [
        "status",
        "customer.id",
        "customer.name",
        "customer.email",
    ]


def test_a_money_object_comes_whole_and_not_in_parts():
    assert len(keys(parse(UNGROUPED, columns="penalty.charge.amount"))) == 5
    assert "columns" in refused(UNGROUPED, columns="penalty.charge.amount.decimal")


def test_the_ungrouped_report_without_columns_holds_all_of_them():
    assert keys(parse(UNGROUPED)) == [column.key for column in UNGROUPED.columns]


def test_the_grouped_report_needs_columns():
    with pytest.raises(RefusalError) as caught:
        parse_query(GROUPED, [])
    assert caught.value.field_errors == {"columns": ["This field is required."]}


def test_required_columns_come_unasked():
    query = parse(columns="count", required=["customer_id"])
    assert keys(query) == ["customer.id", "count"]
    assert [column.key for column in query.selection.required] == ["customer.id"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("columns", "customer_id,shoe_size"),
        ("columns", ""),
        ("columns", "status,,count"),
        ("columns", "count;status"),
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "ten"),
        ("limit", "1.0"),
        ("limit", "1_0"),
        ("limit", ""),
        ("offset", "-1"),
        ("page", "0"),
        ("page_size", "0"),
        ("page_size", "101"),
        ("format", "xml"),
        ("format", ""),
        ("format", "JSON"),
        ("pivot", "day"),
        ("max_pivot_columns", "13"),
        ("max_pivot_columns", "0"),
        ("status", "open,close"),
        ("attendance_status", "late_cancelled"),
        ("rule_applies_to", "both"),
        ("customers", "1,x"),
        ("venues", "1, 2"),
        ("penalty", "1,2"),
        ("id_gt", "a"),
        ("sort", "shoe_size"),
        ("sort", "--status"),
        ("sort", "customer_id"),
        ("event_starts_at_gte", "2025-01-01"),
        ("event_starts_at_gte", "2025-01-01T00:00:00"),
        ("event_starts_at_gte", "2025-01-01 00:00:00Z"),
        ("event_starts_at_gte", "2025-02-30T00:00:00Z"),
        ("event_starts_at_gte", "0001-01-01T00:00:00+14:00"),
        ("event_starts_at_lte", "2025-01-01T00:00:00.1234567Z"),
        ("shoe_size", "43"),
        ("columns[]", "status"),
    ],
)
def test_a_value_outside_the_documentation_is_refused_by_the_name_of_its_parameter(name, value):
    assert list(refused(**{name: value, "columns": "status,count"} if name != "columns" else {name: value})) == [name]


def test_every_wrong_parameter_is_named_at_once():
    assert refused(limit="0", format="xml", shoe="43").keys() == {"limit", "format", "shoe"}


def test_pivot_belongs_to_the_grouped_report_alone():
    assert refused(UNGROUPED, pivot="month").keys() == {"pivot"}


def test_a_pivoted_report_has_no_count_to_sort_by():
    assert refused(pivot="month", sort="count").keys() == {"sort"}


@pytest.mark.parametrize("one", ["limit", "offset"])
@pytest.mark.parametrize("other", ["page", "page_size"])
def test_the_two_ways_of_paging_cannot_be_mixed(one, other):
    assert refused(**{one: "1", other: "1"}).keys() == {"non_field_errors"}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"limit": "100", "offset": "200"}, (200, 100)),
        ({"offset": "7"}, (7, 50)),
        ({"page": "3", "page_size": "100"}, (200, 100)),
        ({"page": "3"}, (100, 50)),
        ({"page_size": "10"}, (0, 10)),
    ],
)
def test_either_way_of_paging_leads_to_offset_and_limit(params, expected):
    query = parse(**params)
    assert (query.offset, query.limit) == expected


def test_instants_are_the_same_whatever_their_offset():
    query = parse(event_starts_at_gte="2025-01-01T00:00:00+13:00", event_starts_at_lte="2025-01-31T23:59:59.999999Z")
    assert query.selection.since == datetime(2024, 12, 31, 11, tzinfo=UTC)
    assert query.selection.until == datetime(2025, 1, 31, 23, 59, 59, 999999, tzinfo=UTC)


def test_sort_takes_every_form_of_a_name_and_a_minus():
    query = parse(columns="customer,status,count", sort="-customer.id,status,-customer,count")
    assert [(column.key, descending) for column, descending in query.selection.sort] == [
        ("customer.id", True),
        ("status", False),
        ("customer.name", True),
        ("customer.email", True),
        ("count", False),
    ]


def test_a_money_object_is_sorted_by_its_first_value():
    query = parse(UNGROUPED, sort="penalty.charge.amount,id")
    assert [column.key for column, _ in query.selection.sort] == ["penalty.charge.amount.decimal", "id"]


def test_filters_hold_the_values_that_were_asked_for():
    query = parse(status="open,voided", customers="1,2", penalty="3", id_gt="-4")
    assert {each.name: wanted for each, wanted in query.selection.wanted} == {
        "status": {"open", "voided"},
        "customers": {1, 2},
        "penalty": {3},
    }
    assert query.selection.id_gt == -4


def test_a_comma_server_keeps_the_last_of_repeated_keys():
    query = parse_query(GROUPED, [("columns", "status"), ("columns", "customer_id,count")])
    assert keys(query) == ["customer.id", "count"]


def test_a_repeat_server_takes_every_key_and_refuses_commas():
    pairs = [("columns", "status"), ("columns", "count")]
    assert keys(parse_query(GROUPED, pairs, list_style=ListStyle.REPEAT)) == ["status", "count"]
    with pytest.raises(RefusalError):
        parse(columns="status,count", list_style=ListStyle.REPEAT)


def test_a_brackets_server_wants_brackets():
    pairs = [("columns[]", "status"), ("columns[]", "count")]
    assert keys(parse_query(GROUPED, pairs, list_style=ListStyle.BRACKETS)) == ["status", "count"]
    with pytest.raises(RefusalError) as caught:
        parse_query(GROUPED, [("columns", "status")], list_style=ListStyle.BRACKETS)
    assert caught.value.field_errors.keys() == {"columns"}


def test_equal_requests_make_equal_selections():
    one, other = parse(status="open,voided", limit="1"), parse(status="voided,open", limit="2")
    assert one.selection == other.selection
    assert hash(one.selection) == hash(other.selection)

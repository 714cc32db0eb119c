from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sandbox.catalogue import REPORTS
from exporter.sandbox.invent import make_world
from exporter.sandbox.messages import RefusalError
from exporter.sandbox.query import Selection, parse_query
from exporter.sandbox.studios import Named
from exporter.sandbox.tabulate import Table, tabulate
from exporter.sandbox.truth import truth
from tests.support.made_up import make_customer, make_infraction, make_studio

GROUPED = REPORTS["/reports/attendance_strikes.grouped/data"]
UNGROUPED = REPORTS["/reports/attendance_strikes/data"]
COLUMNS = ("customer_id", "customer_name", "status", "venue_id", "membership_name", "day_of_week", "event_start_time")

WORLD = make_world(4, 7, start=date(2025, 1, 1), end=date(2025, 5, 1), per_month=60)


def select(report=GROUPED, /, **params: str) -> Selection:
    return parse_query(report, params.items()).selection


def table_of(infractions, /, report=GROUPED, timezone="UTC", **params: str) -> Table:
    return tabulate(make_studio(infractions, timezone=timezone), select(report, **params))


def rows_of(table: Table, rng: Random | None = None) -> list[tuple]:
    return list(table.page(0, len(table.rows) or 1, rng or Random(1)).rows)


def keys_of(table: Table) -> list[str]:
    return [heading.key for heading in table.headings]


def test_infractions_of_one_group_are_counted_together():
    infractions = [make_infraction(1), make_infraction(2, customer=make_customer(1)), make_infraction(3)]
    assert sorted(rows_of(table_of(infractions, columns="customer_id,status,count"))) == [
        (1, "open", 2),
        (3, "open", 1),
    ]


def test_count_stands_where_it_was_asked_for():
    assert rows_of(table_of([make_infraction(1)], columns="status,count,customer_id")) == [("open", 1, 1)]


def test_count_alone_is_one_grand_total():
    assert rows_of(table_of([make_infraction(1), make_infraction(2)], columns="count")) == [(2,)]


@pytest.mark.parametrize("columns", ["count", "status,count", "status"])
def test_nothing_to_count_makes_no_row(columns):
    table = table_of([], columns=columns)
    assert rows_of(table) == []
    assert keys_of(table) == columns.split(",")


def test_groups_without_count_are_bare_combinations():
    assert rows_of(table_of([make_infraction(1), make_infraction(2)], columns="status")) == [("open",)]


def test_the_ungrouped_report_has_a_row_for_every_infraction():
    assert rows_of(table_of([make_infraction(1), make_infraction(2)], UNGROUPED, columns="status")) == [("open",)] * 2


def test_both_bounds_are_inclusive():
    starts = ["2025-01-01T00:00:00+00:00", "2025-01-15T00:00:00+00:00", "2025-01-31T23:59:59.999999+00:00"]
    infractions = [make_infraction(number, start) for number, start in enumerate(starts)]
    bounds = {"event_starts_at_gte": "2025-01-01T00:00:00Z", "event_starts_at_lte": "2025-01-31T23:59:59.999999Z"}
    assert rows_of(table_of(infractions, columns="count", **bounds)) == [(3,)]
    bounds = {
        "event_starts_at_gte": "2025-01-01T00:00:00.000001Z",
        "event_starts_at_lte": "2025-01-31T23:59:59.999998Z",
    }
    assert rows_of(table_of(infractions, columns="count", **bounds)) == [(1,)]


def test_weekday_and_time_are_the_studios_own():
    infractions = [make_infraction(1, "2025-01-05T23:30:00+00:00")]
    table = table_of(infractions, timezone="Pacific/Apia", columns="day_of_week,event_start_time")
    assert rows_of(table) == [("Monday", "12:30:00")]


@pytest.mark.parametrize(
    ("params", "ids"),
    [
        ({"status": "voided"}, {1}),
        ({"status": "open,voided"}, {1, 2, 3}),
        ({"attendance_status": "late_cancel"}, {2}),
        ({"customers": "1,3,99"}, {1, 3}),
        ({"venues": "101"}, {3}),
        ({"offering_types": "7"}, set()),
        ({"memberships": "300"}, {2}),
        ({"id_gt": "1"}, {2, 3}),
        ({"rule_applies_to": "no_shows", "id_gt": "2"}, {3}),
    ],
)
def test_a_filter_keeps_what_it_names(params, ids):
    infractions = [
        make_infraction(1, status="voided"),
        make_infraction(2, attendance_status="late_cancel", membership=Named(300, "Unlimited")),
        make_infraction(3, venue=Named(101, "Roof Garden")),
    ]
    assert {row[0] for row in rows_of(table_of(infractions, UNGROUPED, columns="id", **params))} == ids


def test_sort_obeys_every_column_in_turn():
    infractions = [
        make_infraction(number, customer=make_customer(customer), status=status)
        for number, (customer, status) in enumerate([(2, "open"), (1, "voided"), (2, "charged"), (1, "open")])
    ]
    rows = rows_of(table_of(infractions, columns="customer_id,status", sort="-customer_id,status"))
    assert rows == [(2, "charged"), (2, "open"), (1, "open"), (1, "voided")]


def test_null_sorts_last_and_first_in_reverse():
    infractions = [make_infraction(1), make_infraction(2, membership=Named(300, "Unlimited"))]
    assert rows_of(table_of(infractions, columns="membership_id", sort="membership_id")) == [(300,), (None,)]
    assert rows_of(table_of(infractions, columns="membership_id", sort="-membership_id")) == [(None,), (300,)]


def test_headers_tell_the_sort_exactly():
    table = table_of([], columns="customer_id,status,count", sort="status,-count")
    told = {heading.key: (heading.order, heading.priority) for heading in table.headings if heading.order}
    assert told == {"status": ("asc", 0), "count": ("desc", 1)}


def test_only_customer_id_holds_customer_ids():
    table = table_of([], columns="customer,status,count")
    assert [heading.key for heading in table.headings if heading.holds_customer_id] == ["customer.id"]


def test_an_order_nobody_asked_for_is_not_kept():
    table, rng = table_of(map(make_infraction, range(30)), columns="customer_id,count"), Random(1)
    assert len({tuple(rows_of(table, rng)) for _ in range(5)}) == 5


def test_rows_that_the_sort_leaves_equal_change_places():
    table, rng = table_of(map(make_infraction, range(30)), columns="customer_id,status,count", sort="status"), Random(1)
    assert len({tuple(rows_of(table, rng)) for _ in range(5)}) == 5


def test_a_total_order_is_kept():
    table, rng = table_of(map(make_infraction, range(30)), columns="customer_id,count", sort="-customer_id"), Random(1)
    assert {tuple(rows_of(table, rng)) for _ in range(5)} == {tuple((number, 1) for number in reversed(range(30)))}


@given(limit=st.integers(1, 100), columns=st.sets(st.sampled_from(COLUMNS), min_size=1), data=st.data())
def test_pages_of_a_total_order_make_the_whole_once(limit, columns, data):
    studio = data.draw(st.sampled_from(WORLD.studios))
    names = ",".join(sorted(columns))
    table, rng = tabulate(studio, select(columns=f"{names},count", sort=names)), Random(1)
    pages = [table.page(offset, limit, rng) for offset in range(0, len(table.rows) + limit, limit)]
    paged = [row for page in pages for row in page.rows]
    assert paged == rows_of(table)
    assert len(set(paged)) == len(paged) == pages[0].total
    assert sum(row[-1] for row in paged) == len(studio.infractions)


@given(columns=st.sets(st.sampled_from(COLUMNS)), pivot=st.sampled_from(["year", "month", "week"]), data=st.data())
def test_pivoted_sums_are_the_unpivoted_counts(columns, pivot, data):
    studio = data.draw(st.sampled_from(WORLD.studios))
    names, width = ",".join([*sorted(columns), "count"]), len(columns)
    bounds = {"event_starts_at_gte": "2025-02-01T00:00:00Z", "event_starts_at_lte": "2025-03-31T00:00:00Z"}
    plain = tabulate(studio, select(columns=names, **bounds))
    pivoted = tabulate(studio, select(columns=names, pivot=pivot, max_pivot_columns="12", **bounds))
    assert {row[:width]: row[width] for row in plain.rows} == {row[:width]: sum(row[width:]) for row in pivoted.rows}


@pytest.mark.parametrize(
    ("pivot", "periods"),
    [
        ("year", [("2024", "2024"), ("2025", "2025")]),
        ("month", [("2024-12", "December 2024"), ("2025-02", "February 2025")]),
        ("week", [("2025-W01", "Week 1, 2025"), ("2025-W07", "Week 7, 2025")]),
    ],
)
def test_a_pivot_names_its_periods(pivot, periods):
    infractions = [make_infraction(1, "2025-02-15T00:00:00+00:00"), make_infraction(2, "2024-12-31T00:00:00+00:00")]
    table = table_of(infractions, columns="customer_id,count,status", pivot=pivot, sort="customer_id")
    assert [(heading.key, heading.label) for heading in table.headings[1:-1]] == periods
    assert rows_of(table) == [(1, 0, 1, "open"), (2, 1, 0, "open")]


def test_more_periods_than_columns_are_refused():
    infractions = [make_infraction(month, f"2025-{month:02}-01T00:00:00+00:00") for month in range(1, 6)]
    with pytest.raises(RefusalError) as caught:
        table_of(infractions, columns="count", pivot="month")
    assert caught.value.field_errors.keys() == {"max_pivot_columns"}
    assert rows_of(table_of(infractions, columns="count", pivot="month", max_pivot_columns="5")) == [(1, 1, 1, 1, 1)]


@pytest.mark.parametrize(
    "filters",
    [
        {"status": ["open", "voided"]},
        {"attendance_status": "no_show", "rule_applies_to": ["no_shows"]},
        {"customers": [100_001, 100_002], "venues": [100, 101]},
        {"offering_types": 200},
        {"memberships": [300, 301]},
    ],
)
def test_the_truth_knows_the_same_filters(filters):
    studio = WORLD.studios[0]
    asked = {
        name: ",".join(map(str, [wanted] if isinstance(wanted, str | int) else wanted))
        for name, wanted in filters.items()
    }
    table = tabulate(studio, select(columns=",".join([*COLUMNS, "count"]), **asked))
    expected = truth(WORLD, studio.provider_id, [*COLUMNS, "count"], **filters)
    assert Counter(table.rows) == Counter(tuple(row.values()) for row in expected)
    assert 0 < sum(row["count"] for row in expected) < len(studio.infractions)


def test_a_month_by_instants_is_the_month_by_local_days():
    for studio in WORLD.studios:
        first = datetime.combine(date(2025, 3, 1), time(), ZoneInfo(studio.timezone)).astimezone(UTC)
        last = datetime.combine(date(2025, 4, 1), time(), ZoneInfo(studio.timezone)).astimezone(UTC)
        bounds = replace(select(columns=",".join([*COLUMNS, "count"])), since=first, until=last - datetime.resolution)
        expected = truth(WORLD, studio.provider_id, [*COLUMNS, "count"], date(2025, 3, 1), date(2025, 4, 1))
        assert Counter(tabulate(studio, bounds).rows) == Counter(tuple(row.values()) for row in expected)
        assert expected

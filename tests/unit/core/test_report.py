"""Columns in all their names, and the grain that rows share."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.catalogue import REPORTS
from exporter.core.report import ColumnType, Filter, Pivot, most_periods, periods_within
from exporter.core.window import Every, cut
from tests.support.tasks import make_dataset, month, windows

GROUPED = REPORTS["attendance_strikes.grouped"]
UNGROUPED = REPORTS["attendance_strikes"]

specs = st.sampled_from([GROUPED, UNGROUPED])


def names(columns):
    return [column.name for column in columns]


@pytest.mark.parametrize(
    ("asked", "leaves"),
    [
        (["customer_id", "count"], ["customer_id", "count"]),
        (["customer.id", "count"], ["customer_id", "count"]),
        (["count", "customer"], ["count", "customer_id", "customer_name", "customer_email"]),
        (["event.venue", "status"], ["venue_id", "venue_name", "status"]),
        (["event"], ["offering_type_id", "offering_type_name", "venue_id", "venue_name", "event_start_time"]),
        (["customer_membership"], ["membership_id", "membership_name"]),
        ([], []),
    ],
)
def test_columns_are_named_by_key_by_snake_case_name_or_by_what_they_lie_below(asked, leaves):
    assert names(GROUPED.resolve(asked)) == leaves


@pytest.mark.parametrize("form", ["penalty_charge_amount", "penalty.charge.amount"])
def test_the_parts_of_a_money_object_are_asked_for_as_a_whole(form):
    parts = UNGROUPED.resolve([form])
    assert names(parts) == [
        "penalty_charge_amount_decimal",
        "penalty_charge_amount_string",
        "penalty_charge_amount_iso_currency_code",
        "penalty_charge_amount_currency_symbol",
        "penalty_charge_amount_currency_symbol_position",
    ]
    assert {column.asked_as for column in parts} == {"penalty.charge.amount"}
    assert parts[0].type is ColumnType.FLOAT64


@given(spec=specs, data=st.data())
def test_a_column_named_twice_in_whatever_forms_is_refused(spec, data):
    column = data.draw(st.sampled_from(spec.columns))
    forms = [form for form, leaves in spec.column_forms().items() if column in leaves]
    pair = [data.draw(st.sampled_from(forms)) for _ in range(2)]
    with pytest.raises(ValueError, match=f'^"{pair[1]}" names the column .* a second time; name each column once$'):
        spec.resolve(pair)


@given(spec=specs, data=st.data())
def test_leaves_are_kept_in_the_order_they_are_named_in(spec, data):
    columns = data.draw(st.lists(st.sampled_from(spec.columns), unique_by=lambda column: column.name))
    asked = [data.draw(st.sampled_from([column.name, column.key])) for column in columns]
    assert list(spec.resolve(asked)) == columns


def test_an_unknown_column_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="customers") as caught:
        GROUPED.resolve(["count", "customers"])
    allowed = ", ".join(GROUPED.names())
    assert str(caught.value) == f'"customers" is no column of attendance_strikes.grouped; allowed are {allowed}'


def test_a_filter_is_found_by_its_name():
    assert GROUPED.filter("penalty") == Filter(name="penalty", type=ColumnType.INT64, many=False)
    assert GROUPED.filter("colour") is None


@pytest.mark.parametrize(
    ("report", "columns", "key"),
    [
        ("attendance_strikes.grouped", ["status", "count", "customer_id"], ["status", "customer_id"]),
        ("attendance_strikes.grouped", ["count"], []),
        ("attendance_strikes", ["status", "id", "customer_id"], ["id"]),
        ("attendance_strikes", ["status", "customer_id"], ["status", "customer_id"]),
    ],
)
def test_a_row_is_identified_by_its_group_or_by_its_id_where_it_has_one(report, columns, key):
    assert names(make_dataset(*columns, report=report).key_columns) == key


def test_the_report_is_sorted_by_all_of_its_key_under_the_apis_own_names_each_once():
    grouped = make_dataset("venue_id", "count", "customer.id")
    assert grouped.sort_keys == ("event.venue.id", "customer.id")
    money = make_dataset("penalty_charge_amount", "status", report="attendance_strikes")
    assert money.sort_keys == ("penalty.charge.amount", "status")


DATASET = make_dataset(
    "customer_id",
    "customer_email",
    "status",
    "count",
    filters={"status": ("open", "voided"), "venues": (3, 20)},
    hash=frozenset({"customer_email"}),
    hash_id="key-1",
)


@given(
    columns=st.permutations(DATASET.columns),
    statuses=st.permutations(["open", "voided"]),
    venues=st.permutations([3, 20]),
    turned=st.booleans(),
)
def test_the_grain_does_not_depend_on_the_order_of_anything(columns, statuses, venues, turned):
    filters = [("status", tuple(statuses)), ("venues", tuple(venues))]
    same = replace(DATASET, columns=tuple(columns), filters=dict(reversed(filters) if turned else filters))
    assert same.grain.id == DATASET.grain.id


@pytest.mark.parametrize(
    "change",
    [
        {"name": "another"},
        {"max_pivot_columns": 12},
        {"filters": {**DATASET.filters, "customers": ()}},
        {"hash": DATASET.hash | {"customer_name"}},
        {"drop": frozenset({"venue_name"})},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_makes_no_difference_to_a_row_makes_none_to_the_grain(change):
    assert replace(DATASET, **change).grain == DATASET.grain


@pytest.mark.parametrize(
    "change",
    [
        {"spec": replace(GROUPED, name="another")},
        {"columns": DATASET.columns[1:]},
        {"drop": frozenset({"status"})},
        {"every": Every.WEEK},
        {"pivot": Pivot.WEEK},
        {"filters": {"status": ("open",), "venues": (3, 20)}},
        {"filters": {"status": ("open", "voided")}},
        {"hash": frozenset({"customer_email", "customer_id"})},
        {"hash": frozenset()},
        {"hash_id": "key-2"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_part_of_the_grain_tells_it_from_others(change):
    assert replace(DATASET, **change).grain.id != DATASET.grain.id


def test_another_hash_key_makes_no_difference_where_nothing_hashed_is_written():
    gone = replace(DATASET, hash=frozenset({"customer_email"}), drop=frozenset({"customer_email"}))
    assert replace(gone, hash_id="key-2").grain.id == gone.grain.id


def test_the_id_of_a_grain_stays_what_it_was_in_earlier_versions():
    assert make_dataset(*GROUPED.default_columns).grain.id == "76333110a1a80119"
    assert replace(DATASET, pivot=Pivot.MONTH).grain.id == "de7a9619be5e86e8"


def periods_of(window, pivot):
    """The calendar periods of the days of *window*, counted one by one."""
    return {
        {
            Pivot.YEAR: (day.year,),
            Pivot.MONTH: (day.year, day.month),
            Pivot.WEEK: day.isocalendar()[:2],
        }[pivot]
        for n in range((window.end - window.start).days)
        if (day := window.start.fromordinal(window.start.toordinal() + n))
    }


spans = windows(longest=500)
pivots = st.sampled_from([Pivot.YEAR, Pivot.MONTH, Pivot.WEEK])


@given(spans, pivots)
def test_a_window_touches_as_many_periods_as_its_days_lie_in(window, pivot):
    assert periods_within(window, pivot) == len(periods_of(window, pivot))


@given(spans, pivots, st.sampled_from(Every))
@settings(deadline=None)
def test_the_most_periods_are_those_of_the_window_that_touches_most(span, pivot, every):
    assert most_periods(every, pivot, span) == max(
        len(periods_of(window, pivot)) for window in cut(span.start, span.end, every)
    )


def test_without_a_pivot_there_are_no_periods():
    assert periods_within(month("2025-01"), Pivot.ALL) == most_periods(Every.DAY, Pivot.ALL, month("2025-01")) == 0

"""The catalogue says what the API's documentation says."""

import pytest

from exporter.core.catalogue import REPORTS
from exporter.core.report import ColumnType, Pivot

GROUPED = REPORTS["attendance_strikes.grouped"]

#: Source: API reference, "Grouped Data", parameter `columns`.
LEAVES = [
    "customer.id",
    "customer.name",
    "customer.email",
    "status",
    "attendance.status",
    "rule.applies_to",
    "event.offering_type.id",
    "event.offering_type.name",
    "event.venue.id",
    "event.venue.name",
    "customer_membership.membership.id",
    "customer_membership.membership.name",
    "day_of_week",
    "event.start_time",
    "count",
]
ALIASES = [
    "customer_id",
    "customer_name",
    "customer_email",
    "attendance_status",
    "rule_applies_to",
    "offering_type_id",
    "offering_type_name",
    "venue_id",
    "venue_name",
    "membership_id",
    "membership_name",
    "event_start_time",
]
PREFIXES = [
    "customer",
    "attendance",
    "rule",
    "event",
    "event.offering_type",
    "event.venue",
    "customer_membership",
    "customer_membership.membership",
]


def test_the_grouped_report_has_every_documented_leaf_in_order():
    assert [column.key for column in GROUPED.columns] == LEAVES


def test_the_grouped_report_takes_every_documented_name_of_a_column_and_no_other():
    assert len(LEAVES + ALIASES + PREFIXES) == 35
    assert set(GROUPED.column_forms()) == {*LEAVES, *ALIASES, *PREFIXES}


def test_ids_and_count_are_integers_and_all_else_is_text():
    whole = {column.name for column in GROUPED.columns if column.type is ColumnType.INT64}
    assert whole == {"customer_id", "offering_type_id", "venue_id", "membership_id", "count"}
    assert {column.type for column in GROUPED.columns} == {ColumnType.INT64, ColumnType.STRING}


@pytest.mark.parametrize("spec", REPORTS.values(), ids=REPORTS)
def test_every_documented_filter_is_there_with_its_values(spec):
    filters = {f.name: (f.type.value, f.many, set(f.allowed)) for f in spec.filters}
    assert filters == {
        "status": (
            "string",
            True,
            {"open", "voided", "expired", "in_penalty_sequence", "upcoming_charge", "charged", "charge_skipped"},
        ),
        "attendance_status": ("string", True, {"late_cancel", "no_show"}),
        "rule_applies_to": ("string", True, {"no_shows", "late_cancels", "late_cancels_or_no_shows"}),
        "customers": ("int64", True, set()),
        "memberships": ("int64", True, set()),
        "offering_types": ("int64", True, set()),
        "venues": ("int64", True, set()),
        "penalty": ("int64", False, set()),
    }
    assert (spec.since, spec.until) == ("event_starts_at_gte", "event_starts_at_lte")


def test_only_the_grouped_report_counts_and_takes_a_pivot():
    assert (GROUPED.grouped, GROUPED.measures, set(GROUPED.pivots)) == (True, ("count",), set(Pivot))
    other = REPORTS["attendance_strikes"]
    assert (other.grouped, other.measures, other.pivots, other.row_key) == (False, (), (), ("id",))


@pytest.mark.parametrize("spec", REPORTS.values(), ids=REPORTS)
def test_an_entry_agrees_with_itself(spec):
    names = spec.names()
    assert len(set(names)) == len(names)
    assert {*spec.default_columns, *spec.measures, *spec.row_key, *spec.identity} <= set(names)
    assert [column.name for column in spec.resolve(spec.default_columns)] == list(spec.default_columns)
    assert spec.path == f"/reports/{spec.name}/data"
    assert REPORTS[spec.name] is spec


@pytest.mark.parametrize("spec", REPORTS.values(), ids=REPORTS)
def test_nothing_personal_is_exported_unless_asked_for_but_the_customers_id(spec):
    personal = {column.name for column in spec.columns if column.personal}
    assert {"customer_id", "customer_name", "customer_email"} <= personal
    assert personal & set(spec.default_columns) == {"customer_id"}

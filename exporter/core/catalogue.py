"""The report catalogue: what the exporter knows of each report. A table; adding a report is adding an entry.

Source: API reference, "Grouped Data" of the attendance strikes report; `x-report-catalog` of the OpenAPI description
for the ungrouped report.
"""

from collections.abc import Mapping

from exporter.core.report import Column, ColumnType, Filter, Pivot, ReportSpec

_INT = ColumnType.INT64
_FLOAT = ColumnType.FLOAT64
_STRING = ColumnType.STRING

#: What may narrow either attendance strikes report.
_STRIKE_FILTERS = (
    Filter(
        name="status",
        type=_STRING,
        allowed=(
            "open",
            "voided",
            "expired",
            "in_penalty_sequence",
            "upcoming_charge",
            "charged",
            "charge_skipped",
        ),
    ),
    Filter(name="attendance_status", type=_STRING, allowed=("late_cancel", "no_show")),
    Filter(name="rule_applies_to", type=_STRING, allowed=("no_shows", "late_cancels", "late_cancels_or_no_shows")),
    Filter(name="customers", type=_INT),
    Filter(name="memberships", type=_INT),
    Filter(name="offering_types", type=_INT),
    Filter(name="venues", type=_INT),
    Filter(name="penalty", type=_INT, many=False),
)

_CUSTOMER = (
    Column(key="customer.id", name="customer_id", type=_INT, personal=True, customer_id=True),
    Column(key="customer.name", name="customer_name", personal=True),
    Column(key="customer.email", name="customer_email", personal=True),
)
_OFFERING_TYPE = (
    Column(key="event.offering_type.id", name="offering_type_id", type=_INT),
    Column(key="event.offering_type.name", name="offering_type_name"),
)
_VENUE = (
    Column(key="event.venue.id", name="venue_id", type=_INT),
    Column(key="event.venue.name", name="venue_name"),
)
_MEMBERSHIP = (
    Column(key="customer_membership.membership.id", name="membership_id", type=_INT),
    Column(key="customer_membership.membership.name", name="membership_name"),
)
_STATUS = Column(key="status", name="status")
_ATTENDANCE_STATUS = Column(key="attendance.status", name="attendance_status")
_APPLIES_TO = Column(key="rule.applies_to", name="rule_applies_to")

#: The parts of a money object, asked for as a whole.
_PENALTY_AMOUNT = tuple(
    Column(
        key=f"penalty.charge.amount.{part}",
        name=f"penalty_charge_amount_{part}",
        type=kind,
        ask="penalty.charge.amount",
    )
    for part, kind in (
        ("decimal", _FLOAT),
        ("string", _STRING),
        ("iso_currency_code", _STRING),
        ("currency_symbol", _STRING),
        ("currency_symbol_position", _STRING),
    )
)

_ENTRIES = (
    ReportSpec(
        name="attendance_strikes.grouped",
        path="/reports/attendance_strikes.grouped/data",
        columns=(
            *_CUSTOMER,
            _STATUS,
            _ATTENDANCE_STATUS,
            _APPLIES_TO,
            *_OFFERING_TYPE,
            *_VENUE,
            *_MEMBERSHIP,
            Column(key="day_of_week", name="day_of_week"),
            Column(key="event.start_time", name="event_start_time"),
            Column(key="count", name="count", type=_INT),
        ),
        default_columns=(
            "customer_id",
            "status",
            "attendance_status",
            "offering_type_id",
            "offering_type_name",
            "venue_id",
            "venue_name",
            "day_of_week",
            "event_start_time",
            "count",
        ),
        filters=_STRIKE_FILTERS,
        since="event_starts_at_gte",
        until="event_starts_at_lte",
        grouped=True,
        measures=("count",),
        pivots=(Pivot.ALL, Pivot.YEAR, Pivot.MONTH, Pivot.WEEK),
        identity=("customer_id", "venue_id", "offering_type_id", "membership_id"),
    ),
    ReportSpec(
        name="attendance_strikes",
        path="/reports/attendance_strikes/data",
        columns=(
            Column(key="id", name="id", type=_INT),
            *_CUSTOMER,
            Column(key="customer.thumbnail_url", name="customer_thumbnail_url", personal=True),
            _STATUS,
            _APPLIES_TO,
            Column(key="rule.max_infractions", name="penalty_rule_max_infractions", type=_INT),
            Column(key="rule.days", name="penalty_rule_days", type=_INT),
            Column(key="rule.system.id", name="penalty_system_id", type=_INT),
            Column(key="rule.system.name", name="penalty_system_name"),
            *_OFFERING_TYPE,
            *_MEMBERSHIP,
            Column(key="event.type", name="event_type"),
            Column(key="event.starts_at", name="event_starts_at"),
            _ATTENDANCE_STATUS,
            *_VENUE,
            Column(key="sequence_position", name="sequence_position", type=_INT),
            *_PENALTY_AMOUNT,
            Column(key="penalty.charge.due_date", name="penalty_charge_due_date"),
            Column(key="penalty.id", name="penalty_id", type=_INT),
        ),
        default_columns=(
            "id",
            "customer_id",
            "status",
            "attendance_status",
            "rule_applies_to",
            "offering_type_id",
            "offering_type_name",
            "venue_id",
            "venue_name",
            "event_type",
            "event_starts_at",
            "sequence_position",
            "penalty_id",
        ),
        filters=_STRIKE_FILTERS,
        since="event_starts_at_gte",
        until="event_starts_at_lte",
        grouped=False,
        row_key=("id",),
        identity=("id", "customer_id", "venue_id", "offering_type_id", "membership_id"),
    ),
)

REPORTS: Mapping[str, ReportSpec] = {spec.name: spec for spec in _ENTRIES}

#: Names of the columns by which a person is found, in any report.
CUSTOMER_ID_COLUMNS = frozenset(c.name for spec in _ENTRIES for c in spec.columns if c.customer_id)

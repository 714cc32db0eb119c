"""The reports of the simulated API, as tables: a third report is one more entry.

Written from the API's documentation alone and shared with nobody, so that a client that misread it is found out.
Source: OpenAPI description, "Columns", "UngroupedColumns" and "x-column-aliases".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from exporter.sandbox.studios import Infraction, Named, Penalty

Value: TypeAlias = str | int | float | None

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One column of an answer.

    Attributes:
        key: dotted path of its value in a row.
        label: name for people.
        value: what one infraction contributes; its second argument is the start of the event in the studio's zone.
        alias: the other name a client may ask by.
        object: key of the object that the value is part of, where it is asked for and described as a whole.
    """

    key: str
    label: str
    value: Callable[[Infraction, datetime], Value]
    alias: str | None = None
    object: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in `columns` and `sort` that brings this column: alias, key, and each prefix of the key."""
        parts = (self.object or self.key).split(".")
        prefixes = tuple(".".join(parts[:length]) for length in range(1, len(parts) + 1))
        return prefixes if self.alias is None else (*prefixes, self.alias)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filter:
    """One parameter that keeps some of the infractions.

    Attributes:
        value: what of an infraction is compared.
        allowed: the texts it may be asked for; empty where it takes integers.
        many: takes a list.
    """

    name: str
    value: Callable[[Infraction], str | int | None]
    allowed: tuple[str, ...] = ()
    many: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """One report.

    Attributes:
        path: below the base of the API.
        grouped: rows are groups of infractions: `columns` is required and `pivot` understood.
    """

    path: str
    columns: tuple[Column, ...]
    filters: tuple[Filter, ...]
    grouped: bool

    def named(self, name: str) -> tuple[Column, ...]:
        """The columns that *name* stands for; none where it is no name of this report."""
        return tuple(column for column in self.columns if name in column.names)


def _part(whole: Named | None, name: str) -> Value:
    return None if whole is None else getattr(whole, name)


def _pounds(penalty: Penalty | None, write: Callable[[int], Value]) -> Value:
    return None if penalty is None else write(penalty.pence)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


#: Each infraction counts one.
COUNT = Column(key="count", label="Count", value=lambda _i, _at: 1)

_ID = Column(key="id", label="ID", value=lambda i, _at: i.id)
CUSTOMER_ID = Column(key="customer.id", alias="customer_id", label="Customer ID", value=lambda i, _at: i.customer.id)
_CUSTOMER = (
    CUSTOMER_ID,
    Column(key="customer.name", alias="customer_name", label="Customer Name", value=lambda i, _at: i.customer.name),
    Column(key="customer.email", alias="customer_email", label="Customer Email", value=lambda i, _at: i.customer.email),
)
_THUMBNAIL = Column(
    key="customer.thumbnail_url",
    alias="customer_thumbnail_url",
    label="Customer Thumbnail",
    value=lambda i, _at: i.customer.thumbnail_url,
)
_STATUS = Column(key="status", label="Status", value=lambda i, _at: i.status)
_ATTENDANCE_STATUS = Column(
    key="attendance.status",
    alias="attendance_status",
    label="Attendance Status",
    value=lambda i, _at: i.attendance_status,
)
_APPLIES_TO = Column(
    key="rule.applies_to", alias="rule_applies_to", label="Rule Applies To", value=lambda i, _at: i.rule.applies_to
)
_RULE = (
    _APPLIES_TO,
    Column(
        key="rule.max_infractions",
        alias="penalty_rule_max_infractions",
        label="Rule Max Infractions",
        value=lambda i, _at: i.rule.max_infractions,
    ),
    Column(key="rule.days", alias="penalty_rule_days", label="Rule Days", value=lambda i, _at: i.rule.days),
    Column(
        key="rule.system.id",
        alias="penalty_system_id",
        label="Penalty System ID",
        value=lambda i, _at: i.rule.system.id,
    ),
    Column(
        key="rule.system.name",
        alias="penalty_system_name",
        label="Penalty System",
        value=lambda i, _at: i.rule.system.name,
    ),
)
_OFFERING_TYPE = (
    Column(
        key="event.offering_type.id",
        alias="offering_type_id",
        label="Offering Type ID",
        value=lambda i, _at: i.offering_type.id,
    ),
    Column(
        key="event.offering_type.name",
        alias="offering_type_name",
        label="Offering Type",
        value=lambda i, _at: i.offering_type.name,
    ),
)
_VENUE = (
    Column(key="event.venue.id", alias="venue_id", label="Venue ID", value=lambda i, _at: i.venue.id),
    Column(key="event.venue.name", alias="venue_name", label="Venue", value=lambda i, _at: i.venue.name),
)
_MEMBERSHIP = (
    Column(
        key="customer_membership.membership.id",
        alias="membership_id",
        label="Membership ID",
        value=lambda i, _at: _part(i.membership, "id"),
    ),
    Column(
        key="customer_membership.membership.name",
        alias="membership_name",
        label="Membership",
        value=lambda i, _at: _part(i.membership, "name"),
    ),
)
_EVENT = (
    Column(key="event.type", alias="event_type", label="Event Type", value=lambda i, _at: i.event_type),
    Column(
        key="event.starts_at", alias="event_starts_at", label="Event Start", value=lambda i, _at: _instant(i.starts_at)
    ),
)
_LOCAL_TIME = (
    Column(key="day_of_week", label="Day of Week", value=lambda _i, at: WEEKDAYS[at.weekday()]),
    Column(
        key="event.start_time",
        alias="event_start_time",
        label="Event Start Time",
        value=lambda _i, at: at.strftime("%H:%M:%S"),
    ),
)
_SEQUENCE = Column(key="sequence_position", label="Sequence Position", value=lambda i, _at: i.sequence_position)


def _amount(part: str, label: str, write: Callable[[int], Value]) -> Column:
    return Column(
        key=f"penalty.charge.amount.{part}",
        alias="penalty_charge_amount",
        object="penalty.charge.amount",
        label=label,
        value=lambda i, _at: _pounds(i.penalty, write),
    )


_PENALTY = (
    _amount("decimal", "Penalty Amount", lambda pence: pence / 100),
    _amount("string", "Penalty Amount Text", lambda pence: f"£{pence // 100}.{pence % 100:02}"),
    _amount("iso_currency_code", "Penalty Currency", lambda _pence: "GBP"),
    _amount("currency_symbol", "Penalty Currency Symbol", lambda _pence: "£"),
    _amount("currency_symbol_position", "Penalty Currency Symbol Position", lambda _pence: "before"),
    Column(
        key="penalty.charge.due_date",
        alias="penalty_charge_due_date",
        label="Penalty Due Date",
        value=lambda i, _at: None if i.penalty is None else i.penalty.due_date.isoformat(),
    ),
    Column(
        key="penalty.id",
        alias="penalty_id",
        label="Penalty ID",
        value=lambda i, _at: None if i.penalty is None else i.penalty.id,
    ),
)

_FILTERS = (
    Filter(
        name="status",
        value=lambda i: i.status,
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
    Filter(name="attendance_status", value=lambda i: i.attendance_status, allowed=("late_cancel", "no_show")),
    Filter(
        name="rule_applies_to",
        value=lambda i: i.rule.applies_to,
        allowed=("no_shows", "late_cancels", "late_cancels_or_no_shows"),
    ),
    Filter(name="customers", value=lambda i: i.customer.id),
    Filter(name="memberships", value=lambda i: None if i.membership is None else i.membership.id),
    Filter(name="offering_types", value=lambda i: i.offering_type.id),
    Filter(name="venues", value=lambda i: i.venue.id),
    Filter(name="penalty", value=lambda i: None if i.penalty is None else i.penalty.id, many=False),
)

_ENTRIES = (
    Report(
        path="/reports/attendance_strikes.grouped/data",
        columns=(
            *_CUSTOMER,
            _STATUS,
            _ATTENDANCE_STATUS,
            _APPLIES_TO,
            *_OFFERING_TYPE,
            *_VENUE,
            *_MEMBERSHIP,
            *_LOCAL_TIME,
            COUNT,
        ),
        filters=_FILTERS,
        grouped=True,
    ),
    Report(
        path="/reports/attendance_strikes/data",
        columns=(
            _ID,
            *_CUSTOMER,
            _THUMBNAIL,
            _STATUS,
            *_RULE,
            *_OFFERING_TYPE,
            *_MEMBERSHIP,
            *_EVENT,
            _ATTENDANCE_STATUS,
            *_VENUE,
            _SEQUENCE,
            *_PENALTY,
        ),
        filters=_FILTERS,
        grouped=False,
    ),
)

REPORTS: Mapping[str, Report] = {report.path: report for report in _ENTRIES}

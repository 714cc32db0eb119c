"""What the simulated source holds, in the forms that its exports take: windows, periods, single strikes, requests."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, timedelta
from itertools import groupby
from math import ceil

from exporter.sandbox.studios import Infraction, World
from exporter.sandbox.truth import truth
from tests.support.exports import studio_id

#: Every column of the grouped report.
ALL_COLUMNS = (
    "customer_id",
    "customer_name",
    "customer_email",
    "status",
    "attendance_status",
    "rule_applies_to",
    "offering_type_id",
    "offering_type_name",
    "venue_id",
    "venue_name",
    "membership_id",
    "membership_name",
    "day_of_week",
    "event_start_time",
    "count",
)

Span = tuple[date, date]

_SAME_PERIOD: Mapping[str, Callable[[date], object]] = {
    "day": lambda day: day,
    "week": lambda day: day.isocalendar()[:2],
    "month": lambda day: (day.year, day.month),
    "year": lambda day: day.year,
}
_PERIOD_KEYS = {"week": "%G-W%V", "month": "%Y-%m", "year": "%Y"}
_DAY = timedelta(days=1)


def spans(every: str, start: date, end: date) -> list[Span]:
    """The windows of [start, end): its days, put together where the calendar does."""
    days = [start + n * _DAY for n in range((end - start).days)]
    together = (list(group) for _, group in groupby(days, _SAME_PERIOD[every]))
    return [(group[0], group[-1] + _DAY) for group in together]


def columns_key(columns: Iterable[str]) -> str:
    """The line of a `[[reports]]` table that asks for *columns*."""
    return f"columns = {json.dumps(list(columns))}"


def expected_requests(world: World, windows: Sequence[Span], columns: Sequence[str], page_size: int = 100) -> int:
    """The requests that no client can do without: every page of every window, one for a window without rows."""
    return sum(
        max(1, ceil(len(truth(world, studio.provider_id, columns, start, end)) / page_size))
        for studio in world.studios
        for start, end in windows
    )


def expected_periods(
    world: World, windows: Sequence[Span], columns: Sequence[str], pivot: str
) -> list[tuple[object, ...]]:
    """What a pivoted export holds, as `groups` shows *columns* (the key, then period_key and count).

    Each group of a window has a row for every period in which the studio had anything, 0 where the group had nothing.
    """
    key_columns = columns[: columns.index("period_key")]
    rows: list[tuple[object, ...]] = []
    for n, studio in enumerate(world.studios):
        for start, end in windows:
            counts: dict[str, dict[tuple[object, ...], object]] = {}
            for first, after in spans(pivot, start, end):
                found = truth(world, studio.provider_id, (*key_columns, "count"), first, after)
                if found:
                    key = f"{first:{_PERIOD_KEYS[pivot]}}"
                    counts[key] = {tuple(row[name] for name in key_columns): row["count"] for row in found}
            rows += [
                (studio_id(n), start, *group, period, counted.get(group, 0))
                for group in {group for counted in counts.values() for group in counted}
                for period, counted in counts.items()
            ]
    return sorted(rows, key=repr)


def expected_strikes(world: World, windows: Sequence[Span], columns: Sequence[str]) -> list[tuple[object, ...]]:
    """What the ungrouped report holds, as `groups` shows it."""
    rows: list[tuple[object, ...]] = []
    for n, studio in enumerate(world.studios):
        for infraction in studio.infractions:
            day = infraction.starts_at.astimezone(studio.zone).date()
            strike = _strike(infraction)
            rows += [
                (studio_id(n), start, *(strike[name] for name in columns))
                for start, end in windows
                if start <= day < end
            ]
    return sorted(rows, key=repr)


def _strike(infraction: Infraction) -> dict[str, object]:
    """One infraction under the sink's names."""
    customer, rule, penalty = infraction.customer, infraction.rule, infraction.penalty
    strike: dict[str, object] = {
        "id": infraction.id,
        "customer_id": customer.id,
        "customer_name": customer.name,
        "customer_email": customer.email,
        "customer_thumbnail_url": customer.thumbnail_url,
        "status": infraction.status,
        "rule_applies_to": rule.applies_to,
        "penalty_rule_max_infractions": rule.max_infractions,
        "penalty_rule_days": rule.days,
        "penalty_system_id": rule.system.id,
        "penalty_system_name": rule.system.name,
        "offering_type_id": infraction.offering_type.id,
        "offering_type_name": infraction.offering_type.name,
        "membership_id": infraction.membership and infraction.membership.id,
        "membership_name": infraction.membership and infraction.membership.name,
        "event_type": infraction.event_type,
        "event_starts_at": infraction.starts_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "attendance_status": infraction.attendance_status,
        "venue_id": infraction.venue.id,
        "venue_name": infraction.venue.name,
        "sequence_position": infraction.sequence_position,
    }
    amounts = ("decimal", "string", "iso_currency_code", "currency_symbol", "currency_symbol_position")
    charge = {f"penalty_charge_amount_{name}": None for name in amounts}
    charge |= {"penalty_charge_due_date": None, "penalty_id": None}
    if penalty is None:
        return strike | charge
    pounds, pence = divmod(penalty.pence, 100)
    return strike | {
        "penalty_charge_amount_decimal": penalty.pence / 100,
        "penalty_charge_amount_string": f"£{pounds}.{pence:02}",
        "penalty_charge_amount_iso_currency_code": "GBP",
        "penalty_charge_amount_currency_symbol": "£",
        "penalty_charge_amount_currency_symbol_position": "before",
        "penalty_charge_due_date": penalty.due_date.isoformat(),
        "penalty_id": penalty.id,
    }

"""What a grouped report should hold, worked out in the plainest way, for tests to compare with.

Shares nothing with the simulated API but the infractions: days are local dates, not instants, and nothing is paged,
sorted, written or read.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from exporter.sandbox.studios import Infraction, World

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def truth(
    world: World,
    provider_id: int,
    columns: Sequence[str],
    since: date | None = None,
    until: date | None = None,
    **filters: Collection[str | int] | str | int,
) -> list[dict[str, object]]:
    """The groups of one studio's infractions, in no particular order.

    Args:
        world: whose studio.
        provider_id: which studio.
        columns: snake-case names, such as "customer_id"; `count` where it is wanted.
        since: first local day.
        until: first local day that is not wanted.
        filters: by the API's name, one value or several.

    Returns:
        One dict for each group, with *columns* as keys.
    """
    studio = world.studio(provider_id)
    groups: Counter[tuple[tuple[str, object], ...]] = Counter()
    for infraction in studio.infractions:
        seen = _seen(infraction, ZoneInfo(studio.timezone))
        day = seen["day"]
        assert isinstance(day, date)
        if (since is None or since <= day) and (until is None or day < until) and _passes(seen, filters):
            groups[tuple((name, seen[name]) for name in columns if name != "count")] += 1
    return [
        {name: count if name == "count" else dict(group)[name] for name in columns} for group, count in groups.items()
    ]


def _seen(infraction: Infraction, zone: ZoneInfo) -> dict[str, object]:
    local = infraction.starts_at.astimezone(zone)
    return {
        "day": local.date(),
        "customer_id": infraction.customer.id,
        "customer_name": infraction.customer.name,
        "customer_email": infraction.customer.email,
        "status": infraction.status,
        "attendance_status": infraction.attendance_status,
        "rule_applies_to": infraction.rule.applies_to,
        "offering_type_id": infraction.offering_type.id,
        "offering_type_name": infraction.offering_type.name,
        "venue_id": infraction.venue.id,
        "venue_name": infraction.venue.name,
        "membership_id": infraction.membership.id if infraction.membership else None,
        "membership_name": infraction.membership.name if infraction.membership else None,
        "penalty": infraction.penalty.id if infraction.penalty else None,
        "day_of_week": _DAYS[local.weekday()],
        "event_start_time": f"{local.hour:02}:{local.minute:02}:{local.second:02}",
    }


def _passes(seen: Mapping[str, object], filters: Mapping[str, Collection[str | int] | str | int]) -> bool:
    of_list = {
        "customers": "customer_id",
        "memberships": "membership_id",
        "offering_types": "offering_type_id",
        "venues": "venue_id",
    }
    for name, wanted in filters.items():
        value = seen[of_list.get(name, name)]
        if value not in ([wanted] if isinstance(wanted, str | int) else wanted):
            return False
    return True

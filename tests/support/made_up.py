"""Tiny worlds for tests of the sandbox: a studio of a few infractions, and requests about it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from exporter.sandbox.messages import Asked
from exporter.sandbox.studios import Customer, Infraction, MadeUpStudio, Named, Rule, World

GROUPED = "/api/v2/reports/attendance_strikes.grouped/data"
UNGROUPED = "/api/v2/reports/attendance_strikes/data"

_RULE = Rule(applies_to="no_shows", max_infractions=3, days=30, system=Named(900, "Strikes"))


def make_customer(number: int) -> Customer:
    return Customer(id=number, name=f"Sample {number}", email=f"sample{number}@example.test")


def make_infraction(infraction_id: int, starts_at: str = "2025-01-06T18:30:00+00:00", **changes: Any) -> Infraction:
    values: dict[str, Any] = {
        "id": infraction_id,
        "starts_at": datetime.fromisoformat(starts_at).astimezone(UTC),
        "customer": make_customer(infraction_id),
        "status": "open",
        "attendance_status": "no_show",
        "rule": _RULE,
        "offering_type": Named(200, "Spin"),
        "venue": Named(100, "Main Hall"),
    }
    return Infraction(**(values | changes))


def make_studio(
    infractions: Iterable[Infraction], *, provider_id: int = 1, timezone: str = "UTC", token: str = "token-1"
) -> MadeUpStudio:
    made = tuple(infractions)
    return MadeUpStudio(
        provider_id=provider_id,
        name=f"Studio {provider_id}",
        slug=f"studio-{provider_id}",
        timezone=timezone,
        token=token,
        source=lambda: made,
    )


def make_tiny_world(infractions: int = 3) -> World:
    return World((make_studio(make_infraction(number) for number in range(1, infractions + 1)),))


def make_request(
    path: str = GROUPED,
    *,
    token: str | None = "token-1",
    scheme: str = "Bearer",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    **params: str,
) -> Asked:
    """A request for JSON whose columns, unless given, are customer_id and count."""
    if path == GROUPED:
        params = {"columns": "customer_id,count"} | params
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"{scheme} {token}"
    return Asked(method=method, path=path, params=tuple(({"format": "json"} | params).items()), headers=sent)

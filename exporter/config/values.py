"""From settings to the values of the core that jobs work with, and to what a manifest may show."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from exporter.config.rules import private_columns, problems_of
from exporter.config.secrets import Secret, is_reference
from exporter.config.settings import Report, Settings
from exporter.core.catalogue import REPORTS
from exporter.core.report import Dataset, DatasetName
from exporter.core.studio import CredentialKey, Studio, StudioId
from exporter.core.window import Window
from exporter.errors import ConfigError, UsageError


def datasets(settings: Settings, hash_id: str) -> tuple[Dataset, ...]:
    """The datasets, in the order of the file.

    Args:
        settings: as loaded.
        hash_id: tells one hash key from another without saying anything about it.
    """
    return tuple(_dataset(report, settings, hash_id) for report in settings.reports)


def _dataset(report: Report, settings: Settings, hash_id: str) -> Dataset:
    spec = REPORTS[report.name]
    return Dataset(
        name=DatasetName(report.dataset),
        spec=spec,
        columns=spec.resolve(report.columns),
        every=settings.windows.every,
        pivot=report.pivot,
        max_pivot_columns=report.max_pivot_columns,
        filters=report.filters,
        drop=private_columns(settings.privacy.drop, spec),
        hash=private_columns(settings.privacy.hash, spec),
        hash_id=hash_id,
    )


def hash_key(settings: Settings, secrets: Mapping[str, Secret]) -> bytes:
    """What columns are hashed with; empty where nothing is hashed.

    Args:
        settings: as loaded.
        secrets: by reference.
    """
    reference = settings.privacy.hash_key
    return secrets[reference].reveal().encode() if reference else b""


def hash_id(settings: Settings, secrets: Mapping[str, Secret]) -> str:
    """Tells one hash key from another without saying anything about it; empty where nothing is hashed.

    Args:
        settings: as loaded.
        secrets: by reference.
    """
    if not settings.privacy.hash_key:
        return ""
    return hmac.new(hash_key(settings, secrets), b"studio-exporter hash id", hashlib.sha256).hexdigest()[:16]


def references(settings: Settings) -> dict[str, str]:
    """The reference of every secret that is needed, by what an error calls the key that holds it."""
    found = {f"studios[{number}].token of {studio.id}": studio.token for number, studio in enumerate(settings.studios)}
    if settings.privacy.hash_key:
        found["privacy.hash_key"] = settings.privacy.hash_key
    return found


def credentials(settings: Settings, secrets: Mapping[str, Secret]) -> dict[CredentialKey, Secret]:
    """The distinct secrets of the studios, numbered in the order of the file.

    Args:
        settings: as loaded.
        secrets: by reference.
    """
    distinct = dict.fromkeys(secrets[studio.token] for studio in settings.studios)
    return {CredentialKey(f"credential-{number}"): secret for number, secret in enumerate(distinct, start=1)}


def studios(settings: Settings, secrets: Mapping[str, Secret]) -> tuple[Studio, ...]:
    """The studios, in the order of the file; those whose references lead to one secret share its credential.

    Args:
        settings: as loaded.
        secrets: by reference.

    Raises:
        ConfigError: two references lead to one secret and name the same provider_id: one business twice.
    """
    keys = {secret: key for key, secret in credentials(settings, secrets).items()}
    businesses: dict[tuple[CredentialKey, int | None], int] = {}
    for number, studio in enumerate(settings.studios):
        first = businesses.setdefault((keys[secrets[studio.token]], studio.provider_id), number)
        if first != number:
            raise ConfigError(
                f"studios[{number}]: {studio.token} is the same secret as {settings.studios[first].token} of "
                f"studios[{first}], with the same provider_id, so one business would be exported twice; "
                "remove it or give it its own provider_id"
            )
    return tuple(
        Studio(
            id=StudioId(studio.id),
            credential=keys[secrets[studio.token]],
            provider_id=studio.provider_id,
            timezone=studio.timezone,
        )
        for studio in settings.studios
    )


def date_range(settings: Settings, today: date, *, start: date | None = None, end: date | None = None) -> Window:
    """The days that are asked for.

    Args:
        settings: as loaded.
        today: what `end = "today"` stands for; it is not included.
        start: takes the place of the configured first day.
        end: takes the place of the configured end.

    Raises:
        ConfigError: the first configured day is yet to come, or a pivot has too many periods in these days.
        UsageError: there is no day between *start* and *end*.
    """
    windows = settings.windows
    first = start or windows.start
    last = end or (today if windows.end == "today" else windows.end)
    if first >= last:
        if start is None and end is None:
            raise ConfigError(f'windows.start is {first} instead of a day before windows.end ("today", {today})')
        raise UsageError(
            f"the first day {first} is not before the end {last} (not included); choose an earlier --start"
        )
    if start or end:
        asked = msgspec.structs.replace(windows, start=first, end=last)
        if problems := list(problems_of({"reports": settings.reports, "windows": asked})):
            raise ConfigError("\n".join(f"{first} to {last}: {problem}" for problem in problems))
    return Window(first, last)


def public(settings: Settings) -> dict[str, Any]:
    """The configuration as the file has it, defaults included, in JSON's types; references stay, no secret can."""
    tree: dict[str, Any] = msgspec.to_builtins(settings)
    for report in tree["reports"]:
        for name, values in report.pop("filters").items():
            known = REPORTS[report["name"]].filter(name)
            report[name] = values if known is None or known.many else values[0]
    for holder, key in ((tree["privacy"], "hash_key"), *((studio, "token") for studio in tree["studios"])):
        if holder[key] and not is_reference(holder[key]):
            holder[key] = "***"
    return tree


def fingerprint(settings: Settings) -> str:
    """Tells one configuration from another, and nothing of any secret."""
    return hashlib.sha256(json.dumps(public(settings), sort_keys=True).encode()).hexdigest()[:16]

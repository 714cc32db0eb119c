"""What of the configuration a command is about: the studios, datasets and days that it names, or all."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from exporter.config import values
from exporter.config.settings import Settings
from exporter.core.plan import Scope
from exporter.core.report import Dataset
from exporter.core.studio import Studio, local_day
from exporter.core.text import some
from exporter.errors import UsageError

_V = TypeVar("_V")

#: Studios and datasets that a message names at most.
_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a command line narrows a run to.

    Attributes:
        start, end: local days; None as configured.
        studios, datasets: ids and names; empty for all.
        full: fetch settled tasks too.
        rewrite: replace datasets of another grain.
        shard: of which plan it is which shard; empty for a whole run.
        until: when it was planned, where it ends with each studio's local day then; None for now.
    """

    start: date | None = None
    end: date | None = None
    studios: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    full: bool = False
    rewrite: bool = False
    shard: str = ""
    until: datetime | None = None


def scope_of(
    choice: Choice, settings: Settings, datasets: Sequence[Dataset], studios: Sequence[Studio], now: datetime
) -> Scope:
    """What a run of *choice* is about.

    Args:
        choice: what it is narrowed to.
        settings: as loaded.
        datasets: all that are configured.
        studios: the same.
        now: when it begins.

    Raises:
        UsageError: it names something that is not configured, or no days at all.
    """
    chosen = _chosen("studio", choice.studios, {studio.id: studio for studio in studios})
    until = choice.until or now
    latest = max(local_day(until, studio) for studio in chosen)
    return Scope(
        datasets=chosen_datasets(choice, datasets),
        studios=chosen,
        days=values.date_range(settings, latest, start=choice.start, end=choice.end),
        until=until if choice.end is None and settings.windows.end == "today" else None,
        lookback_days=settings.windows.lookback_days,
        began_at=now,
        full=choice.full,
        rewrite=choice.rewrite,
        shard=choice.shard,
    )


def chosen_datasets(choice: Choice, datasets: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """Those of the configured *datasets* that *choice* names.

    Raises:
        UsageError: it names another.
    """
    return _chosen("dataset", choice.datasets, {dataset.name: dataset for dataset in datasets})


def _chosen(what: str, names: Sequence[str], known: Mapping[str, _V]) -> tuple[_V, ...]:
    unknown = [name for name in names if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        way_out = f"did you mean {near[0]}?" if near else f"configured are {some(known, _NAMED)}"
        raise UsageError(f'--{what}: "{unknown[0]}" is not configured; {way_out}')
    chosen = set(names)
    return tuple(value for name, value in known.items() if not names or name in chosen)

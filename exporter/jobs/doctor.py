"""Says what is wrong before a run does, and how to mend it: sink, clock, credentials."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from exporter.api.base import ReportSource
from exporter.core.answer import PageRequest
from exporter.core.clocks import CLOCK_TOLERANCE
from exporter.core.partition import STAGING
from exporter.core.report import Dataset
from exporter.core.studio import CredentialKey, Studio, describe_credential
from exporter.core.window import Window
from exporter.errors import ExporterError, StoreError
from exporter.jobs.conditions import require_conditions
from exporter.store.base import Absent, ObjectStore
from exporter.tables.headers import check_headers

#: How long ago the days are that credentials are tried with; any day will do.
_TRIED_DAYS_AGO = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what.
        ok: whether it is as it should be.
        detail: what was seen; with the way out where it is not.
    """

    name: str
    ok: bool
    detail: str


async def examine(
    store: ObjectStore,
    source: ReportSource,
    datasets: Sequence[Dataset],
    studios: Sequence[Studio],
    *,
    now: Callable[[], datetime],
    probe_id: str,
) -> tuple[Check, ...]:
    """Try the sink, the clock and each credential; one cheap request a credential, side by side.

    Args:
        store: the sink.
        source: the report API.
        datasets: the first of them is asked for.
        studios: the first of each credential is asked for.
        now: the time, UTC.
        probe_id: makes the probe object's key unique.
    """
    checks = await _sink(store, f"{STAGING}/doctor-{probe_id}", now)
    sharing: dict[CredentialKey, list[Studio]] = {}
    for studio in studios:
        sharing.setdefault(studio.credential, []).append(studio)
    today = now().date()
    credentials = await asyncio.gather(*(_credential(source, datasets[0], those, today) for those in sharing.values()))
    return (*checks, *credentials)


async def _sink(store: ObjectStore, key: str, now: Callable[[], datetime]) -> list[Check]:
    """Put, replace, read and delete a probe object; the rest is not tried where the first put fails."""
    steps: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
        ("sink: put", lambda: _put(store, key)),
        ("sink: conditional put", lambda: _put_on_condition(store, key)),
        ("sink: get", lambda: _get(store, key)),
        ("clock", lambda: _clock(store, key, now)),
        ("sink: delete", lambda: _delete(store, key)),
    )
    checks: list[Check] = []
    for name, step in steps:
        try:
            checks.append(Check(name=name, ok=True, detail=await step()))
        except StoreError as error:
            checks.append(Check(name=name, ok=False, detail=str(error)))
            if not checks[0].ok:
                break
    return checks


async def _put(store: ObjectStore, key: str) -> str:
    await store.put(key, b"first", condition=Absent())
    return f"{store.url} takes objects"


async def _put_on_condition(store: ObjectStore, key: str) -> str:
    data, info = await store.get(key)
    await require_conditions(store, key, data)
    await store.put(key, b"second", condition=info.etag)
    return "conditional puts are honoured"


async def _get(store: ObjectStore, key: str) -> str:
    data, _ = await store.get(key)
    if data != b"second":
        raise StoreError(f"{store.url}: does not give back what was put; use another store")
    return "objects come back as they were put"


async def _clock(store: ObjectStore, key: str, now: Callable[[], datetime]) -> str:
    listed = await store.list(key)
    if not listed:
        raise StoreError(
            f"{store.url}: does not list what was put, so published data would not be found; use another store"
        )
    skew = abs(listed[0].modified_at - now())
    if skew > CLOCK_TOLERANCE:
        raise StoreError(f"the clocks of this machine and of the sink differ by {skew}; set this one by NTP")
    return "the clock agrees with the sink's"


async def _delete(store: ObjectStore, key: str) -> str:
    await store.delete(key)
    return "objects can be deleted"


async def _credential(source: ReportSource, dataset: Dataset, sharing: Sequence[Studio], today: date) -> Check:
    """Ask for one row of one day, of the first of the studios that share a credential."""
    name = describe_credential(sharing)
    day = today - timedelta(days=_TRIED_DAYS_AGO)
    request = PageRequest(dataset=dataset, studio=sharing[0], window=Window(day, day + timedelta(days=1)), limit=1)
    try:
        page = await source.fetch(request)
        check_headers(page, dataset)
    except ExporterError as error:
        return Check(name=name, ok=False, detail=str(error))
    return Check(name=name, ok=True, detail="accepted")

"""Wiring of what asks the report API: the client over its session, the gate, and the leases of the credentials.

A secret goes from here to who sends it, and into the names of leases as a keyed hash. aiohttp is imported when a
source is opened.
"""

import asyncio
import hashlib
import hmac
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from exporter.api.base import Attempt, ReportSource
from exporter.api.limiter import Gate
from exporter.api.protocol import ApiOptions, ListStyle, Pagination
from exporter.config import values
from exporter.config.secrets import Secret
from exporter.config.settings import Api, Settings
from exporter.core.pace import Pace
from exporter.core.studio import CredentialKey, Studio, describe_credential
from exporter.jobs.events import Observer
from exporter.jobs.leases import Doors, Leases, WhenBusy
from exporter.jobs.tenure import Surroundings


def make_leases(
    around: Surroundings,
    settings: Settings,
    secrets: Mapping[str, Secret],
    studios: Sequence[Studio],
    observer: Observer,
) -> Leases:
    """The leases of one run; none is taken yet.

    Args:
        around: the run and the sink.
        settings: as loaded.
        secrets: by reference.
        studios: all that are configured; a credential is called by theirs.
        observer: is told of each credential that is waited for.
    """
    credentials = values.credentials(settings, secrets)

    def name_of(credential: CredentialKey, salt: bytes) -> str:
        return hmac.new(salt, credentials[credential].reveal().encode(), hashlib.sha256).hexdigest()[:32]

    sharing: dict[CredentialKey, list[Studio]] = {}
    for studio in studios:
        sharing.setdefault(studio.credential, []).append(studio)

    def where(credential: CredentialKey) -> str:
        return describe_credential(sharing[credential])

    doors = Doors(
        observer=observer,
        name_of=name_of,
        where=where,
        make_pace=_paces(settings.api),
        random=random.random,
    )
    return Leases(around, doors, WhenBusy(settings.run.when_busy))


@asynccontextmanager
async def open_source(
    settings: Settings,
    secrets: Mapping[str, Secret],
    permits: Leases | None,
    *,
    on_attempt: Callable[[Attempt], None],
    now: Callable[[], datetime],
    max_attempts: int | None = None,
) -> AsyncIterator[tuple[ReportSource, Gate]]:
    """The report API and the gate that paces it, closed at the end.

    Args:
        settings: as loaded.
        secrets: by reference.
        permits: whose leave each request needs, given back at the end; None where it needs nobody's.
        on_attempt: is told of each request that ended.
        now: the time, UTC.
        max_attempts: of each request; None as configured.
    """
    from exporter.api.client import ReportClient, open_session  # noqa: PLC0415 - see the module's docstring

    api = settings.api
    options = ApiOptions(
        base_url=api.base_url,
        auth_scheme=api.auth_scheme,
        timeout_s=api.timeout,
        max_attempts=max_attempts or api.max_attempts,
        page_size=api.page_size,
        pagination=Pagination(api.pagination),
        list_style=ListStyle(api.list_style),
        studio_headers=api.studio_headers,
    )
    gate = Gate(
        make_pace=permits.pace if permits else _paces(api),
        max_connections=api.max_connections,
        clock=asyncio.get_running_loop().time,
        permits=permits,
    )
    tokens = {key: secret.reveal for key, secret in values.credentials(settings, secrets).items()}
    try:
        async with open_session(options, api.max_connections) as session:
            yield ReportClient(session, options, tokens, gate, now=now, on_attempt=on_attempt), gate
    finally:
        if permits:
            await permits.close()


def _paces(api: Api) -> Callable[[CredentialKey], Pace]:
    """Makes the pace of a credential that nobody has used yet."""
    return lambda _: Pace(api.requests_per_minute, spread=api.spread, random=random.random)

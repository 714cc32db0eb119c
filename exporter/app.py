"""Wiring: settings become live objects. The one place that knows every name; what asks the API is in `app_api.py`.

A secret is resolved here, when it is needed, and goes no further than to who sends it. What only some commands use
is imported when it is used: aiohttp where the API is asked, boto3 where something lies on S3.
"""

import asyncio
import functools
import random
import secrets as entropy
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from exporter import __version__
from exporter.api.base import Attempt, ReportSource
from exporter.api.limiter import Gate
from exporter.app_api import make_leases, open_source
from exporter.app_choice import Choice, chosen_datasets, scope_of
from exporter.config import values
from exporter.config.secrets import Secret, resolve_all
from exporter.config.settings import Settings
from exporter.core.erasure import Person
from exporter.core.lease import Process
from exporter.core.ledger import Ledger
from exporter.core.manifest import Manifest
from exporter.core.notice import notice_of, parse_target
from exporter.core.partition import Partition, manifest_key
from exporter.core.plan import Plan, Scope
from exporter.core.receipt import Receipt
from exporter.core.report import Dataset, DatasetName
from exporter.core.studio import Studio, StudioId
from exporter.jobs import beginning, crew, doctor, export, forget, verify
from exporter.jobs.ending import Ending
from exporter.jobs.events import Attempted, Event, Observer
from exporter.jobs.history import each_manifest, read_ledgers
from exporter.jobs.leases import Leases
from exporter.jobs.meter import Meter
from exporter.jobs.resume import Owner
from exporter.jobs.tally import Tally
from exporter.jobs.tenure import Surroundings
from exporter.notify import sender
from exporter.process import Here
from exporter.store.base import ObjectStore, Readers
from exporter.store.open import open_store
from exporter.tables.privacy import hash_of
from exporter.telemetry.environment import Telemetry, off, telemetry_of
from exporter.telemetry.watch import watched


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def new_run_id(now: datetime) -> str:
    """Sortable by time, unique."""
    return f"{now:%Y%m%dT%H%M%S%fZ}-{entropy.token_hex(4)}"


def _look_away(event: Event) -> None:
    pass


@dataclass(slots=True, kw_only=True)
class App:
    """The live objects of one configuration.

    Attributes:
        settings: as loaded.
        secrets: by reference.
        store: the sink.
        datasets, studios: all that are configured.
        here: who this process is to other runs.
        telemetry: makes what tells of a run to OpenTelemetry.
        clock: the time, UTC.
        is_running: whether the process of another run lives; None where that cannot be told from here.
    """

    settings: Settings
    secrets: Mapping[str, Secret]
    store: ObjectStore
    datasets: tuple[Dataset, ...]
    studios: tuple[Studio, ...]
    here: Here = field(default_factory=Here)
    telemetry: Callable[[], Telemetry | None] = off
    clock: Callable[[], datetime] = utc_now
    is_running: Callable[[Process], bool | None] = field(init=False)

    def __post_init__(self) -> None:
        self.is_running = self.here.is_running

    def scope(self, choice: Choice, now: datetime) -> Scope:
        """What a run of *choice* is about; see `scope_of`."""
        return scope_of(choice, self.settings, self.datasets, self.studios, now)

    async def plan(self, choice: Choice) -> Plan:
        """What a run of *choice* would do; asks the API nothing and writes nothing."""
        return await self.plan_of(self.scope(choice, self.clock()))

    def ending(self, observer: Observer) -> Ending:
        """What concludes a run."""
        target = parse_target(self.settings.notify.target)
        return Ending(
            store=self.store,
            datasets=self.datasets,
            studios=self.studios,
            start=self.settings.windows.start,
            clock=self.clock,
            observer=observer,
            send=sender(target) if target else None,
            sleep=asyncio.sleep,
            random=random.random,
        )

    async def plan_of(self, scope: Scope) -> Plan:
        """What a run of *scope* would do."""
        return await beginning.plan(self.store, scope)

    def make_meter(self) -> Meter:
        """What counts what a run of this configuration does."""
        api = self.settings.api
        return Meter(page_size=api.page_size, requests_per_minute=api.requests_per_minute, clock=time.monotonic)

    async def run(self, choice: Choice, observer: Observer) -> tuple[Manifest, ...]:
        """Export what *choice* lacks, and say so to who waits for it.

        Raises:
            ExporterError: what stops more than a task; see `export`.
            StoreError: everything is published and recorded, but its marker could not be put.
        """
        async with watched(observer, self.telemetry, self.make_meter) as everybody:
            return await self._run(choice, everybody)

    async def _run(self, choice: Choice, observer: Observer) -> tuple[Manifest, ...]:
        now = self.clock()
        scope = self.scope(choice, now)
        me = self._owner(now, scope.studios, full=choice.full)
        tally = Tally()

        def on_attempt(attempt: Attempt) -> None:
            tally.note_attempt(attempt)
            observer(Attempted(attempt=attempt))

        async with self._source(on_attempt, self._leases(me, observer)) as (source, gate):
            doors = crew.Doors(
                source=source,
                gate=gate,
                store=self.store,
                observer=observer,
                clock=self.clock,
                monotonic=time.monotonic,
                sleep=asyncio.sleep,
                random=random.random,
                is_running=self.is_running,
            )
            options = crew.Options(
                format=self.settings.api.format,
                page_size=self.settings.api.page_size,
                max_connections=self.settings.api.max_connections,
                compression=self.settings.sink.compression,
                hash_key=values.hash_key(self.settings, self.secrets),
                version=__version__,
                config=values.public(self.settings),
                reconcile=self.settings.run.reconcile,
            )
            manifests = await export.export(scope, me, options, doors, tally)
        if not choice.shard:  # a shard is no run of its own; `merge` concludes
            records = [f"{self.store.url}/{manifest_key(DatasetName(m.dataset), m.run_id)}" for m in manifests]
            await self.ending(observer).conclude([notice_of(m, r) for m, r in zip(manifests, records, strict=True)])
        return manifests

    async def history(self, choice: Choice, last: int) -> AsyncIterator[Manifest]:
        """The last runs of each dataset, dataset by dataset, oldest first: they need not be in memory at once."""
        for dataset in chosen_datasets(choice, self.datasets):
            async for manifest in each_manifest(self.store, dataset.name, last=last):
                yield manifest

    async def ledgers(self, choice: Choice) -> Mapping[Partition, Ledger]:
        """What is published, partition by partition, as the parts themselves say."""
        return await read_ledgers(self.store, chosen_datasets(choice, self.datasets))

    async def verify(
        self, choice: Choice, *, source: bool, observer: Observer = _look_away
    ) -> tuple[verify.Verified, ...]:
        """Hold what is published against the manifests and, with *source*, against the API."""
        now = self.clock()
        scope = self.scope(choice, now)
        async with AsyncExitStack() as stack:
            asked = None
            if source:
                permits = self._leases(self._owner(now, scope.studios), observer)
                asked, _ = await stack.enter_async_context(self._source(_tell_nobody, permits))
            configured = {studio.id for studio in self.studios}
            return tuple(
                [
                    await verify.verify(self.store, d, scope.studios, asked, configured=configured)
                    for d in scope.datasets
                ]
            )

    async def forget(self, customer: int, studio: str | None, *, dry_run: bool) -> Receipt:
        """Remove a customer from the sink, and keep them out; asks the API nothing."""
        key = values.hash_key(self.settings, self.secrets)
        plain = str(customer)
        person = Person(
            values=frozenset({plain, hash_of(plain, key)} if key else {plain}),
            studio=None if studio is None else StudioId(studio),
        )
        options = forget.Options(
            receipt_id=new_run_id(self.clock()),
            version=__version__,
            compression=self.settings.sink.compression,
            datasets=self.datasets,
            studios=frozenset(studio.id for studio in self.studios),
            dry_run=dry_run,
        )
        doors = forget.Doors(store=self.store, clock=self.clock, sleep=asyncio.sleep, random=random.random)
        return await forget.forget(person, options, doors)

    async def doctor(self) -> tuple[doctor.Check, ...]:
        """Try sink, clock and credentials."""
        # Without a lease: its few requests must tell of the credentials also while a run is on, or the sink refuses.
        async with self._source(_tell_nobody, None, max_attempts=1) as (source, _):
            return await doctor.examine(
                self.store, source, self.datasets, self.studios, now=self.clock, probe_id=entropy.token_hex(4)
            )

    def _owner(self, now: datetime, studios: Sequence[Studio], *, full: bool = False) -> Owner:
        """This process, as a new run over *studios*."""
        return Owner(
            run_id=new_run_id(now),
            began_at=now,
            seen_at=now,
            full=full,
            host=self.here.host,
            process=self.here.process,
            studios=tuple(studio.id for studio in studios),
        )

    def _leases(self, me: Owner, observer: Observer) -> Leases:
        around = Surroundings(
            me=me,
            limit=self.settings.api.requests_per_minute,
            store=self.store,
            clock=self.clock,
            monotonic=asyncio.get_running_loop().time,
            sleep=asyncio.sleep,
            is_running=self.is_running,
        )
        return make_leases(around, self.settings, self.secrets, self.studios, observer)

    def _source(
        self, on_attempt: Callable[[Attempt], None], permits: Leases | None, *, max_attempts: int | None = None
    ) -> AbstractAsyncContextManager[tuple[ReportSource, Gate]]:
        return open_source(
            self.settings, self.secrets, permits, on_attempt=on_attempt, now=self.clock, max_attempts=max_attempts
        )


@asynccontextmanager
async def open_app(settings: Settings, environ: Mapping[str, str], here: Here | None = None) -> AsyncIterator[App]:
    """Live objects for *settings*, closed at the end.

    Args:
        settings: as loaded.
        environ: where secrets may be found.
        here: who this process is to other runs; None for just itself.

    Raises:
        SecretError: a reference leads nowhere.
        ConfigError: the sink cannot be opened, or two studios are one.
    """
    secrets = resolve_all(values.references(settings), environ)
    store = open_place(settings, settings.sink.url)
    try:
        yield App(
            settings=settings,
            secrets=secrets,
            store=store,
            datasets=values.datasets(settings, values.hash_id(settings, secrets)),
            studios=values.studios(settings, secrets),
            here=here or Here(),
            telemetry=functools.partial(telemetry_of, environ, settings.api.base_url),
        )
    finally:
        await store.close()


def open_place(settings: Settings, url: str) -> ObjectStore:
    """The sink, or another place that is reached as it is."""
    sink = settings.sink
    return open_store(
        url,
        endpoint_url=sink.endpoint_url,
        kms_key_id=sink.kms_key_id,
        bucket_owner=sink.expected_bucket_owner,
        readers=Readers(sink.readable_by),
    )


def _tell_nobody(_attempt: Attempt) -> None:
    pass

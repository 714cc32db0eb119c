"""Whole exports in one process: the real program below the command line, against the sandbox, into any store."""

import io
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from exporter.app import App
from exporter.app_choice import Choice
from exporter.config import values
from exporter.config.load import parse_settings
from exporter.config.secrets import resolve_all
from exporter.core.manifest import Manifest
from exporter.jobs.events import Event
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import Sandbox, serve
from exporter.sandbox.studios import World
from exporter.sandbox.truth import truth
from exporter.store.base import ObjectStore
from exporter.store.memory import MemoryStore
from tests.support.leaks import leaked_bytes

DATASET = "attendance_strikes_grouped"
DEFAULT_COLUMNS = (
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
)
FRAME = ("studio_id", "window_start", "window_end", "run_id", "exported_at")

#: Months that tests export where they do not say otherwise.
START, END = date(2025, 1, 1), date(2025, 4, 1)


def small_world(studios: int = 2, **changes: object) -> World:
    """A few studios with one to three pages a month."""
    given: dict[str, Any] = {"start": date(2024, 12, 1), "end": date(2025, 5, 1), "per_month": 150} | changes
    return make_world(studios, seed=7, **given)


def studio_id(index: int) -> str:
    """What tests call the studios of a made-up world."""
    return f"studio-{index + 1}"


def config_for(
    base_url: str,
    world: World,
    *,
    sink: str = "./lake",
    start: date = START,
    end: date | str = END,
    every: str = "month",
    lookback_days: int = 35,
    api: str = "",
    report: str = "",
    privacy: str = "",
    run: str = 'reconcile = "off"',
) -> str:
    """A whole exporter.toml for every studio of *world*; the tokens are in TOKEN_0, TOKEN_1, ...

    Unless *run* says otherwise the API is not asked for its totals, so that requests can be counted.
    """
    tokens = {token: f"TOKEN_{n}" for n, token in enumerate(world.tokens)}
    studios = "".join(
        f'[[studios]]\nid = "{studio_id(n)}"\ntoken = "env:{tokens[studio.token]}"\n'
        f'provider_id = {studio.provider_id}\ntimezone = "{studio.timezone}"\n'
        for n, studio in enumerate(world.studios)
    )
    speed = "" if "requests_per_minute" in api else "requests_per_minute = 1000000\n"
    return (
        f'[api]\nbase_url = "{base_url}"\n{speed}{api}\n'
        f'[[reports]]\nname = "attendance_strikes.grouped"\n{report}\n'
        f'[windows]\nstart = "{start}"\nend = "{end}"\nevery = "{every}"\nlookback_days = {lookback_days}\n'
        f'[privacy]\n{privacy}\n[run]\n{run}\n{studios}[sink]\nurl = "{sink}"\n'
    )


def tokens_of(world: World) -> dict[str, str]:
    """The environment that `config_for` speaks of."""
    return {f"TOKEN_{n}": token for n, token in enumerate(world.tokens)} | {"HASH_KEY": "made-up-hash-key"}


def app_for(config: str, environ: Mapping[str, str], store: ObjectStore) -> App:
    """The program over *store*, whatever the configuration says of its sink."""
    settings = parse_settings(config, {}, name="exporter.toml")
    secrets = resolve_all(values.references(settings), environ)
    return App(
        settings=settings,
        secrets=secrets,
        store=store,
        datasets=values.datasets(settings, "made-up" if settings.privacy.hash else ""),
        studios=values.studios(settings, secrets),
    )


@dataclass(slots=True)
class Bench:
    """A sandbox, a store, and what was told while exports ran between them."""

    sandbox: Sandbox
    store: ObjectStore
    config: Callable[..., str]
    events: list[Event] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.sandbox.world

    def app(self, store: ObjectStore | None = None, **changes: object) -> App:
        return app_for(
            self.config(self.sandbox.base_url, self.world, **changes), tokens_of(self.world), store or self.store
        )

    async def run(
        self, choice: Choice | None = None, store: ObjectStore | None = None, **changes: object
    ) -> tuple[Manifest, ...]:
        return await self.app(store, **changes).run(choice or Choice(), self.events.append)

    def asked(self) -> int:
        """Requests that the sandbox has seen so far."""
        return len(self.sandbox.requests)


@asynccontextmanager
async def bench(
    world: World | None = None, options: SandboxOptions | None = None, store: ObjectStore | None = None
) -> AsyncIterator[Bench]:
    """A sandbox without a rate limit, unless *options* say otherwise, and an empty store, which must hold no secret."""
    async with serve(world or small_world(), options or SandboxOptions(rate=None)) as sandbox:
        running = Bench(sandbox=sandbox, store=store or MemoryStore(), config=config_for)
        yield running
        for info in await running.store.list(""):
            assert not leaked_bytes((await running.store.get(info.key))[0]), info.key


async def published(store: ObjectStore, dataset: str = DATASET) -> pa.Table:
    """Everything a reader by path sees, as Hive-style readers find it."""
    parts = []
    for info in await store.list(f"{dataset}/month="):
        data, _ = await store.get(info.key)
        table = pq.read_table(io.BytesIO(data))
        month = info.key.split("month=")[1].split("/")[0]
        assert all(f"{day:%Y-%m}" == month for day in table.column("window_start").to_pylist())
        parts.append(table)
    return pa.concat_tables(parts, promote_options="default") if parts else pa.table({})


def groups(table: pa.Table, columns: Sequence[str] = DEFAULT_COLUMNS) -> list[tuple[object, ...]]:
    """Studio, window start and the report's columns of every row, in an order of their own."""
    names = ("studio_id", "window_start", *columns)
    return sorted((tuple(row[name] for name in names) for row in table.to_pylist()), key=repr)


def expected(
    world: World,
    windows: Sequence[tuple[date, date]],
    columns: Sequence[str] = DEFAULT_COLUMNS,
    *,
    studios: Sequence[int] | None = None,
    **filters: Collection[str | int] | str | int,
) -> list[tuple[object, ...]]:
    """What the source holds for *windows*, as `groups` shows it."""
    rows = [
        (studio_id(n), start, *(row[name] for name in columns))
        for n, studio in enumerate(world.studios)
        if studios is None or n in studios
        for start, end in windows
        for row in truth(world, studio.provider_id, columns, start, end, **filters)
    ]
    return sorted(rows, key=repr)


def months(start: date = START, end: date = END) -> list[tuple[date, date]]:
    """Calendar months that tile [start, end)."""
    found = []
    while start < end:
        following = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        found.append((start, following))
        start = following
    return found

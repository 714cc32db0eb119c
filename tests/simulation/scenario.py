"""What one seed stands for: a world, exporters, and all that will go wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random

from exporter.core.answer import Format
from exporter.core.catalogue import REPORTS
from exporter.core.lease import CLOCKS_S
from exporter.core.report import Dataset, DatasetName, Pivot, ReportSpec
from exporter.core.studio import CredentialKey, Studio, StudioId
from exporter.core.window import Every, Window, cut
from exporter.sandbox.encode import CsvHeaders
from exporter.sandbox.faults import Fault
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import RetryAfter
from exporter.sandbox.studios import World
from tests.simulation.chance import Chance
from tests.support.exports import DEFAULT_COLUMNS

#: A studio and a window of it: what the judge calls a task.
TaskKey = tuple[StudioId, Window]

_COLUMNS = (
    ("customer_id", "status", "count"),
    DEFAULT_COLUMNS,
    ("customer_id", "customer_name", "customer_email", "membership_id", "membership_name", "count"),
)

#: What may be kept out of the sink, or hashed.
_PERSONAL = ("customer_id", "customer_name", "customer_email", "membership_id")
HASH_KEY = b"made-up hash key"

#: First days: an ordinary month, and days before the clocks change in Europe, in the south, and where a year ends.
_FIRST_DAYS = (date(2025, 1, 1), date(2025, 3, 28), date(2025, 4, 4), date(2025, 12, 29))

#: What an API that speaks CSV can do without being found out: neither a short page nor a change shows there.
_ONLY_IN_JSON = (Fault.SHORT_PAGE, Fault.WRONG_SORT, Fault.DRIFT)

_KINDS = (
    Fault.ERROR_500,
    Fault.ERROR_502,
    Fault.ERROR_503_WAIT,
    Fault.ERROR_504,
    Fault.THROTTLED,
    Fault.HTML_200,
    Fault.BAD_JSON,
    Fault.TRUNCATE,
    Fault.RESET,
    Fault.SLOW,
    Fault.REPEAT,
    *_ONLY_IN_JSON,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifePlan:
    """One process of an exporter.

    Attributes:
        after_s: how long after the one before it begins.
        dies_at: the step at which it dies, from 1; None if it does not.
        stops_after_s: when it is asked to stop; None if it is not.
        full: whether it fetches settled tasks too.
        rewrite: whether it replaces the whole dataset.
        skips: whether it leaves credentials alone that are in use, instead of waiting for them.
        cut_off: after how many seconds its way to the sink breaks down, and for how many; None where it does not.
    """

    after_s: float
    dies_at: int | None = None
    stops_after_s: float | None = None
    full: bool = False
    rewrite: bool = False
    skips: bool = False
    cut_off: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterPlan:
    """One exporter: where it runs, which studios it asks for, and its processes, one after the other."""

    name: str
    host: str
    studios: tuple[Studio, ...]
    lives: tuple[LifePlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that a seed decides before anything begins.

    Attributes:
        world: what the API knows; changes while the scenario is played.
        studios: all of them, as they are configured.
        rate: requests a minute that the API allows; None for any number.
        limit: requests a minute that are configured.
        faults: how probable each kind is.
        drifts: how probable it is that a report changes just before an answer.
        sink_s: how long a store call usually takes, there and back each; where it is long, processes meet more often.
        troubles: how probable it is that a store call goes wrong.
        begins_at: when the first exporter begins at the earliest.
        ahead_s: by how much the clock of each machine is ahead; it is told to the leases.
    """

    seed: int
    world: World
    studios: tuple[Studio, ...]
    dataset: Dataset
    days: Window
    lookback_days: int
    begins_at: datetime
    format: Format
    csv_headers: CsvHeaders
    page_size: int
    max_connections: int
    rate: int | None
    limit: int
    count_rejected: bool
    retry_after: RetryAfter
    faults: Mapping[Fault, float]
    drifts: float
    sink_s: float
    troubles: float
    exporters: tuple[ExporterPlan, ...]
    ahead_s: Mapping[str, float]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns in the sink that the report decides about."""
        names = tuple(column.name for column in self.dataset.columns if column.name not in self.dataset.drop)
        return names if self.dataset.pivot is Pivot.ALL else (*names, "period_key")

    @property
    def tasks(self) -> tuple[TaskKey, ...]:
        """Everything that can be exported."""
        windows = cut(self.days.start, self.days.end, self.dataset.every)
        return tuple((studio.id, window) for studio in self.studios for window in windows)


def make_scenario(seed: int) -> Scenario:
    """The scenario of *seed*."""
    rng, more = (Chance(f"{seed}").once(name) for name in ("scenario", "more"))
    drawn = more.random()
    crowded, side_by_side = drawn < 0.3, drawn > 0.8
    every = rng.choice((Every.MONTH, Every.WEEK, Every.DAY))
    start = rng.choice(_FIRST_DAYS)
    days = Window(start, _after(start, every, rng.randint(1, 3)))
    page_size = rng.randint(4, 12)
    a_window = rng.choice((0, page_size, 2 * page_size, 3 * page_size))
    world = make_world(
        rng.randint(1, 3),
        seed=seed,
        start=days.start - timedelta(days=40),
        end=days.end + timedelta(days=40),
        per_month=a_window * {Every.MONTH: 1, Every.WEEK: 4, Every.DAY: 25}[every],
        credentials=1 if crowded else None if side_by_side else rng.choice((None, 1)),
        zones=rng.sample(("Europe/London", "America/Santiago", "Pacific/Apia", "UTC", "Asia/Kathmandu"), 3),
    )
    studios = _studios(world)
    spec = REPORTS["attendance_strikes.grouped"]
    asked = Format.CSV if rng.random() < 0.25 else Format.JSON
    limit = more.choice((2, 4)) if crowded else rng.choice((4, 12, 60, 250))
    lookback_days = rng.choice((0, 7))
    kinds = [
        k for k in rng.sample(_KINDS, rng.randint(1, len(_KINDS))) if not (asked is Format.CSV and k in _ONLY_IN_JSON)
    ]
    share = rng.choice((0.0, 0.02, 0.1, 0.3))
    faults: dict[Fault, float] = {kind: share / len(kinds) for kind in kinds if kind is not Fault.DRIFT}
    faults[rng.choice((Fault.UNAUTHORIZED, Fault.MISSING_COLUMN))] = rng.choice((0.0, 0.0, 0.01))
    exporters = _exporters(
        studios, 3 if crowded or side_by_side else rng.choice((1, 1, 2, 3)), rng, more if crowded else None
    )
    return Scenario(
        seed=seed,
        world=world,
        studios=studios,
        dataset=_dataset(spec, rng.choice(_COLUMNS), every, more),
        days=days,
        lookback_days=lookback_days,
        begins_at=datetime.combine(days.end, time(), UTC) + timedelta(days=lookback_days, hours=rng.uniform(-36, 36)),
        format=asked,
        csv_headers=rng.choice(tuple(CsvHeaders)),
        page_size=page_size,
        max_connections=rng.choice((1, 3, 8)),
        rate=rng.choice((limit, limit, limit if crowded else max(1, limit // 2), None)),
        limit=limit,
        count_rejected=rng.random() < 0.3,
        retry_after=rng.choice(tuple(RetryAfter)),
        faults=faults,
        drifts=0.0 if asked is Format.CSV else rng.choice((0.0, 0.05, 0.2)),
        sink_s=0.5 if side_by_side else rng.choice((0.03, 0.5)),
        troubles=rng.choice((0.0, 0.0, 0.005, 0.02, 0.06)),
        exporters=exporters,
        ahead_s={"there": rng.uniform(-CLOCKS_S, CLOCKS_S)},
    )


def _dataset(spec: ReportSpec, columns: Sequence[str], every: Every, rng: Random) -> Dataset:
    private = rng.sample(_PERSONAL, rng.choice((0, 0, 1, 2)))
    parts = rng.randint(0, len(private))
    return Dataset(
        name=DatasetName("strikes"),
        spec=spec,
        columns=spec.resolve(columns),
        every=every,
        pivot=rng.choice((Pivot.ALL, Pivot.ALL, Pivot.ALL, Pivot.MONTH, Pivot.WEEK)),
        max_pivot_columns=6,
        drop=frozenset(private[:parts]),
        hash=frozenset(private[parts:]),
        hash_id="made-up",
    )


def _after(start: date, every: Every, windows: int) -> date:
    """The first day after so many windows from *start*, the first and the last of which may be narrow."""
    match every:
        case Every.DAY:
            return start + timedelta(days=windows)
        case Every.WEEK:
            return start + timedelta(days=7 * windows - 3)
        case _:
            return (start.replace(day=1) + timedelta(days=31 * windows)).replace(day=2)


def _studios(world: World) -> tuple[Studio, ...]:
    return tuple(
        Studio(
            id=StudioId(f"studio-{number}"),
            credential=CredentialKey(made.token),
            timezone=made.timezone,
            provider_id=made.provider_id,
        )
        for number, made in enumerate(world.studios, 1)
    )


def _exporters(studios: Sequence[Studio], number: int, rng: Random, crowd: Random | None) -> tuple[ExporterPlan, ...]:
    """So many exporters; at each other's heels where there is a *crowd* to draw from."""
    # A dataset is replaced as a whole by who is alone: what others publish meanwhile would be lost.
    rewrites = 0.1 if number == 1 else 0.0
    exporters = tuple(_exporter(n, studios, rewrites, rng) for n in range(number))
    return tuple(_at_each_others_heels(exporter, crowd) for exporter in exporters) if crowd else exporters


def _exporter(number: int, studios: Sequence[Studio], rewrites: float, rng: Random) -> ExporterPlan:
    chosen = studios if number == 0 else rng.sample(studios, rng.randint(1, len(studios)))
    lives = [_life(rng, rewrites, first=n == 0) for n in range(rng.randint(1, 4))]
    return ExporterPlan(
        name=f"exporter-{number + 1}",
        host=rng.choice(("here", "there")),
        studios=tuple(sorted(chosen, key=lambda studio: studio.id)),
        lives=tuple(lives),
    )


def _at_each_others_heels(exporter: ExporterPlan, rng: Random) -> ExporterPlan:
    """Processes that begin again soon, and are cut off often: what one does within minutes matters to the others."""
    lives = (
        replace(
            life,
            after_s=min(life.after_s, 5 + life.after_s % 20),
            cut_off=(rng.uniform(0, 60), rng.uniform(60, 400)) if rng.random() < 0.4 else None,
        )
        for life in exporter.lives
    )
    return replace(exporter, lives=tuple(lives))


def _life(rng: Random, rewrites: float, *, first: bool) -> LifePlan:
    fate = rng.random()
    return LifePlan(
        after_s=rng.uniform(0, rng.choice((1, 20))) if first else 10 ** rng.uniform(0, 4.8),
        dies_at=int(2 ** rng.uniform(0, 8)) if fate < 0.6 else None,
        stops_after_s=10 ** rng.uniform(-1, 2) if 0.6 <= fate < 0.75 else None,
        full=rng.random() < 0.1,
        rewrite=rng.random() < rewrites,
        skips=rng.random() < 0.1,
        cut_off=(10 ** rng.uniform(-1, 2), 10 ** rng.uniform(1, 2.6)) if rng.random() < 0.1 else None,
    )

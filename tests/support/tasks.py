"""Made-up studios, datasets and tasks, and what is published of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from exporter.core.catalogue import REPORTS
from exporter.core.ledger import Entry, Ledger
from exporter.core.partition import Partition, partition_of
from exporter.core.plan import Scope, Task
from exporter.core.report import Dataset, DatasetName
from exporter.core.studio import CredentialKey, Studio, StudioId
from exporter.core.window import Every, Window

#: Long after every window of the tests, unless they say otherwise.
LATER = datetime(2026, 1, 1, tzinfo=UTC)


def days(first: str, end: str) -> Window:
    """From the day *first* up to, not including, *end*."""
    return Window(date.fromisoformat(first), date.fromisoformat(end))


def month(text: str) -> Window:
    """The month *text*, as in 2025-03."""
    first = date.fromisoformat(f"{text}-01")
    return Window(first, (first + timedelta(days=31)).replace(day=1))


def windows(*, longest: int = 40) -> st.SearchStrategy[Window]:
    """Any window of up to *longest* days."""
    return st.builds(
        lambda first, length: Window(first, first + timedelta(days=length)),
        st.dates(date(1900, 1, 1), date(2199, 1, 1)),
        st.integers(1, longest),
    )


def moments() -> st.SearchStrategy[datetime]:
    """Any moment of this half century, UTC."""
    return st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


def make_studio(name: str = "harbour-yoga", *, credential: str = "", timezone: str = "UTC") -> Studio:
    """A studio, by default the only one of its credential."""
    return Studio(id=StudioId(name), credential=CredentialKey(credential or name), timezone=timezone)


def make_dataset(
    *columns: str,
    name: str = "strikes",
    report: str = "attendance_strikes.grouped",
    every: Every = Every.MONTH,
    **changes: Any,
) -> Dataset:
    """A dataset of *columns*, by default of customers and counts."""
    spec = REPORTS[report]
    chosen = spec.resolve(columns or ("customer_id", "count"))
    return Dataset(name=DatasetName(name), spec=spec, columns=chosen, every=every, **changes)


def make_task(studio: Studio | None = None, window: Window | None = None, dataset: Dataset | None = None) -> Task:
    """The task of Harbour Yoga's January 2025, unless told otherwise."""
    return Task(dataset=dataset or make_dataset(), studio=studio or make_studio(), window=window or month("2025-01"))


def make_scope(
    days: Window, *, datasets: Iterable[Dataset] = (), studios: Iterable[Studio] = (), **changes: Any
) -> Scope:
    """What a run of *days* is about: one studio and one dataset, all long past, unless told otherwise."""
    values: dict[str, Any] = {"lookback_days": 35, "began_at": LATER, **changes}
    return Scope(
        datasets=tuple(datasets) or (make_dataset(),), studios=tuple(studios) or (make_studio(),), days=days, **values
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One task as it was published."""

    window: Window
    studio: str = "harbour-yoga"
    dataset: Dataset = make_dataset()  # noqa: RUF009 - frozen
    rows: int = 1
    total: int = 1
    measure: int = 1
    run_id: str = "earlier"
    began_at: datetime = LATER
    zone: str = ""


def ledgers_of(*tasks: Published) -> Mapping[Partition, Ledger]:
    """The ledgers of a sink that holds *tasks*."""
    ledgers: dict[Partition, Ledger] = {}
    for one in tasks:
        entry = Entry(
            studio=StudioId(one.studio),
            window=one.window,
            rows=one.rows,
            total=one.total,
            measure=one.measure,
            run_id=one.run_id,
            began_at=one.began_at,
            zone=one.zone,
        )
        partition = partition_of(one.dataset.name, one.window)
        ledger = ledgers.get(partition, Ledger(grain=one.dataset.grain.id))
        ledgers[partition] = ledger.replace([entry])
    return ledgers

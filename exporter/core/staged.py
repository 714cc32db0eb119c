"""What is fetched and not published yet: the records that make staged rows whole again after a stop.

A fetch is one attempt at one task, begun afresh whenever the report changed while it was paged. Its pages may be
staged by one run and completed by another; a sealed fetch has all its pages and passed every check.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from exporter.core.ledger import NOTHING_WITHHELD, Withheld
from exporter.core.report import DatasetName, GrainId
from exporter.core.studio import StudioId
from exporter.core.window import Window


class StagedPage(NamedTuple):
    """One page of a fetch, as it stands in a segment.

    Attributes:
        studio, window: the task.
        fetch_id: the fetch it belongs to.
        offset: rows of the report before it.
        api_rows: rows as the API counts them.
        rows: rows in the segment (more, where a pivot was unfolded).
        withheld: rows that came but are not in the segment, since people are left out.
        total: rows of the whole report as this page told; None where it did not.
        received_at: UTC.
        order: what it said it is sorted by; empty where that is what was asked for, None where it did not say.
    """

    studio: StudioId
    window: Window
    fetch_id: str
    offset: int
    api_rows: int
    rows: int
    total: int | None
    received_at: datetime
    withheld: Withheld = NOTHING_WITHHELD
    order: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A fetch is whole.

    Attributes:
        studio, window: the task.
        fetch_id: the fetch.
        total: rows of the report, as the API counts them.
        rows: rows of all its pages, those withheld with them: a segment may lose rows after the seal.
        measure: sum of what adds up over the same; the rows themselves where nothing does.
        sealed_at: UTC.
    """

    studio: StudioId
    window: Window
    fetch_id: str
    total: int
    rows: int
    measure: int
    sealed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRecord:
    """What a segment says of its rows, which lie in the order of *pages*.

    `customer_columns` are names of columns that hold customers' ids, beside those that the catalogue knows; `zones` are
    the studios', at whose midnights the windows were cut, as far as somebody wrote them down.
    """

    dataset: DatasetName
    grain: GrainId
    run_id: str
    began_at: datetime
    full: bool
    pages: tuple[StagedPage, ...]
    seals: tuple[Seal, ...]
    customer_columns: tuple[str, ...] = ()
    zones: Mapping[StudioId, str] = field(default_factory=dict)


@dataclass(slots=True)
class StagedFetch:
    """All that is staged of one fetch: where its pages lie, and its seal once it is whole."""

    studio: StudioId
    window: Window
    fetch_id: str
    began_at: datetime
    pages: dict[int, tuple[str, StagedPage]] = field(default_factory=dict)
    seal: Seal | None = None
    zone: str = ""

    @property
    def segments(self) -> tuple[str, ...]:
        """Keys of the segments that hold its pages."""
        return tuple(dict.fromkeys(key for key, _ in self.pages.values()))

    @property
    def accounted_rows(self) -> int:
        """Rows of its pages, as `Seal.rows` counts them."""
        return sum(page.rows + page.withheld.rows for _, page in self.pages.values())

    @property
    def is_reduced(self) -> bool:
        """Whether something of it is withheld."""
        return any(page.withheld for _, page in self.pages.values())

    @property
    def withheld(self) -> Withheld:
        """What is withheld of it."""
        return sum((page.withheld for _, page in self.pages.values()), Withheld())

    @property
    def newest_page_at(self) -> datetime:
        """When the last page came."""
        return max(page.received_at for _, page in self.pages.values())


def collect_fetches(segments: Iterable[tuple[str, SegmentRecord]]) -> Mapping[tuple[DatasetName, str], StagedFetch]:
    """Every fetch that *segments* (key and record, in any order) tell of, by dataset and fetch id."""
    fetches: dict[tuple[DatasetName, str], StagedFetch] = {}

    def fetch(record: SegmentRecord, of: StagedPage | Seal) -> StagedFetch:
        return fetches.setdefault(
            (record.dataset, of.fetch_id),
            StagedFetch(
                studio=of.studio,
                window=of.window,
                fetch_id=of.fetch_id,
                began_at=record.began_at,
                zone=record.zones.get(of.studio, ""),
            ),
        )

    for key, record in segments:
        for page in record.pages:
            staged = fetch(record, page)
            staged.pages[page.offset] = (key, page)
            staged.began_at = min(staged.began_at, record.began_at)
        for seal in record.seals:
            fetch(record, seal).seal = seal
    return fetches

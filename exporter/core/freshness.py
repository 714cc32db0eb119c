"""How far a dataset reaches, for whoever waits for it: one small record that is put when a run has ended well. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from exporter.core.jsonable import jsonable, parse_moment
from exporter.core.ledger import Entry, entries_by_studio
from exporter.core.studio import Studio
from exporter.core.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """One dataset after a run.

    Attributes:
        dataset: its name.
        run_id: the run that ended well; where it was done in shards, the id of their plan.
        finished_at: when, UTC.
        complete_until: the first local day, after the configured start, that is not whole of every configured studio;
            None where a studio has not even its first day.
        rows: published, of all windows.
    """

    dataset: str
    run_id: str
    finished_at: datetime
    complete_until: date | None
    rows: int

    def to_json(self) -> bytes:
        """One object on one line."""
        return f"{json.dumps(asdict(self), default=jsonable)}\n".encode()


def parse_freshness(data: bytes) -> Freshness:
    """What `Freshness.to_json` wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        document = json.loads(data)
        until = document["complete_until"]
        return Freshness(
            **{
                **document,
                "finished_at": parse_moment(document["finished_at"]),
                "complete_until": None if until is None else date.fromisoformat(until),
            }
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"tells of no run: {error}") from error


def complete_until(entries: Iterable[Entry], studios: Sequence[Studio], start: date) -> date | None:
    """The first day from *start* on that is not whole of every one of *studios*; None where that is the first one.

    Args:
        entries: of the dataset's ledgers.
        studios: that should be there.
        start: the first day that should be.
    """
    published = entries_by_studio(entries)
    until = min(_reached(published.get(studio.id, ()), studio, start) for studio in studios)
    return until if until > start else None


def _reached(entries: Sequence[Entry], studio: Studio, start: date) -> date:
    """The first day that is not whole of one studio, whose *entries* are in the order of their windows."""
    day = start
    for entry in entries:
        if entry.window.end <= day:
            continue
        if entry.window.start > day and not _is_skipped(Window(day, entry.window.start), studio):
            break
        _, end = entry.window.instants(studio.timezone)
        if entry.began_at < end:
            # Asked for before it was over: of the day on which that was, only a part had happened.
            return max(day, entry.began_at.astimezone(ZoneInfo(studio.timezone)).date())
        day = entry.window.end
    return day


def _is_skipped(window: Window, studio: Studio) -> bool:
    """Whether the studio's zone left these days out."""
    begins, ends = window.instants(studio.timezone)
    return begins == ends

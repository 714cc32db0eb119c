"""Published windows that were asked for again and found unchanged.

Their parts are not put again, so the parts' own ledgers do not know; without these records such a window would be
fetched for ever once it is past the lookback. A confirmation is about one entry of one run: where another run has
published the window since, it says nothing.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache
from typing import Any

from exporter.core.jsonable import parse_moment
from exporter.core.ledger import Ledger, TaskKey
from exporter.core.studio import StudioId
from exporter.core.window import Window

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """One published window that is as it was.

    Attributes:
        studio, window: the task.
        published_by: the run that its entry in the part's ledger names.
        run_id: the run that found it unchanged.
        began_at: when the run that asked for it again began, UTC.
    """

    studio: StudioId
    window: Window
    published_by: str
    run_id: str
    began_at: datetime

    @property
    def task(self) -> TaskKey:
        """Which task of the dataset it is about."""
        return self.studio, self.window


@dataclass(frozen=True, slots=True)
class Confirmations:
    """One confirmation for each window at most, sorted by studio and window."""

    items: tuple[Confirmation, ...] = ()
    _by_task: Mapping[TaskKey, Confirmation] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once, since there may be as many as tasks, and each partition's ledger is held against them.
        object.__setattr__(self, "_by_task", {item.task: item for item in self.items})

    def merge(self, new: Iterable[Confirmation]) -> "Confirmations":
        """With *new*; of two about one entry the later one stays, and one about another entry gives way."""
        found = dict(self._by_task)
        for item in new:
            old = found.get(item.task)
            if old is None or old.published_by != item.published_by or old.began_at < item.began_at:
                found[item.task] = item
        return Confirmations(tuple(found[place] for place in sorted(found)))

    def without(self, replaced: Iterable[TaskKey], *, by: str) -> "Confirmations":
        """Without those whose days the run *by* has published anew; what was said since of its own entries stays."""
        by_studio: dict[StudioId, list[Window]] = {}
        for studio, window in replaced:
            by_studio.setdefault(studio, []).append(window)

        def stands(item: Confirmation) -> bool:
            anew = any(window.overlaps(item.window) for window in by_studio.get(item.studio, ()))
            return item.published_by == by or not anew

        return Confirmations(tuple(filter(stands, self.items)))

    def apply(self, ledger: Ledger) -> Ledger:
        """*ledger*, with the entries that are confirmed as if the confirming run had published them."""
        if not self.items:
            return ledger
        entries = []
        for entry in ledger.entries:
            item = self._by_task.get(entry.task)
            if item and item.published_by == entry.run_id and item.began_at > entry.began_at:
                entries.append(replace(entry, run_id=item.run_id, began_at=item.began_at))
            else:
                entries.append(entry)
        return replace(ledger, entries=tuple(entries))

    def to_json(self) -> bytes:
        """A line for each window; runs are named once."""
        runs: dict[tuple[str, str], int] = {}
        rows = [
            [
                item.studio,
                item.window.start.isoformat(),
                item.window.end.isoformat(),
                item.published_by,
                runs.setdefault((item.run_id, item.began_at.isoformat()), len(runs)),
            ]
            for item in self.items
        ]
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        named = json.dumps([list(run) for run in runs])
        return f'{{"confirmed_version": {_VERSION},\n"runs": {named},\n"windows": [\n{lines}\n]}}\n'.encode()


def parse_confirmations(data: bytes) -> Confirmations:
    """What `Confirmations.to_json` wrote.

    Raises:
        ValueError: it is none, or one of another version of this program.
    """
    try:
        document: dict[str, Any] = json.loads(data)
        if document["confirmed_version"] != _VERSION:
            raise ValueError(f"version {document['confirmed_version']} instead of {_VERSION}")
        runs = [(run_id, parse_moment(began)) for run_id, began in document["runs"]]
        # Most windows are those of many studios, and were published by few runs: kept once.
        window = cache(_window)
        return Confirmations(
            tuple(
                Confirmation(
                    studio=StudioId(sys.intern(studio)),
                    window=window(start, end),
                    published_by=sys.intern(published_by),
                    run_id=runs[run][0],
                    began_at=runs[run][1],
                )
                for studio, start, end, published_by, run in document["windows"]
            )
        )
    except (KeyError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"not a list of confirmed windows: {error}") from error


def _window(start: str, end: str) -> Window:
    return Window(date.fromisoformat(start), date.fromisoformat(end))

"""What is known of the tasks behind one published object.

Every part carries its own ledger in its footer, so rows and what is said of them change in one step. An empty task
leaves no row but has its entry. Which windows are settled is read from here.
"""

import base64
import json
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from typing import cast

from exporter.core.jsonable import parse_moment
from exporter.core.report import GrainId
from exporter.core.studio import StudioId
from exporter.core.window import Window

#: Tells the tasks of one dataset apart.
TaskKey = tuple[StudioId, Window]

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """What the API told of people who are left out of the sink; see `core.erasure`.

    Attributes:
        rows: as they would stand in the part.
        measure: what they add up to.
    """

    rows: int = 0
    measure: int = 0

    def __bool__(self) -> bool:
        return bool(self.rows or self.measure)

    def __add__(self, other: "Withheld") -> "Withheld":
        return Withheld(rows=self.rows + other.rows, measure=self.measure + other.measure)


#: The usual case, shared by all who need to say so.
NOTHING_WITHHELD = Withheld()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One published task.

    Attributes:
        studio: whose rows.
        window: of which days.
        rows: rows in the part.
        total: rows as the API counted them (before a pivot is unfolded).
        measure: sum of what adds up over the rows; the rows themselves where nothing does.
        run_id: the run that published it.
        began_at: when the run that *asked* for it began, UTC; whether it is settled is judged by this.
        withheld: what is not in the part although the API told it; with it, rows and measure are the API's.
        zone: the studio's, at whose midnights the window was cut; empty where nobody wrote it down.
    """

    studio: StudioId
    window: Window
    rows: int
    total: int
    measure: int
    run_id: str
    began_at: datetime
    withheld: Withheld = NOTHING_WITHHELD
    zone: str = ""

    @property
    def task(self) -> TaskKey:
        """Which task of the dataset it is about."""
        return self.studio, self.window

    @property
    def api_measure(self) -> int:
        """The measure as the API counts it: with the rows that are withheld."""
        return self.measure + self.withheld.measure

    def leave_out(self, more: Withheld) -> "Entry":
        """The same task with so much less in the part."""
        return replace(
            self, rows=self.rows - more.rows, measure=self.measure - more.measure, withheld=self.withheld + more
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What is said of one part.

    Attributes:
        grain: of all its rows.
        entries: sorted by studio and window.
        customer_columns: names of columns that hold customers' ids, beside those that the catalogue knows; sorted.
    """

    grain: GrainId
    entries: tuple[Entry, ...] = ()
    customer_columns: tuple[str, ...] = ()

    def replace(
        self, new: Sequence[Entry], *, drop_all: bool = False, customer_columns: Iterable[str] = ()
    ) -> "Ledger":
        """*new* entries in place of those whose windows they cover; *customer_columns* of their rows beside the old."""
        by_studio: dict[StudioId, list[Window]] = {}
        for entry in new:
            by_studio.setdefault(entry.studio, []).append(entry.window)
        kept = (
            ()
            if drop_all
            else (e for e in self.entries if not any(w.covers(e.window) for w in by_studio.get(e.studio, ())))
        )
        entries = sorted((*kept, *new), key=lambda e: (e.studio, e.window))
        names = tuple(sorted({*self.customer_columns, *customer_columns}))
        return Ledger(grain=self.grain, entries=tuple(entries), customer_columns=names)

    def to_text(self) -> str:
        """ASCII, compressed: it travels in every part's footer, which every query reads."""
        runs: dict[tuple[str, str], int] = {}
        rows = [
            [
                e.studio,
                e.window.start.toordinal(),
                e.window.end.toordinal(),
                e.rows,
                e.total,
                e.measure,
                runs.setdefault((e.run_id, e.began_at.isoformat()), len(runs)),
            ]
            for e in self.entries
        ]
        columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * 7
        document: dict[str, object] = {
            "v": _VERSION,
            "grain": self.grain,
            "runs": [list(r) for r in runs],
            "tasks": columns,
        }
        # What hardly any part has is not spoken of in the others.
        withheld = [[n, e.withheld.rows, e.withheld.measure] for n, e in enumerate(self.entries) if e.withheld]
        document |= {"withheld": withheld} if withheld else {}
        document |= {"customer_columns": self.customer_columns} if self.customer_columns else {}
        zones = list(dict.fromkeys(e.zone for e in self.entries))
        document |= {"zones": [zones, [zones.index(e.zone) for e in self.entries]]} if any(zones) else {}
        packed = zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)
        return base64.b85encode(packed).decode("ascii")


def parse_ledger(text: str) -> Ledger:
    """What `Ledger.to_text` wrote.

    Raises:
        ValueError: the text is none.
    """
    try:
        document = json.loads(zlib.decompress(base64.b85decode(text)))
        if document["v"] != _VERSION:
            raise ValueError(f"ledger version {document['v']} instead of {_VERSION}")
        runs = [(run_id, parse_moment(began)) for run_id, began in document["runs"]]
        withheld = {n: Withheld(rows=rows, measure=measure) for n, rows, measure in document.get("withheld", ())}
        zones, zone_of = document.get("zones", ([""], [0] * len(document["tasks"][0])))
        # Most entries of a part are of the same window, most parts of the same studios: kept once.
        window = lru_cache(_window)
        entries = tuple(
            Entry(
                studio=StudioId(sys.intern(studio)),
                window=window(start, end),
                rows=rows,
                total=total,
                measure=measure,
                run_id=runs[run][0],
                began_at=runs[run][1],
                withheld=withheld.get(number, NOTHING_WITHHELD),
                zone=zones[zone],
            )
            for number, (zone, studio, start, end, rows, total, measure, run) in enumerate(
                zip(zone_of, *document["tasks"], strict=True)
            )
        )
        return Ledger(
            grain=GrainId(cast(str, document["grain"])),
            entries=entries,
            customer_columns=tuple(document.get("customer_columns", ())),
        )
    except (zlib.error, KeyError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"not a ledger: {error}") from error


def _window(start: int, end: int) -> Window:
    return Window(date.fromordinal(start), date.fromordinal(end))


def entries_by_studio(entries: Iterable[Entry]) -> Mapping[StudioId, list[Entry]]:
    """Entries grouped by studio, each in the order of its windows."""
    grouped: dict[StudioId, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: e.window):
        grouped.setdefault(entry.studio, []).append(entry)
    return grouped

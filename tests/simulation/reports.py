"""What the API's reports have held, and since when: the truth that published rows are held against."""

import hashlib
import hmac
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from exporter.core.report import Pivot
from exporter.core.studio import Studio, StudioId
from exporter.core.window import Window
from exporter.sandbox.studios import Customer
from exporter.sandbox.truth import truth
from tests.simulation.scenario import HASH_KEY, Scenario, TaskKey

Rows = list[tuple[object, ...]]


class Reports:
    """The states of every task's report, by the sandbox's own plain arithmetic.

    A report changes in one way only: one newcomer comes or goes. So its two states have different totals, and pages
    of both never make up a report that looks right.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._studios = {studio.id: studio for studio in scenario.studios}
        self._newcomers: dict[TaskKey, int] = {}
        self._states: dict[TaskKey, list[tuple[datetime, Rows]]] = {}

    def studio(self, name: StudioId) -> Studio:
        """The studio of this name."""
        return self._studios[name]

    def find(self, provider_id: str, since: datetime) -> TaskKey | None:
        """The task of the studio that holds the moment *since*."""
        for name, window in self._scenario.tasks:
            studio = self._studios[name]
            first, after = (local_midnight(day, studio.timezone) for day in (window.start, window.end))
            if str(studio.provider_id) == provider_id and first <= since < after:
                return name, window
        return None

    def change(self, task: TaskKey, now: datetime) -> None:
        """Let the newcomer of *task* come, or go."""
        self._history(task)
        made = self._scenario.world.studio(self._studios[task[0]].provider_id or 0)
        if task in self._newcomers:
            made.remove(self._newcomers.pop(task))
        elif made.infractions:
            number = max(infraction.id for infraction in made.infractions) + 1
            # Their number is the lowest, so that all rows behind them move to another place.
            customer = Customer(id=made.customers[0].id - 1, name="Newcomer, Ann", email="newcomer@example.test")
            starts_at = local_midnight(task[1].start, made.timezone)
            made.add(replace(made.infractions[0], id=number, customer=customer, starts_at=starts_at))
            self._newcomers[task] = number
        self._states[task].append((now, self._rows(task)))

    def allows(self, task: TaskKey, rows: Rows, since: datetime, until: datetime) -> bool:
        """Whether *rows* were the report at some moment between the two."""
        states = self._history(task)
        ends = [began for began, _ in states[1:]] + [datetime.max.replace(tzinfo=UTC)]
        wanted = sorted(rows, key=repr)
        return any(
            began <= until and end >= since and state == wanted
            for (began, state), end in zip(states, ends, strict=True)
        )

    def told(self, task: TaskKey) -> Sequence[int]:
        """How many rows each state had."""
        return [len(state) for _, state in self._history(task)]

    def _history(self, task: TaskKey) -> list[tuple[datetime, Rows]]:
        if task not in self._states:
            self._states[task] = [(datetime.min.replace(tzinfo=UTC), self._rows(task))]
        return self._states[task]

    def _rows(self, task: TaskKey) -> Rows:
        dataset = self._scenario.dataset
        found = self._groups(task, task[1])
        if dataset.pivot is not Pivot.ALL:
            found = self._periods(task, found)
        for row in found:
            row |= {column: _hashed(row[column]) for column in dataset.hash & row.keys()}
        return sorted((tuple(row[column] for column in self._scenario.columns) for row in found), key=repr)

    def _groups(self, task: TaskKey, days: Window) -> list[dict[str, object]]:
        columns = [column.name for column in self._scenario.dataset.columns]
        provider_id = self._studios[task[0]].provider_id or 0
        return truth(self._scenario.world, provider_id, columns, days.start, days.end)

    def _periods(self, task: TaskKey, groups: list[dict[str, object]]) -> list[dict[str, object]]:
        """Each of *groups* once for each period in which there is anything at all."""
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for start, end in pairwise(
            task[1].start + timedelta(days=n) for n in range((task[1].end - task[1].start).days + 1)
        ):
            period = f"{start:%Y-%m}" if self._scenario.dataset.pivot is Pivot.MONTH else f"{start:%G-W%V}"
            for row in self._groups(task, Window(start, end)):
                count = row["count"]
                assert isinstance(count, int)
                counts[period][_group(row)] += count
        return [
            {**group, "period_key": period, "count": counted[_group(group)]}
            for group in groups
            for period, counted in counts.items()
        ]


def _group(row: dict[str, object]) -> str:
    return repr([value for column, value in row.items() if column != "count"])


def _hashed(value: object) -> object:
    return None if value is None else hmac.new(HASH_KEY, f"{value}".encode(), hashlib.sha256).hexdigest()


def is_settled(window: Window, studio: Studio, asked_at: datetime, lookback_days: int) -> bool:
    """Whether what a run that began at *asked_at* fetched is final."""
    return asked_at >= local_midnight(window.end, studio.timezone) + timedelta(days=lookback_days)


def local_midnight(day: date, zone: str) -> datetime:
    """The first moment of a day; none of the simulated days begins without a midnight."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)

"""Holds each studio, once all its tasks are decided, against the API's own total over the days of the run.

Rules kept here: it stands between those who fetch and those who publish, and with `fail` holds a studio's tasks back
until it is sure of them; whatever was fetched or is settled is counted from ledgers and seals, and no row is read; its
requests pass the same gate, and are counted apart from those of the tasks.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from exporter.api.base import ReportSource
from exporter.core.plan import Plan, Scope, Task, holds_time
from exporter.core.reconcile import Reconcile, Reconciled
from exporter.core.report import DatasetName
from exporter.core.studio import CredentialKey, StudioId
from exporter.core.window import Window, unbroken
from exporter.errors import DataError, SourceError
from exporter.jobs.account import Account
from exporter.jobs.events import HeldAgainst, Observer
from exporter.jobs.total import ask_total

_Place = tuple[DatasetName, StudioId]


class Measured(Protocol):
    """Who knows what fetched rows add up to."""

    def measure(self, task: Task, fetch_id: str) -> int:
        """The sum over the whole fetch of *task*."""
        ...


class Reconciler:
    """Which studios are still to be held against the API, and what becomes of their tasks."""

    def __init__(
        self,
        mode: Reconcile,
        *,
        scope: Scope,
        plan: Plan,
        account: Account,
        fetched: Measured,
        source: ReportSource,
        withheld: Mapping[StudioId, str],
        release: Callable[[Task], None],
        observer: Observer,
    ) -> None:
        """Nothing is decided.

        Args:
            mode: what becomes of a studio whose sum is not the API's.
            scope: the days.
            plan: the tasks, and what is published of the others.
            account: knows what became of each task, and is told of each comparison.
            fetched: knows what fetched rows add up to.
            source: the report API.
            withheld: studios of which nothing is published, whatever the API says.
            release: is told of each task that is decided and may be published.
            observer: is told of each comparison.
        """
        self._mode = mode
        self._scope = scope
        self._account = account
        self._fetched = fetched
        self._source = source
        self._withheld = withheld
        self._release = release
        self._observer = observer
        self._tasks: dict[_Place, list[Task]] = {}
        for task in plan.tasks:
            self._tasks.setdefault(_place(task), []).append(task)
        self._settled: dict[_Place, dict[Window, int]] = {}
        for done in plan.done:
            self._settled.setdefault(_place(done.task), {})[done.task.window] = done.entry.api_measure
        self._sums: dict[_Place, dict[Window, int]] = {}
        self._undecided = Counter({place: len(tasks) for place, tasks in self._tasks.items()})
        self._ready: asyncio.Queue[_Place] = asyncio.Queue()
        self._left = Counter(tasks[0].studio.credential for tasks in self._tasks.values())
        self._waiting: dict[CredentialKey, asyncio.Event] = {}

    def decided(self, task: Task) -> None:
        """*task* is whole, failed or spared."""
        outcome = self._account[task]
        if outcome.spared:
            self._settled.setdefault(_place(task), {})[task.window] = outcome.spared.entry.api_measure
        elif outcome.is_whole:
            # Now, since what is published is staged no longer.
            sums = self._sums.setdefault(_place(task), {})
            sums[task.window] = self._fetched.measure(task, outcome.fetch_id)
        if self._mode is not Reconcile.FAIL:
            self._release(task)
        self._undecided[_place(task)] -= 1
        if not self._undecided[_place(task)]:
            self._ready.put_nowait(_place(task))

    async def run(self) -> None:
        """Ask of each studio that is ready, side by side, for as long as the run lasts."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._reconcile(await self._ready.get()))

    async def finish(self, credential: CredentialKey) -> None:
        """Wait until every studio of *credential* was held against the API, so that nothing more is asked with it."""
        if self._left[credential]:
            await self._waiting.setdefault(credential, asyncio.Event()).wait()

    async def _reconcile(self, place: _Place) -> None:
        tasks, fetched = self._tasks[place], self._sums.pop(place, {})
        sums = {task.window: fetched[task.window] for task in tasks if self._account[task].is_whole}
        if sums and tasks[0].studio.id not in self._withheld and self._mode is not Reconcile.OFF:
            await self._compare(tasks, {**self._settled.get(place, {}), **sums})
        if self._mode is Reconcile.FAIL:
            for task in tasks:
                self._release(task)
        credential = tasks[0].studio.credential
        self._left[credential] -= 1
        if not self._left[credential] and (waiting := self._waiting.pop(credential, None)):
            waiting.set()

    async def _compare(self, tasks: list[Task], sums: Mapping[Window, int]) -> None:
        """Ask for the days of *sums*: those of windows that failed are left out."""
        dataset, studio = tasks[0].dataset, tasks[0].studio
        windows = self._scope.windows(dataset, studio)
        for days in unbroken(window for window in windows if window in sums or not holds_time(window, studio)):
            within = [sums[window] for window in sums if days.covers(window)]
            if not within:
                continue
            record = await self._ask(tasks[0], days, sum(within))
            refused = self._mode is Reconcile.FAIL and not record.agrees
            self._account.held_against(dataset.name, record)
            self._observer(HeldAgainst(dataset=dataset.name, record=record, refused=refused))
            for task in tasks:
                if refused and days.covers(task.window) and self._account[task].is_whole:
                    self._account.failed(
                        task,
                        f"{task}: does not reconcile, so what was published of it stays: {record}; run again, with"
                        f" --full if it stays so",
                    )

    async def _ask(self, task: Task, days: Window, published: int) -> Reconciled:
        """The API's total beside *published*; where that decides about the tasks, a difference is asked for twice."""
        source, reason = None, None
        try:
            source = await ask_total(self._source, task.dataset, task.studio, days)
            if source != published and self._mode is Reconcile.FAIL:
                source = await ask_total(self._source, task.dataset, task.studio, days)
        except (SourceError, DataError) as error:
            source, reason = None, str(error)
        return Reconciled(
            studio=task.studio.id,
            start=days.start.isoformat(),
            end=days.end.isoformat(),
            published=published,
            source=source,
            agrees=source == published,
            error=reason,
        )


def _place(task: Task) -> _Place:
    return task.dataset.name, task.studio.id

"""Opens the tasks of a credential, one after the other, and sees each to its end.

Rules kept here:

- A task is opened only when nothing of its credential waits to be sent, and only while fewer than a fixed number are
  open in all, unless its credential has none open; so no credential idles, and memory grows with connections, not with
  tasks.
- A failed task is a value: the others go on. A refused studio or credential ends its own tasks at once.
- A studio in trouble has one task open at a time, so that it holds up nobody.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Protocol

import pyarrow as pa

from exporter.core.coincidence import Coincidence
from exporter.core.plan import Task, TaskId
from exporter.core.report import DatasetName
from exporter.core.staged import StagedFetch
from exporter.core.studio import CredentialKey, Studio, StudioId
from exporter.errors import (
    CredentialError,
    DataError,
    MissingColumnError,
    RejectedError,
    SourceError,
    StudioError,
)
from exporter.jobs.account import Account
from exporter.jobs.events import Observer, Opened, TaskFetched
from exporter.jobs.fetch import Fetcher
from exporter.jobs.tally import Tally
from exporter.tables.sketch import sketch


class AdmissionControl(Protocol):
    """When a new task may be opened: what the gate is to those who open them, and to those who hold it shut."""

    async def claim(self, credential: CredentialKey) -> bool:
        """Wait until the credential may be used; whether another run may have used it since this one began."""
        ...

    async def opening(self, credential: CredentialKey, day: date) -> None:
        """Wait until a request of a new task could be sent, whose window begins on *day*."""
        ...

    def unused(self, credential: CredentialKey) -> None:
        """Nothing was to be sent after all."""
        ...

    def hold(self, held: bool) -> None:
        """Let nothing more through for now, or go on."""
        ...

    async def leave(self, credential: CredentialKey) -> None:
        """Nothing more of this credential will be sent: others may use it."""
        ...


class Halts:
    """Which studios are stopped, and why; finds those that are answered with each other's rows."""

    def __init__(self, studios: Sequence[Studio]) -> None:
        """None is stopped.

        Args:
            studios: all of the run.
        """
        self._reasons: dict[tuple[DatasetName | None, StudioId], str] = {}
        self._coincidence = Coincidence()
        sharing = Counter(studio.credential for studio in studios)
        self._shared = {credential for credential, number in sharing.items() if number > 1}
        self.twins: dict[StudioId, str] = {}
        self.changed = asyncio.Event()

    def stop(self, dataset: DatasetName | None, studio: StudioId, reason: str) -> None:
        """Open nothing more of *studio*, in one dataset or in all."""
        self._reasons.setdefault((dataset, studio), reason)
        self.changed.set()

    def reason(self, task: Task) -> str | None:
        """Why *task* may not be opened."""
        return self._reasons.get((None, task.studio.id)) or self._reasons.get((task.dataset.name, task.studio.id))

    def look_for_twins(self, task: Task, table: pa.Table) -> None:
        """Stop two studios of one credential that are answered with the same ids.

        Raises:
            DataError: *task* is one of theirs.
        """
        if task.studio.credential not in self._shared or not table.num_rows:
            return
        twin = self._coincidence.add(task, sketch(table, task.dataset.spec.identity))
        if twin is None:
            return
        reason = (
            f"{twin} and {task.studio.id} share a credential and are answered with the same customers and venues:"
            f" the API ignores the studio header; check provider_id of both and api.studio_headers, or give each"
            f" studio a token of its own"
        )
        for studio in (twin, task.studio.id):
            self.stop(None, studio, reason)
            self.twins.setdefault(studio, reason)
        raise DataError(f"{task}: {reason}")


class Drivers:
    """What the drivers of all credentials share."""

    def __init__(
        self,
        *,
        gate: AdmissionControl,
        fetcher: Fetcher,
        account: Account,
        tally: Tally,
        on_decided: Callable[[Task], None],
        still_missing: Callable[[Sequence[Task]], Awaitable[Sequence[Task]]],
        halts: Halts,
        most_open: int,
        observer: Observer,
    ) -> None:
        """No task is open.

        Args:
            gate: lets requests through.
            fetcher: fetches tasks.
            account: is told what became of each task.
            tally: knows which studios are in trouble.
            on_decided: is told of each task that is whole or failed.
            still_missing: what is left of the tasks of a credential that another run has used meanwhile.
            halts: knows which studios are stopped.
            most_open: tasks that may be open, beside those of studios in trouble and one for each credential.
            observer: looks on.
        """
        self._gate = gate
        self._fetcher = fetcher
        self._account = account
        self._tally = tally
        self._on_decided = on_decided
        self._still_missing = still_missing
        self._halts = halts
        self._observer = observer
        self._most_open = most_open
        self._open: Counter[StudioId] = Counter()
        self._open_of: Counter[CredentialKey] = Counter()
        self._answered: set[tuple[DatasetName, StudioId]] = set()

    async def drive(
        self, credential: CredentialKey, tasks: Sequence[Task], partial: Mapping[TaskId, StagedFetch]
    ) -> None:
        """Open the tasks of one credential, and see them to their end."""
        todo = deque(await self._begin(credential, tasks))
        async with asyncio.TaskGroup() as group:
            while task := await self._coming(todo):
                try:
                    await self._gate.opening(credential, task.window.start)
                except CredentialError as error:
                    for refused in todo:
                        self._fail(refused, f"{refused}: {_reason(error)}")
                    break
                if self._next(todo) is not task:
                    self._gate.unused(credential)  # its studio was stopped or fell ill meanwhile
                    continue
                todo.remove(task)
                self._count(task, 1)
                group.create_task(self._do(task, partial.get(task.id)))

    async def _begin(self, credential: CredentialKey, tasks: Sequence[Task]) -> Sequence[Task]:
        """Take the credential, and say what is still to be asked for with it."""
        if not tasks:
            return ()
        try:
            shared = await self._gate.claim(credential)
        except CredentialError as error:
            for refused in tasks:
                self._fail(refused, f"{refused}: {_reason(error)}")
            return ()
        return await self._still_missing(tasks) if shared else tasks

    async def _coming(self, todo: deque[Task]) -> Task | None:
        """The next task, once one may be opened; None where none is left."""
        while todo:
            if task := self._next(todo):
                return task
            if todo:  # else all that was left has failed with its studio, and nothing may be open any more
                self._halts.changed.clear()
                await self._halts.changed.wait()
        return None

    def _next(self, todo: deque[Task]) -> Task | None:
        """The next task that may be opened; those of stopped studios fail on the way."""
        while todo and (reason := self._halts.reason(todo[0])):
            self._fail(todo[0], f"{todo[0]}: {reason}")
            todo.popleft()
        if todo and self._open_of[todo[0].studio.credential] and self._well_and_open() >= self._most_open:
            return None
        for task in todo:
            studio = task.studio.id
            if not self._halts.reason(task) and not (studio in self._tally.ailing and self._open[studio]):
                return task
        return None

    def _well_and_open(self) -> int:
        """How many tasks are open of studios that are not in trouble, and so wait for nothing but their turn."""
        return self._open.total() - sum(self._open[studio] for studio in self._tally.ailing)

    def _count(self, task: Task, change: int) -> None:
        self._open[task.studio.id] += change
        self._open_of[task.studio.credential] += change

    async def _do(self, task: Task, staged: StagedFetch | None) -> None:
        """Fetch one task; whatever goes wrong with it is its own outcome, unless the sink is at fault."""
        self._observer(Opened(task=task))
        try:
            assembly = await self._fetcher.fetch(task, staged)
        except StudioError as error:
            self._halts.stop(None, task.studio.id, _reason(error))
            self._fail(task, str(error))
        except (RejectedError, MissingColumnError) as error:
            if (task.dataset.name, task.studio.id) not in self._answered:
                # It will be the same with every window.
                self._halts.stop(task.dataset.name, task.studio.id, _reason(error))
            self._fail(task, str(error))
        except (SourceError, DataError) as error:
            self._fail(task, str(error))
        else:
            self._answered.add((task.dataset.name, task.studio.id))
            self._account.fetched(
                task,
                assembly.fetch_id,
                rows=assembly.rows,
                total=assembly.total or 0,
                resumed=assembly.resumed,
            )
            self.decided(task)
        finally:
            self._count(task, -1)
            self._halts.changed.set()

    def _fail(self, task: Task, error: str) -> None:
        self._account.failed(task, error)
        self.decided(task)

    def decided(self, task: Task) -> None:
        """*task* is whole or failed."""
        outcome = self._account[task]
        self._observer(TaskFetched(task=task, rows=outcome.rows, error=outcome.error))
        self._on_decided(task)


def _reason(error: Exception) -> str:
    """The message without the place it begins with: it goes for other places too."""
    _, _, reason = str(error).partition(": ")
    return reason or str(error)

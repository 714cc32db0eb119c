"""What other runs have published since this one was planned; after a wait for a credential it is not asked for again.

Rules kept here: only what was published since then counts, and only where it is final or was asked for not long ago.
With `--full` and `--rewrite` everything is asked for all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from exporter.core.ledger import Entry
from exporter.core.plan import Done, Scope, Task, TaskId, is_cut_alike, is_settled
from exporter.errors import DataError
from exporter.jobs.account import Account
from exporter.jobs.events import Observer, Spared
from exporter.jobs.history import read_ledgers
from exporter.jobs.resume import CONTINUE_WITHIN
from exporter.store.base import ObjectStore


class Meanwhile:
    """Looks again at what is published, and spares the tasks that need no request any more."""

    def __init__(
        self,
        store: ObjectStore,
        scope: Scope,
        published: Mapping[TaskId, datetime],
        *,
        account: Account,
        on_decided: Callable[[Task], None],
        observer: Observer,
    ) -> None:
        """Nothing is known yet.

        Args:
            store: the sink.
            scope: of the run.
            published: when the runs began that had asked for what was published when this one was planned.
            account: keeps what became of each task.
            on_decided: is told of each task that needs no request any more.
            observer: is told how many they are.
        """
        self._store = store
        self._scope = scope
        self._published = published
        self._account = account
        self._on_decided = on_decided
        self._observer = observer

    async def still_missing(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Those of *tasks* that are still to be asked for.

        Raises:
            StoreError: the sink cannot be read.
        """
        if self._scope.full or self._scope.rewrite:
            return tasks
        try:
            ledgers = await read_ledgers(self._store, self._scope.datasets, only={task.partition for task in tasks})
        except DataError:
            return tasks  # what is wrong with the part is reported when it is published
        grains = {dataset.name: dataset.grain.id for dataset in self._scope.datasets}
        entries = {
            (partition.dataset, entry.studio, entry.window): entry
            for partition, ledger in ledgers.items()
            if ledger.grain == grains[partition.dataset]
            for entry in ledger.entries
        }
        spared = {
            task.id: done for task in tasks if (entry := entries.get(task.id)) and (done := self._done(task, entry))
        }
        for done in spared.values():
            self._account.spared(done)
            self._on_decided(done.task)
        if spared:
            self._observer(Spared(tasks=len(spared)))
        return [task for task in tasks if task.id not in spared]

    def _done(self, task: Task, entry: Entry) -> Done | None:
        """*entry*, where it is new and will do for *task*."""
        before = self._published.get(task.id)
        if before is not None and entry.began_at <= before:
            return None
        if not is_cut_alike(task, entry.zone):
            return None
        settled = is_settled(task, entry.began_at, self._scope.lookback_days)
        fresh = self._scope.began_at - entry.began_at <= CONTINUE_WITHIN
        return Done(task=task, entry=entry, settled=settled) if settled or fresh else None

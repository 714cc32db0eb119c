"""What follows a run that has ended: the marker that others wait for, and the message that it did.

Rules kept here: the marker is put after the manifest and only where everything ended well, so whoever sees it finds
what it tells of; an older end never replaces a newer one; a message that cannot be sent changes nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from exporter.core.clocks import lies_ahead
from exporter.core.freshness import Freshness, complete_until, parse_freshness
from exporter.core.notice import Notice
from exporter.core.partition import success_key
from exporter.core.reply import State
from exporter.core.report import Dataset
from exporter.core.studio import Studio
from exporter.errors import NotFoundError, NotifyError, StoreError
from exporter.jobs.conflict import back_off
from exporter.jobs.events import NotTold, Observer
from exporter.jobs.history import read_ledgers
from exporter.jobs.put import put_if
from exporter.store.base import Absent, Condition, ObjectStore

#: Others that put a marker at the same time, at most, before a run gives up: fewer than for other objects, since the
#: ledger of every part is read before each attempt.
_MOST_CONFLICTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What is needed to conclude a run.

    Attributes:
        store: the sink.
        datasets, studios: all that are configured.
        start: the first configured day.
        clock: the time, UTC.
        observer: is told of a message that was not sent.
        send: sends a message; None where nobody is to be told.
        sleep, random: for the wait after a conflict.
    """

    store: ObjectStore
    datasets: Sequence[Dataset]
    studios: Sequence[Studio]
    start: date
    clock: Callable[[], datetime]
    observer: Observer
    send: Callable[[Notice], Awaitable[None]] | None
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]

    async def conclude(self, notices: Sequence[Notice]) -> None:
        """Mark each dataset that ended well, then tell of each.

        Raises:
            DataError, StoreError: a marker could not be put; what is published is whole, and the next run puts it.
        """
        ended_well = {notice.dataset: notice for notice in notices if notice.state is State.OK}
        for dataset in self.datasets:
            if notice := ended_well.get(dataset.name):
                await self._mark(dataset, notice)
        if self.send is None:
            return
        for notice in notices:
            try:
                await self.send(notice)
            except NotifyError as error:
                self.observer(NotTold(reason=str(error)))

    async def _mark(self, dataset: Dataset, notice: Notice) -> None:
        key = success_key(dataset.name)
        for conflicts in range(_MOST_CONFLICTS):
            await back_off(conflicts, sleep=self.sleep, random=self.random)
            standing, condition = await self._standing(key)
            if standing and standing > notice.ended_at and not lies_ahead(standing, self.clock()):
                return
            # Read after the marker that is replaced: whoever publishes and marks meanwhile fails the condition.
            ledgers = (await read_ledgers(self.store, [dataset])).values()
            entries = [entry for ledger in ledgers for entry in ledger.entries]
            fresh = Freshness(
                dataset=dataset.name,
                run_id=notice.run_id,
                finished_at=notice.ended_at,
                complete_until=complete_until(entries, self.studios, self.start),
                rows=sum(entry.rows for entry in entries),
            )
            if await put_if(self.store, key, fresh.to_json(), condition):
                return
        raise StoreError(f"{key}: others replaced it {_MOST_CONFLICTS} times while this run tried to; run again")

    async def _standing(self, key: str) -> tuple[datetime | None, Condition]:
        """When the run ended that the marker tells of, and the condition to replace it on."""
        try:
            data, info = await self.store.get(key)
        except NotFoundError:
            return None, Absent()
        try:
            return parse_freshness(data).finished_at, info.etag
        except ValueError:
            return None, info.etag  # somebody else's: ours is told in its place

"""A store in memory where something else happens just before a part is put."""

from collections.abc import Awaitable, Callable

from exporter.core.partition import LEASES, parse_partition
from exporter.store.base import Condition, ObjectInfo
from tests.support.dying_store import RememberingStore


class MeddlingStore(RememberingStore):
    """Remembers, too.

    Attributes:
        meddle: called before each of the first *times* puts of a part; what it does itself is not meddled with.
        parts_put: how often a part was about to be put by somebody who was meddled with.
    """

    def __init__(self, *, times: int = 1) -> None:
        super().__init__()
        self.meddle: Callable[[], Awaitable[object]] | None = None
        self.parts_put = 0
        self._times = times

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        if parse_partition(key) and (meddle := self.meddle):
            self.parts_put += 1
            if self.parts_put <= self._times:
                self.meddle = None
                # Whoever is meddled with keeps its last credential until it has published: who meddles must not wait.
                for info in await self.list(f"{LEASES}/"):
                    await self.delete(info.key)
                await meddle()
                self.meddle = meddle
        return await super().put(key, data, condition=condition)

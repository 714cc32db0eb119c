"""A store whose puts are refused or lost, or whose answers to them are, as a test says."""

from collections.abc import Callable

from exporter.errors import OutcomeUnknownError, StoreError
from exporter.store.base import Condition, ObjectInfo
from exporter.store.memory import MemoryStore


class TroubledStore(MemoryStore):
    """Asks before each put what is to happen to it.

    Attributes:
        trouble: "refused"; "lost" on the way there; "unanswered" where it was done; empty where all is well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Callable[[], str] = lambda: ""

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        trouble = self.trouble()
        if trouble == "refused":
            raise StoreError("the sink refuses")
        if trouble == "lost":
            raise OutcomeUnknownError("the request was lost")
        info = await super().put(key, data, condition=condition)
        if trouble == "unanswered":
            raise OutcomeUnknownError("the answer was lost")
        return info

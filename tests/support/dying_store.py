"""A store that goes wrong at a chosen step, and one that remembers what readers could have seen."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TypeVar

from exporter.core.partition import parse_partition
from exporter.errors import OutcomeUnknownError, StoreError
from exporter.store.base import Condition, ObjectInfo, ObjectStore
from exporter.store.memory import MemoryStore
from tests.support.passing_store import PassingStore

_T = TypeVar("_T")


class Died(BaseException):
    """The process is gone, as with SIGKILL: nothing catches it, and nothing that is done afterwards has an effect."""


class Trouble(Enum):
    """What happens at the chosen step."""

    DIES_BEFORE = "the process dies before the step has an effect"
    DIES_AFTER = "the process dies when the step has had its effect"
    LOST_ANSWER = "a put lands and its answer is lost"
    LOST_PUT = "a put does not land and nobody can tell"
    REFUSAL = "the sink refuses"

    @property
    def is_of_puts(self) -> bool:
        """Whether only puts are counted as steps."""
        return self in (Trouble.LOST_ANSWER, Trouble.LOST_PUT)


class RememberingStore(MemoryStore):
    """A store in memory.

    Attributes:
        parts: every version of every published part, by key.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, list[bytes]] = {}

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        info = await super().put(key, data, condition=condition)
        if parse_partition(key):
            self.parts.setdefault(key, []).append(data)
        return info


class DyingStore(PassingStore):
    """Passes everything on to *inner*, but for the step that goes wrong.

    Attributes:
        steps: counted so far; the step that went wrong is among them.
    """

    def __init__(self, inner: ObjectStore, *, at: int, trouble: Trouble) -> None:
        """All is well.

        Args:
            inner: outlives the death.
            at: the step that goes wrong, from 1.
            trouble: what happens then.
        """
        super().__init__(inner)
        self._at = at
        self._trouble = trouble
        self._dead = False
        self.steps = 0

    async def step(self, effect: Callable[[], Awaitable[_T]], *, is_put: bool = False) -> _T:
        if self._dead:
            raise Died
        self.steps += is_put or not self._trouble.is_of_puts
        if self.steps != self._at or (self._trouble.is_of_puts and not is_put):
            return await effect()
        match self._trouble:
            case Trouble.DIES_BEFORE:
                self._dead = True
                raise Died
            case Trouble.DIES_AFTER:
                self._dead = True
                await effect()
                raise Died
            case Trouble.LOST_ANSWER:
                await effect()
                raise OutcomeUnknownError("the answer was lost")
            case Trouble.LOST_PUT:
                raise OutcomeUnknownError("the request was lost")
            case Trouble.REFUSAL:
                raise StoreError("the sink refuses")

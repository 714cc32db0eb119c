"""Made-up studios: what the simulated API knows of each, down to single infractions.

A world may be changed at any time, between two pages too; `version` tells that a studio is no longer what it was.
Ids are unique over all studios of a world, so rows served under the wrong studio can be recognised.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import attrgetter
from zoneinfo import ZoneInfo

_BY_START = attrgetter("starts_at")


@dataclass(frozen=True, slots=True)
class Named:
    """A venue, an offering type, a membership or a penalty system."""

    id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody who does not exist."""

    id: int
    name: str
    email: str

    @property
    def thumbnail_url(self) -> str:
        """Where a picture would be."""
        return f"https://pictures.example.test/{self.id}.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When infractions lead to a penalty."""

    applies_to: str
    max_infractions: int
    days: int
    system: Named


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """What a sequence of infractions led to; amounts are pounds, in pence."""

    id: int
    pence: int
    due_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Infraction:
    """One missed or late-cancelled event of one customer.

    Attributes:
        starts_at: when the event starts, aware, UTC.
        membership: None where the customer booked without one.
        penalty: None where no sequence of infractions led to one.
    """

    id: int
    starts_at: datetime
    customer: Customer
    status: str
    attendance_status: str
    rule: Rule
    offering_type: Named
    venue: Named
    event_type: str = "class"
    membership: Named | None = None
    sequence_position: int = 1
    penalty: Penalty | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class MadeUpStudio:
    """One simulated business.

    Attributes:
        provider_id: its id in the API.
        slug: a name safe in a path and a configuration.
        timezone: IANA name; local days and times of its report are of this zone.
        token: the credential that reaches it; studios may share one.
        source: makes its infractions, in any order, the first time they are wanted.
        version: grows with every change.
    """

    provider_id: int
    name: str
    slug: str
    timezone: str
    token: str
    customers: tuple[Customer, ...] = ()
    venues: tuple[Named, ...] = ()
    offering_types: tuple[Named, ...] = ()
    memberships: tuple[Named, ...] = ()
    source: Callable[[], Iterable[Infraction]] = tuple
    version: int = field(default=0, init=False)
    _made: list[Infraction] | None = field(default=None, init=False)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone itself."""
        return ZoneInfo(self.timezone)

    @property
    def infractions(self) -> tuple[Infraction, ...]:
        """All of them, by start."""
        return tuple(self._sorted())

    def between(self, since: datetime | None, until: datetime | None) -> list[Infraction]:
        """Infractions whose event starts in [*since*, *until*], both inclusive, by start."""
        made = self._sorted()
        first = 0 if since is None else bisect_left(made, since, key=_BY_START)
        last = len(made) if until is None else bisect_right(made, until, key=_BY_START)
        return made[first:last]

    def add(self, infraction: Infraction) -> None:
        """Let one more infraction have happened."""
        insort(self._sorted(), infraction, key=_BY_START)
        self.version += 1

    def remove(self, infraction_id: int) -> Infraction:
        """Take one away and return it.

        Raises:
            KeyError: this studio has none of this id.
        """
        made = self._sorted()
        for position, infraction in enumerate(made):
            if infraction.id == infraction_id:
                self.version += 1
                return made.pop(position)
        raise KeyError(infraction_id)

    def replace(self, infraction: Infraction) -> Infraction:
        """Put *infraction* where the one of its id was, and return the old one.

        Raises:
            KeyError: this studio has none of this id.
        """
        old = self.remove(infraction.id)
        self.add(infraction)
        return old

    def _sorted(self) -> list[Infraction]:
        if self._made is None:
            self._made = sorted(self.source(), key=_BY_START)
        return self._made


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """All studios that one simulated API knows."""

    studios: tuple[MadeUpStudio, ...]

    @property
    def tokens(self) -> tuple[str, ...]:
        """Every credential once, in the order of the studios."""
        return tuple(dict.fromkeys(studio.token for studio in self.studios))

    def studio(self, provider_id: int) -> MadeUpStudio:
        """The studio of this id.

        Raises:
            KeyError: there is none.
        """
        for studio in self.studios:
            if studio.provider_id == provider_id:
                return studio
        raise KeyError(provider_id)

    def reached_by(self, token: str) -> tuple[MadeUpStudio, ...]:
        """The studios of one credential; none where nobody knows it."""
        return tuple(studio for studio in self.studios if studio.token == token)

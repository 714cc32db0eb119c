"""Inventing a world from a seed: the same arguments always make the same world.

A month of a studio depends on the seed, the studio's place, zone and density, not on the range of dates around it.
Each month that is not empty holds an event at its first moment and one in its last microsecond, local time, so that a
bound that is off by the least shows. People are visibly made up; some have names that break careless CSV code.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from random import Random
from zoneinfo import ZoneInfo

from exporter.sandbox.studios import Customer, Infraction, MadeUpStudio, Named, Penalty, Rule, World

ZONES = (
    "Europe/London",
    "America/New_York",
    "Australia/Sydney",
    "Pacific/Apia",
    "UTC",
    "Asia/Kathmandu",
    "America/Santiago",
)
STATUSES = ("open", "voided", "expired", "in_penalty_sequence", "upcoming_charge", "charged", "charge_skipped")
ATTENDANCE_STATUSES = ("late_cancel", "no_show")
APPLIES_TO = ("no_shows", "late_cancels", "late_cancels_or_no_shows")
EVENT_TYPES = ("class", "class", "class", "course_session", "appointment", "room_rental")

#: The states of an infraction that counted towards a penalty.
_PENALISED = frozenset({"in_penalty_sequence", "upcoming_charge", "charged", "charge_skipped"})
_STATUS_WEIGHTS = (60, 3, 20, 5, 3, 6, 3)

_PLACES = ("Harbour", "Juniper", "Lantern", "Meadow", "Copper", "Willow", "Quarry", "Saffron", "Pebble", "Orchard")
_CRAFTS = ("Yoga", "Pilates", "Boxing", "Barre", "Cycling", "Climbing", "Dance")
_FIRST_NAMES = ("Alba", "Bram", "Cleo", "Dara", "Edda", "Finn", "Gwen", "Hugo", "Iris", "Jory", "Kaia", "Luca")
_HARD_NAMES = (
    "Sample, Nora",
    'Otto "Quick" Example',
    "Two\nLines Example",
    "Carriage\r\nReturn Example",
    "Zoë Müller-Example",
    "例 太郎",
    "דוגמה ישראלית",
    "\N{PERSON IN LOTUS POSITION} Emoji Example",
    "Combining E\N{COMBINING ACUTE ACCENT}xample",
    "=1+1 Formula Example",
    "Tab\tand;semicolon|Example",
    "Back\\slash 'Quote' Example",
    "null",
    " Blank Around Example ",
)
_OFFERING_TYPES = ("Morning Flow", 'Strength, "heavy"', "Café Stretch", "Spin", "Open Gym", "Aerial; beginners")
_VENUES = ("Main Hall", "Studio B, upstairs", "Roof Garden")
_MEMBERSHIPS = ("Unlimited", "Ten Classes", 'Student "half price"', "Früh-Abo")

_CUSTOMERS = 160
_IDS_PER_STUDIO = 1_000_000_000
_IDS_PER_MONTH = 20_000
_SLOTS = 42
_FAVOURITES = 3
_EMPTY_MONTHS = 0.06
_NO_MEMBERSHIP = 0.15
_HABIT = 0.8
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Slot:
    """An event that takes place every week; *weekday* 0 is Monday."""

    weekday: int
    starts: time
    offering_type: Named
    venue: Named
    event_type: str


def make_world(
    studios: int = 5,
    seed: int = 1,
    *,
    start: date = date(2024, 1, 1),
    end: date = date(2027, 1, 1),
    per_month: int = 320,
    credentials: int | None = None,
    zones: Sequence[str] = ZONES,
) -> World:
    """Invent *studios* studios.

    Args:
        studios: how many, at least 1.
        seed: another seed, another world.
        start: first local day with infractions.
        end: first local day without.
        per_month: infractions of a studio in a month that is not empty, at most 20 000; 320 make about three pages of
            100 groups under the columns an exporter usually asks for.
        credentials: tokens that the studios share in turn; None gives each studio its own.
        zones: IANA names, given to the studios in turn.
    """
    return World(
        tuple(
            _studio(
                index,
                seed,
                token=f"sandbox-token-{index % (credentials or studios) + 1}",
                timezone=zones[index % len(zones)],
                days=(start, end),
                per_month=per_month,
            )
            for index in range(studios)
        )
    )


def _studio(
    index: int, seed: int, *, token: str, timezone: str, days: tuple[date, date], per_month: int
) -> MadeUpStudio:
    name = f"{_PLACES[index % len(_PLACES)]} {_CRAFTS[index % len(_CRAFTS)]}"
    if index >= len(_PLACES) * len(_CRAFTS):
        name += f" {index + 1}"
    slug = name.lower().replace(" ", "-")
    rng = Random(f"{seed}/{index}")  # noqa: S311 - a made-up world needs a seed, not secrecy
    studio = MadeUpStudio(
        provider_id=5_400_001 + 37 * index,
        name=name,
        slug=slug,
        timezone=timezone,
        token=token,
        customers=tuple(_customer(index, number, slug, rng) for number in range(_CUSTOMERS)),
        venues=_named(_VENUES, 1_000 * index + 100),
        offering_types=_named(_OFFERING_TYPES, 1_000 * index + 200),
        memberships=_named(_MEMBERSHIPS, 1_000 * index + 300),
    )
    studio.source = partial(_infractions, studio, index, seed, days, per_month)
    return studio


def _named(names: Sequence[str], first_id: int) -> tuple[Named, ...]:
    return tuple(Named(first_id + number, name) for number, name in enumerate(names))


def _customer(index: int, number: int, slug: str, rng: Random) -> Customer:
    hard = number < len(_HARD_NAMES)
    return Customer(
        id=100_000 * (index + 1) + number,
        name=_HARD_NAMES[number] if hard else f"{rng.choice(_FIRST_NAMES)} Example {number}",
        email=f"customer{number}@{slug}.example.test",
    )


def _infractions(
    studio: MadeUpStudio, index: int, seed: int, days: tuple[date, date], per_month: int
) -> Iterator[Infraction]:
    timetable = _timetable(studio, Random(f"{seed}/{index}/timetable"))  # noqa: S311 - as above
    zone, (start, end) = studio.zone, days
    for first, after in _months(start, end):
        rng = Random(f"{seed}/{index}/{first:%Y-%m}")  # noqa: S311 - as above
        if rng.random() < _EMPTY_MONTHS:
            continue
        first_id = _IDS_PER_STUDIO * (index + 1) + _IDS_PER_MONTH * (12 * first.year + first.month)
        events = _events(studio, timetable, (first, after), per_month, rng)
        for infraction_id, (starts_at, slot, customer) in enumerate(events, first_id):
            infraction = _infraction(studio, infraction_id, slot, customer, starts_at=starts_at, rng=rng)
            if start <= starts_at.astimezone(zone).date() < end:
                yield infraction


def _timetable(studio: MadeUpStudio, rng: Random) -> tuple[_Slot, ...]:
    return tuple(
        _Slot(
            weekday=number % 7,
            starts=time(rng.randrange(6, 22), rng.choice((0, 15, 30, 45))),
            offering_type=rng.choice(studio.offering_types),
            venue=rng.choice(studio.venues),
            event_type=rng.choice(EVENT_TYPES),
        )
        for number in range(_SLOTS)
    )


def _months(start: date, end: date) -> Iterator[tuple[date, date]]:
    """The months that a range touches, whole, as half-open pairs."""
    first = start.replace(day=1)
    while first < end:
        after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        yield first, after
        first = after


def _events(
    studio: MadeUpStudio, timetable: Sequence[_Slot], month: tuple[date, date], per_month: int, rng: Random
) -> Iterator[tuple[datetime, _Slot, Customer]]:
    """Which events of one month were missed, and by whom; starts are UTC."""
    zone, (first, after) = studio.zone, month
    opening, closing = _midnight(first, zone), _midnight(after, zone) - _MICROSECOND
    for starts_at in (opening, closing)[:per_month]:
        yield starts_at, rng.choice(timetable), rng.choice(studio.customers)
    made = 2
    while made < per_month:
        # Some people miss far more events than others, and most miss what they usually book, so that groups repeat.
        number = int(rng.random() ** 2 * _CUSTOMERS)
        habit = rng.random() < _HABIT
        place = number * _FAVOURITES + int(rng.random() * _FAVOURITES) if habit else int(rng.random() * _SLOTS)
        slot = timetable[place % _SLOTS]
        day = first + timedelta(days=(slot.weekday - first.weekday()) % 7 + 7 * int(rng.random() * 5))
        if day < after:
            made += 1
            yield datetime.combine(day, slot.starts, zone).astimezone(UTC), slot, studio.customers[number]


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _infraction(
    studio: MadeUpStudio, infraction_id: int, slot: _Slot, customer: Customer, *, starts_at: datetime, rng: Random
) -> Infraction:
    usual = rng.random() < _HABIT
    status = rng.choices(STATUSES, _STATUS_WEIGHTS)[0]
    applies_to = APPLIES_TO[infraction_id % len(APPLIES_TO)]
    membership = studio.memberships[customer.id % len(studio.memberships)]
    return Infraction(
        id=infraction_id,
        starts_at=starts_at,
        customer=customer,
        status=status,
        attendance_status=ATTENDANCE_STATUSES[(customer.id + usual) % 2],
        rule=_rule(studio, applies_to),
        offering_type=slot.offering_type,
        venue=slot.venue,
        event_type=slot.event_type,
        membership=None if rng.random() < _NO_MEMBERSHIP else membership,
        sequence_position=1 + int(rng.random() * 5),
        penalty=_penalty(customer, starts_at) if status in _PENALISED else None,
    )


def _rule(studio: MadeUpStudio, applies_to: str) -> Rule:
    system = Named(studio.provider_id * 10, f"Strikes of {studio.name}")
    return Rule(applies_to=applies_to, max_infractions=3, days=30, system=system)


def _penalty(customer: Customer, starts_at: datetime) -> Penalty:
    """The one penalty of a customer's sequence in a month."""
    month = 12 * starts_at.year + starts_at.month
    due_date = date(month // 12, month % 12 + 1, 1)
    return Penalty(id=customer.id * 100_000 + month, pence=500 + 250 * (customer.id % 4), due_date=due_date)

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import product

from exporter.sandbox.catalogue import REPORTS
from exporter.sandbox.invent import make_world
from exporter.sandbox.studios import MadeUpStudio
from exporter.sandbox.truth import truth

START, END = date(2025, 1, 1), date(2026, 1, 1)
WORLD = make_world(5, 3, start=START, end=END, per_month=80)


def local_days(studio: MadeUpStudio) -> list[date]:
    return [infraction.starts_at.astimezone(studio.zone).date() for infraction in studio.infractions]


def test_one_seed_makes_one_world():
    again = make_world(5, 3, start=START, end=END, per_month=80)
    assert [studio.infractions for studio in again.studios] == [studio.infractions for studio in WORLD.studios]


def test_another_seed_makes_another_world():
    other = make_world(1, 4, start=START, end=END, per_month=80)
    assert other.studios[0].infractions != WORLD.studios[0].infractions


def test_a_month_does_not_depend_on_the_range_around_it():
    part = make_world(5, 3, start=date(2025, 3, 10), end=date(2025, 4, 20), per_month=80)
    for studio, whole in zip(part.studios, WORLD.studios, strict=True):
        expected = [
            infraction
            for infraction, day in zip(whole.infractions, local_days(whole), strict=True)
            if date(2025, 3, 10) <= day < date(2025, 4, 20)
        ]
        assert list(studio.infractions) == expected


def test_no_id_is_used_twice_in_a_world():
    studios = WORLD.studios
    things = [
        [studio.provider_id for studio in studios],
        [infraction.id for studio in studios for infraction in studio.infractions],
        [customer.id for studio in studios for customer in studio.customers],
        [named.id for studio in studios for named in (*studio.venues, *studio.offering_types, *studio.memberships)],
    ]
    for ids in things:
        assert len(set(ids)) == len(ids)


def test_months_are_full_or_empty_and_both_occur():
    months = Counter((studio.slug, day.month) for studio in WORLD.studios for day in local_days(studio))
    assert set(months.values()) == {80}
    assert len(months) < 5 * 12


def test_each_month_holds_an_event_at_its_first_and_one_in_its_last_moment():
    for studio, month in product(WORLD.studios, range(1, 13)):
        after = date(2025 + month // 12, month % 12 + 1, 1)
        first, last = (
            datetime.combine(day, time(), studio.zone).astimezone(UTC) for day in (date(2025, month, 1), after)
        )
        inside = studio.between(first, last - timedelta.resolution)
        if inside:
            assert inside[0].starts_at == first
            assert inside[-1].starts_at == last - timedelta.resolution


def test_every_documented_value_occurs():
    filters = {each.name: each for each in REPORTS["/reports/attendance_strikes/data"].filters}
    infractions = WORLD.studios[0].infractions
    for name in ("status", "attendance_status", "rule_applies_to"):
        assert {filters[name].value(infraction) for infraction in infractions} == set(filters[name].allowed)
    assert any(infraction.membership is None for infraction in infractions)


def test_people_are_made_up_and_some_are_hard_to_write():
    customers = WORLD.studios[0].customers
    assert all(customer.email.endswith(".example.test") for customer in customers)
    text = "".join(customer.name for customer in customers)
    assert set(',"\n\r\t;\\') <= set(text)
    assert {"\N{PERSON IN LOTUS POSITION}", "\N{COMBINING ACUTE ACCENT}", "\N{HEBREW LETTER DALET}"} <= set(text)


def test_every_studio_of_a_large_world_has_its_own_name():
    world = make_world(200)
    assert len({studio.slug for studio in world.studios}) == len({studio.name for studio in world.studios}) == 200


def test_studios_can_share_tokens():
    world = make_world(5, credentials=2)
    assert world.tokens == ("sandbox-token-1", "sandbox-token-2")
    assert [len(world.reached_by(token)) for token in world.tokens] == [3, 2]


def test_a_month_at_the_usual_columns_fills_about_three_pages():
    world = make_world(1, start=date(2025, 3, 1), end=date(2025, 4, 1))
    columns = ["customer_id", "status", "attendance_status", "offering_type_id", "venue_id", "day_of_week"]
    groups = truth(world, world.studios[0].provider_id, [*columns, "event_start_time", "count"])
    assert 200 < len(groups) <= 300
    assert any(group["count"] != 1 for group in groups)

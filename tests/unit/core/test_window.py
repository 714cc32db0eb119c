"""Windows tile the asked days once, and their instants the time between, in every zone."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.window import Every, Window, cut, first_instant, last_instant, unbroken
from tests.support.tasks import days, month

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
ALL_ZONES = sorted(available_timezones())

#: Zones whose clocks skip or repeat local midnight, or did.
MIDNIGHT_ZONES = [
    "Africa/Cairo",
    "America/Asuncion",
    "America/Havana",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "America/Toronto",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Atlantic/Azores",
    "Pacific/Apia",
    "Pacific/Kwajalein",
]

zones = st.sampled_from(ALL_ZONES) | st.sampled_from(MIDNIGHT_ZONES)
widths = st.sampled_from(Every)
any_days = st.dates(date(1900, 1, 1), date(2199, 1, 1))


@lru_cache
def changes(zone):
    """The days from 2000 to 2025 on which the clocks of *zone* changed, or two days in March where none did."""
    tz = ZoneInfo(zone)
    noons = [datetime(2000, 1, 1, 12, tzinfo=tz) + n * DAY for n in range(26 * 365)]
    found = [after.date() for before, after in pairwise(noons) if before.utcoffset() != after.utcoffset()]
    return found or [date(2025, 3, 30), date(2025, 3, 31)]


@st.composite
def places(draw):
    """A zone and a day in it, as often as not one near a change of its clocks."""
    zone = draw(zones)
    day = draw(any_days | st.sampled_from(changes(zone)))
    return zone, day + draw(st.integers(-2, 2)) * DAY


@st.composite
def ranges(draw, firsts=any_days, longest=800):
    first = draw(firsts)
    return first, first + draw(st.integers(1, longest)) * DAY


def begins(day, every):
    """Whether a calendar period begins on *day*."""
    return {
        Every.DAY: True,
        Every.WEEK: day.isoweekday() == 1,
        Every.MONTH: day.day == 1,
        Every.YEAR: (day.month, day.day) == (1, 1),
    }[every]


def all_days(window):
    return {window.start + n * DAY for n in range((window.end - window.start).days)}


@given(ranges(), widths)
def test_windows_tile_the_asked_days_once(asked, every):
    start, end = asked
    windows = cut(start, end, every)
    assert (windows[0].start, windows[-1].end) == (start, end)
    assert all(before.end == after.start for before, after in pairwise(windows))


@given(ranges(), widths)
def test_windows_are_cut_where_a_calendar_period_begins_and_nowhere_else(asked, every):
    start, end = asked
    inner = {day for day in all_days(Window(start, end)) if begins(day, every)}
    assert {window.start for window in cut(start, end, every)} == inner | {start}


@given(place=places(), every=widths, length=st.integers(1, 100), data=st.data())
@settings(deadline=None)
def test_every_moment_of_the_asked_days_is_in_one_window_and_its_local_date_too(place, every, length, data):
    zone, start = place
    end = start + length * DAY
    tz = ZoneInfo(zone)
    first, last = Window(start, end).instants(zone)
    windows = cut(start, end, every)
    bounds = [window.instants(zone) for window in windows]
    assert (bounds[0][0], bounds[-1][1]) == (first, last)
    if first == last:
        return
    edges = st.sampled_from([moment for pair in bounds for moment in pair if moment < last])
    moment = data.draw(edges | st.datetimes(naive(first), naive(last) - MICROSECOND, timezones=st.just(UTC)))
    holders = [window for window, (a, b) in zip(windows, bounds, strict=True) if a <= moment < b]
    assert len(holders) == 1
    local = moment.astimezone(tz)
    # The second pass of an hour that the clocks repeat may belong to the day that was over already.
    assert local.date() in all_days(holders[0]) or local.fold


def naive(moment):
    return moment.replace(tzinfo=None)


@given(places())
@settings(max_examples=200, deadline=None)
def test_adjacent_windows_meet_in_one_moment_and_never_run_backwards(place):
    zone, day = place
    before, after = Window(day - DAY, day), Window(day, day + DAY)
    assert before.instants(zone)[1] == after.instants(zone)[0]
    assert after.instants(zone)[0] <= after.instants(zone)[1]


@given(place=places(), earlier=st.timedeltas(MICROSECOND, 3 * DAY))
@settings(max_examples=200, deadline=None)
def test_no_moment_before_a_days_first_has_its_date_or_a_later_one(place, earlier):
    zone, day = place
    tz = ZoneInfo(zone)
    first = first_instant(day, tz)
    assert first.tzinfo is UTC
    assert first.astimezone(tz).date() >= day
    assert (first - MICROSECOND).astimezone(tz).date() < day
    assert (first - earlier).astimezone(tz).date() < day


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("UTC", "2025-03-30", "2025-03-30T00:00Z"),
        ("Europe/London", "2025-03-31", "2025-03-30T23:00Z"),
        ("Asia/Kathmandu", "2025-01-01", "2024-12-31T18:15Z"),
        # Midnight is skipped, and the day begins at one.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z"),
        ("Africa/Cairo", "2023-04-28", "2023-04-27T22:00Z"),
        ("Asia/Beirut", "2024-03-31", "2024-03-30T22:00Z"),
        # The skipped hour begins before midnight, at half past eleven.
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30Z"),
        # The skipped hour ends at midnight.
        ("America/Scoresbysund", "2025-03-30", "2025-03-30T01:00Z"),
        # Midnight comes twice, since the clocks go back a minute after it; or the day before does not end at it.
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30Z"),
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00Z"),
        # The whole day is skipped.
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00Z"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00Z"),
        ("Pacific/Kwajalein", "1993-08-21", "1993-08-21T12:00Z"),
    ],
)
def test_a_day_begins_at_its_first_moment(zone, day, first):
    assert first_instant(date.fromisoformat(day), ZoneInfo(zone)) == datetime.fromisoformat(first)


def test_a_skipped_day_lasts_no_time():
    start, end = days("2011-12-30", "2011-12-31").instants("Pacific/Apia")
    assert start == end


@pytest.mark.parametrize(
    ("day", "hours"), [("2025-03-30", 23), ("2025-03-31", 24), ("2025-10-26", 25), ("2025-10-27", 24)]
)
def test_a_day_lasts_as_long_as_its_clocks_make_it(day, hours):
    first = date.fromisoformat(day)
    start, end = Window(first, first + DAY).instants("Europe/London")
    assert end - start == timedelta(hours=hours)


def test_the_last_moment_is_a_microsecond_before_the_end():
    assert last_instant(datetime(2025, 2, 1, tzinfo=UTC)) == datetime(2025, 1, 31, 23, 59, 59, 999999, UTC)


@given(ranges(longest=40), ranges(st.dates(date(2025, 1, 1), date(2025, 2, 9)), longest=40), st.integers(-50, 50))
def test_covering_and_overlapping_are_about_the_days_shared(one, other, apart):
    a = Window(*one)
    shift = a.start - other[0] + apart * DAY
    b = Window(other[0] + shift, other[1] + shift)
    assert a.covers(b) == (all_days(b) <= all_days(a))
    assert a.overlaps(b) == b.overlaps(a) == bool(all_days(a) & all_days(b))


@pytest.mark.parametrize("end", ["2025-01-01", "2024-12-31"])
def test_a_window_without_days_is_refused(end):
    with pytest.raises(ValueError, match=f"a window needs start < end, not 2025-01-01 to {end}"):
        days("2025-01-01", end)


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (month("2025-02"), "2025-02"),
        (month("2025-12"), "2025-12"),
        (days("2025-02-01", "2025-02-28"), "2025-02-01..2025-02-28"),
        (days("2025-01-02", "2025-02-01"), "2025-01-02..2025-02-01"),
        (days("2025-01-01", "2025-03-01"), "2025-01-01..2025-03-01"),
    ],
)
def test_a_window_is_written_as_its_month_where_it_is_one(window, text):
    assert str(window) == text


MONTHS = cut(date(2025, 1, 1), date(2026, 1, 1), Every.MONTH)


def test_windows_that_follow_each_other_make_one_range():
    assert unbroken(MONTHS) == (Window(date(2025, 1, 1), date(2026, 1, 1)),)


@given(st.sets(st.sampled_from(MONTHS)))
def test_ranges_hold_just_their_windows_and_are_as_long_as_possible(some):
    ranges = unbroken(sorted(some))
    assert {window for window in MONTHS if any(days.covers(window) for days in ranges)} == some
    assert all(first.end < second.start for first, second in pairwise(ranges))

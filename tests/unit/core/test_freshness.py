"""How far a dataset reaches."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.freshness import Freshness, complete_until, parse_freshness
from exporter.core.ledger import Entry
from exporter.core.studio import CredentialKey, Studio, StudioId
from exporter.core.window import Window

START = date(2025, 1, 1)
LONG_AFTER = datetime(2025, 12, 1, tzinfo=UTC)


def studio(name, timezone="UTC"):
    return Studio(id=StudioId(name), credential=CredentialKey("credential-1"), timezone=timezone)


def entry(name, start, end, began_at=LONG_AFTER):
    return Entry(
        studio=StudioId(name),
        window=Window(start, end),
        rows=1,
        total=1,
        measure=1,
        run_id="run",
        began_at=began_at,
    )


JANUARY, FEBRUARY = (START, date(2025, 2, 1)), (date(2025, 2, 1), date(2025, 3, 1))
A, B = studio("a"), studio("b")


@pytest.mark.parametrize(
    ("entries", "until"),
    [
        ([], None),
        ([entry("a", *JANUARY), entry("a", *FEBRUARY)], None),
        ([entry("a", *JANUARY), entry("a", *FEBRUARY), entry("b", *JANUARY)], date(2025, 2, 1)),
        ([entry("a", *JANUARY), entry("b", *JANUARY), entry("b", *FEBRUARY)], date(2025, 2, 1)),
        ([entry("a", *FEBRUARY), entry("b", *FEBRUARY)], None),
        ([entry(n, *w) for n in "ab" for w in (FEBRUARY, JANUARY)], date(2025, 3, 1)),
    ],
)
def test_it_reaches_to_the_first_gap_of_any_studio(entries, until):
    assert complete_until(entries, (A, B), START) == until


def test_a_window_that_was_asked_for_before_it_was_over_reaches_to_the_day_of_asking():
    asked = datetime(2025, 2, 11, 3, 30, tzinfo=UTC)
    entries = [entry("a", *JANUARY), entry("a", *FEBRUARY, began_at=asked)]
    assert complete_until(entries, (A,), START) == date(2025, 2, 11)
    tokyo = studio("a", "Asia/Tokyo")
    late = [entry("a", *JANUARY), entry("a", *FEBRUARY, began_at=asked.replace(hour=16))]
    assert complete_until(late, (tokyo,), START) == date(2025, 2, 12)


def test_days_before_the_configured_start_and_of_other_studios_do_not_matter():
    before = entry("a", date(2024, 12, 1), START)
    assert complete_until([before, entry("a", *JANUARY), entry("c", *FEBRUARY)], (A,), START) == date(2025, 2, 1)


def test_a_day_that_the_zone_left_out_is_no_gap():
    apia = studio("a", "Pacific/Apia")
    days = [entry("a", date(2011, 12, 29), date(2011, 12, 30)), entry("a", date(2011, 12, 31), date(2012, 1, 1))]
    assert complete_until(days, (apia,), date(2011, 12, 29)) == date(2012, 1, 1)


@given(st.lists(st.integers(0, 40), max_size=12))
def test_one_day_more_never_reaches_less(days):
    entries = [entry("a", START + timedelta(days=n), START + timedelta(days=n + 1)) for n in sorted({*days})]
    reach = [complete_until(entries[:n], (A,), START) or START for n in range(len(entries) + 1)]
    assert reach == sorted(reach)


@pytest.mark.parametrize("until", [None, date(2025, 3, 1)])
def test_what_is_written_is_read_again(until):
    told = Freshness(dataset="strikes", run_id="run", finished_at=LONG_AFTER, complete_until=until, rows=3)
    assert parse_freshness(told.to_json()) == told


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"complete_until": 3}', b"\xff"])
def test_what_is_none_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - of whichever kind
        parse_freshness(data)

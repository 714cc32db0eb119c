"""Ranges of days for which a total is asked."""

from datetime import date
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.core.reconcile import Reconciled, unbroken
from exporter.core.window import Every, Window, cut

MONTHS = cut(date(2025, 1, 1), date(2026, 1, 1), Every.MONTH)


def test_all_windows_make_one_range():
    assert unbroken(MONTHS, MONTHS) == (Window(date(2025, 1, 1), date(2026, 1, 1)),)


@given(st.sets(st.sampled_from(MONTHS)))
def test_the_ranges_hold_just_the_windows_that_count_and_are_as_long_as_possible(known):
    ranges = unbroken(MONTHS, known)
    assert {window for window in MONTHS if any(days.covers(window) for days in ranges)} == known
    assert all(first.end < second.start for first, second in pairwise(ranges))


def make_record(source, error=None):
    return Reconciled(
        studio="bay",
        start="2025-01-01",
        end="2025-02-01",
        published=7,
        source=source,
        agrees=source == 7,
        error=error,
    )


def test_a_comparison_says_what_came_of_it():
    assert str(make_record(7)) == "bay 2025-01-01..2025-02-01: 7 are published, as the API counts them"
    assert str(make_record(8)) == "bay 2025-01-01..2025-02-01: the API counts 8, the rows add up to 7"
    assert str(make_record(None, "still 503")).endswith("the API did not tell its total (still 503)")

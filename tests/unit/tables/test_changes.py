"""What changed between two states of some tasks, held against a diff that counts in the plainest way."""

from collections import Counter
from dataclasses import replace

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.manifest import Change
from exporter.core.report import Pivot
from exporter.tables.changes import changes
from tests.support.parts import STRIKES, dataset, january, part, task

FIRST, SECOND, OTHER = task("bay", january(1, 15)), task("bay", january(16, 31)), task("cove", january(1, 15))
TASKS = (FIRST, SECOND, OTHER)

#: Few values, so that keys meet; also the same key twice, as where a column of the key is dropped.
rows = st.lists(
    st.tuples(
        st.sampled_from(TASKS),
        st.fixed_dictionaries(
            {
                "status": st.sampled_from([None, "open", "voided"]),
                "customer_id": st.sampled_from([None, 1]),
                "count": st.integers(1, 3),
            }
        ),
    ),
    max_size=12,
)


def naive(old, new, of):
    """The change of one task."""
    left = {}
    for side, given_rows in (("old", old), ("new", new)):
        for which, row in given_rows:
            if which == of:
                left.setdefault((row["status"], row["customer_id"]), {}).setdefault(side, Counter())[row["count"]] += 1
    added = gone = recounted = moved = 0
    for sides in left.values():
        before, after = sides.get("old", Counter()), sides.get("new", Counter())
        only_before, only_after = before - after, after - before
        both = min(only_before.total(), only_after.total())
        added, gone, recounted = (
            added + only_after.total() - both,
            gone + only_before.total() - both,
            recounted + both,
        )
        moved += sum(n * times for n, times in after.items()) - sum(n * times for n, times in before.items())
    return Change(rows_added=added, rows_gone=gone, rows_recounted=recounted, measure_change=moved)


@given(rows, rows, st.sets(st.sampled_from(TASKS)).map(sorted))
@settings(deadline=None)
def test_changes_are_those_of_a_diff_by_hand(old, new, tasks):
    assert changes(part(old), part(new), tasks, STRIKES) == {which: naive(old, new, which) for which in tasks}


@given(rows)
@settings(deadline=None)
def test_the_same_rows_in_another_order_are_no_change(same):
    found = changes(part(same), part(same[::-1]), TASKS, STRIKES)
    assert found == dict.fromkeys(TASKS, Change())
    assert not any(found.values())


def only(old, new, of=STRIKES):
    (change,) = changes(old, new, [FIRST], of).values()
    return change


def test_which_run_fetched_a_row_is_no_change():
    old = part([(FIRST, {"status": "open"})])
    new = part([(FIRST, {"status": "open", "run_id": "another"})])
    assert only(old, new) == Change()


def test_a_strike_of_the_ungrouped_report_is_known_by_its_id():
    strikes = dataset("id", "status", report="attendance_strikes")
    old = part([(FIRST, {"id": 1, "status": "open"}), (FIRST, {"id": 2, "status": "open"})], strikes)
    new = part([(FIRST, {"id": 1, "status": "voided"}), (FIRST, {"id": 3, "status": "open"})], strikes)
    assert only(old, new, strikes) == Change(rows_added=1, rows_gone=1, rows_recounted=1)


def test_a_period_of_a_pivot_is_part_of_the_key_and_its_label_is_not():
    weekly = replace(STRIKES, pivot=Pivot.WEEK)
    old = part([(FIRST, {"period_key": week, "period_label": "a", "count": 1}) for week in ("W01", "W02")], weekly)
    new = part([(FIRST, {"period_key": week, "period_label": "b", "count": 3}) for week in ("W01", "W03")], weekly)
    assert only(old, new, weekly) == Change(rows_added=1, rows_gone=1, rows_recounted=1, measure_change=4)


def test_a_column_that_came_unasked_and_is_empty_is_no_change():
    colour = pa.field("colour", pa.string())
    old = part([(FIRST, {"status": "open"})])
    assert only(old, part([(FIRST, {"status": "open"})], extras=[colour])) == Change()
    red = part([(FIRST, {"status": "open", "colour": "red"})], extras=[colour])
    assert only(old, red) == Change(rows_added=1, rows_gone=1)

"""What many manifests say of how long rows still change."""

from datetime import UTC, datetime, timedelta

import pytest

from exporter.core.manifest import Change
from exporter.core.moved import moves_of, what_moved
from exporter.core.window import Window
from tests.support.run_events import make_manifest, make_record

STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE_MORE = Change(rows_added=1, measure_change=2)


def record(days_ago, changed):
    end = STARTED.date() - timedelta(days=days_ago)
    return make_record(window=Window(end - timedelta(days=7), end), changed=changed)


def found(*records, lookback_days=35):
    (dataset,) = what_moved([moves_of(make_manifest(*records, started_at=STARTED))], lookback_days)
    return dataset


def test_windows_that_were_new_teach_nothing():
    dataset = found(record(3, None))
    assert (dataset.refetched, dataset.changed, dataset.oldest_change_days) == (0, 0, None)
    assert dataset.says == "no published window was fetched again so far; lookback_days is 35"


def test_windows_that_were_the_same_are_counted_and_make_no_advice():
    dataset = found(record(3, Change()), record(400, Change()))
    assert (dataset.refetched, dataset.changed, dataset.oldest_change_days) == (2, 0, None)
    assert dataset.says == "none of the 2 windows that were fetched again had changed; lookback_days is 35"


@pytest.mark.parametrize(
    ("days_ago", "band"),
    [(-20, 0), (0, 0), (7, 0), (8, 1), (14, 1), (15, 2), (35, 2), (36, 3), (90, 3), (91, 4), (400, 4)],
)
def test_changes_are_told_by_the_age_of_the_window(days_ago, band):
    dataset = found(record(days_ago, ONE_MORE))
    assert [age.changed for age in dataset.ages] == [int(number == band) for number in range(5)]
    assert dataset.ages[band].change == ONE_MORE
    assert dataset.oldest_change_days == max(0, days_ago)


def test_the_ages_are_named_without_a_gap():
    ages = [(age.first_day, age.last_day) for age in found().ages]
    assert ages == [(0, 7), (8, 14), (15, 35), (36, 90), (91, None)]


def test_the_sentence_names_the_oldest_window_in_which_a_change_was_seen():
    dataset = found(record(3, ONE_MORE), record(12, ONE_MORE), record(80, Change()))
    assert dataset.says == "all changes seen so far were within 12 days of the window's end; lookback_days is 35"


def test_changes_beyond_the_lookback_are_told_with_the_way_out():
    dataset = found(record(80, ONE_MORE))
    assert dataset.says.endswith(
        "lookback_days is 35: raise it to 80 or more, so that runs without --full see such changes too"
    )


def test_each_run_and_each_dataset_has_its_own_sums():
    manifests = [
        make_manifest(record(3, ONE_MORE), record(9, ONE_MORE), record(9, Change()), run_id="1", started_at=STARTED),
        make_manifest(record(3, Change(rows_gone=4)), run_id="1", dataset="other", started_at=STARTED),
        make_manifest(run_id="2", started_at=STARTED),
    ]
    first, other = what_moved(list(map(moves_of, manifests)), 35)
    assert [(run.run_id, run.refetched, run.changed) for run in first.runs] == [("1", 3, 2), ("2", 0, 0)]
    assert first.runs[0].change == Change(rows_added=2, measure_change=4)
    assert (other.dataset, other.runs[0].change.rows_gone) == ("other", 4)

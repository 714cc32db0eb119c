"""What a run fetches: all that is not settled, and nothing that would cut what is published."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.partition import Partition
from exporter.core.plan import make_plan
from exporter.core.report import DatasetName
from exporter.core.window import Every, cut
from exporter.errors import PlanConflictError
from tests.support.tasks import (
    LATER,
    Published,
    days,
    ledgers_of,
    make_dataset,
    make_scope,
    make_studio,
    make_task,
    month,
)

MICROSECOND = timedelta(microseconds=1)
QUARTER = days("2025-01-01", "2025-04-01")
JANUARY = month("2025-01")


def shown(tasks):
    return [str(task) for task in tasks]


def plan(asked=JANUARY, *published, **scope):
    return make_plan(make_scope(asked, **scope), ledgers_of(*published))


def conflict(asked, *published, **scope):
    with pytest.raises(PlanConflictError) as caught:
        plan(asked, *published, **scope)
    return str(caught.value)


# What is to be fetched


def test_a_first_run_fetches_every_studio_in_every_window_studios_interleaved():
    cove, dune = make_studio("cove"), make_studio("dune")
    made = plan(days("2025-01-15", "2025-03-02"), studios=[cove, dune])
    assert shown(made.tasks) == [
        f"{studio} {window}"
        for window in ("2025-01-15..2025-02-01", "2025-02", "2025-03-01..2025-03-02")
        for studio in ("cove", "dune")
    ]
    assert (made.done, made.known_rows) == ((), {})


def test_datasets_follow_each_other_each_with_windows_of_its_own():
    strikes, weekly = make_dataset(), make_dataset(name="weekly", every=Every.WEEK)
    made = plan(days("2025-01-01", "2025-01-08"), datasets=[strikes, weekly])
    assert [task.id for task in made.tasks] == [
        ("strikes", "harbour-yoga", days("2025-01-01", "2025-01-08")),
        ("weekly", "harbour-yoga", days("2025-01-01", "2025-01-06")),
        ("weekly", "harbour-yoga", days("2025-01-06", "2025-01-08")),
    ]


def test_what_is_settled_is_not_asked_for_again():
    made = plan(QUARTER, Published(window=month("2025-02"), rows=7, total=5))
    assert shown(made.tasks) == ["harbour-yoga 2025-01", "harbour-yoga 2025-03"]
    [done] = made.done
    assert (str(done.task), done.entry.rows, done.settled) == ("harbour-yoga 2025-02", 7, True)


def test_a_run_over_settled_windows_asks_for_nothing():
    made = plan(QUARTER, *(Published(window=window) for window in cut(QUARTER.start, QUARTER.end, Every.MONTH)))
    assert (made.tasks, made.partitions, len(made.done)) == ((), (), 3)
    assert (made.least_requests(100), made.least_seconds(100, 250)) == ({}, 0)


def test_a_window_that_came_back_empty_is_settled_too():
    assert plan(JANUARY, Published(window=JANUARY, rows=0, total=0)).tasks == ()


def test_what_another_studio_or_dataset_published_says_nothing():
    published = [
        Published(window=JANUARY, studio="dune"),
        Published(window=JANUARY, dataset=make_dataset("status", "count", name="other")),
    ]
    assert shown(plan(JANUARY, *published).tasks) == ["harbour-yoga 2025-01"]


@pytest.mark.parametrize(
    ("timezone", "end"),
    [
        ("UTC", datetime(2025, 2, 1, tzinfo=UTC)),
        ("Pacific/Auckland", datetime(2025, 1, 31, 11, tzinfo=UTC)),
        ("America/Los_Angeles", datetime(2025, 2, 1, 8, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("lookback_days", [0, 35])
def test_a_window_settles_just_when_the_lookback_after_its_local_end_is_over(timezone, end, lookback_days):
    studio = make_studio(timezone=timezone)
    settles_at = end + timedelta(days=lookback_days)

    def with_run_at(began_at):
        entry = Published(window=JANUARY, began_at=began_at)
        return plan(JANUARY, entry, studios=[studio], lookback_days=lookback_days)

    assert with_run_at(settles_at).done[0].settled
    assert shown(with_run_at(settles_at - MICROSECOND).tasks) == ["harbour-yoga 2025-01"]


@pytest.mark.parametrize(
    ("zone", "is_done"),
    [
        ("", True),
        ("Europe/London", True),
        ("Europe/Lisbon", True),
        ("GB", True),
        ("Europe/Paris", False),
        ("Atlantis/Capital", False),
    ],
    ids=["not written down", "the same", "of the same hours", "another name", "of other hours", "unknown here"],
)
def test_what_was_cut_at_the_midnights_of_another_zone_is_fetched_again(zone, is_done):
    made = plan(JANUARY, Published(window=JANUARY, zone=zone), studios=[make_studio(timezone="Europe/London")])
    assert len(made.done) == is_done
    assert len(made.tasks) == (not is_done)


def test_full_fetches_what_is_settled_too():
    made = plan(JANUARY, Published(window=JANUARY), full=True)
    assert (shown(made.tasks), made.done) == (["harbour-yoga 2025-01"], ())


@pytest.mark.parametrize("how", [{}, {"full": True}, {"rewrite": True}], ids=str)
def test_what_the_continued_run_published_is_done_settled_or_not(how):
    young = datetime(2025, 2, 2, tzinfo=UTC)
    published = [
        Published(window=month("2025-01"), run_id="stopped", began_at=young),
        Published(window=month("2025-02"), run_id="stopped", began_at=LATER),
        Published(window=month("2025-03"), run_id="earlier", began_at=young),
    ]
    made = plan(QUARTER, *published, continues=frozenset({"stopped"}), **how)
    assert shown(made.tasks) == ["harbour-yoga 2025-03"]
    assert [(str(done.task), done.settled) for done in made.done] == [
        ("harbour-yoga 2025-01", False),
        ("harbour-yoga 2025-02", True),
    ]


@pytest.mark.parametrize(("staged_at", "tasks"), [(LATER, []), (LATER + MICROSECOND, ["harbour-yoga 2025-01"])])
def test_what_was_fetched_whole_after_what_the_continued_run_published_is_not_done(staged_at, tasks):
    published = Published(window=JANUARY, run_id="stopped", began_at=LATER)
    task = plan(JANUARY).tasks[0]
    made = plan(JANUARY, published, continues=frozenset({"stopped"}), staged={task.id: staged_at}, lookback_days=10**4)
    assert shown(made.tasks) == tasks


def test_a_day_that_the_zone_skipped_makes_no_task():
    daily = make_dataset(every=Every.DAY)
    apia, cove = make_studio("apia", timezone="Pacific/Apia"), make_studio("cove")
    made = plan(days("2011-12-29", "2012-01-01"), datasets=[daily], studios=[apia, cove])
    assert shown(task for task in made.tasks if task.studio is apia) == [
        "apia 2011-12-29..2011-12-30",
        "apia 2011-12-31..2012-01-01",
    ]
    assert len(made.tasks) == 5


# What it costs


def test_tasks_are_grouped_by_credential_in_the_plans_order():
    studios = [make_studio(name, credential=key) for name, key in [("bay", "k1"), ("cove", "k2"), ("dell", "k1")]]
    lanes = plan(days("2025-01-01", "2025-03-01"), studios=studios).lanes()
    assert {key: shown(tasks) for key, tasks in lanes.items()} == {
        "k1": ["bay 2025-01", "dell 2025-01", "bay 2025-02", "dell 2025-02"],
        "k2": ["cove 2025-01", "cove 2025-02"],
    }


@pytest.mark.parametrize(("total", "requests"), [(0, 1), (1, 1), (100, 1), (101, 2), (1000, 10), (1001, 11)])
def test_a_task_needs_a_request_for_each_page_that_is_known_of_and_one_at_least(total, requests):
    made = plan(JANUARY, Published(window=JANUARY, total=total, rows=9 * total), full=True)
    assert made.known_rows == {make_task().id: total}
    assert made.least_requests(100) == {"harbour-yoga": requests}


def test_tasks_of_one_credential_add_up():
    studios = [make_studio(name, credential=key) for name, key in [("bay", "k1"), ("cove", "k2"), ("dell", "k1")]]
    entry = Published(window=JANUARY, studio="dell", total=250)
    made = plan(days("2025-01-01", "2025-03-01"), entry, studios=studios, full=True)
    assert made.least_requests(100) == {"k1": 6, "k2": 2}


@pytest.mark.parametrize(("total", "seconds"), [(100, 0), (25_000, 0), (25_001, 60), (50_000, 60), (50_001, 120)])
def test_only_what_does_not_fit_into_a_minute_takes_time(total, seconds):
    studios = [make_studio("bay"), make_studio("cove")]
    made = plan(JANUARY, Published(window=JANUARY, studio="bay", total=total), studios=studios, full=True)
    assert made.least_seconds(100, 250) == seconds


def test_partitions_are_named_once_in_the_order_of_their_first_task():
    weekly = make_dataset(every=Every.WEEK)
    made = plan(days("2025-01-20", "2025-02-17"), datasets=[weekly], studios=[make_studio("bay"), make_studio("cove")])
    strikes = DatasetName("strikes")
    assert made.partitions == (Partition(strikes, "2025-01"), Partition(strikes, "2025-02"))


# What does not fit


@pytest.mark.parametrize(
    "change",
    [{"every": Every.WEEK}, {"filters": {"status": ("open",)}}, {"hash": frozenset({"customer_id"}), "hash_id": "k"}],
    ids=lambda change: next(iter(change)),
)
def test_rows_of_another_grain_are_refused(change):
    message = conflict(month("2025-03"), Published(window=JANUARY, dataset=make_dataset(**change)))
    assert message == (
        "strikes/month=2025-01: is published at another grain (columns, window width, pivot, filters or hash key"
        " differ); choose another dataset name, or replace it with --rewrite"
    )


def test_a_partition_of_another_grain_without_a_task_is_no_obstacle():
    [(partition, ledger)] = ledgers_of(Published(window=JANUARY, dataset=make_dataset(every=Every.WEEK))).items()
    empty = ledger.replace([], drop_all=True)
    assert len(make_plan(make_scope(JANUARY), {partition: empty}).tasks) == 1


@pytest.mark.parametrize(
    ("asked", "window"),
    [
        (days("2025-01-15", "2025-02-01"), "2025-01-15..2025-02-01"),
        (days("2025-01-01", "2025-01-31"), "2025-01-01..2025-01-31"),
        (days("2025-01-10", "2025-03-20"), "2025-01-10..2025-02-01"),
        (days("2025-01-31", "2025-02-01"), "2025-01-31..2025-02-01"),
    ],
)
def test_a_window_that_would_cut_a_published_one_is_refused(asked, window):
    assert conflict(asked, Published(window=JANUARY)) == (
        f"strikes: the window {window} of harbour-yoga would cut the published window 2025-01; ask for whole windows"
        f" (start and end on their boundaries), choose another dataset name, or replace the dataset with --rewrite"
    )


def test_a_window_that_would_cut_one_of_several_is_refused():
    published = [Published(window=days(f"2025-01-{n:02}", f"2025-01-{n + 5:02}")) for n in (1, 6, 11, 16)]
    assert "would cut the published window 2025-01-11..2025-01-16" in conflict(
        days("2025-01-01", "2025-01-12"), *published
    )


def test_a_window_may_be_cut_whose_studio_is_not_asked_for():
    published = Published(window=JANUARY, studio="dune")
    assert shown(plan(days("2025-01-15", "2025-02-01"), published).tasks) == ["harbour-yoga 2025-01-15..2025-02-01"]


def test_a_window_may_cover_published_ones_as_when_its_end_is_today_and_grows():
    published = [Published(window=days("2025-03-01", "2025-03-04")), Published(window=days("2025-03-04", "2025-03-10"))]
    made = plan(days("2025-03-01", "2025-03-20"), *published)
    assert shown(made.tasks) == ["harbour-yoga 2025-03-01..2025-03-20"]
    assert (made.done, made.known_rows) == ((), {})


def test_adjacent_windows_do_not_touch():
    published = [Published(window=month("2025-01")), Published(window=month("2025-03"))]
    assert shown(plan(month("2025-02"), *published).tasks) == ["harbour-yoga 2025-02"]


def test_a_covered_window_of_another_partition_is_refused():
    weekly = make_dataset(every=Every.WEEK)
    published = Published(window=days("2025-02-01", "2025-02-03"), dataset=weekly)
    assert conflict(days("2025-01-27", "2025-02-03"), published, datasets=[weekly]) == (
        "strikes: the window 2025-01-27..2025-02-03 of harbour-yoga covers the published window 2025-02-01..2025-02-03"
        " of another partition; choose another dataset name, or replace the dataset with --rewrite"
    )


@given(
    first=st.integers(0, 40),
    length=st.integers(1, 40),
    start=st.integers(0, 40),
    end=st.integers(1, 60),
)
def test_a_plan_is_made_unless_a_task_would_cut_a_window_or_cover_one_of_another_month(first, length, start, end):
    every = make_dataset(every=Every.YEAR)
    day = days("2025-01-01", "2025-12-31").start
    held = days(str(day + timedelta(first)), str(day + timedelta(first + length)))
    asked = days(str(day + timedelta(start)), str(day + timedelta(start + end)))
    fits = not asked.overlaps(held) or (asked.covers(held) and asked.start.month == held.start.month)
    try:
        plan(asked, Published(window=held, dataset=every), datasets=[every])
    except PlanConflictError:
        assert not fits
    else:
        assert fits


# --rewrite


def test_a_rewrite_fetches_everything_whatever_the_grain():
    published = [
        Published(window=month("2025-01"), dataset=make_dataset(every=Every.WEEK)),
        Published(window=month("2025-02")),
    ]
    made = plan(QUARTER, *published, rewrite=True)
    assert shown(made.tasks) == [f"harbour-yoga 2025-0{n}" for n in (1, 2, 3)]
    assert (made.done, list(made.known_rows)) == ((), [make_task(window=month("2025-02")).id])


@pytest.mark.parametrize(
    "published",
    [
        Published(window=JANUARY),
        Published(window=days("2025-01-20", "2025-02-10")),
        Published(window=JANUARY, studio="dune"),
        Published(window=days("2025-05-01", "2025-05-08"), dataset=make_dataset(every=Every.WEEK)),
    ],
    ids=["before it", "partly before it", "of another studio", "after it, of another grain"],
)
def test_a_rewrite_that_would_lose_published_rows_is_refused(published):
    assert conflict(days("2025-02-01", "2025-05-01"), published, rewrite=True) == (
        f"strikes: --rewrite would lose the published rows of {published.studio} in {published.window}, which this run"
        f" does not fetch; widen start, end and the studios, or choose another dataset name"
    )


def test_a_rewrite_may_leave_out_what_was_empty():
    assert len(plan(month("2025-02"), Published(window=JANUARY, rows=0, total=0), rewrite=True).tasks) == 1


def test_a_rewrite_may_cut_published_windows_anew_if_it_covers_them_together():
    weekly = make_dataset(every=Every.WEEK)
    published = Published(window=days("2025-01-27", "2025-02-03"), dataset=weekly)
    assert len(plan(days("2025-01-01", "2025-03-01"), published, rewrite=True).tasks) == 2

"""How far a run is."""

import pytest

from exporter.api.base import AttemptOutcome
from exporter.jobs.events import Attempted, Ended, PageStaged, Planned, Refetched, TaskFetched
from exporter.jobs.meter import Meter
from tests.support.run_events import RUN_ID, make_attempt, make_manifest, make_plan_of, make_tasks


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def meter(clock):
    return Meter(page_size=100, requests_per_minute=250, clock=clock)


def begin(meter, *tasks):
    plan = make_plan_of(*tasks)
    meter.note(Planned(run_id=RUN_ID, plan=plan, least_requests=len(tasks), resumed_tasks=0))


def attempt(meter, outcome="ok", number=1):
    meter.note(Attempted(attempt=make_attempt(outcome=AttemptOutcome(outcome), number=number)))


def test_before_the_first_page_nothing_is_known_of_the_time_left(meter):
    begin(meter, *make_tasks("harbour-yoga", months=3))
    seen = meter.snapshot()
    assert (seen.tasks, seen.pages, seen.expected_pages, seen.left_s) == (3, 0, 3, None)


def test_every_credential_of_the_plan_brings_its_own_allowance(meter):
    begin(meter, *make_tasks("a", credential="credential-1"), *make_tasks("b", credential="credential-2"))
    assert meter.snapshot().allowed == 500


def test_a_task_not_begun_is_taken_to_be_like_those_that_were(meter):
    first, second, *others = make_tasks("harbour-yoga", months=4)
    begin(meter, first, second, *others)
    for rows in (100, 100, 50):
        meter.note(PageStaged(task=first, rows=rows, total=250))
    meter.note(TaskFetched(task=first, rows=250, error=None))
    meter.note(PageStaged(task=second, rows=100, total=450))
    seen = meter.snapshot()
    assert (seen.pages, seen.rows, seen.decided) == (4, 350, 1)
    assert seen.expected_pages == 4 + 4 + 2 * (3 + 5) // 2


def test_when_all_is_decided_nothing_is_left(meter, clock):
    tasks = make_tasks("harbour-yoga", months=2)
    begin(meter, *tasks)
    for task in tasks:
        meter.note(PageStaged(task=task, rows=0, total=0))
        meter.note(TaskFetched(task=task, rows=0, error=None))
    seen = meter.snapshot()
    assert (seen.pages, seen.expected_pages, seen.left_s) == (2, 2, 0)


def test_a_window_that_is_fetched_again_is_still_to_come(meter):
    (task,) = make_tasks("harbour-yoga", months=1)
    begin(meter, task)
    meter.note(PageStaged(task=task, rows=100, total=200))
    meter.note(Refetched(task=task, reason="it changed"))
    assert meter.snapshot().expected_pages > meter.snapshot().pages


def test_failures_and_kinds_of_bad_answers_are_counted(meter):
    (task,) = make_tasks("harbour-yoga", months=1)
    begin(meter, task)
    attempt(meter, "failed")
    attempt(meter, "throttled", 2)
    attempt(meter, "failed", 3)
    meter.note(TaskFetched(task=task, rows=0, error="harbour-yoga 2025-01: still 503"))
    assert (meter.requests, meter.retries, meter.unanswered, meter.throttled) == (3, 2, 2, 1)
    assert meter.snapshot().failed == 1


def test_only_the_last_minute_counts_as_used_and_the_busiest_one_is_remembered(meter, clock):
    begin(meter, *make_tasks("harbour-yoga"))
    for moment in (0.0, 1.0, 2.0, 61.0):
        clock.now = moment
        attempt(meter)
    assert (meter.snapshot().used, meter.peak) == (2, 3)


def test_the_rate_limit_bounds_the_time_left(meter, clock):
    first, *others = make_tasks("harbour-yoga", months=12)
    begin(meter, first, *others)
    clock.now = 1.0
    for _ in range(250):
        attempt(meter)
        meter.note(PageStaged(task=first, rows=100, total=25_000))
    meter.note(TaskFetched(task=first, rows=25_000, error=None))
    assert meter.snapshot().left_s == pytest.approx(11 * 60)


def test_a_slow_server_bounds_the_time_left_too(meter, clock):
    first, *others = make_tasks("harbour-yoga", months=5)
    begin(meter, first, *others)
    clock.now = 30.0
    attempt(meter)
    meter.note(PageStaged(task=first, rows=1, total=1))
    meter.note(TaskFetched(task=first, rows=1, error=None))
    assert meter.snapshot().left_s == pytest.approx(4 * 30)


def test_the_manifests_are_kept_for_the_summary(meter):
    manifest = make_manifest()
    meter.note(Ended(manifests=(manifest,)))
    assert meter.manifests == (manifest,)

"""What is counted of each attempt, and which studios it says are in trouble."""

import pytest

from exporter.api.base import AttemptOutcome
from exporter.jobs.tally import Tally
from tests.support.run_events import DATASET, make_attempt, make_tasks

(TASK,) = make_tasks("harbour-yoga", months=1)
FAILED, THROTTLED, OK = AttemptOutcome.FAILED, AttemptOutcome.THROTTLED, AttemptOutcome.OK


def test_attempts_are_counted_by_task_and_are_taken_once():
    tally = Tally()
    for number, outcome in enumerate((FAILED, THROTTLED, OK), start=1):
        tally.note_attempt(make_attempt(TASK, number=number, outcome=outcome, size_bytes=10))
    assert (tally.throttled, tally.bytes_in) == ({DATASET.name: 1}, {DATASET.name: 30})
    assert tally.take(TASK.id) == (3, 2)
    assert tally.take(TASK.id) == (0, 0)


@pytest.mark.parametrize(
    ("outcomes", "ails"),
    [([FAILED], True), ([FAILED, THROTTLED], True), ([FAILED, OK], False), ([THROTTLED], False)],
)
def test_a_studio_is_in_trouble_from_a_failure_until_an_answer(outcomes, ails):
    tally = Tally()
    for number, outcome in enumerate(outcomes, start=1):
        tally.note_attempt(make_attempt(TASK, number=number, outcome=outcome))
    assert (TASK.studio.id in tally.ailing) is ails


def test_a_request_for_a_total_is_no_task_s_and_says_nothing_of_its_studio():
    tally = Tally()
    for outcome in (FAILED, THROTTLED):
        request = make_attempt(TASK).request._replace(grand_total=True)
        tally.note_attempt(make_attempt(request=request, outcome=outcome, size_bytes=10))
    assert tally.reconcile_requests == {DATASET.name: 2}
    assert (tally.throttled, tally.bytes_in) == ({DATASET.name: 1}, {DATASET.name: 20})
    assert not tally.requests
    assert not tally.ailing

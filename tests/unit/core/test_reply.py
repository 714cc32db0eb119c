"""What a Lambda function answers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.manifest import RunState, TaskState, Totals
from exporter.core.reply import MOST_BYTES, State, fitting, reply_of_run
from exporter.core.summary import summarise_run
from tests.support.run_events import make_manifest, make_record


@pytest.mark.parametrize(
    ("state", "totals", "more", "said"),
    [
        (RunState.OK, Totals(tasks=2, published=2), False, State.OK),
        (RunState.OK, Totals(settled=3), False, State.OK),
        (RunState.INTERRUPTED, Totals(tasks=2, published=1, pending=1), True, State.MORE),
        (RunState.INTERRUPTED, Totals(tasks=2, failed=1, pending=1), True, State.MORE),
        (RunState.FAILED, Totals(tasks=2, published=1, failed=1), False, State.PARTIAL),
        (RunState.FAILED, Totals(tasks=2, empty=1, failed=1), False, State.PARTIAL),
        (RunState.FAILED, Totals(tasks=2, failed=2, settled=7), False, State.FAILED),
    ],
)
def test_the_state_says_whether_to_go_on_and_whether_something_failed(state, totals, more, said):
    summary = summarise_run([make_manifest(state=state, totals=totals)])
    assert reply_of_run(summary, more=more)["state"] == said


def test_a_run_that_could_not_begin_in_time_has_more_to_do():
    assert fitting(reply_of_run(None, more=True)) == {"state": "more"}


def failed_run(tasks: int, error: str) -> dict[str, object]:
    records = tuple(make_record(f"studio-{n}", state=TaskState.FAILED, error=error) for n in range(tasks))
    manifest = make_manifest(state=RunState.FAILED, tasks=records, totals=Totals(tasks=tasks, failed=tasks))
    return reply_of_run(summarise_run([manifest]), more=False)


def test_of_very_many_failures_some_are_named_and_all_are_counted():
    reply = fitting(failed_run(36_000, "é" * 5000))
    (dataset,) = reply["datasets"]
    assert len(json.dumps(reply)) <= MOST_BYTES
    assert reply["state"] == "failed"
    assert reply["totals"]["failed"] == 36_000
    assert dataset["failures"]
    assert len(dataset["failures"]) + dataset["failures_left_out"] == 36_000


def test_a_short_answer_is_left_as_it_is():
    reply = failed_run(2, "harbour-yoga 2025-01: refused")
    assert fitting(reply) == json.loads(json.dumps(reply, default=str)) | {
        "started_at": fitting(reply)["started_at"],
        "ended_at": fitting(reply)["ended_at"],
    }


trees = st.recursive(
    st.none() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=200) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=300,
)


@settings(max_examples=50)
@given(trees, st.integers(0, 10_000))
def test_whatever_is_in_lists_an_answer_fits_and_keeps_its_state(tree, times):
    reply = fitting({"state": "failed", "things": [{"tree": tree}] * times})
    assert len(json.dumps(reply)) <= MOST_BYTES
    assert reply["state"] == "failed"
    assert len(reply["things"]) + reply.get("things_left_out", 0) == times

"""The log of a run."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from exporter.api.base import AttemptOutcome
from exporter.cli.bar import open_bar, sentence
from exporter.core.manifest import RunState, Totals
from exporter.core.reconcile import Reconciled
from exporter.core.text import printable
from exporter.jobs.events import (
    Attempted,
    ClockBehind,
    Ended,
    HeldAgainst,
    NotPublished,
    PageStaged,
    PartitionPublished,
    Planned,
    Refetched,
    TaskFetched,
    TelemetryLost,
    Waiting,
)
from exporter.jobs.lines import Line, LineLog, as_json, as_text
from exporter.jobs.meter import Meter, Snapshot
from tests.support.run_events import (
    RUN_ID,
    make_attempt,
    make_done,
    make_manifest,
    make_object,
    make_plan_of,
    make_tasks,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
TASK, SECOND = make_tasks("harbour-yoga", months=2)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def planned():
    plan = make_plan_of(TASK, done=(make_done(SECOND),))
    return Planned(run_id=RUN_ID, plan=plan, least_requests=1, resumed_tasks=0)


def attempted(outcome):
    return Attempted(attempt=make_attempt(outcome=AttemptOutcome(outcome)))


def log_of(*events, objects=True, clock=None):
    written: list[str] = []
    meter = Meter(page_size=100, requests_per_minute=250, clock=clock or Clock())
    log = LineLog(meter, written.append, objects=objects)
    for event in events:
        log(event)
    return [json.loads(line) for line in written] if objects else written


def test_each_line_says_when_what_and_of_which_run():
    (line,) = log_of(planned())
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {
        "level": "info",
        "event": "planned",
        "run_id": RUN_ID,
        "tasks": 1,
        "settled": 1,
        "resumed_tasks": 0,
        "least_requests": 1,
        "message": f"run {RUN_ID}: 1 tasks to fetch, 1 settled, at least 1 requests",
    }


def test_a_task_is_told_with_its_place():
    (line,) = log_of(TaskFetched(task=TASK, rows=7, error=None))
    place = {key: line[key] for key in ("dataset", "studio", "window_start", "window_end", "rows")}
    assert place == {
        "dataset": "attendance_strikes_grouped",
        "studio": "harbour-yoga",
        "window_start": "2025-01-01",
        "window_end": "2025-02-01",
        "rows": 7,
    }


@pytest.mark.parametrize(
    ("event", "level", "name"),
    [
        (TaskFetched(task=TASK, rows=0, error="harbour-yoga 2025-01: still 503"), "error", "failed"),
        (Refetched(task=TASK, reason="harbour-yoga 2025-01: the total changed"), "warning", "refetched"),
        (ClockBehind(now=NOW, ahead=NOW + timedelta(days=1), tasks=3), "warning", "clock"),
        (Waiting(where="credential of harbour-yoga", holder="run-1"), "warning", "waiting"),
        (PartitionPublished(object=make_object(), tasks=1), "info", "published"),
        (NotPublished(partition=TASK.partition, tasks=1, error="another grain"), "error", "unpublished"),
        (TelemetryLost(reason="nobody listens"), "warning", "telemetry"),
        (Ended(manifests=(make_manifest(),)), "info", "ended"),
        (Ended(manifests=(make_manifest(state=RunState.FAILED),)), "error", "ended"),
        (Ended(manifests=(make_manifest(), make_manifest(state=RunState.INTERRUPTED))), "warning", "ended"),
    ],
)
def test_what_matters_has_a_level(event, level, name):
    (line,) = log_of(event)
    assert (line["level"], line["event"]) == (level, name)


def held(source, *, refused=False):
    record = Reconciled(
        studio="harbour-yoga",
        start="2025-01-01",
        end="2025-02-01",
        published=7,
        source=source,
        agrees=source == 7,
        error=None if source else "still 503",
    )
    return HeldAgainst(dataset=TASK.dataset.name, record=record, refused=refused)


@pytest.mark.parametrize(
    ("event", "level", "name"),
    [
        (held(7), "info", "reconciled"),
        (held(8), "warning", "differs"),
        (held(None), "warning", "differs"),
        (held(8, refused=True), "error", "differs"),
    ],
)
def test_a_studio_that_was_held_against_the_api_is_told_with_both_sums(event, level, name):
    (line,) = log_of(event)
    assert (line["level"], line["event"], line["refused"]) == (level, name, event.refused)
    assert (line["studio"], line["published"], line["source"]) == ("harbour-yoga", 7, event.record.source)
    assert line["message"] == str(event.record)


def test_a_partition_that_was_not_put_again_is_told_as_such():
    (line,) = log_of(PartitionPublished(object=replace(make_object(), unchanged=True), tasks=1))
    assert (line["level"], line["event"]) == ("info", "unchanged")
    assert line["message"].endswith("7 rows, as they were; not put again")


def test_single_pages_and_good_answers_are_not_told():
    assert log_of(PageStaged(task=TASK, rows=100, total=200), attempted("ok")) == []


def test_trouble_is_told_at_once_and_then_every_ten_seconds_at_most():
    clock, moments = Clock(), (0.0, 1.0, 9.9, 10.0, 15.0)
    written: list[str] = []
    log = LineLog(Meter(page_size=100, requests_per_minute=250, clock=clock), written.append, objects=True)
    for moment in moments:
        clock.now = moment
        log(attempted("failed"))
        log(attempted("throttled"))
    log(Ended(manifests=(make_manifest(),)))
    told = [line for line in map(json.loads, written) if line["event"] == "trouble"]
    assert [(line["unanswered"], line["throttled"]) for line in told] == [(1, 0), (3, 3), (1, 2)]
    assert sum(line["unanswered"] for line in told) == sum(line["throttled"] for line in told) == len(moments)


def test_a_text_line_is_the_time_and_a_sentence():
    line = Line(level="info", event="published", message="one\x1b[31m\ntwo")
    assert as_text(line, NOW) == "2026-03-01T12:00:00.123Z one\\x1b[31m\\ntwo"
    assert "error: " in as_text(Line(level="error", event="failed", message="x"), NOW)
    assert log_of(planned(), objects=False)[0].endswith("at least 1 requests")


@given(st.text())
def test_no_message_breaks_its_line(message):
    line = Line(level="info", event="x", message=message)
    assert as_json(line, NOW).isascii()
    assert as_json(line, NOW).isprintable()
    assert as_text(line, NOW).isprintable()
    assert json.loads(as_json(line, NOW))["message"] == message


@given(st.text().filter(str.isprintable))
def test_what_can_be_printed_is_left_as_it_is(text):
    assert printable(text) == text


def test_the_bar_shows_how_far_it_is_and_leaves_the_failures_behind():
    console = Console(force_terminal=True, width=120, file=(screen := StringIO()), color_system=None)
    meter = Meter(page_size=100, requests_per_minute=250, clock=Clock())
    with open_bar(meter, console) as observe:
        observe(planned())
        observe(PageStaged(task=TASK, rows=100, total=200))
        observe(TaskFetched(task=TASK, rows=0, error="harbour-yoga 2025-01: \x1b[31mstill 503"))
        observe(Ended(manifests=(make_manifest(totals=Totals(failed=1), state=RunState.FAILED),)))
    shown = screen.getvalue()
    assert "1 of 1 pages, 100 rows, 0 of 250 requests in the last minute, 0:00 left, 1 failed" in shown
    assert "harbour-yoga 2025-01: \\x1b[31mstill 503" in shown
    assert meter.manifests


def test_the_bar_tells_once_what_fails_for_one_reason_in_many_windows_of_a_studio():
    console = Console(force_terminal=True, width=200, file=(screen := StringIO()), color_system=None)
    meter = Meter(page_size=100, requests_per_minute=250, clock=Clock())
    with open_bar(meter, console) as observe:
        observe(planned())
        for task in make_tasks("harbour-yoga"):
            observe(TaskFetched(task=task, rows=0, error=f"{task}: the API refused the credential"))
        observe(TaskFetched(task=task, rows=0, error=f"{task}: another reason"))
    assert screen.getvalue().count("the API refused the credential") == 1
    assert "another reason" in screen.getvalue()
    assert meter.snapshot().failed == 13


def test_an_estimate_says_that_it_is_one():
    seen = Snapshot(
        tasks=10,
        decided=1,
        failed=0,
        pages=1200,
        rows=120_000,
        expected_pages=12_000,
        used=250,
        allowed=250,
        left_s=2592.0,
    )
    assert sentence(seen) == (
        "1,200 of about 12,000 pages, 120,000 rows, 250 of 250 requests in the last minute, 43:12 left"
    )

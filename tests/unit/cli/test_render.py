"""Values as text and as JSON."""

import json
from dataclasses import asdict, replace
from datetime import date, datetime

import pytest

from exporter.cli.commands import extra_columns, location
from exporter.cli.grid import Grid, aligned
from exporter.cli.render import (
    MOST_LINES,
    changes_age_grid,
    changes_run_grid,
    checks_text,
    duration,
    history_grid,
    outcome_lines,
    plan_grid,
    plan_text,
    run_grid,
    run_text,
    shards_grid,
    size,
    to_json,
    verified_text,
)
from exporter.core.manifest import Change, RunState, TaskState, Totals
from exporter.core.moved import moves_of, what_moved
from exporter.core.reconcile import Reconciled
from exporter.core.report import ColumnType
from exporter.core.shards import Shard
from exporter.core.studio import StudioId
from exporter.core.summary import (
    least_requests,
    summarise_manifest,
    summarise_plan,
    summarise_run,
    summarise_runs,
    worst,
)
from exporter.core.window import Window
from exporter.jobs.doctor import Check
from exporter.jobs.meter import Meter
from exporter.jobs.verify import SourceTotal, Verified
from tests.support.run_events import (
    DATASET,
    RUN_ID,
    make_done,
    make_manifest,
    make_object,
    make_plan_of,
    make_record,
    make_tasks,
)

FAILED = make_record("juniper-pilates", state=TaskState.FAILED, error="juniper-pilates 2025-01: still \x1b 503")


def meter():
    return Meter(page_size=100, requests_per_minute=250, clock=lambda: 0.0, peak=12, allowed=500)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (3600, "1:00:00")]
)
def test_durations_have_hours_only_where_there_are_any(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3e15, "3000.0 TB")],
)
def test_sizes_are_told_in_the_unit_that_fits(size_bytes, text):
    assert size(int(size_bytes)) == text


def test_a_cell_cannot_leave_its_line():
    grid = Grid(columns=("run",), rows=(("forged\n\x1b[2Jrun",),))
    assert aligned(grid) == "run\nforged\\n\\x1b[2Jrun\n"


def test_a_table_is_aligned_and_its_numbers_stand_at_the_right():
    grid = Grid(columns=("studio", "rows"), rows=(("harbour-yoga", 1234), ("a", 5)))
    assert aligned(grid) == "studio         rows\nharbour-yoga  1,234\na                 5\n"


def test_a_table_without_rows_is_its_head():
    assert aligned(Grid(columns=("studio", "rows"), rows=())) == "studio  rows\n"


def test_the_worst_dataset_names_the_run():
    assert worst([RunState.OK, RunState.INTERRUPTED, RunState.FAILED]) is RunState.INTERRUPTED
    assert worst([RunState.OK, RunState.FAILED]) is RunState.FAILED
    assert worst([]) is RunState.OK


def test_a_run_is_the_sum_of_its_datasets():
    first = make_manifest(FAILED, state=RunState.FAILED, totals=Totals(tasks=1, failed=1, seconds=2.0))
    second = make_manifest(make_record(), dataset="other", totals=Totals(tasks=1, published=1, seconds=3.0))
    run = summarise_run([first, second])
    assert (run.run_id, run.state, run.totals.tasks, run.totals.seconds) == (RUN_ID, RunState.FAILED, 2, 3.0)
    assert [failure.studio for failure in run.datasets[0].failures] == ["juniper-pilates"]
    assert run.datasets[1].failures == ()


def test_json_says_the_same_as_the_value():
    run = summarise_run([make_manifest(FAILED, state=RunState.FAILED, extra_columns=("colour",))])
    document = json.loads(to_json(run))
    assert document["started_at"] == "2026-03-01T12:00:00Z"
    assert document["totals"] == asdict(run.totals)
    assert document["datasets"][0]["failures"] == [
        {
            "studio": "juniper-pilates",
            "window_start": "2025-01-01",
            "window_end": "2025-02-01",
            "error": FAILED.error,
        }
    ]
    assert document["datasets"][0]["extra_columns"] == ["colour"]
    assert "\x1b" not in to_json(run)


def test_json_refuses_what_it_cannot_say():
    with pytest.raises(TypeError, match="set"):
        to_json({"what": {1}})


def test_runs_are_shown_newest_last_and_only_as_many_as_asked_for():
    manifests = [make_manifest(run_id=f"2026030{day}T000000Z-0", dataset=name) for day in (3, 1, 2) for name in "ab"]
    runs = summarise_runs(map(summarise_manifest, manifests), 2)
    assert [run.run_id[:8] for run in runs] == ["20260302", "20260303"]
    assert [len(run.datasets) for run in runs] == [2, 2]
    assert len(history_grid(runs).rows) == 4


def test_a_plan_tells_each_credential_its_load():
    many = [task for n in range(5) for task in make_tasks(f"studio-{n}", months=1)]
    lone = make_tasks("harbour-yoga", credential="credential-2", months=3)
    plan = make_plan_of(*many, *lone, done=(make_done(lone[0]), make_done(lone[1], settled=False)))
    summary = summarise_plan(plan, page_size=100, requests_per_minute=2)
    assert (summary.tasks, summary.settled, summary.continued, summary.least_requests) == (8, 1, 1, 8)
    assert [(load.tasks, load.least_seconds) for load in summary.credentials] == [(5, 120.0), (3, 60.0)]
    assert summary.least_seconds == 120.0
    assert plan_grid(summary).rows[0] == ("credential-1", "studio-0, studio-1, studio-2 and 2 more", 5, 5, "2:00")
    assert "8 tasks to fetch, 1 settled\n" in plan_text(summary)
    assert "1 tasks were published by the stopped run" in plan_text(summary)
    assert json.loads(to_json(summary))["credentials"][1]["studios"] == ["harbour-yoga"]


def test_a_plan_with_nothing_to_do_says_so():
    summary = summarise_plan(
        make_plan_of(done=(make_done(make_tasks("a")[0]),)), page_size=100, requests_per_minute=250
    )
    assert plan_text(summary) == "nothing to fetch: 1 tasks are settled\n"


@pytest.mark.parametrize(
    ("record", "least"),
    [
        (make_record(total=0), 1),
        (make_record(total=100), 1),
        (make_record(total=101, requests=5, retries=3), 2),
        (make_record(total=None, requests=8, state=TaskState.FAILED), 1),
        (make_record(total=500, requests=2, resumed=True), 2),
        (make_record(total=500, requests=0, resumed=True), 0),
    ],
)
def test_the_least_number_of_requests_is_counted_in_pages(record, least):
    assert least_requests([make_manifest(record)], 100) == least


def test_the_summary_names_every_failure_and_the_way_out():
    totals = Totals(tasks=2, published=1, failed=1, requests=9, retries=7, throttled=2, bytes_in=2000, seconds=1.25)
    run = summarise_run([make_manifest(make_record(), FAILED, state=RunState.FAILED, totals=totals)])
    text = run_text(run, meter(), 2)
    assert "9 requests; 2 is the least possible\n7 retries, 2 throttled\n" in text
    assert "12 of 500 allowed requests in the busiest minute\n" in text
    assert "2.0 kB received, 0 bytes written\n" in text
    assert "failed: juniper-pilates 2025-01: still \\x1b 503\nrun again to retry just these\n" in text
    assert run_grid(run).rows[0][:6] == (DATASET.name, "failed", 2, 1, 0, 1)


def test_the_summary_of_a_stopped_run_says_how_it_goes_on():
    run = summarise_run([make_manifest(make_record(), state=RunState.INTERRUPTED)])
    assert run_text(run, meter(), 1).endswith("run again to go on from there\n")


def test_the_summary_of_a_run_without_tasks_says_that_all_is_settled():
    text = run_text(summarise_run([make_manifest(totals=Totals(settled=12))]), meter(), 0)
    assert "nothing to fetch: all 12 tasks are settled\n" in text
    assert "requests" not in text


def test_the_summary_tells_of_columns_that_nobody_asked_for():
    text = run_text(summarise_run([make_manifest(make_record(), extra_columns=("colour", "size"))]), meter(), 1)
    assert "attendance_strikes_grouped: columns that came without being asked for: colour, size\n" in text


def test_the_summary_tells_what_had_changed_and_what_was_left_as_it_was():
    records = [make_record(changed=change) for change in (None, Change(), Change(rows_gone=1))]
    objects = (make_object(), replace(make_object(), unchanged=True))
    run = summarise_run([make_manifest(*records, objects=objects)])
    assert (run.datasets[0].refetched, run.datasets[0].changed, run.datasets[0].unchanged_objects) == (2, 1, 1)
    assert (
        f"{DATASET.name}: 1 of 2 windows fetched again had changed; 1 partitions were left as they were\n"
    ) in run_text(run, meter(), 1)


def make_reconciled(studio, source):
    return Reconciled(
        studio=studio, start="2025-01-01", end="2025-02-01", published=7, source=source, agrees=source == 7
    )


def test_the_summary_tells_which_totals_the_api_does_not_agree_with_and_counts_their_requests_apart():
    totals = Totals(tasks=1, requests=1, reconcile_requests=2)
    records = (make_reconciled("harbour-yoga", 7), make_reconciled("juniper-pilates", 9))
    run = summarise_run([make_manifest(make_record(), reconciled=records, totals=totals)])
    text = run_text(run, meter(), 1)
    assert "1 requests; 1 is the least possible\n2 more for the API's own totals\n" in text
    assert f"{DATASET.name}: 1 of 2 totals agree with the API's own\n" in text
    assert "warning: juniper-pilates 2025-01-01..2025-02-01: the API counts 9, the rows add up to 7\n" in text
    assert "if the next run says the same, fetch everything with --full\n" in text
    assert json.loads(to_json(run))["datasets"][0]["reconciled"][1]["agrees"] is False


def test_the_summary_of_a_run_that_agrees_gives_no_advice():
    run = summarise_run([make_manifest(make_record(), reconciled=(make_reconciled("harbour-yoga", 7),))])
    text = run_text(run, meter(), 1)
    assert f"{DATASET.name}: 1 of 1 totals agree with the API's own\n" in text
    assert "--full" not in text


def test_what_moved_is_shown_by_run_and_by_age():
    change = Change(rows_added=1, rows_gone=2, rows_recounted=3, measure_change=-4)
    manifests = [make_manifest(make_record(changed=change), run_id=f"run-{n}") for n in range(3)]
    (found,) = what_moved(list(map(moves_of, manifests)), 35)
    grid = changes_run_grid(found, 2)
    assert grid.rows == tuple((f"run-{n}", "2026-03-01 12:00:00", 1, 1, 1, 2, 3, -4) for n in (1, 2))
    assert [row[0] for row in changes_age_grid(found).rows] == ["0-7", "8-14", "15-35", "36-90", "91 or more"]
    assert changes_age_grid(found).rows[-1][1:] == (3, 3, 3, 6, 9, -12)
    assert json.loads(to_json({"changes": (found,)}))["changes"][0]["oldest_change_days"] == 393


def test_every_difference_has_a_line():
    total = SourceTotal(
        studio=StudioId("a"), days=Window(date(2025, 1, 1), date(2025, 2, 1)), published=3, withheld=2, source=4
    )
    found = Verified(
        dataset="d",
        parts=1,
        rows=3,
        measure=3,
        withheld=2,
        differences=("one\x07", "two"),
        source=(total,),
        unconfigured=(StudioId("old"), StudioId("older")),
    )
    text = verified_text([found], "./lake")
    assert text == (
        "d: 1 parts, 3 rows, sum 3\nd: 2 rows of people who are left out are withheld\n"
        "d: rows of studios that are not configured are among them: old, older\n"
        "d: 0 of 1 totals agree with the API's own\n"
        "difference: one\\x07\ndifference: two\n2 differences\n"
    )
    assert json.loads(to_json({"datasets": [found]}))["datasets"][0]["source"] == [
        {
            "studio": "a",
            "days": {"start": "2025-01-01", "end": "2025-02-01"},
            "published": 3,
            "source": 4,
            "withheld": 2,
        }
    ]


def test_a_dataset_without_a_part_is_said_to_be_unpublished_unless_its_parts_are_gone():
    def found(**changes):
        return replace(Verified(dataset="d", parts=0, rows=0, measure=0, differences=()), **changes)

    assert verified_text([found()], "./lake") == "d: nothing is published in ./lake yet\n"
    assert verified_text([found(), found(dataset="e", parts=1)], "./lake") == (
        "d: nothing is published in ./lake yet\ne: 1 parts, 0 rows, sum 0\nno difference\n"
    )
    gone = verified_text([found(differences=("a part is gone",))], "./lake")
    assert gone == "d: 0 parts, 0 rows, sum 0\ndifference: a part is gone\n1 differences\n"


def test_each_check_says_whether_it_is_well():
    checks = (Check(name="clock", ok=True, detail="agrees"), Check(name="sink: put", ok=False, detail="no room"))
    assert checks_text(checks) == "ok       clock: agrees\nproblem  sink: put: no room\n"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("file:///data/my%20lake", "/data/my lake"),
        ("/data/lake", "/data/lake"),
        ("./lake", "{cwd}/lake"),
        ("~/lake", "{home}/lake"),
    ],
)
def test_a_definition_needs_the_whole_location(url, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert location(url) == place.format(cwd=tmp_path, home="/home/somebody")


def test_unasked_columns_have_the_catalogues_type_where_it_knows_them():
    manifests = [
        make_manifest(extra_columns=("venue_id", "colour")),
        make_manifest(extra_columns=("colour",)),
        make_manifest(dataset="other", extra_columns=("size",)),
    ]
    came = [(m.dataset, m.extra_columns) for m in manifests]
    assert extra_columns(DATASET, came) == (
        ("venue_id", ColumnType.INT64),
        ("colour", ColumnType.STRING),
    )


def test_times_are_told_in_utc():
    moment = datetime.fromisoformat("2026-03-01T13:00:00+01:00")
    assert json.loads(to_json({"at": moment})) == {"at": "2026-03-01T12:00:00Z"}


def test_where_very_much_is_to_be_said_the_first_is_shown_and_how_much_more_there_is():
    number = 3 * MOST_LINES
    lanes = [make_tasks(f"studio-{n}", credential=f"credential-{n}", months=1 + n % 12) for n in range(number)]
    plan = summarise_plan(
        make_plan_of(*(task for tasks in lanes for task in tasks)), page_size=100, requests_per_minute=9
    )
    rows = plan_grid(plan).rows
    assert (len(rows), rows[0][3]) == (MOST_LINES, 12)
    assert plan_text(plan).startswith(f"of {number} credentials, the {MOST_LINES} with the most requests; --json has")

    shards = tuple(Shard(index=n, studios=(StudioId("a"),), requests=1, minutes=0.0) for n in range(number))
    assert [row[0] for row in shards_grid(shards).rows] == list(range(MOST_LINES))

    found = Verified(dataset="d", parts=1, rows=1, measure=1, differences=tuple(map(str, range(number))))
    text = verified_text([found], "lake")
    assert text.count("difference: ") == MOST_LINES
    assert f"and {number - MOST_LINES} more; --json has all\n{number} differences\n" in text

    checks = [Check(name=f"credential of {n}", ok=n % 3 > 0, detail="x") for n in range(number)]
    lines = checks_text(checks).splitlines()
    assert sum(line.startswith("problem") for line in lines) == MOST_LINES
    assert lines[-1] == f"ok       {MOST_LINES} more"
    assert len(lines) == 2 * MOST_LINES + 1


def test_totals_that_differ_are_shown_up_to_a_number_and_counted():
    records = tuple(
        Reconciled(studio=f"studio-{n}", start="2025-01-01", end="2025-02-01", published=1, source=2, agrees=False)
        for n in range(3 * MOST_LINES)
    )
    lines = outcome_lines(summarise_run([make_manifest(make_record(), reconciled=records)]))
    assert sum(line.startswith("warning: ") for line in lines) == MOST_LINES
    assert f"and {2 * MOST_LINES} more; --json has all" in lines

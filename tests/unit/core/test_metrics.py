"""The lines that CloudWatch reads metrics from."""

import json

import pytest

from exporter.core.manifest import Change, RunState, Totals
from exporter.core.metrics import UNITS, merge_metrics, run_metrics
from tests.support.run_events import BEGAN_AT, RUN_ID, make_manifest, make_record


def lines(*manifests):
    return run_metrics(manifests, "made-up", BEGAN_AT, rate_used=0.5, peak_memory_bytes=300_000_000)


def merged(*, ok):
    return merge_metrics(["strikes"], "made-up", BEGAN_AT, plan="plan", ok=ok)


@pytest.mark.parametrize("told", [lines(make_manifest()), merged(ok=True)])
def test_every_metric_that_is_announced_is_there_as_a_number_and_no_other_number(told):
    of_the_dataset, of_the_run = told
    for line, dimensions in ((of_the_dataset, ["dataset"]), (of_the_run, [])):
        (announced,) = line["_aws"]["CloudWatchMetrics"]
        assert announced["Namespace"] == "made-up"
        assert announced["Dimensions"] == [dimensions]
        assert all(isinstance(line[name], str) for name in dimensions)
        numbers = {name for name, value in line.items() if isinstance(value, int | float)}
        assert numbers == {metric["Name"] for metric in announced["Metrics"]}
        assert {metric["Name"]: metric["Unit"] for metric in announced["Metrics"]}.items() <= UNITS.items()
        assert line["_aws"]["Timestamp"] == 1_772_366_400_000
        assert json.loads(json.dumps(line)) == line
    assert "dataset" not in of_the_run


def test_a_run_tells_all_of_them():
    assert all({*UNITS} <= {*line} for line in lines(make_manifest()))


def test_each_dataset_has_its_own_sums_and_the_run_has_those_of_all():
    changed = Change(rows_added=1, rows_gone=2, rows_recounted=3, measure_change=-7)
    first = make_manifest(
        make_record(changed=changed),
        make_record("cove"),
        totals=Totals(rows=9, requests=5, reconcile_requests=1, retries=2, throttled=3, failed=4, seconds=1.5),
        state=RunState.INTERRUPTED,
    )
    one, other, run = lines(first, make_manifest(dataset="others", totals=Totals(rows=1, seconds=0.5)))
    assert (one["dataset"], other["dataset"]) == ("attendance_strikes_grouped", "others")
    shown = ("Rows", "RestatedRows", "Requests", "Retries", "Throttled", "FailedTasks", "Seconds", "HandOvers")
    assert [one[name] for name in shown] == [9, 6, 6, 2, 3, 4, 1.5, 1]
    assert [other[name] for name in shown] == [1, 0, 0, 0, 0, 0, 0.5, 0]
    assert [run[name] for name in shown] == [10, 6, 6, 2, 3, 4, 1.5, 1]
    assert [(line["RateUsed"], line["PeakMemory"]) for line in (one, other, run)] == [(50, 300)] * 3
    assert {line["run_id"] for line in (one, other, run)} == {RUN_ID}


@pytest.mark.parametrize(
    ("changes", "counts"),
    [({}, 1), ({"state": RunState.FAILED}, 0), ({"state": RunState.INTERRUPTED}, 0), ({"shard": "plan#3"}, 0)],
)
def test_a_whole_run_that_ended_well_is_a_successful_one_and_a_shard_is_not(changes, counts):
    assert [line["SuccessfulRuns"] for line in lines(make_manifest(**changes))] == [counts, counts]


@pytest.mark.parametrize(("ok", "counts"), [(True, 1), (False, 0)])
def test_of_shards_it_is_the_merge_that_counts(ok, counts):
    assert [(line.get("dataset"), line["SuccessfulRuns"]) for line in merged(ok=ok)] == [
        ("strikes", counts),
        (None, counts),
    ]

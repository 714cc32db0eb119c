"""The lines that CloudWatch reads metrics from."""

import json

from exporter.core.manifest import Change, Totals
from exporter.core.metrics import embedded_metrics
from tests.support.run_events import BEGAN_AT, make_manifest, make_record


def lines(*manifests, more=False):
    return embedded_metrics(manifests, "made-up", BEGAN_AT, more=more, rate_used=0.5, peak_memory_bytes=300_000_000)


def test_every_metric_that_is_announced_is_there_as_a_number_and_no_other_number():
    (line,) = lines(make_manifest())
    (announced,) = line["_aws"]["CloudWatchMetrics"]
    assert announced["Namespace"] == "made-up"
    assert announced["Dimensions"] == [["dataset"]]
    numbers = {name for name, value in line.items() if isinstance(value, int | float)}
    assert numbers == {metric["Name"] for metric in announced["Metrics"]}
    assert line["_aws"]["Timestamp"] == 1_772_366_400_000
    assert json.loads(json.dumps(line)) == line


def test_each_dataset_has_its_own_sums_and_the_run_is_told_with_each():
    changed = Change(rows_added=1, rows_gone=2, rows_recounted=3, measure_change=-7)
    first = make_manifest(
        make_record(changed=changed),
        make_record("cove"),
        totals=Totals(rows=9, requests=5, reconcile_requests=1, retries=2, throttled=3, failed=4, seconds=1.5),
    )
    one, other = lines(first, make_manifest(dataset="others"), more=True)
    assert (one["dataset"], other["dataset"]) == ("attendance_strikes_grouped", "others")
    shown = ("Rows", "RestatedRows", "Requests", "Retries", "Throttled", "FailedTasks", "Seconds")
    assert [one[name] for name in shown] == [9, 6, 6, 2, 3, 4, 1.5]
    assert [other[name] for name in shown] == [0] * 7
    assert [(line["HandOvers"], line["RateUsed"], line["PeakMemory"]) for line in (one, other)] == [(1, 50, 300)] * 2

"""What a run cost and did, as lines that CloudWatch reads metrics from. Pure.

Each dataset has a line, with its name as dimension, and the run has one without dimensions, which alarms look at.
Source: Amazon CloudWatch user guide, "Specification: Embedded metric format".
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from exporter.core.manifest import Manifest, RunState, sum_totals
from exporter.core.summary import worst

#: Names and units of all measures, in CloudWatch's words.
UNITS: Mapping[str, str] = {
    "Rows": "Count",
    "RestatedRows": "Count",
    "Requests": "Count",
    "Retries": "Count",
    "Throttled": "Count",
    "FailedTasks": "Count",
    "HandOvers": "Count",
    "SuccessfulRuns": "Count",
    "Seconds": "Seconds",
    "RateUsed": "Percent",
    "PeakMemory": "Megabytes",
}


def run_metrics(
    manifests: Sequence[Manifest], namespace: str, now: datetime, *, rate_used: float, peak_memory_bytes: int
) -> list[dict[str, object]]:
    """The lines of a run, or of a shard, which counts as no successful run by itself.

    Args:
        manifests: at least one.
        namespace: of the metrics.
        now: aware.
        rate_used: of the requests that all credentials are allowed a minute, the share in the busiest minute.
        peak_memory_bytes: of the process.
    """
    of = functools.partial(measures, rate_used=rate_used, peak_memory_bytes=peak_memory_bytes)
    whole = {"run_id": manifests[0].run_id}
    lines = [_line(namespace, now, of([manifest]), {**whole, "dataset": manifest.dataset}) for manifest in manifests]
    return [*lines, _line(namespace, now, of(manifests), whole)]


def merge_metrics(
    datasets: Iterable[str], namespace: str, now: datetime, *, plan: str, ok: bool
) -> list[dict[str, object]]:
    """The lines of a plan whose shards have ended; what they did is in their own."""
    values = {"SuccessfulRuns": int(ok)}
    whole = {"run_id": plan}
    lines = [_line(namespace, now, values, {**whole, "dataset": dataset}) for dataset in datasets]
    return [*lines, _line(namespace, now, values, whole)]


def _line(namespace: str, now: datetime, values: Mapping[str, float], about: Mapping[str, str]) -> dict[str, object]:
    announced = {
        "Namespace": namespace,
        "Dimensions": [["dataset"] if "dataset" in about else []],
        "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
    }
    return {
        "_aws": {"Timestamp": round(now.timestamp() * 1000), "CloudWatchMetrics": [announced]},
        **about,
        **values,
    }


def measures(manifests: Sequence[Manifest], *, rate_used: float, peak_memory_bytes: int) -> dict[str, float]:
    """Each of `UNITS`, of the datasets of one run; the arguments are those of `run_metrics`."""
    changes = [task.changed for manifest in manifests for task in manifest.tasks if task.changed]
    totals = sum_totals(manifests)
    state = worst(manifest.state for manifest in manifests)
    return {
        "Rows": totals.rows,
        "RestatedRows": sum(change.rows_added + change.rows_gone + change.rows_recounted for change in changes),
        "Requests": totals.requests + totals.reconcile_requests,
        "Retries": totals.retries,
        "Throttled": totals.throttled,
        "FailedTasks": totals.failed,
        "HandOvers": int(state is RunState.INTERRUPTED),
        "SuccessfulRuns": int(state is RunState.OK and not manifests[0].shard),
        "Seconds": totals.seconds,
        "RateUsed": 100 * rate_used,
        "PeakMemory": peak_memory_bytes / 10**6,
    }

"""What a run cost and did, as measures; also as lines that CloudWatch reads them from. Pure.

Source: Amazon CloudWatch user guide, "Specification: Embedded metric format".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from exporter.core.manifest import Manifest

#: Names and units of all measures, in CloudWatch's words.
UNITS: Mapping[str, str] = {
    "Rows": "Count",
    "RestatedRows": "Count",
    "Requests": "Count",
    "Retries": "Count",
    "Throttled": "Count",
    "FailedTasks": "Count",
    "HandOvers": "Count",
    "Seconds": "Seconds",
    "RateUsed": "Percent",
    "PeakMemory": "Megabytes",
}


def embedded_metrics(
    manifests: Sequence[Manifest],
    namespace: str,
    now: datetime,
    *,
    more: bool,
    rate_used: float,
    peak_memory_bytes: int,
) -> list[dict[str, object]]:
    """One line for each dataset, which is the dimension.

    Args:
        manifests: of the run.
        namespace: of the metrics.
        now: aware.
        more: whether the run was handed over.
        rate_used: of the requests that all credentials are allowed a minute, the share in the busiest minute.
        peak_memory_bytes: of the process.
    """
    head = {
        "Timestamp": round(now.timestamp() * 1000),
        "CloudWatchMetrics": [
            {
                "Namespace": namespace,
                "Dimensions": [["dataset"]],
                "Metrics": [{"Name": name, "Unit": unit} for name, unit in UNITS.items()],
            }
        ],
    }
    return [
        {
            "_aws": head,
            "dataset": manifest.dataset,
            "run_id": manifest.run_id,
            **measures(manifest, more=more, rate_used=rate_used, peak_memory_bytes=peak_memory_bytes),
        }
        for manifest in manifests
    ]


def measures(manifest: Manifest, *, more: bool, rate_used: float, peak_memory_bytes: int) -> dict[str, float]:
    """Each of `UNITS`, of one dataset; the arguments are those of `embedded_metrics`."""
    changes = [task.changed for task in manifest.tasks if task.changed]
    totals = manifest.totals
    return {
        "Rows": totals.rows,
        "RestatedRows": sum(change.rows_added + change.rows_gone + change.rows_recounted for change in changes),
        "Requests": totals.requests + totals.reconcile_requests,
        "Retries": totals.retries,
        "Throttled": totals.throttled,
        "FailedTasks": totals.failed,
        "HandOvers": int(more),
        "Seconds": totals.seconds,
        "RateUsed": 100 * rate_used,
        "PeakMemory": peak_memory_bytes / 10**6,
    }

"""The lines that CloudWatch reads metrics from, where they are wanted."""

import json
from collections.abc import Mapping
from datetime import datetime

from exporter.core.metrics import run_metrics
from exporter.jobs.meter import Meter
from exporter.process import peak_memory_bytes

#: Names the namespace of the metrics that are written into the log; where it is not set, there are none.
VARIABLE = "EXPORTER_METRICS_NAMESPACE"


def metric_lines(meter: Meter, environ: Mapping[str, str], now: datetime) -> list[str]:
    """The lines of the run that *meter* counted; none where it recorded nothing, or no namespace is set."""
    namespace = environ.get(VARIABLE)
    if not namespace or not meter.manifests:
        return []
    lines = run_metrics(
        meter.manifests, namespace, now, rate_used=meter.rate_used, peak_memory_bytes=peak_memory_bytes()
    )
    return [json.dumps(line) for line in lines]

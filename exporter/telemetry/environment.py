"""What the environment asks of OpenTelemetry, in the SDK's own variables: which signals go where.

Rules kept here: where nothing is asked for, or the SDK is not installed, nothing of it is imported; providers belong
to one run, none is global.

Source: OpenTelemetry's specification, "Environment Variable Specification"; but its default of sending to this machine
where nothing is set is left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from exporter import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

#: What the program calls itself where the environment has no other name.
SERVICE = "studio-exporter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Who takes traces and metrics of one run, and attributes of the server that it asks."""

    tracers: "TracerProvider"
    meters: "MeterProvider"
    server: Mapping[str, str | int] = field(default_factory=dict)


def off() -> None:
    """Nobody is told."""


def telemetry_of(environ: Mapping[str, str], base_url: str) -> Telemetry | None:
    """What *environ* asks for, new at each call; None where it asks for nothing, or the SDK is not installed.

    Args:
        environ: the process's own, since the SDK looks at that too.
        base_url: of the report API.

    Raises:
        LookupError: it names an exporter that is not installed; the message is for a person.
    """
    traces, metrics = exporters("TRACES", environ), exporters("METRICS", environ)
    if not traces and not metrics:
        return None
    # The second question imports what the first one is about.
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        return None
    return _make(traces, metrics, server_of(base_url))


def exporters(signal: str, environ: Mapping[str, str]) -> Sequence[str]:
    """The entry points of the exporters of one signal, "TRACES" or "METRICS"; none where it is off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    places = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    named = environ.get(f"OTEL_{signal}_EXPORTER") or ("otlp" if any(map(environ.get, places)) else "none")
    protocol = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    names = [name.strip() for name in named.split(",")]
    return [otlp if name == "otlp" else name for name in names if name != "none"]


def server_of(base_url: str) -> dict[str, str | int]:
    """Attributes of the server at *base_url*."""
    parts = urlsplit(base_url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return {"server.address": parts.hostname or "", "server.port": port}


def _make(traces: Sequence[str], metrics: Sequence[str], server: Mapping[str, str | int]) -> Telemetry:
    # Only where it is on, hence down here.
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - see above
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415 - see above
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 - see above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - see above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - see above

    # All are looked up before the first is made: each has a thread.
    of_spans: list[Callable[[], SpanExporter]] = [_load("traces", name) for name in traces]
    of_metrics: list[Callable[[], MetricExporter]] = [_load("metrics", name) for name in metrics]
    # Merged in this order, what the environment says comes before what is said here.
    ours = Resource.create({"service.name": SERVICE, "service.version": __version__})
    resource = ours.merge(OTELResourceDetector().detect())
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    for make in of_spans:
        tracers.add_span_processor(BatchSpanProcessor(make()))
    readers = [PeriodicExportingMetricReader(make()) for make in of_metrics]
    meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    return Telemetry(tracers=tracers, meters=meters, server=server)


def _load(signal: str, name: str) -> Any:
    from importlib.metadata import entry_points  # noqa: PLC0415 - a start without telemetry need not read packages

    for found in entry_points(group=f"opentelemetry_{signal}_exporter", name=name):
        return found.load()
    raise LookupError(f'there is no exporter "{name}" of {signal}; install its package, or correct the OTEL_ variables')

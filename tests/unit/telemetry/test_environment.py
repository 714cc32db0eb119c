"""Which signals go where, by the SDK's own variables."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from exporter.telemetry.environment import exporters, server_of, telemetry_of

BASE_URL = "https://api.example.test/v2"


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        ({}, [], []),
        ({"OTEL_SERVICE_NAME": "nightly"}, [], []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, [], []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, ["otlp_proto_http"], ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, ["otlp_proto_http"], []),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, [], ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp_proto_http"], []),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ["console", "otlp_proto_http"], []),
        ({"OTEL_TRACES_EXPORTER": "none"}, [], []),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, [], ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"], []),
        ({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, [], ["otlp_proto_grpc"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "True"}, [], []),
    ],
)
def test_a_signal_is_on_where_an_exporter_or_a_place_for_it_is_named(environ, traces, metrics):
    assert list(exporters("TRACES", environ)) == traces
    assert list(exporters("METRICS", environ)) == metrics


def test_where_nothing_is_asked_for_there_is_nothing():
    assert telemetry_of({}, BASE_URL) is None


def test_an_exporter_that_is_not_installed_is_named():
    with pytest.raises(LookupError, match='no exporter "unheard-of" of traces'):
        telemetry_of({"OTEL_TRACES_EXPORTER": "unheard-of"}, BASE_URL)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "studio-exporter"),
        ({"OTEL_SERVICE_NAME": "nightly"}, "nightly"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=weekly"}, "weekly"),
    ],
)
def test_the_environment_names_the_service(environ, name, monkeypatch):
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    made = telemetry_of({"OTEL_TRACES_EXPORTER": "console"}, BASE_URL)
    assert made.tracers.resource.attributes["service.name"] == name
    assert isinstance(made.meters, MeterProvider)
    made.tracers.shutdown()
    made.meters.shutdown()


@pytest.mark.parametrize(
    ("base_url", "address", "port"),
    [
        (BASE_URL, "api.example.test", 443),
        ("http://127.0.0.1:8080", "127.0.0.1", 8080),
        ("http://a.test", "a.test", 80),
    ],
)
def test_the_server_is_told_by_its_name_and_port(base_url, address, port):
    assert server_of(base_url) == {"server.address": address, "server.port": port}

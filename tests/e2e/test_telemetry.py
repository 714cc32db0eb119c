"""OpenTelemetry: what is told of whole runs, to exporters in memory and to a collector on this machine."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from exporter.app_choice import Choice
from exporter.core.metrics import UNITS
from exporter.errors import ConfigError, StoreError
from exporter.jobs.events import NotPublished, Opened
from exporter.lambda_handler import handler
from exporter.sandbox.faults import parse_faults
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from exporter.telemetry.environment import Telemetry, server_of
from exporter.telemetry.watch import FLUSH_S
from tests.support.command import Exporter
from tests.support.dying_store import RememberingStore
from tests.support.exports import DATASET, bench, config_for, small_world, tokens_of
from tests.support.leaks import leaked_words
from tests.support.meddling_store import MeddlingStore


@dataclass
class Told:
    """What was told in memory."""

    spans: InMemorySpanExporter
    metrics: object = None

    def named(self, prefix):
        return [span for span in self.spans.get_finished_spans() if span.name.startswith(prefix)]

    @property
    def points(self):
        """Name of a metric -> its only value."""
        ((metrics,),) = ([scope.metrics for scope in r.scope_metrics] for r in self.metrics.resource_metrics)
        return {metric.name: point.value for metric in metrics for point in metric.data.data_points}


def in_memory(app):
    """Have *app* tell of its next run in memory."""
    told = Told(InMemorySpanExporter())
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(told.spans))

    class Reader(InMemoryMetricReader):
        def shutdown(self, timeout_millis=30_000, **more):
            told.metrics = self.get_metrics_data()
            super().shutdown(timeout_millis, **more)

    meters = MeterProvider([Reader()], shutdown_on_exit=False)
    server = server_of(app.settings.api.base_url)
    app.telemetry = lambda: Telemetry(tracers=tracers, meters=meters, server=server)
    return told


async def told_by(running, observer=lambda _: None, choice=None, **changes):
    """What one run told, and its manifests or what ended it."""
    app = running.app(**changes)
    told = in_memory(app)
    try:
        return told, await app.run(choice or Choice(), observer)
    except (ConfigError, StoreError) as error:
        return told, error


def children(spans, parent):
    return [span for span in spans if span.parent and span.parent.span_id == parent.context.span_id]


async def test_spans_of_requests_lie_in_those_of_their_task_and_all_in_that_of_the_run():
    async with bench() as running:
        told, (manifest,) = await told_by(running)
    (run,), tasks, publications, requests = (told.named(name) for name in ("run", "task", "publish", "GET "))
    assert run.parent is None
    assert run.attributes["exporter.run_id"] == manifest.run_id
    assert run.attributes["exporter.state"] == "ok"
    assert children(tasks, run) == tasks
    assert children(publications, run) == publications
    assert len(publications) == len(manifest.objects)
    assert {span.attributes["exporter.key"]: span.attributes["exporter.rows"] for span in publications} == {
        record.key: record.rows for record in manifest.objects
    }
    of_tasks = {(s.attributes["exporter.studio"], s.attributes["exporter.window"]): s for s in tasks}
    assert len(of_tasks) == len(tasks) == len(manifest.tasks)
    for task in manifest.tasks:
        span = of_tasks[task.studio, f"{task.window_start}/{task.window_end}"]
        assert span.attributes["exporter.rows"] == task.rows
        inner = children(requests, span)
        assert len(inner) == task.requests
        assert all(span.start_time <= request.start_time <= request.end_time <= span.end_time for request in inner)
    assert sum(len(children(requests, task)) for task in tasks) == len(requests) == manifest.totals.requests


async def test_a_request_is_told_by_the_conventions_without_its_query():
    async with bench(small_world(1)) as running:
        told, _ = await told_by(running)
        _, _, port = running.sandbox.base_url.rpartition(":")
    request = told.named("GET ")[0]
    assert request.name == f"GET {request.attributes['url.template']}"
    assert request.attributes["http.request.method"] == "GET"
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["server.address"] == "127.0.0.1"
    assert request.attributes["server.port"] == int(port.partition("/")[0])
    assert request.attributes["exporter.attempt"] == 1
    for span in told.spans.get_finished_spans():
        assert "?" not in span.to_json()
        assert not leaked_words(span.to_json())


async def test_each_attempt_of_a_retried_request_has_a_span():
    options = SandboxOptions(rate=None, faults=parse_faults("503@2,429@4"))
    async with bench(options=options) as running:
        told, (manifest,) = await told_by(running)
    requests = told.named("GET ")
    assert len(requests) == manifest.totals.requests
    again = [span for span in requests if span.attributes["exporter.attempt"] == 2]
    assert [span.attributes["http.request.resend_count"] for span in again] == [1, 1]
    refused = [span for span in requests if span.status.status_code is StatusCode.ERROR]
    assert sorted(span.attributes["error.type"] for span in refused) == ["429", "503"]


async def test_a_failed_task_has_a_span_with_an_error_and_so_has_its_run():
    async with bench(options=SandboxOptions(rate=None, faults=parse_faults("503@2"))) as running:
        told, (manifest,) = await told_by(running, api="max_attempts = 1")
    (failed,) = [task for task in manifest.tasks if task.error]
    (span,) = [span for span in told.named("task") if span.status.status_code is StatusCode.ERROR]
    assert span.status.description == failed.error
    assert span.attributes["exporter.studio"] == failed.studio
    (run,) = told.named("run")
    assert (run.status.status_code, run.attributes["exporter.state"]) == (StatusCode.ERROR, "failed")


async def test_a_partition_that_cannot_be_published_has_a_span_with_an_error_and_a_line():
    store, events = MeddlingStore(), []
    async with bench(store=store) as running:

        async def meddle():
            await running.run(Choice(), report='columns = ["customer_id", "count"]')

        store.meddle = meddle
        told, (manifest,) = await told_by(running, events.append)
    failed = [span for span in told.named("publish") if span.status.status_code is StatusCode.ERROR]
    lines = [event for event in events if isinstance(event, NotPublished)]
    assert failed
    assert [(span.attributes["exporter.key"], span.status.description) for span in failed] == [
        (event.partition.key, event.error) for event in lines
    ]
    assert manifest.totals.failed == sum(event.tasks for event in lines)


async def test_what_is_open_when_a_run_is_stopped_ends_with_it():
    async with bench(options=SandboxOptions(rate=None, latency_ms=20)) as running:
        app = running.app()
        told = in_memory(app)
        work = asyncio.create_task(app.run(Choice(), lambda event: isinstance(event, Opened) and work.cancel()))
        with pytest.raises(asyncio.CancelledError):
            await work
    (run,) = told.named("run")
    assert (run.attributes["exporter.state"], run.status.status_code) == ("interrupted", StatusCode.UNSET)
    tasks = told.named("task")
    assert tasks
    assert all([event.name for event in task.events] == ["interrupted"] for task in tasks)
    assert told.points["exporter.hand_overs"] == 1


async def test_what_ends_a_run_is_told_with_it():
    store = RememberingStore()
    await store.put(f"{DATASET}/month=2025-01/part-00000.parquet", b"no part")
    async with bench(store=store) as running:
        told, error = await told_by(running)
    (run,) = told.named("run")
    assert run.attributes["error.type"] == "ConfigError"
    assert run.status.description == str(error)


async def test_metrics_say_of_a_run_what_its_summary_says():
    async with bench(options=SandboxOptions(rate=None, faults=parse_faults("503@2,429@4"))) as running:
        told, (manifest,) = await told_by(running)
        again, (second,) = await told_by(running, choice=Choice(full=True))
    for points, written in ((told.points, manifest), (again.points, second)):
        assert len(points) == len(UNITS)
        totals = written.totals
        assert (points["exporter.rows"], points["exporter.requests"]) == (totals.rows, totals.requests)
        assert (points["exporter.retries"], points["exporter.throttled"]) == (totals.retries, totals.throttled)
        assert (points["exporter.failed_tasks"], points["exporter.restated_rows"]) == (totals.failed, 0)
        assert points["exporter.seconds"] == totals.seconds
        assert 0 < points["exporter.peak_memory"] < 10_000
    assert told.points["exporter.retries"] == 2


@asynccontextmanager
async def collector():
    """A collector that speaks OTLP over HTTP: its address, and what came, as messages."""
    came = []

    def taking(kind):
        async def take(request):
            came.append(kind.FromString(await request.read()))
            return web.Response(content_type="application/x-protobuf")

        return take

    app = web.Application()
    app.router.add_post("/v1/traces", taking(ExportTraceServiceRequest))
    app.router.add_post("/v1/metrics", taking(ExportMetricsServiceRequest))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", came
    finally:
        await runner.cleanup()


@asynccontextmanager
async def program(folder, **environ):
    """The program in *folder*, over a sandbox."""
    world = small_world(1)
    async with serve(world, SandboxOptions(rate=None)) as sandbox:
        (folder / "exporter.toml").write_text(config_for(sandbox.base_url, world))
        yield Exporter(folder, tokens_of(world) | environ)


async def test_the_program_sends_all_it_has_to_tell_before_it_ends(tmp_path):
    async with collector() as (url, came), program(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url) as exporter:
        ended = await exporter("run", "--json")
    assert (ended.code, [line["level"] for line in ended.log if line["level"] != "info"]) == (0, [])
    traces, metrics = (
        [message for message in came if isinstance(message, kind)]
        for kind in (ExportTraceServiceRequest, ExportMetricsServiceRequest)
    )
    resources = [resource for message in traces for resource in message.resource_spans]
    names = [span.name for resource in resources for scope in resource.scope_spans for span in scope.spans]
    totals = ended.document["totals"]
    assert sum(name.startswith("GET ") for name in names) == totals["requests"]
    assert (names.count("task"), names.count("run")) == (totals["tasks"], 1)
    assert {a.value.string_value for a in resources[0].resource.attributes if a.key == "service.name"} == {
        "studio-exporter"
    }
    assert metrics
    assert not [word for message in came for word in leaked_words(str(message))]


async def test_a_function_has_sent_all_it_has_to_tell_before_it_answers(tmp_path, monkeypatch):
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 300_000)
    async with collector() as (url, came), program(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url) as exporter:
        for name, value in exporter.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        for number in (1, 2):  # a warm start tells of its own run alone
            answer = await asyncio.to_thread(handler, {"full": True}, context)
            told = [str(message) for message in came if isinstance(message, ExportTraceServiceRequest)]
            assert (answer["state"], sum(text.count('name: "run"') for text in told)) == ("ok", number)


@pytest.mark.parametrize(
    "wrong",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_TRACES_EXPORTER": "unheard-of"},
        {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_COMPRESSION": "unheard-of"},
    ],
    ids=["nobody listens", "no such exporter", "no such compression"],
)
async def test_a_collector_that_cannot_be_reached_costs_one_warning_and_no_exit_code(tmp_path, wrong):
    async with program(tmp_path, **wrong, OTEL_EXPORTER_OTLP_TIMEOUT="1") as exporter:
        ended = await exporter("run", "--json")
    assert (ended.code, ended.document["state"]) == (0, "ok")
    (warning,) = [line for line in ended.log if line["level"] != "info"]
    assert (warning["event"], warning["level"]) == ("telemetry", "warning")


async def test_a_collector_that_never_answers_is_waited_for_no_longer_than_a_moment(tmp_path):
    async def swallow(reader, writer):
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with program(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url) as exporter:
        began = asyncio.get_running_loop().time()
        ended = await exporter("run")
    assert ended.code == 0
    assert [line["event"] for line in ended.log if line["level"] != "info"] == ["telemetry"]
    assert asyncio.get_running_loop().time() - began < 4 * FLUSH_S
    server.close()

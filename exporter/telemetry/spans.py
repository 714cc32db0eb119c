"""A run as OpenTelemetry's spans, made of what an observer is told: run > task > request, and run > publish.

Rules kept here: only OpenTelemetry's interface is used, what is done with a span is the SDK's; names and attributes
follow its semantic conventions, and `exporter.` stands before our own; neither the address of a request nor anything
of its answer is told, since filters and rows are of people; spans are made when something ended, so that whoever does
the work knows nothing of them.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from exporter.api.base import Attempt, AttemptOutcome
from exporter.core.manifest import RunState, sum_totals
from exporter.core.plan import Task, TaskId
from exporter.core.summary import worst
from exporter.errors import ExporterError
from exporter.jobs.events import (
    Attempted,
    Ended,
    Event,
    NotPublished,
    Opened,
    PartitionPublished,
    Planned,
    Publishing,
    Refetched,
    TaskFetched,
)

#: What an error is called that has no name of its own. Source: semantic conventions, "error.type".
_OTHER = "_OTHER"

_NS_PER_S = 10**9


class Spans:
    """An observer that makes spans, all of them inside `run`."""

    def __init__(self, tracer: Tracer, server: Mapping[str, str | int]) -> None:
        """No span is open.

        Args:
            tracer: makes spans.
            server: attributes of whoever is asked.
        """
        self._tracer = tracer
        self._server = server
        self._run: Span = trace.INVALID_SPAN
        self._tasks: dict[TaskId, Span] = {}
        self._partitions: dict[str, Span] = {}

    @contextmanager
    def run(self) -> Iterator[None]:
        """The span of the run; what is open when the block is left ends with it."""
        self._run = self._tracer.start_span("run")
        try:
            yield
        except asyncio.CancelledError:
            self._run.set_attribute("exporter.state", RunState.INTERRUPTED.value)
            raise
        except ExporterError as error:
            self._fail_run(error, str(error))
            raise
        except BaseException as error:
            self._fail_run(error, type(error).__name__)  # what it says may be of anything
            raise
        finally:
            for span in (*self._tasks.values(), *self._partitions.values()):
                span.add_event("interrupted")
                span.end()
            self._run.end()

    def _fail_run(self, error: BaseException, said: str) -> None:
        self._run.set_attribute("error.type", type(error).__name__)
        self._run.set_status(StatusCode.ERROR, said)

    def __call__(self, event: Event) -> None:
        """Begin or end what *event* tells of."""
        match event:
            case Planned(run_id=run_id):
                self._run.set_attribute("exporter.run_id", run_id)
            case Opened(task=task):
                self._tasks[task.id] = self._begin_task(task)
            case Attempted(attempt=attempt):
                self._request(attempt)
            case Refetched(task=task, reason=reason):
                self._tasks[task.id].add_event("refetched", {"exporter.reason": reason})
            case TaskFetched(task=task):
                span = self._tasks.pop(task.id, None) or self._begin_task(task)
                span.set_attribute("exporter.rows", event.rows)
                _end(span, event.error)
            case Publishing() | PartitionPublished() | NotPublished():
                self._publication(event)
            case Ended(manifests=manifests):
                state = worst(manifest.state for manifest in manifests)
                totals = sum_totals(manifests)
                self._run.set_attributes({"exporter.state": state.value, "exporter.rows": totals.rows})
                if state is RunState.FAILED:
                    self._run.set_status(StatusCode.ERROR, f"{totals.failed} tasks failed")

    def _publication(self, event: Publishing | PartitionPublished | NotPublished) -> None:
        match event:
            case Publishing(partition=partition):
                about = {"exporter.dataset": partition.dataset, "exporter.key": partition.key}
                self._partitions[partition.key] = self._begin("publish", about)
            case PartitionPublished(object=record):
                span = self._partitions.pop(record.key)
                span.set_attributes({"exporter.rows": record.rows, "exporter.unchanged": record.unchanged})
                _end(span)
            case NotPublished(partition=partition, error=error):
                _end(self._partitions.pop(partition.key), error)

    def _begin(self, name: str, attributes: Mapping[str, str]) -> Span:
        return self._tracer.start_span(name, trace.set_span_in_context(self._run), attributes=attributes)

    def _begin_task(self, task: Task) -> Span:
        window = f"{task.window.start.isoformat()}/{task.window.end.isoformat()}"
        return self._begin(
            "task",
            {"exporter.dataset": task.dataset.name, "exporter.studio": task.studio.id, "exporter.window": window},
        )

    def _request(self, attempt: Attempt) -> None:
        """One attempt, which has just ended; a total over many windows is no task's."""
        request = attempt.request
        template = request.dataset.spec.path
        parent = self._tasks.get((request.dataset.name, request.studio.id, request.window), self._run)
        ended_at = time.time_ns()
        span = self._tracer.start_span(
            f"GET {template}",
            trace.set_span_in_context(parent),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": "GET",
                "url.template": template,
                **self._server,
                "http.response.body.size": attempt.size_bytes,
                "exporter.studio": request.studio.id,
                "exporter.attempt": attempt.number,
            },
            start_time=ended_at - round(attempt.seconds * _NS_PER_S),
        )
        if attempt.status is not None:
            span.set_attribute("http.response.status_code", attempt.status)
        if attempt.number > 1:
            span.set_attribute("http.request.resend_count", attempt.number - 1)
        if attempt.outcome is not AttemptOutcome.OK:
            refused = attempt.status is not None and attempt.status >= 400  # noqa: PLR2004 - HTTP's own border
            span.set_attribute("error.type", str(attempt.status) if refused else _OTHER)
            span.set_status(StatusCode.ERROR)
        span.end(ended_at)


def _end(span: Span, error: str | None = None) -> None:
    if error is not None:
        span.set_status(StatusCode.ERROR, error)
    span.end()

"""Looks on while a run works, and tells OpenTelemetry: a trace of what is done, and its measures in the end.

Rules kept here: where telemetry is off, whoever looked on before does so alone; whoever collects may be slow or gone
without any effect on the run but one warning.
"""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager

from exporter import __version__
from exporter.core.manifest import Manifest
from exporter.core.metrics import UNITS, measures
from exporter.jobs.events import Ended, Event, Observer, TelemetryLost
from exporter.jobs.meter import Meter
from exporter.process import peak_memory_bytes
from exporter.telemetry.environment import Telemetry

#: How long the end of a run waits until what is left is delivered.
FLUSH_S = 5.0

_SCOPE = "exporter"

_UNDELIVERED = "traces or metrics may not all have reached the collector; check OTEL_EXPORTER_OTLP_ENDPOINT"

#: Units in the words of OpenTelemetry. Source: its semantic conventions, "Instrument Units" (UCUM).
_UCUM = {"Count": "1", "Seconds": "s", "Percent": "%", "Megabytes": "MBy"}


@asynccontextmanager
async def watched(
    observer: Observer, make_telemetry: Callable[[], Telemetry | None], make_meter: Callable[[], Meter]
) -> AsyncIterator[Observer]:
    """An observer for one run: *observer* and, where it is on, telemetry; what is left of it is delivered at the end.

    Args:
        observer: is told everything, and first.
        make_telemetry: as `telemetry_of`.
        make_meter: makes what counts for the measures.
    """
    with _complaints() as complaints:
        telemetry = _make(make_telemetry, observer)
        if telemetry is None:
            yield observer
            return
        from exporter.telemetry.spans import Spans  # noqa: PLC0415 - OpenTelemetry, where it is on

        spans = Spans(telemetry.tracers.get_tracer(_SCOPE, __version__), telemetry.server)
        meter = make_meter()

        def look_on(event: Event) -> None:
            observer(event)
            meter.note(event)
            spans(event)
            if isinstance(event, Ended):
                _record(telemetry, event.manifests, meter)

        try:
            with spans.run():
                yield look_on
        finally:
            ends = (telemetry.tracers.shutdown, telemetry.meters.shutdown)
            ended = await asyncio.gather(*(_is_done(end) for end in ends))
            if complaints.heard or not all(ended):
                observer(TelemetryLost(reason=_UNDELIVERED))


def _make(make_telemetry: Callable[[], Telemetry | None], observer: Observer) -> Telemetry | None:
    """Telemetry where it is on and can be made."""
    try:
        return make_telemetry()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the run is worth more
        reason = str(error) if isinstance(error, LookupError) else f"it cannot be set up ({type(error).__name__})"
        observer(TelemetryLost(reason=reason))
        return None


def _record(telemetry: Telemetry, manifests: Sequence[Manifest], meter: Meter) -> None:
    """The measures of each dataset."""
    instruments = telemetry.meters.get_meter(_SCOPE, __version__)
    for manifest in manifests:
        about = {"exporter.dataset": manifest.dataset}
        found = measures(
            [manifest],
            rate_used=meter.rate_used,
            peak_memory_bytes=peak_memory_bytes(),
        )
        for measure, unit in UNITS.items():
            name = "exporter." + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", measure).lower()
            if unit == "Count":
                instruments.create_counter(name, _UCUM[unit]).add(found[measure], about)
            else:
                instruments.create_gauge(name, _UCUM[unit]).set(found[measure], about)


async def _is_done(end: Callable[[], None]) -> bool:
    """Call *end*, which may block for longer than anybody waits; whether it was done in time, and well."""
    done: Future[bool] = Future()
    done.set_running_or_notify_cancel()

    def work() -> None:
        try:
            end()
        except Exception:  # noqa: BLE001 - that it failed is all that is asked
            done.set_result(False)
        else:
            done.set_result(True)

    # Not the loop's own threads: the end of the loop waits for those.
    threading.Thread(target=work, daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.wrap_future(done), FLUSH_S)
    except TimeoutError:
        return False


class _Complaints(logging.Handler):
    """Hears what the SDK has to say, which may name addresses and headers, and repeats nothing of it."""

    heard = False

    def emit(self, record: logging.LogRecord) -> None:
        # An exporter warns of each attempt that it will repeat.
        if record.levelno >= logging.ERROR or record.name.startswith("opentelemetry.sdk"):
            self.heard = True


@contextmanager
def _complaints() -> Iterator[_Complaints]:
    logger = logging.getLogger("opentelemetry")
    if not logger.handlers:
        # For good: a thread that is still trying may speak later.
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
    complaints = _Complaints(logging.WARNING)
    logger.addHandler(complaints)
    try:
        yield complaints
    finally:
        logger.removeHandler(complaints)

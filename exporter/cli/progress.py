"""Who looks on while a run works: a live bar for a person, or lines for a log; always on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from exporter.cli.output import is_terminal, tell
from exporter.core.text import printable
from exporter.jobs.events import Observer
from exporter.jobs.lines import Line, LineLog, as_json
from exporter.jobs.meter import Meter


def log_style(log_format: str | None) -> str:
    """How a run is told: "json" or "text" as asked for, else "bar" where a person looks at stderr, else "json"."""
    return log_format or ("bar" if is_terminal(sys.stderr) else "json")


def complain(message: str, style: str | None) -> None:
    """Say why a command could not go on; as an object where its log, told in *style*, is made of objects."""
    if style == "json":
        tell(as_json(Line(level="error", event="stopped", message=message), datetime.now(UTC)))
    else:
        tell(f"exporter: {printable(message)}")


@contextmanager
def open_progress(meter: Meter, log_format: str | None) -> Iterator[Observer]:
    """An observer for one run, and what it shows for as long as the block lasts.

    Args:
        meter: is told every event.
        log_format: "json" or "text"; None for a bar on a terminal and JSON elsewhere.
    """
    match log_style(log_format):
        case "bar":
            from exporter.cli.bar import open_bar  # noqa: PLC0415 - rich, where it is used

            with open_bar(meter) as bar:
                yield bar
        case style:
            yield LineLog(meter, tell, objects=style == "json")

"""A live bar on stderr: pages, rows, use of the rate limit, time left, failures; it leaves the failures behind.

What fails for one reason in many windows of a studio is told once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exporter.cli.render import duration
from exporter.core.failures import reason_of
from exporter.core.text import printable
from exporter.jobs.events import Event, Observer, TaskFetched
from exporter.jobs.lines import describe
from exporter.jobs.meter import Meter, Snapshot

_REFRESHES_A_SECOND = 4
_WIDTH = 60


@contextmanager
def open_bar(meter: Meter, console: Console | None = None) -> Iterator[Observer]:
    """Show how far *meter* says the run is.

    Args:
        meter: is told every event.
        console: where to; stderr where it is not given.
    """
    # The bar is drawn by a thread of its own, so that it moves while the run waits for the rate limit.
    lock = Lock()

    def draw() -> Table:
        with lock:
            return _draw(meter.snapshot())

    live = Live(
        console=console or Console(stderr=True),
        get_renderable=draw,
        refresh_per_second=_REFRESHES_A_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )

    told: set[tuple[str, str, str]] = set()

    def observe(event: Event) -> None:
        with lock:
            meter.note(event)
        if isinstance(event, TaskFetched) and event.error:
            reason = event.task.dataset.name, event.task.studio.id, reason_of(event.error)
            if reason in told:
                return
            told.add(reason)
        line = describe(event)
        if line and line.level != "info" and line.event != "ended":
            live.console.print(Text(printable(line.message), style="red" if line.level == "error" else "yellow"))

    with live:
        yield observe


def _draw(seen: Snapshot) -> Table:
    bar = ProgressBar(total=max(1, seen.expected_pages), completed=seen.pages, width=_WIDTH)
    lines = Table.grid()
    lines.add_row(bar)
    lines.add_row(Text(sentence(seen), no_wrap=True, overflow="ellipsis"))
    return lines


def sentence(seen: Snapshot) -> str:
    """How far a run is, in one line."""
    sure = "" if seen.decided == seen.tasks else "about "
    parts = [
        f"{seen.pages:,} of {sure}{seen.expected_pages:,} pages",
        f"{seen.rows:,} rows",
        f"{seen.used:,} of {seen.allowed:,} requests in the last minute",
    ]
    if seen.left_s is not None:
        parts.append(f"{duration(seen.left_s)} left")
    if seen.failed:
        parts.append(f"{seen.failed:,} failed")
    return ", ".join(parts)

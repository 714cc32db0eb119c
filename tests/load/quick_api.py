"""The report API of `bench/server.py` in a process of its own, and what it has counted."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

#: What the server answers with, whatever is asked for.
COLUMNS = (
    "customer", "status", "attendance", "rule", "event.offering_type", "event.venue", "customer_membership",
    "day_of_week", "event_start_time", "count",
)  # fmt: skip

SERVER = Path(__file__).parents[2] / "bench" / "server.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What came to the server so far.

    Attributes:
        requests: all of them.
        sums: those that asked for a studio's total.
        different: how many of all were unlike each other.
        most_connections: open at once.
    """

    requests: int
    sums: int
    different: int
    most_connections: int


@dataclass(frozen=True, slots=True)
class QuickApi:
    """A server that is running.

    Attributes:
        base_url: where it listens.
    """

    base_url: str
    _process: subprocess.Popen[str]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def counts(self) -> Counts:
        """What came so far."""
        with self._lock:
            print(file=self._process.stdin, flush=True)
            return Counts(**json.loads(self._process.stdout.readline()))


@contextmanager
def quick_api(rows: int) -> Iterator[QuickApi]:
    """An API that has *rows* rows of each studio and month, for as long as the block lasts."""
    command = [sys.executable, SERVER, "--rows", str(rows)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield QuickApi(f"http://127.0.0.1:{process.stdout.readline().strip()}", process)
        finally:
            process.stdin.close()


def config_text(base_url: str, *, studios: int, months: int, sink: str, max_connections: int = 32) -> str:
    """A whole exporter.toml: each studio with a credential of its own, months up to 2026 that are settled."""
    first = 2026 * 12 - months
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    return (
        f'[api]\nbase_url = "{base_url}"\nrequests_per_minute = 1000000000\nmax_connections = {max_connections}\n'
        f'[[reports]]\nname = "attendance_strikes.grouped"\ncolumns = [{names}]\n'
        f'[windows]\nstart = "{first // 12}-{first % 12 + 1:02}-01"\nend = "2026-01-01"\n'
        f'[sink]\nurl = "{sink}"\n'
        + "".join(f'[[studios]]\nid = "studio-{n}"\ntoken = "env:TOKEN_{n}"\n' for n in range(studios))
    )


def tokens(studios: int) -> dict[str, str]:
    """The environment that `config_text` speaks of."""
    return {f"TOKEN_{n}": f"made-up-{n}" for n in range(studios)}

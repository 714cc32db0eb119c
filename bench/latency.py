"""Wall time of whole exports where each answer takes its time and no rate limit applies; prints a table.

The ideal is pages x latency / connections: no client with so many connections can be faster. Held against it is the
wall time of the whole process, once for a single window of many pages and once for as many windows of a page each. The
server is a process of its own. It says when requests came, which tells three parts apart: from the start of the process
to the first request; until the last answer; and what is done after that (one window can only be published then). What
the system says of the time that the client was ready to run and did not, tells how busy the machine was.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta

from bench.run import COLUMNS, HERE

CONNECTIONS = 32

#: The most that the ratio may be.
GOAL = 1.15

#: What the table tells of each export.
HEADS = (
    "latency ms", "job", "pages", "ideal s", "start s", "fetch s", "end s", "wall s", "waited for a processor s",
    "fetch, times the ideal", "wall, times the ideal", "goal",
)  # fmt: skip


def config(base_url, windows, sink, requests_per_minute=1_000_000_000):
    """One studio, with a window a day, or a single one of a year."""
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    end = date(2026, 1, 1)
    start, every = (date(2025, 1, 1), "year") if windows == 1 else (end - timedelta(days=windows), "day")
    return (
        f'[api]\nbase_url = "{base_url}"\nrequests_per_minute = {requests_per_minute}\n'
        f"max_connections = {CONNECTIONS}\n"
        f'[[reports]]\nname = "attendance_strikes.grouped"\ncolumns = [{names}]\n'
        f'[windows]\nstart = "{start}"\nend = "{end}"\nevery = "{every}"\n'
        f'[run]\nreconcile = "off"\n[sink]\nurl = "{sink}"\n[[studios]]\nid = "studio"\ntoken = "env:TOKEN"\n'
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of one export: to the first request, to the last answer, after that, and waiting for a processor."""

    start: float
    fetch: float
    end: float
    waited: float

    @property
    def wall(self):
        return self.start + self.fetch + self.end


def once(latency_ms, pages, windows):
    """One export."""
    rows = ["--rows", str(pages // windows * 100), "--latency-ms", str(latency_ms)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, HERE / "server.py", *rows], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        base_url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        file = pathlib.Path(folder) / "exporter.toml"
        file.write_text(config(base_url, windows, f"{folder}/lake"))
        began = time.monotonic()
        client = subprocess.Popen(
            [sys.executable, "-m", "exporter", "run", "--config", file, "--log-format", "text"],
            env=os.environ | {"TOKEN": "made-up"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.waitid(os.P_PID, client.pid, os.WEXITED | os.WNOWAIT)  # what the system knows of it is kept until `wait`
        ended, waited = time.monotonic(), waited_s(client.pid)
        if client.wait():
            sys.exit(f"the export ended with {client.returncode}")
        print("arrivals", file=server.stdin, flush=True)
        first, *_, last = json.loads(server.stdout.readline())
        server.stdin.close()
    answered = last + latency_ms / 1000
    return Taken(first - began, answered - first, ended - answered, waited)


def waited_s(process):
    """Seconds that its main thread was ready to run and did not; 0 where the system does not say."""
    try:
        return int(pathlib.Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="of each; the median by wall time is shown (default 1)")
    parser.add_argument("--pages", type=int, default=1008, help="at 1 s; nine times as many at 100 ms (default 1008)")
    options = parser.parse_args()
    print(f"{CONNECTIONS} connections; the median of {options.runs}\n")
    print("| " + " | ".join(HEADS) + " |\n" + "| --- " * len(HEADS) + "|")
    for latency_ms, pages in ((1000, options.pages), (100, 9 * options.pages)):
        for name, windows in (("one window", 1), ("windows of one page", pages)):
            ideal = pages * latency_ms / 1000 / CONNECTIONS
            runs = sorted((once(latency_ms, pages, windows) for _ in range(options.runs)), key=lambda run: run.wall)
            taken = runs[len(runs) // 2]
            seconds = (ideal, taken.start, taken.fetch, taken.end, taken.wall, taken.waited)
            print(
                f"| {latency_ms} | {name} | {pages:,} | {' | '.join(f'{s:.1f}' for s in seconds)}"
                f" | {taken.fetch / ideal:.2f} | {taken.wall / ideal:.2f} | {GOAL} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Wall time of whole exports where each answer takes its time and no rate limit applies; prints a table.

The ideal is pages x latency / connections: no client with so many connections can be faster. Held against it is the
wall time of the whole process, start and merge included, once for a single window of many pages and once for as many
windows of a page each. The server is a process of its own.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from datetime import date, timedelta

from bench.run import COLUMNS, HERE, measured

CONNECTIONS = 32

#: The most that the ratio may be.
GOAL = 1.15


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


def once(latency_ms, pages, windows):
    """Wall seconds of one export."""
    command = [
        sys.executable,
        HERE / "server.py",
        "--rows",
        str(pages // windows * 100),
        "--latency-ms",
        str(latency_ms),
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        base_url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        file = pathlib.Path(folder) / "exporter.toml"
        file.write_text(config(base_url, windows, f"{folder}/lake"))
        run = [sys.executable, "-m", "exporter", "run", "--config", file]
        _, _, wall = measured(run, env=os.environ | {"TOKEN": "made-up"})
        server.stdin.close()
    return wall


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="of each (default 1)")
    parser.add_argument("--pages", type=int, default=1008, help="at 1 s; nine times as many at 100 ms (default 1008)")
    options = parser.parse_args()
    print(f"{CONNECTIONS} connections; medians of {options.runs}\n")
    print("| latency ms | job | pages | ideal s | wall s | ratio | goal |\n| --- | --- | --- | --- | --- | --- | --- |")
    for latency_ms, pages in ((1000, options.pages), (100, 9 * options.pages)):
        for name, windows in (("one window", 1), ("windows of one page", pages)):
            ideal = pages * latency_ms / 1000 / CONNECTIONS
            wall = statistics.median(once(latency_ms, pages, windows) for _ in range(options.runs))
            print(
                f"| {latency_ms} | {name} | {pages:,} | {ideal:.1f} | {wall:.1f} | {wall / ideal:.2f} | {GOAL} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

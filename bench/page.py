"""Writes docs/benchmarks.md: runs the benchmarks in turn and puts down what they printed, with command and date.

Named on the command line, only those are run, and what the page says of the others stays. `readers` and `peers` are
run only when they are named: they need environments of their own (`make bench-readers`, `make bench-peers`).
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

What the exporter needs beside the least that has to be done. `make bench` makes this page anew in about a quarter of an
hour on two quiet cores; `make bench STEPS="rate latency"` only some of it, `make bench-readers` what readers pay, `make
bench-peers` the comparison with general tools. Client and server are separate processes on one machine, so seconds are
worth little beside another machine's, and on a busy one nothing: the ratios are what counts, each taken within one run.
What no machine changes (requests, calls of the sink, imports, allocations, time on a virtual clock) is held by `make
test`, in `tests/e2e/test_costs.py`, `tests/e2e/test_wall_time.py`, `tests/unit/test_imports.py` and
`tests/unit/api/test_limiter.py`.
"""

#: Title, what it tells, and how it is run, of each step.
STEPS = {
    "cost": (
        "CPU and memory",
        (
            "Whole exports of a million rows, 20 studios x 12 months, beside a script that fetches, decodes and"
            " writes the same pages and checks nothing (`bench/floor.py`). CPU is user and system time of the"
            " client, start-up included; medians of runs taken in turn."
        ),
        ["bench/run.py"],
    ),
    "requests": (
        "Requests",
        (
            "Whole exports from the sandbox beside the least that any client needs: one request for each window"
            " without rows, else one for each page. With faults, a share of the answers is spoilt (500, 429, cut"
            " off, reset)."
        ),
        ["-m", "bench.requests"],
    ),
    "rate": (
        "Rate",
        (
            "How much of 250 requests a minute is used, and of a limit below that of which the exporter is not"
            " told. The first table is on a virtual clock. The share that is refused is that of all eleven minutes"
            " and, in brackets, without the first, in which the limit is found: docs/decisions/0001-pacing.md says how."
        ),
        ["-m", "bench.rate"],
    ),
    "latency": (
        "Latency",
        (
            "Wall time without a rate limit. One window can only be merged once its last page is there, so its end"
            " grows with its rows; with many, only the last month is left then. What the client waited for a processor"
            " is the machine's, not its own: on a quiet one it is next to nothing. `tests/e2e/test_wall_time.py` holds"
            " the same on a clock where computing takes no time."
        ),
        ["-m", "bench.latency"],
    ),
    "start": (
        "Start",
        "CPU seconds until a command has started; the whole exporter is all that an export to S3 imports.",
        ["-m", "bench.start"],
    ),
    "readers": (
        "What readers pay",
        (
            "Requests and bytes of narrow queries over S3, beside one Parquet file for each task (studio and month), as"
            " pyarrow writes it where nobody says how, in folders by month, or by studio and month. Same rows, same"
            " answers. By itself Spark's connector fetches objects below 8 MB whole, so in bytes it spares what"
            " compresses, and no more; docs/reading.md has the three settings with which it fetches only ranges."
        ),
        ["-m", "bench.readers"],
    ),
    "peers": (
        "General tools",
        "The same report, server and window through tools that are made for any source.",
        ["-m", "bench.peers.compare"],
    ),
}

ELSEWHERE = """Over the job at the top of this page, measured elsewhere, not by this repository:

| what | CPU s per million rows | peak MB |
| --- | --- | --- |
| requests + pandas + pyarrow, in order / 16 threads | 42 / 55 | 160 / 557 |
| singer-sdk, a tap's Parquet batches | 54-65 | 413 |
| dlt, hand-made Arrow tables | 74 | 2,800 |
| dlt, rest_api to Parquet | 109-136 | 288-323 |
| airbyte-cdk, low-code | 161 | 427 |
"""

#: Run only where they are named.
APART = ("readers", "peers")

LIBRARIES = ("aiohttp", "boto3", "msgspec", "pyarrow", "uvloop")


def section(step, said, command, seconds, note):
    title, tells, _ = STEPS[step]
    when = f"{datetime.now(UTC):%Y-%m-%d}, {seconds:.0f} s; Python {platform.python_version()}, {platform.machine()}"
    with_what = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    parts = [f"## {title}", tells, f"`{command}`: {when}, {os.cpu_count()} cores; {with_what}.{note}", said.strip()]
    return "\n\n".join(parts) + "\n"


def run(step, note):
    """The section of one step."""
    arguments = STEPS[step][2]
    print(f"{step} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{step}: ended with {done.returncode}")
    return section(step, done.stdout, f"python {' '.join(arguments)}", time.monotonic() - began, note)


def sections_of(text):
    """What a page says, by title."""
    return {part.partition("\n")[0]: f"## {part}".rstrip() + "\n" for part in text.split("\n## ")[1:]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], help=f"default: all but {' and '.join(APART)}")
    parser.add_argument("--note", default="", help='said of each step that is run, such as "on a busy machine"')
    options = parser.parse_args()
    found = sections_of(PAGE.read_text()) if PAGE.exists() else {}
    note = f" **{options.note}**" if options.note else ""
    for step in options.steps or [step for step in STEPS if step not in APART]:
        found[STEPS[step][0]] = run(step, note) + (f"\n{ELSEWHERE}" if step == "peers" else "")
        ordered = [found[title] for title, _, _ in STEPS.values() if title in found]
        PAGE.write_text("\n".join([HEAD, *ordered]))


if __name__ == "__main__":
    main()

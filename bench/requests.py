"""Requests of whole exports from the sandbox beside the least that any client needs; prints a table.

The least is one request for each window without rows, and one for each page of a hundred rows of the others. Every
figure is the same on every machine. With faults, the sandbox spoils a share of its answers.
"""

import argparse
import asyncio
from datetime import date

from exporter.sandbox.faults import parse_faults
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from tests.support.exports import DEFAULT_COLUMNS, bench, months
from tests.support.sources import expected_requests, spans

START, END = date(2025, 1, 1), date(2025, 7, 1)

#: Ways to cut the same days, and how many infractions a studio has in a month.
JOBS = (("month", 40), ("month", 1500), ("day", 40), ("year", 1500))


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


async def counted(world, kind, every, end, share):
    """What the sandbox saw, and how many of its answers it spoilt."""
    spoilt = []
    plan = parse_faults(f"500:{share},reset:{share},429:{share},truncate:{share}", seed=3)

    def faults(number, asked):
        fault = plan(number, asked)
        if fault:
            spoilt.append(fault)
        return fault

    async with bench(world, SandboxOptions(rate=None, faults=faults)) as b:
        (manifest,) = await b.run(start=START, end=end, every=every, api=f'format = "{kind}"\nmax_attempts = 20')
        assert manifest.totals.failed == 0, manifest.totals
        return b.asked(), len(spoilt), manifest.totals.tasks


async def table(studios):
    row("windows", "rows a studio and month", "format", "faults", "least", "spoilt answers", "requests",
        "beyond the least and the spoilt", "goal")  # fmt: skip
    row(*["---"] * 9)
    for every, per_month in JOBS:
        end = date(2026, 1, 1) if every == "year" else END
        world = make_world(studios, seed=7, start=START, end=end, per_month=per_month)
        windows = months(START, end) if every == "month" else spans(every, START, end)
        least = expected_requests(world, windows, DEFAULT_COLUMNS)
        for kind in ("json", "csv"):
            for share in (0, 0.02):
                asked, spoilt, tasks = await counted(world, kind, every, end, share)
                goal = "0" if kind == "json" else f"at most {tasks}, one a window"
                name = f"{studios * len(windows):,} of a {every}"
                rows = f"up to {per_month:,}"
                row(name, rows, kind, f"{4 * share:.0%}", least, spoilt, asked, asked - least - spoilt, goal)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studios", type=int, default=4)
    options = parser.parse_args()
    asyncio.run(table(options.studios))


if __name__ == "__main__":
    main()

"""Fifty exporters at once into one sink: real processes, studios, partitions and credentials that overlap.

Each is sent for three neighbouring studios; the days of some are cut short, some fetch everything again. Held against
the simulated API when all have ended: every row is there, as the source has it, and once; `verify` agrees; each exit
code is 0; nothing is staged and no credential is held any more; no credential was over its limit in any sliding
minute, by the API's own count. The limit is so low that runs hand a used-up minute on to each other.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.rate import busiest_minute
from exporter.sandbox.server import Sandbox, serve
from exporter.sandbox.studios import World
from tests.load.sinks import KINDS, Sink, open_sink
from tests.support.command import Ended, Exporter
from tests.support.exports import config_for, expected, groups, months, published, studio_id, tokens_of

START, END = date(2025, 1, 1), date(2025, 7, 1)
MONTHS = months(START, END)

#: Studios of one errand; how many of ten have fewer days; how many of ten fetch everything again.
NEIGHBOURS, SHORT, FULL = 3, 0.4, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What one exporter is sent for: studios by number, and whole months from *first* on."""

    studios: tuple[int, ...]
    first: int = 0
    full: bool = False

    @property
    def tasks(self) -> frozenset[tuple[int, int]]:
        """Studio and month of each task, by number."""
        return frozenset((studio, month) for studio in self.studios for month in range(self.first, len(MONTHS)))

    @property
    def arguments(self) -> list[str]:
        """For the command line."""
        chosen = [text for studio in self.studios for text in ("--studio", studio_id(studio))]
        return ["run", "--json", "--start", f"{MONTHS[self.first][0]}", *chosen, *(["--full"] if self.full else [])]


def errands(number: int, studios: int, seed: int) -> tuple[Errand, ...]:
    """The same for the same seed; every studio is in some of them where there are as many errands as studios."""
    draw = random.Random(seed)
    return tuple(
        Errand(
            studios=tuple(sorted((n + k) % studios for k in range(NEIGHBOURS))),
            first=draw.randrange(1, len(MONTHS)) if draw.random() < SHORT else 0,
            full=draw.random() < FULL,
        )
        for n in range(number)
    )


def rows_of(world: World, done: Sequence[Errand]) -> list[tuple[object, ...]]:
    """What the sink shall hold when all of *done* have ended, as `groups` shows it."""
    tasks = frozenset[tuple[int, int]]().union(*(errand.tasks for errand in done))
    rows = [row for n, month in tasks for row in expected(world, [MONTHS[month]], studios=[n])]
    return sorted(rows, key=repr)


def busiest(sandbox: Sandbox) -> Mapping[int, int]:
    """The most requests of each credential in any sliding minute, as the API saw them."""
    moments: dict[int, list[float]] = {}
    for request in sandbox.requests:
        moments.setdefault(-1 if request.token is None else request.token, []).append(request.at)
    return {token: busiest_minute(times) for token, times in moments.items()}


async def crowd(options: argparse.Namespace, folder: Path) -> list[str]:
    """Send them all out, and tell what is not as it must be."""
    world = make_world(
        options.studios,
        options.seed,
        start=START,
        end=END,
        per_month=options.per_month,
        credentials=options.credentials,
    )
    sent = errands(options.exporters, options.studios, options.seed)
    async with (
        open_sink(options.sink, folder / "sink") as sink,
        serve(world, SandboxOptions(rate=None)) as sandbox,
    ):
        limit = f"requests_per_minute = {options.limit}"
        text = config_for(sandbox.base_url, world, sink=sink.url, start=START, end=END, api=limit, run="")
        (folder / "exporter.toml").write_text(text + sink.lines)
        program = Exporter(folder, {**sink.environ, **tokens_of(world)})
        print(
            f"{len(sent)} exporters, {options.studios} studios of {options.credentials} credentials, {len(MONTHS)}"
            f" months, {options.limit} requests a minute and credential, into {sink.kind}",
            flush=True,
        )
        began = time.monotonic()
        ended = await asyncio.gather(*(program(*errand.arguments) for errand in sent))
        print(f"all ended after {time.monotonic() - began:.0f} s")
        wrong = await _judge(world, sandbox, sink, options.limit, list(zip(sent, ended, strict=True)))
        verified = await program("verify")
        print(f"verify: exit code {verified.code}")
        return wrong if verified.code == 0 else [*wrong, f"verify: {verified.stdout[-500:]}{verified.stderr[-500:]}"]


async def _judge(
    world: World, sandbox: Sandbox, sink: Sink, limit: int, done: Sequence[tuple[Errand, Ended]]
) -> list[str]:
    """Hold all against the source; prints what was seen, tells what is not as it must be."""
    sent, ended = [errand for errand, _ in done], [one for _, one in done]
    wrong = [f"an exporter ended with {one.code}: {one.stderr[-500:]}" for one in ended if one.code != 0]
    totals = [one.document["totals"] for one in ended if one.stdout]
    told = sum(total["requests"] + total["reconcile_requests"] for total in totals)
    there, wanted = groups(await published(sink.store)), rows_of(world, sent)
    most = busiest(sandbox)
    left = await sink.left_over()
    overlap = sum(len(errand.tasks) for errand in sent)
    different = len(frozenset[tuple[int, int]]().union(*(errand.tasks for errand in sent)))
    print(f"{overlap} tasks planned in all, {different} different ones")
    throttled = sum(total["throttled"] for total in totals)
    print(f"requests: {len(sandbox.requests)}, as the exporters tell: {told}; throttled: {throttled}")
    print(f"busiest minute of any credential: {max(most.values())} of {limit} allowed")
    print(f"rows: {len(there)} published, {len(wanted)} at the source, {_differences(there, wanted)} differences")
    print(f"left in staging, and leases held: {len(left)}")
    if there != wanted:
        wrong.append(f"{_differences(there, wanted)} rows differ")
    if told != len(sandbox.requests):
        wrong.append(f"{len(sandbox.requests)} requests came, the exporters tell of {told}")
    wrong += [f"credential {token}: {number} requests in a minute" for token, number in most.items() if number > limit]
    return wrong + [f"left over: {key}" for key in left]


def _differences(there: Sequence[tuple[object, ...]], wanted: Sequence[tuple[object, ...]]) -> int:
    """Rows that are missing, wrong or twice."""
    return len(frozenset(there) ^ frozenset(wanted)) + len(there) - len(frozenset(there))


def main() -> int:
    """Run it and print what was seen; 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.crowd", description=__doc__)
    parser.add_argument("--exporters", type=int, default=50, help="processes at once (default 50)")
    parser.add_argument("--studios", type=int, default=24, help="in all (default 24)")
    parser.add_argument("--credentials", type=int, default=10, help="that the studios share (default 10)")
    parser.add_argument("--per-month", type=int, default=150, help="infractions of a studio and month (default 150)")
    parser.add_argument("--limit", type=int, default=120, help="requests a minute of a credential (default 120)")
    parser.add_argument("--sink", choices=KINDS, default="auto", help="auto: SeaweedFS where it is installed")
    parser.add_argument("--seed", type=int, default=1, help="decides the studios and the errands (default 1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exporter-crowd-") as name:
        wrong = asyncio.run(crowd(options, Path(name)))
    for line in wrong:
        print(f"NOT AS IT MUST BE: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""The real program again and again for hours, against an API with 10 % faults, and what must be true after each cycle.

There are two lanes side by side, a folder and a bucket, each with made-up studios of its own. A cycle:

1. The reports change at the source: rows come, go and look otherwise, in the windows that a nightly run asks for again;
   before a cycle of `--full` also in older ones.
2. The program runs as it would at night, or with `--full`; it is killed on the way, stopped, or two run at once.
3. It runs until it exits with 0, as its operator would have it.
4. Every row in the sink is held against the source, by `verify` and by a comparison of its own; nothing may be staged
   or held any more, no credential over its limit in any sliding minute.

What is chosen depends on the seed alone; when it happens, on the machine. The first difference ends the soak: the sink,
both sides of the comparison and what every run said stay in a folder that is named.
"""

import argparse
import asyncio
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

from exporter.sandbox.faults import parse_faults
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.rate import busiest_minute
from exporter.sandbox.server import Sandbox, serve
from exporter.sandbox.studios import Customer, MadeUpStudio
from tests.load.sinks import Sink, open_sink, real_store
from tests.load.watch import Ran, watched
from tests.support.changed_source import in_span
from tests.support.exports import config_for, expected, groups, months, published, tokens_of

STUDIOS, CREDENTIALS, MONTHS, PER_MONTH = 4, 2, 6, 220

#: Requests of a credential in any minute.
LIMIT = 250

#: One request in ten goes wrong, in ways that pass when it is sent again. A refusal for no reason (429) is rare, since
#: nothing of its credential is sent for a while; `repeat` and those behind it serve rows that are not the report's.
FAULTS = (
    "500:0.011,502:0.011,503:0.011,503wait:0.011,504:0.011,html200:0.011,badjson:0.011,truncate:0.011,reset:0.01,"
    "429:0.002,repeat:0.004,shortpage:0.003,wrongsort:0.003"
)

#: Runs that may fail for faults before one exits with 0.
MOST_RUNS = 8

#: Windows that every run asks for again.
YOUNG = 2


class Kind(StrEnum):
    """What happens in a cycle before it is brought to its end."""

    NIGHT = "night"
    KILLED = "killed"
    STOPPED = "stopped"
    TWO = "two at once"
    TWO_ONE_KILLED = "two at once, one killed"


_WEIGHTS = {Kind.NIGHT: 4, Kind.KILLED: 3, Kind.STOPPED: 1, Kind.TWO: 2, Kind.TWO_ONE_KILLED: 1}

#: How often a cycle is one of `--full`.
_FULL = 0.2


class DifferenceError(Exception):
    """Something is not as it must be."""


@dataclass(slots=True)
class Tally:
    """What one lane has seen.

    Attributes:
        kinds: cycles by kind.
        runs, failed: of the program; those that exited with 1.
        kills, stops: signals that met a living run.
        requests, faults: that came to the API; those it answered wrongly.
        rows: held against the source, over all cycles.
        differences: rows that were not as the source has them, or whatever else ended the soak.
        peaks_mb: the most memory of any run, by cycle.
        busiest: the most requests of a credential in any minute.
    """

    kinds: Counter[Kind] = field(default_factory=Counter)
    runs: int = 0
    failed: int = 0
    kills: int = 0
    stops: int = 0
    requests: int = 0
    faults: int = 0
    rows: int = 0
    differences: int = 0
    peaks_mb: list[float] = field(default_factory=list)
    busiest: int = 0


class Lane:
    """One sink, its studios and its API.

    Attributes:
        tally: what was seen so far.
    """

    def __init__(
        self, sink: Sink, sandbox: Sandbox, folder: Path, spans: Sequence[tuple[date, date]], seed: int
    ) -> None:
        self.tally = Tally()
        self.sink = sink
        self._sandbox = sandbox
        self._folder = folder
        self._spans = spans
        self._draw = random.Random(f"{seed}/{sink.kind}")
        self._environ = {**sink.environ, **tokens_of(sandbox.world)}
        self._moments: dict[int, list[float]] = {}

    async def cycle(self) -> Kind:
        """One cycle, with the first one's everything to fetch.

        Raises:
            DifferenceError: something is not as it must be.
        """
        kind = self._draw.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        full = self._draw.random() < _FULL
        for studio in self._sandbox.world.studios:
            for span in self._spans if full else self._spans[-YOUNG:]:
                _disturb(studio, span, self._draw)
        self.tally.peaks_mb.append(0.0)
        await self._happen(kind, ["--full"] if full else [])
        for _ in range(MOST_RUNS):
            if (await self._run(["--full"] if full else [])).code == 0:
                break
        else:
            raise DifferenceError(f"{MOST_RUNS} runs did not do; see {self._folder}/runs.log")
        await self.judge()
        self._count_requests()
        self.tally.kinds[kind] += 1
        return kind

    async def _happen(self, kind: Kind, full: list[str]) -> None:
        """Runs that may come to no good end."""
        after = self._draw.randint(1, 40 if full else 16)
        match kind:
            case Kind.NIGHT:
                pass  # what follows is all there is
            case Kind.KILLED:
                await self._run(full, signal.SIGKILL, after)
            case Kind.STOPPED:
                await self._run(full, signal.SIGTERM, after)
            case Kind.TWO:
                await asyncio.gather(self._run(full), self._run([]))
            case Kind.TWO_ONE_KILLED:
                await asyncio.gather(self._run(full, signal.SIGKILL, after), self._run([]))

    async def _run(self, more: list[str], number: signal.Signals | None = None, after: int = 0) -> Ran:
        """Run the program; with a signal, send it once the API was asked so often since."""
        began: list[subprocess.Popen[bytes]] = []
        target = len(self._sandbox.requests) + after
        command = [sys.executable, "-m", "exporter", "run", "--json", "--log-format", "json", *more]
        running = asyncio.create_task(
            asyncio.to_thread(watched, command, cwd=self._folder, environ=self._environ, on_start=began.append)
        )
        sent = False
        while number and not running.done() and not sent:
            await asyncio.sleep(0.01)
            if began and len(self._sandbox.requests) >= target:
                sent = True
                began[0].send_signal(number)
        ran = await running
        self._note(more, number, ran, met=sent and ran.code not in (0, 1))
        return ran

    def _note(self, more: list[str], number: signal.Signals | None, ran: Ran, *, met: bool) -> None:
        allowed = {0, 1, *([-signal.SIGKILL] if number == signal.SIGKILL else []), *([130] if number else [])}
        self.tally.runs += 1
        self.tally.failed += ran.code == 1
        self.tally.kills += met and number == signal.SIGKILL
        self.tally.stops += met and number == signal.SIGTERM
        self.tally.peaks_mb[-1] = max(self.tally.peaks_mb[-1], ran.peak_mb)
        said = {"at": str(datetime.now(UTC)), "arguments": more, "signal": number and number.name, "code": ran.code}
        with (self._folder / "runs.log").open("a") as log:
            print(json.dumps({**said, "peak_mb": ran.peak_mb, "stderr": ran.stderr}), file=log)
        if ran.code not in allowed:
            raise DifferenceError(f"a run ended with {ran.code}: {ran.stderr[-1000:]}")

    async def judge(self) -> None:
        """Hold the sink against the source.

        Raises:
            DifferenceError: it is otherwise.
        """
        there, wanted = groups(await published(self.sink.store)), expected(self._sandbox.world, self._spans)
        self.tally.rows += len(there)
        if there != wanted:
            for name, rows in (("published", there), ("source", wanted)):
                (self._folder / f"{name}.jsonl").write_text("".join(json.dumps(r, default=str) + "\n" for r in rows))
            self.tally.differences = len(frozenset(there) ^ frozenset(wanted)) or abs(len(there) - len(wanted))
            raise DifferenceError(f"{self.tally.differences} rows differ; both sides are in {self._folder}/*.jsonl")
        if left := await self.sink.left_over():
            raise DifferenceError(f"left over: {', '.join(left)}")
        command = [sys.executable, "-m", "exporter", "verify"]
        verified = await asyncio.to_thread(watched, command, cwd=self._folder, environ=self._environ)
        if verified.code != 0:
            raise DifferenceError(f"verify ended with {verified.code}: {verified.stdout}{verified.stderr}")

    def _count_requests(self) -> None:
        """Take what came in this cycle to the counts; of the moments only the last minute's are still needed."""
        requests = self._sandbox.requests
        self.tally.requests += len(requests)
        self.tally.faults += sum(request.fault is not None for request in requests)
        for request in requests:
            self._moments.setdefault(-1 if request.token is None else request.token, []).append(request.at)
        requests.clear()
        for token, moments in self._moments.items():
            self.tally.busiest = max(self.tally.busiest, busiest_minute(moments))
            self._moments[token] = [moment for moment in moments if moment > moments[-1] - 60]
        if self.tally.busiest > LIMIT:
            raise DifferenceError(f"{self.tally.busiest} requests of a credential in a minute, {LIMIT} are allowed")

    async def keep_sink(self) -> None:
        """Leave a copy of all objects: the bucket's server is about to go."""
        for info in await self.sink.store.list(""):
            path = self._folder / "objects" / info.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((await self.sink.store.get(info.key))[0])


def _disturb(studio: MadeUpStudio, span: tuple[date, date], draw: random.Random) -> None:
    """Let what happened in *span* look otherwise in a few places; as much comes as goes."""
    for _ in range(draw.randint(0, 3)):
        there = in_span(studio, span)
        if not there:
            return
        gone, model = draw.choice(there), draw.choice(there)
        studio.remove(gone.id)
        number = 1 + max(infraction.id for infraction in studio.infractions)
        newcomer = Customer(id=number + 500_000_000, name="Newcomer Example", email="newcomer@example.test")
        studio.add(replace(model, id=number, customer=newcomer))
        other = draw.choice(in_span(studio, span))
        studio.replace(replace(other, status="voided" if other.status != "voided" else "open"))


@asynccontextmanager
async def open_lane(kind: str, folder: Path, seed: int, *, faults: str = FAULTS) -> AsyncIterator[Lane]:
    """An empty sink of *kind* and an API with studios whose last windows are young."""
    today = datetime.now(UTC).date()
    end = today.replace(day=1)
    first = end.year * 12 + end.month - 1 - MONTHS
    spans = months(date(first // 12, first % 12 + 1, 1), end)
    # Two days more than it takes: midnight may pass meanwhile.
    lookback_days = (today - spans[-YOUNG][1]).days + 2
    world = make_world(
        STUDIOS, seed, start=spans[0][0], end=end, per_month=PER_MONTH, credentials=CREDENTIALS, zones=("UTC",)
    )
    options = SandboxOptions(seed=seed, rate=None, faults=parse_faults(faults, seed))
    async with open_sink(kind, folder / "sink") as sink, serve(world, options) as sandbox:
        text = config_for(
            sandbox.base_url,
            world,
            sink=sink.url,
            start=spans[0][0],
            end=end,
            lookback_days=lookback_days,
            api=f"requests_per_minute = {LIMIT}",
            run="",
        )
        (folder / "exporter.toml").write_text(text + sink.lines)
        yield Lane(sink, sandbox, folder, spans, seed)


async def soak(options: argparse.Namespace, folder: Path) -> bool:
    """Cycles until the time is up; whether all was as it must be."""
    began = time.monotonic()
    wrong: list[str] = []

    async def turn(lane: Lane) -> None:
        while not wrong and time.monotonic() - began < options.seconds:
            try:
                await lane.cycle()
            except DifferenceError as difference:
                lane.tally.differences = lane.tally.differences or 1
                wrong.append(f"{lane.sink.kind}, cycle {lane.tally.kinds.total() + 1}: {difference}")
                await lane.keep_sink()

    async def tell() -> None:
        while True:
            await asyncio.sleep(options.tell_every)
            counted = ", ".join(f"{lane.tally.kinds.total()} ({lane.sink.kind})" for lane in lanes)
            print(f"{time.monotonic() - began:6.0f} s: cycles {counted}", file=sys.stderr, flush=True)

    async with AsyncExitStack() as stack:
        lanes = []
        for kind in options.sinks:
            (folder / kind).mkdir()
            lanes.append(await stack.enter_async_context(open_lane(kind, folder / kind, options.seed)))
        telling = asyncio.create_task(tell())
        await asyncio.gather(*(turn(lane) for lane in lanes))
        telling.cancel()
        print(f"seed {options.seed}, {time.monotonic() - began:.0f} s, faults {FAULTS}\n")
        print(_table(lanes))
    for line in wrong:
        print(f"NOT AS IT MUST BE: {line}\nwhat is needed to look at it is in {folder}")
    return not wrong


def _table(lanes: Sequence[Lane]) -> str:
    """What was seen, a column for each lane."""

    def row(name: str, *values: object) -> str:
        return f"| {name} | {' | '.join(map(str, values))} |"

    tallies = [lane.tally for lane in lanes]
    return "\n".join(
        (
            row("", *(lane.sink.kind for lane in lanes)),
            row("---", *("---" for _ in lanes)),
            row("cycles", *(f"{t.kinds.total():,}" for t in tallies)),
            *(row(f"- {kind}", *(f"{t.kinds[kind]:,}" for t in tallies)) for kind in Kind),
            row("runs", *(f"{t.runs:,}" for t in tallies)),
            row("of these failed in part, and were run again", *(f"{t.failed:,}" for t in tallies)),
            row("killed (SIGKILL) while at work", *(f"{t.kills:,}" for t in tallies)),
            row("stopped (SIGTERM) while at work", *(f"{t.stops:,}" for t in tallies)),
            row("requests", *(f"{t.requests:,}" for t in tallies)),
            row("faults met", *(f"{t.faults:,}" for t in tallies)),
            row("busiest minute of a credential", *(f"{t.busiest} of {LIMIT}" for t in tallies)),
            row("rows held against the source", *(f"{t.rows:,}" for t in tallies)),
            row("differences", *(f"{t.differences:,}" for t in tallies)),
            row("peak memory in MB, first ten cycles", *(f"{max(t.peaks_mb[:10]):.0f}" for t in tallies)),
            row("peak memory in MB, last ten cycles", *(f"{max(t.peaks_mb[-10:]):.0f}" for t in tallies)),
        )
    )


def main() -> int:
    """Soak; 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.load.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600, help="no cycle begins later (default 3600)")
    parser.add_argument("--seed", type=int, default=1, help="decides what happens (default 1)")
    parser.add_argument(
        "--sinks",
        nargs="+",
        choices=("folder", "moto", "seaweedfs"),
        default=["folder", real_store() or "moto"],
        help="one lane each (default folder, and seaweedfs where it is installed, else moto)",
    )
    parser.add_argument("--tell-every", type=float, default=60, help="seconds between lines on stderr (default 60)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="exporter-soak-"))
    if asyncio.run(soak(options, folder)):
        shutil.rmtree(folder)
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())

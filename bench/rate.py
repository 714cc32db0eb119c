"""How much of a rate limit is used, and how often it is met; prints two tables.

The first is of the gate and the pace alone, against a limit under a clock that jumps: many minutes take seconds, and
every figure is the same on every machine. The second is of a whole export over the wire, in real time, against
`server.py`, which refuses what is above the limit.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

from bench.latency import config
from bench.run import HERE
from exporter.core.studio import CredentialKey
from exporter.sandbox.rate import busiest_minute
from tests.support.timed_api import Minute, TimedApi, ask, make_gate
from tests.support.virtual_time import run_virtual

LIMIT = 250

SLIDING, FIXED = {"minute": Minute.SLIDING}, {"minute": Minute.FIXED}

#: What a server's own limit may be like where it is lower than the configured one.
KINDS = {
    "any sixty seconds": SLIDING,
    "the minute of the clock": FIXED,
    "the minute of the clock, begun in its middle": {**FIXED, "begin": 30},
    "a token bucket of 20": {"burst": 20},
    "a token bucket of 5": {"burst": 5},
}


#: Limits so low that what it costs to find them is a large share of eleven minutes.
SMALL = [
    *((limit, "any sixty seconds") for limit in (10, 20, 30, 60)),
    *((limit, "a token bucket of 20") for limit in (10, 30, 60)),
]


async def ask_for(seconds, gate, api, key, at_once):
    async def worker():
        while True:
            await ask(gate, key, api)

    workers = [asyncio.create_task(worker()) for _ in range(at_once)]
    await asyncio.sleep(seconds)
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


def simulated(seconds, *, credentials=1, true_limit=LIMIT, spread=False, seed=1, begin=0, **kind):
    """The APIs of some credentials after so long a time, latency 100 ms; moments count from when they are asked."""

    async def main():
        await asyncio.sleep(begin)
        gate = make_gate(
            LIMIT, spread=spread, max_connections=max(32, 4 * credentials), random=random.Random(seed).random
        )
        keys = [CredentialKey(f"key-{number}") for number in range(credentials)]
        apis = [TimedApi(limit=true_limit, **kind) for _ in keys]
        await asyncio.gather(*(ask_for(seconds, gate, api, key, 40) for api, key in zip(apis, keys, strict=True)))
        for api in apis:
            api.accepted, api.seen = ([moment - begin for moment in moments] for moments in (api.accepted, api.seen))
        return apis

    return run_virtual(main)


def duration(requests, **options):
    """Seconds until so many requests are answered."""

    async def main():
        gate, api = make_gate(LIMIT, **options), TimedApi(limit=LIMIT)
        await asyncio.gather(*(ask(gate, CredentialKey("key"), api) for _ in range(requests)))
        return asyncio.get_running_loop().time(), api.throttled

    return run_virtual(main)


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def used(apis, seconds, limit, *, after=0):
    """The smallest share that any credential used, of what the limit allows from *after* on."""
    return min(sum(moment >= after for moment in api.accepted) for api in apis) / (limit * (seconds - after) / 60)


def throttled(apis, *, after=0):
    """The largest share of the requests of any credential, from *after* on, that was refused."""
    return max(
        1 - sum(moment >= after for moment in api.accepted) / sum(moment >= after for moment in api.seen)
        for api in apis
    )


def table_simulated(seeds):
    row("configured", "the API's own limit", "job", "seen", "throttled", "goal")
    row(*["---"] * 6)
    for name, options in (("10 minutes", {}), ("10 minutes, `spread`", {"spread": True})):
        apis = simulated(600, **options)
        seen = f"{used(apis, 600, LIMIT):.1%} used, {busiest_minute(apis[0].seen)} in the busiest minute"
        row(LIMIT, "the same", name, seen, f"{throttled(apis):.1%}", "99 %, none")
    for name, options in (("378 requests", {}), ("378 requests, `spread`", {"spread": True})):
        seconds, refused = duration(378, **options)
        row(LIMIT, "the same", name, f"{seconds:.1f} s", refused, "none" if options else "66 s, none")
    apis = simulated(180, credentials=40)
    row(LIMIT, "the same", "40 credentials at once, 3 minutes", f"{used(apis, 180, LIMIT):.1%} used by the slowest",
        f"{throttled(apis):.1%}", "99 %, none")  # fmt: skip
    for name in KINDS:
        for limit in (100, 200):
            for retry_after_s in (None, 1.0):
                row_unknown(limit, name, retry_after_s, seeds)
    for limit, name in SMALL:
        row_unknown(limit, name, None, seeds)


def row_unknown(limit, name, retry_after_s, seeds):
    """What becomes of a limit that is not told; medians over *seeds*."""
    found = [simulated(660, true_limit=limit, retry_after_s=retry_after_s, seed=seed, **KINDS[name]) for seed in seeds]
    share = statistics.median(used(apis, 660, limit, after=60) for apis in found)
    refused, late = (statistics.median(throttled(apis, after=s) for apis in found) for s in (0, 60))
    names = "no Retry-After" if retry_after_s is None else "Retry-After: 1"
    row(LIMIT, f"{limit}, {name}, {names}", "11 minutes", f"{share:.1%} used after the first minute",
        f"{refused:.1%} ({late:.1%})", "90 %, 2 %")  # fmt: skip


def table_real(pages):
    """One export of *pages* pages at 100 ms; 250 requests a minute are let through."""
    command = [sys.executable, HERE / "server.py", "--rows", "100", "--latency-ms", "100", "--rate", str(LIMIT)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        base_url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        file = pathlib.Path(folder) / "exporter.toml"
        file.write_text(config(base_url, pages, f"{folder}/lake", requests_per_minute=LIMIT))
        began = time.monotonic()
        run = [sys.executable, "-m", "exporter", "run", "--config", file, "--json"]
        done = subprocess.run(run, env=os.environ | {"TOKEN": "made-up"}, check=True, capture_output=True, text=True)
        wall = time.monotonic() - began
        print("arrivals", file=server.stdin, flush=True)
        arrivals = json.loads(server.stdout.readline())
        arrivals = [moment - arrivals[0] for moment in arrivals]
        server.stdin.close()
    refused = sum(dataset["totals"]["throttled"] for dataset in json.loads(done.stdout)["datasets"])
    whole = int(arrivals[-1] // 60)
    early = sum(moment < 60 * whole for moment in arrivals)
    row("pages", "wall s", "whole minutes", "requests sent in them", "used", "throttled", "goal")
    row(*["---"] * 7)
    share = f"{early / (LIMIT * whole):.1%}"
    row(pages, f"{wall:.1f}", whole, early, share, refused, "99 %, none")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="of the back-off's jitter; the medians count (default 5)")
    parser.add_argument(
        "--pages", type=int, default=628, help="of the real run (default 628: a little over two minutes)"
    )
    parser.add_argument("--no-real", action="store_true", help="leave the real run out")
    options = parser.parse_args()
    print("On a virtual clock, 100 ms a response:\n")
    table_simulated(range(1, options.seeds + 1))
    if not options.no_real:
        print("\nIn real time, 100 ms a response, one credential:\n")
        table_real(options.pages)


if __name__ == "__main__":
    main()

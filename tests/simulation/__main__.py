"""`python -m tests.simulation`: plays seeds until one breaks a promise, and says which command replays it."""

import argparse
import sys
import time
import traceback
from collections import Counter

import pyarrow as pa

from tests.simulation.play import Played, play

_REPORT_EVERY_S = 5.0


def main() -> int:
    """0 where every seed keeps every promise, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many to play (default: 1000)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default: 1)")
    parser.add_argument("--seed", type=int, help="play this one alone, and tell what happens in it")
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    if arguments.seed is not None:
        return _replay(arguments.seed)
    return _simulate(range(arguments.first, arguments.first + arguments.seeds))


def _replay(seed: int) -> int:
    log: list[str] = []
    try:
        played = play(seed, log=log)
    except Exception:  # noqa: BLE001 - whatever it is, it is what the seed is replayed for
        print(*log, traceback.format_exc(), sep="\n")
        return 1
    print(*log, _summary(played), sep="\n")
    return 0


def _simulate(seeds: range) -> int:
    began = reported = time.monotonic()
    endings: Counter[str] = Counter()
    requests = 0
    for number, seed in enumerate(seeds, 1):
        try:
            played = play(seed)
        except Exception as error:  # noqa: BLE001 - every way to fail is a find
            print(f"seed {seed}: {type(error).__name__}: {error}\nreplay it: make replay SEED={seed}")
            return 1
        endings.update(ending.partition(":")[0] for ending in played.lives)
        requests += played.requests
        if time.monotonic() - reported >= _REPORT_EVERY_S:
            reported = time.monotonic()
            print(f"{number} of {len(seeds)} seeds, {reported - began:.0f} s", file=sys.stderr, flush=True)
    ends = ", ".join(f"{number} {ending}" for ending, number in endings.most_common())
    print(
        f"{len(seeds)} seeds kept every promise: {endings.total()} processes ({ends}), {requests} requests,"
        f" {time.monotonic() - began:.0f} s"
    )
    return 0


def _summary(played: Played) -> str:
    return f"every promise was kept: {len(played.lives)} processes, {played.requests} requests"


if __name__ == "__main__":
    sys.exit(main())

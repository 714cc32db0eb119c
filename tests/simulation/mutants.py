"""`python -m tests.simulation.mutants`: plants one defect after the other in a copy, and lets the simulation find it.

Shows that the simulation can fail. Each defect is one line, replaced by its text; a text that is not there exactly
once ends the program, so that the list cannot grow stale unseen. Nothing outside a temporary folder is written.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import exporter

#: What the defects are planted in a copy of.
PACKAGE = Path(exporter.__file__).parent
_ROOT = Path(__file__).parents[2]
_FOUND = re.compile(r"^seed (\d+): (.*)$", re.MULTILINE)
_LONGEST_S = 1200.0
_SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True)
class Defect:
    """One line that is wrong."""

    what: str
    file: str
    right: str
    wrong: str


DEFECTS: Sequence[Defect] = (
    Defect(
        "a task is published before all its pages are in",
        "tables/assembly.py",
        "        if self.total is None or len(self._pieces) * self.limit < self.total:\n"
        "            return False\n"
        "        return not self.missing\n",
        "        return self.total is not None\n",
    ),
    Defect(
        "a part is replaced without its ETag",
        "jobs/replace.py",
        "etag = await put_for_etag(self.store, partition.key, data, condition)",
        "etag = await put_for_etag(self.store, partition.key, data, None)",
    ),
    Defect(
        "a put whose answer was lost is taken for done",
        "jobs/put.py",
        "        return info.etag if found == data else None\n",
        "        return info.etag\n",
    ),
    Defect(
        "a row that stands twice is let through",
        "tables/assembly.py",
        "        if repeated:\n",
        "        if repeated < 0:\n",
    ),
    Defect(
        "a window ends with the first moment of the next one",
        "core/window.py",
        "    return end - _MICROSECOND\n",
        "    return end\n",
    ),
    Defect(
        "the order that the headers tell is not looked at",
        "tables/assembly.py",
        "        self._hold_order(page)\n",
        "",
    ),
    Defect(
        "pages of two fetches of one task are put together",
        "core/staged.py",
        "            (record.dataset, of.fetch_id),\n",
        '            (record.dataset, f"{of.studio} {of.window}"),\n',
    ),
    Defect(
        "a total that differs between pages is ignored",
        "tables/assembly.py",
        "if self.total is not None and told != self.total:",
        "if self.total is not None and told < 0:",
    ),
    Defect(
        "staged rows are deleted before they are published",
        "jobs/release.py",
        "        return await self._publisher.publish(swap)\n",
        "        await self._staging.release(dataset.name, [fetch.fetch_id for fetch in fetches])\n"
        "        return await self._publisher.publish(swap)\n",
    ),
    Defect(
        "the pace forgets requests in flight",
        "core/pace.py",
        "if self._in_flight + len(self._ended) >= self._limit:",
        "if len(self._ended) >= self._limit:",
    ),
    Defect(
        "Retry-After is ignored",
        "core/pace.py",
        "        if retry_after_s:\n",
        "        if retry_after_s == -1:\n",
    ),
    Defect(
        "the old rows of a task stay beside the new ones",
        "tables/merge.py",
        "    gone = set(covered({task for task, _ in published}, tasks))\n",
        "    gone = set(covered({task for task, _ in published}, tasks)[1:])\n",
    ),
    Defect(
        "an older fetch replaces a newer one",
        "tables/swap.py",
        "and began_at > max(entry.began_at, swap.seen.get(entry.task, entry.began_at))",
        "and began_at < max(entry.began_at, swap.seen.get(entry.task, entry.began_at))",
    ),
    Defect(
        "the staging area of a living run is taken over",
        "jobs/resume.py",
        "if running or (running is None and scope.began_at - owner.seen_at <= SEEN_WITHIN):",
        "if running and owner.ended:",
    ),
    Defect(
        "a settled task is asked for again",
        "core/plan.py",
        "(settled and not scope.full and not scope.rewrite)",
        "(settled and scope.full and not scope.rewrite)",
    ),
    Defect(
        "a task counts as settled when its window ends",
        "core/plan.py",
        "return began_at >= end + timedelta(days=lookback_days)",
        "return began_at >= end",
    ),
    Defect(
        "whole fetches of a dead run are not taken up",
        "jobs/resume.py",
        "            return fresh or is_settled(task, fetch.began_at, scope.lookback_days)\n",
        "            return is_settled(task, fetch.began_at, scope.lookback_days) and not fresh\n",
    ),
    Defect(
        "an old fetch is published as if it were new",
        "jobs/resume.py",
        "        if published and fetch.began_at <= published:\n",
        "        if published and fetch.began_at > published:\n",
    ),
    Defect(
        "a manifest is written before what it tells is published",
        "jobs/export.py",
        "                await self._release.finish()\n",
        "                await asyncio.sleep(0)\n",
    ),
    Defect(
        "what a run staged is left behind",
        "jobs/sweep.py",
        "        for key in sorted(keys - keep):\n",
        "        for key in sorted(keys - keep)[1:]:\n",
    ),
    Defect(
        "a lease says nothing of what is reserved",
        "jobs/tenure.py",
        "pending=self.pace.in_flight + (self._reserve.size if held else 0),",
        "pending=self.pace.in_flight,",
    ),
    Defect(
        "what the last holder used of the minute is forgotten",
        "jobs/tenure.py",
        "self.pace.take_up(monotonic + moment for moment in found.usage(",
        "list(monotonic + moment for moment in found.usage(",
    ),
    Defect(
        "a lease that somebody holds is taken",
        "jobs/tenure.py",
        "        return self._around.is_running(lease) is False or self._around.clock() >= lease.expires_at\n",
        "        return self._around.is_running(lease) is not None or self._around.clock() >= lease.expires_at\n",
    ),
    Defect(
        "a lease is replaced without its ETag",
        "jobs/tenure.py",
        "etag = await put_for_etag(self._around.store, self.key, record.to_json(), self._etag)",
        "etag = await put_for_etag(self._around.store, self.key, record.to_json(), None)",
    ),
    Defect(
        "a lease is taken without a look at who was quicker",
        "jobs/tenure.py",
        "etag = await put_for_etag(self._around.store, self.key, record.to_json(), condition)",
        "etag = await put_for_etag(self._around.store, self.key, record.to_json(), None)",
    ),
    Defect(
        "who has waited for a credential does not look again",
        "jobs/drive.py",
        "return await self._still_missing(tasks) if shared else tasks",
        "return tasks",
    ),
    Defect(
        "a run that was taken for dead goes on",
        "jobs/presence.py",
        "        if (there.host, there.process) == (owner.host, owner.process):\n",
        "        if there:\n",
    ),
    Defect(
        "a column is written as it is instead of hashed",
        "tables/privacy.py",
        "        columns.append(_hashed(column, hash_key) if hashed else column)\n",
        "        columns.append(column.cast(pa.string()) if hashed else column)\n",
    ),
    Defect(
        "an attempt that failed is not counted",
        "api/client.py",
        "            self._on_attempt(\n",
        "            outcome is AttemptOutcome.OK and self._on_attempt(\n",
    ),
)


def main() -> int:
    """0 where every defect was found, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many to play for each at most (default: 1000)")
    parser.add_argument("--only", default="", help="only defects whose text holds this")
    arguments = parser.parse_args()
    missed = 0
    print("| defect | in | seeds needed | first sign |\n| --- | --- | --- | --- |")
    for defect in DEFECTS:
        if arguments.only in defect.what:
            found = find(defect, arguments.seeds)
            missed += found is None
            seed, how = found or (f"none of {arguments.seeds}", "")
            print(f"| {defect.what} | `{defect.file}` | {seed} | {how} |", flush=True)
    return 1 if missed else 0


def find(defect: Defect, seeds: int) -> tuple[str, str] | None:
    """The first seed that finds *defect*, and what it said; None where no seed does."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        plant(defect, copy)
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seeds", str(seeds)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{_ROOT}"},
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    if done.returncode == 0:
        return None
    if (found := _FOUND.search(done.stdout)) is None:
        raise SystemExit(f"{defect.what}: the simulation itself went wrong\n{done.stderr}")
    return found[1], _short(found[2])


def _short(sign: str) -> str:
    """What a seed said, without what differs between seeds."""
    sign = sign.removeprefix("BrokenPromiseError: ").partition(" (")[0].replace("|", "/")
    sign = re.sub(r"studio-\d [-.\d]+:? (was|is)?", r"a task \1", sign)
    sign = re.sub(r" between .*| by \d{8}T.*|: \[.*", "", sign)
    return sign if len(sign) <= _SHOWN_CHARS else f"{sign[:_SHOWN_CHARS]}..."


def plant(defect: Defect, package: Path) -> None:
    """Put *defect* into the package in this folder."""
    path = package / defect.file
    text = path.read_text()
    if text.count(defect.right) != 1:
        raise SystemExit(f"{defect.file} holds {defect.right.strip()!r} {text.count(defect.right)} times, not once")
    path.write_text(text.replace(defect.right, defect.wrong))


if __name__ == "__main__":
    sys.exit(main())

"""1,000 studios x 36 months x 278 rows in one `exporter run`, and every other command over what it left.

Prints a table: time, CPU, memory over time, open files and connections, requests beside the least possible, the size of
the manifest. The API is `bench/server.py`, a process of its own that costs next to nothing; the sink is a folder.
Fails where a count is not what it must be. Reads /proc, so it needs Linux.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.load.quick_api import QuickApi, config_text, quick_api, tokens
from tests.load.watch import Ran, watched

#: Rows in a page at most.
PAGE = 100

#: Connections that the exporter is configured with; the default.
CONNECTIONS = 32

#: Descriptors that are neither a connection nor an object of the sink: the interpreter's own, and the event loop's.
OWN_FILES = 16

#: Objects of the sink that are open at once: each thread of the pool has one, with its folder.
SINK_FILES = 2 * 32

#: How much more memory than until half of the pages it may take until the end: 36,000 outcomes, and the manifest.
GROWTH = 1.1

#: Partitions from which on half of the pages are as good as all to tell that.
MANY_PARTITIONS = 4

#: MB that any run may take, and how many times the bytes of its largest partition while that is merged.
MOST_MB, MOST_PARTITIONS = 220, 1.5

#: Bytes of a row of a partition in Arrow. Source: docs/decisions/0012, "Measured".
ROW_BYTES = 270


class Trial:
    """One run after the other in one folder, each reported in a line."""

    def __init__(self, folder: Path, api: QuickApi, studios: int) -> None:
        self._folder = folder
        self._api = api
        self._environ = tokens(studios)
        self.wrong: list[str] = []

    def __call__(self, *arguments: str, requests: int) -> Ran:
        """Run one command, which shall send so many requests."""
        before = self._api.counts().requests
        ran = watched(
            [sys.executable, "-m", "exporter", *arguments],
            cwd=self._folder,
            environ=self._environ,
            progress=lambda: self._api.counts().requests - before,
        )
        sent = self._api.counts().requests - before
        name = f"`exporter {' '.join(arguments)}`"
        print(f"| {name} | {ran.wall_s:.1f} | {ran.cpu_s:.1f} | {ran.peak_mb:.0f} | {sent:,} |", flush=True)
        self.expect(f"{name}: exit code", ran.code, 0)
        self.expect(f"{name}: requests", sent, requests)
        if ran.code:
            print(ran.stderr, file=sys.stderr)
        return ran

    def expect(self, what: str, seen: object, wanted: object) -> None:
        """Note where *seen* is not what it must be."""
        if seen != wanted:
            self.wrong.append(f"{what}: {seen} instead of {wanted}")

    def at_most(self, what: str, seen: float, most: float) -> None:
        """Note where *seen* is more than it may be."""
        if seen > most:
            self.wrong.append(f"{what}: {seen:,.0f} instead of at most {most:,.0f}")


def main() -> int:
    """Run it and print what was seen; 1 where something is not as it must be."""
    options = _options()
    tasks = options.studios * options.months
    rows = tasks * options.rows
    pages = tasks * max(1, -(-options.rows // PAGE))
    print(f"{options.studios:,} studios x {options.months} months: {tasks:,} tasks, {rows:,} rows, {pages:,} pages\n")
    print("| command | wall s | CPU s | peak MB | requests |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="exporter-load-") as name, quick_api(options.rows) as api:
        folder = Path(name)
        text = config_text(
            api.base_url,
            studios=options.studios,
            months=options.months,
            sink=str(folder / "lake"),
            max_connections=CONNECTIONS,
        )
        (folder / "exporter.toml").write_text(text)
        trial = Trial(folder, api, options.studios)
        trial("plan", requests=0)
        run = trial("run", "--json", requests=pages + options.studios)
        for arguments in (("status",), ("status", "--json"), ("plan",), ("run",), ("verify",)):
            trial(*arguments, requests=0)
        counts = api.counts()
        _report_run(trial, run, folder, pages, rows)
        print(f"requests: {counts.requests:,}, of these {counts.sums:,} for totals; none twice")
        print(f"connections at once: {counts.most_connections} of {CONNECTIONS} configured")
        trial.expect("requests that were sent twice", counts.requests - counts.different, 0)
        trial.at_most("connections at once", counts.most_connections, CONNECTIONS)
        if options.again:
            again = trial("run", "--full", requests=pages + options.studios)
            trial.at_most("peak memory in MB of fetching all again", again.peak_mb, _most_mb(folder, rows))
    for line in trial.wrong:
        print(f"NOT AS IT MUST BE: {line}")
    return 1 if trial.wrong else 0


def _report_run(trial: Trial, run: Ran, folder: Path, pages: int, rows: int) -> None:
    """Memory, files and sizes of the one run that exported."""
    shares = {share: run.peak_until(pages * share // 100) for share in (10, 50, 100)}
    files = max((sample.files for sample in run.samples), default=0)
    manifests = sorted((folder / "lake").glob("*/_manifests/*.json"))
    print(f"\npeak memory until 10 %, 50 %, 100 % of the pages: {', '.join(f'{mb:.0f}' for mb in shares.values())} MB")
    print(f"open files at once, sockets among them: {files}")
    print(f"manifest: {max(path.stat().st_size for path in manifests) / 1e6:.1f} MB")
    print(f"CPU per million rows: {run.cpu_s / rows * 1e6:.1f} s")
    trial.at_most("peak memory in MB", run.peak_mb, _most_mb(folder, rows))
    if _partitions(folder) >= MANY_PARTITIONS:
        trial.at_most("peak memory at the end, beside that until half of the pages", shares[100], GROWTH * shares[50])
    trial.at_most("open files", files, CONNECTIONS + SINK_FILES + OWN_FILES)
    if run.code == 0:
        totals = json.loads(run.stdout)["totals"]
        trial.expect("rows", totals["rows"], rows)
        trial.expect("requests that the program tells of", totals["requests"], pages)
    trial.expect("objects left in staging", len(list((folder / "lake").glob("_staging/**/*.*"))), 0)


def _partitions(folder: Path) -> int:
    return len(list((folder / "lake").glob("*/month=*")))


def _most_mb(folder: Path, rows: int) -> float:
    """Memory that a run may take."""
    return MOST_MB + MOST_PARTITIONS * rows / _partitions(folder) * ROW_BYTES / 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load.full", description=__doc__)
    parser.add_argument("--studios", type=int, default=1000, help="each with a credential of its own (default 1000)")
    parser.add_argument("--months", type=int, default=36, help="of each studio (default 36)")
    parser.add_argument("--rows", type=int, default=278, help="of each studio and month (default 278)")
    parser.add_argument("--again", action="store_true", help="fetch everything once more in the end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

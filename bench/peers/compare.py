"""General tools beside the exporter, over the same server and the same report; prints a table.

Each makes Parquet files of one window. They run in turn, each in a process of its own; CPU is user and system time of
that process with its children, start-up included, and medians are held against the exporter's.
"""

import argparse
import gzip
import io
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq

from bench.latency import config
from bench.run import HERE, measured

PEERS = HERE.parent / ".venv-peers" / "bin" / "python"


def rows_in(folder):
    """Rows of all Parquet files below *folder*, whoever wrote them."""
    found = 0
    for file in Path(folder).rglob("*.parquet*"):
        if {"work", "_dlt_loads"} & set(file.parts):
            continue  # what dlt keeps beside what it writes
        data = file.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        found += pq.read_metadata(io.BytesIO(data)).num_rows
    return found


def once(base_url, rows):
    """What each of them took, by name."""
    taken = {}
    quiet = os.environ | {"RUNTIME__DLTHUB_TELEMETRY": "false", "PYTHONPATH": ""}
    for name in ("exporter run", "dlt, rest_api to Parquet", "singer-sdk, a tap's Parquet batches"):
        with tempfile.TemporaryDirectory() as folder:
            if name == "exporter run":
                file = Path(folder) / "exporter.toml"
                file.write_text(config(base_url, 1, f"{folder}/lake"))
                command = [sys.executable, "-m", "exporter", "run", "--config", file]
                taken[name] = measured(command, env=os.environ | {"TOKEN": "made-up"})
            else:
                script = "with_dlt.py" if name.startswith("dlt") else "with_singer.py"
                command = [PEERS, HERE / "peers" / script, base_url, folder]
                taken[name] = measured(command, env=quiet, cwd=folder)
            if rows_in(folder) != rows:
                sys.exit(f"{name}: wrote {rows_in(folder):,} rows instead of {rows:,}")
    return taken


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="in one window (default 200,000)")
    parser.add_argument("--runs", type=int, default=5, help="of each (default 5)")
    options = parser.parse_args()
    if not PEERS.exists():
        sys.exit(f"{PEERS}: is not there; run make bench-peers")
    say = "import importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in ('dlt', 'singer-sdk')))"
    versions = subprocess.run([PEERS, "-c", say], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{options.rows:,} rows in one window, no latency; {versions}, pyarrow {version('pyarrow')} here\n")
    print("| what | CPU s | peak MB | wall s | CPU, times the exporter's |\n| --- | --- | --- | --- | --- |")
    command = [sys.executable, HERE / "server.py", "--rows", str(options.rows)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        base_url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        runs = [once(base_url, options.rows) for _ in range(options.runs)]
        server.stdin.close()
    for name in runs[0]:
        cpu, memory, wall = (statistics.median(run[name][at] for run in runs) for at in range(3))
        ratio = statistics.median(run[name][0] / run["exporter run"][0] for run in runs)
        print(f"| {name} | {cpu:.2f} | {memory:.0f} | {wall:.1f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()

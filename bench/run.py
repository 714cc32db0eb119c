"""Whole exports beside the least that has to be done (`floor.py`), over the same server; prints a table.

The server is a process of its own. CPU is user and system time of the client alone, start-up included; memory is its
peak. The two run in turn, and the ratios are of medians within this one run: the machine's own speed falls out. The
exporter runs from its bytecode, as it does where it is installed.
"""

import argparse
import compileall
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
COLUMNS = (
    "customer", "status", "attendance", "rule", "event.offering_type", "event.venue", "customer_membership",
    "day_of_week", "event_start_time", "count",
)  # fmt: skip


def config(base_url, kind, studios, sink):
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    return (
        f'[api]\nbase_url = "{base_url}"\nrequests_per_minute = 1000000000\nformat = "{kind}"\n'
        f'[[reports]]\nname = "attendance_strikes.grouped"\ncolumns = [{names}]\n'
        f'[windows]\nstart = "2024-01-01"\nend = "2025-01-01"\n[run]\nreconcile = "off"\n[sink]\nurl = "{sink}"\n'
        + "".join(f'[[studios]]\nid = "studio-{n}"\ntoken = "env:TOKEN_{n}"\n' for n in range(studios))
    )


def measured(command, **options):
    """CPU seconds, peak memory in MB and wall seconds of one process."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        sys.exit(f"{command} failed:\n{said[-2000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, time.monotonic() - began


def once(kind, base_url, options):
    with tempfile.TemporaryDirectory() as folder:
        floor = [sys.executable, HERE / "floor.py", base_url, f"{folder}/floor", "--format", kind]
        floor += ["--studios", str(options.studios), "--rows", str(options.rows)]
        file = pathlib.Path(folder) / "exporter.toml"
        file.write_text(config(base_url, kind, options.studios, f"{folder}/lake"))
        tokens = {f"TOKEN_{n}": f"made-up-{n}" for n in range(options.studios)}
        run = [sys.executable, "-m", "exporter", "run", "--config", file]
        return measured(floor), measured(run, env=os.environ | tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studios", type=int, default=20, help="each with twelve months (default 20)")
    parser.add_argument("--rows", type=int, default=4170, help="of each studio and month (default 4170)")
    parser.add_argument("--runs", type=int, default=5, help="of each format (default 5)")
    options = parser.parse_args()
    total = options.studios * 12 * options.rows
    compileall.compile_dir(HERE.parent / "exporter", quiet=1)
    print(f"{total:,} rows, {options.runs} runs of each; Python {platform.python_version()}, {platform.machine()}\n")
    print("| format | what | CPU s | CPU s per million rows | peak MB | wall s | CPU, times the floor |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    command = [sys.executable, HERE / "server.py", "--rows", str(options.rows)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        base_url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        for kind in ("json", "csv"):
            runs = [once(kind, base_url, options) for _ in range(options.runs)]
            medians = {
                name: [statistics.median(column) for column in zip(*(run[i] for run in runs), strict=True)]
                for i, name in enumerate(("floor", "exporter run"))
            }
            for name, (cpu, memory, wall) in medians.items():
                ratio = cpu / medians["floor"][0]
                each = cpu / total * 1e6
                print(f"| {kind} | {name} | {cpu:.2f} | {each:.2f} | {memory:.0f} | {wall:.1f} | {ratio:.2f} |")
        server.stdin.close()


if __name__ == "__main__":
    main()

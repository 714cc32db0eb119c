"""CPU seconds until a command has started, beside bare Python and beside the libraries alone; prints a table.

Median of many runs, taken in turn, each in a process of its own. How many modules are imported is held by
`tests/unit/test_imports.py`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.run import config, measured

LIBRARIES = "import aiohttp, boto3, pyarrow.parquet"
HANDLER = "import exporter.lambda_handler"
WHOLE = (
    "from exporter.process import tune_memory; tune_memory(); "  # as the command line does
    "import exporter.app, exporter.api.client, exporter.store.s3"
)

COUNT = "\nprint(len(sys.modules))"


def commands(folder):
    """What is run, by name."""
    file = Path(folder) / "exporter.toml"
    file.write_text(config("http://127.0.0.1:9", "json", 1, f"{folder}/lake"))
    exporter = [sys.executable, "-m", "exporter"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "exporter --help": [*exporter, "--help"],
        "exporter plan": [*exporter, "plan", "--config", file],
        f"python -c '{LIBRARIES}'": [sys.executable, "-c", LIBRARIES],
        f"python -c '{HANDLER}'": [sys.executable, "-c", HANDLER],
        f"python -c '{WHOLE}'": [sys.executable, "-c", WHOLE],
    }


def modules(code):
    """How many modules *code* has imported in the end."""
    command = [sys.executable, "-c", f"import sys\n{code}{COUNT}"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="of each command (default 15)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = commands(folder)
        runs = [
            {name: measured(command, env={"TOKEN_0": "made-up"}) for name, command in chosen.items()}
            for _ in range(options.runs)
        ]
    cpu = {name: statistics.median(run[name][0] for run in runs) for name in chosen}
    bare, _, _, libraries, *_ = cpu
    goals = {
        "exporter --help": f"{1.5 * cpu[bare] + 0.06:.3f} (1.5 x bare Python + 0.06)",
        f"python -c '{HANDLER}'": f"{1.3 * cpu[libraries]:.3f} (1.3 x the libraries)",
    }
    print("| command | CPU s | times the libraries | peak MB | goal, CPU s |\n| --- | --- | --- | --- | --- |")
    for name, seconds in cpu.items():
        memory = statistics.median(run[name][1] for run in runs)
        print(f"| `{name}` | {seconds:.3f} | {seconds / cpu[libraries]:.2f} | {memory:.0f} | {goals.get(name, '')} |")
    counts = {name: modules(code) for name, code in (("libraries", LIBRARIES), ("handler", HANDLER), ("whole", WHOLE))}
    print(
        f"\nModules: {counts['libraries']} with the libraries, {counts['handler']} with the handler, {counts['whole']}"
        " with the whole exporter. The handler imports aiohttp and boto3 when its first run asks for them."
    )


if __name__ == "__main__":
    main()

"""`exporter demo`: the whole job on one machine, with nothing configured.

The sandbox is served over loopback by this same process; the export knows no more of it than of the real API.
"""

import json
import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pyarrow.dataset as ds

from exporter.app import open_app
from exporter.app_choice import Choice
from exporter.cli import render
from exporter.cli.codes import ExitCode
from exporter.cli.commands import export
from exporter.cli.grid import Grid, show
from exporter.cli.output import emit
from exporter.cli.sandbox import config_text, tokens
from exporter.config.load import parse_settings
from exporter.errors import UsageError
from exporter.sandbox.invent import make_world
from exporter.sandbox.server import serve
from exporter.sandbox.studios import World

_DATASET = "attendance_strikes_grouped"


async def demo(args: Namespace, _environ: Mapping[str, str]) -> ExitCode:
    """Export five made-up studios x twelve months, verify them, and show what came out."""
    if "://" in args.sink:
        raise UsageError(f'--sink: is "{args.sink}" instead of a folder; "exporter run" exports to S3')
    world = make_world()
    environ = tokens(world)
    async with serve(world) as sandbox:
        emit(f"exporting five made-up studios x twelve months of 2025 from {sandbox.base_url} to {args.sink}\n\n")
        text = config_text(world, sandbox.base_url, sink=args.sink, answers=args.format)
        settings = parse_settings(text, environ, name="exporter demo")
        async with open_app(settings, environ) as app:
            code = await export(app, Choice(), environ, log_format=args.log_format)
            if code is not ExitCode.OK:
                return code
            verified = await app.verify(Choice(), source=True)
    emit(f"\n{render.verified_text(verified, args.sink)}\n")
    if any(found.differences for found in verified):
        return ExitCode.DIFFERS
    folder = Path(args.sink) / _DATASET
    show(_read_back(folder, world))
    emit(f"\nto try:\n  {query(folder, duckdb=find_spec('duckdb') is not None)}\n")
    return ExitCode.OK


def _read_back(folder: Path, world: World) -> Grid:
    """What any reader of Hive partitions finds in *folder*, by studio."""
    table = ds.dataset(folder, format="parquet", partitioning="hive").to_table(columns=["studio_id", "month", "count"])
    sums = table.group_by("studio_id").aggregate([("month", "count_distinct"), ("count", "count"), ("count", "sum")])
    zones = {studio.slug: studio.timezone for studio in world.studios}
    return Grid(
        columns=("studio", "timezone", "months", "rows", "sum of count"),
        rows=tuple(_row(row, zones) for row in sums.sort_by("studio_id").to_pylist()),
    )


def _row(row: Mapping[str, int], zones: Mapping[str, str]) -> tuple[str | int, ...]:
    studio = str(row["studio_id"])
    return (studio, zones.get(studio, ""), row["month_count_distinct"], row["count_count"], row["count_sum"])


def query(folder: Path, *, duckdb: bool) -> str:
    """A command for the shell that counts the strikes of each month in *folder*.

    Args:
        folder: of the dataset.
        duckdb: ask DuckDB, which need not be installed; else pyarrow.
    """
    if duckdb:
        code = (
            f"import duckdb; duckdb.read_parquet({json.dumps(f'{folder}/*/*.parquet')}, hive_partitioning=True)"
            f'.aggregate("month, sum(count) as strikes", "month").order("month").show()'
        )
    else:
        code = (
            f'import pyarrow.dataset as ds; print(*ds.dataset({json.dumps(str(folder))}, partitioning="hive")'
            f'.to_table().group_by("month").aggregate([("count", "sum")]).sort_by("month").to_pylist(), sep="\\n")'
        )
    return shlex.join([_python(), "-c", code])


def _python() -> str:
    """This interpreter, as short as the folder that the command is pasted in allows."""
    try:
        inside = Path(sys.executable).relative_to(Path.cwd())
    except ValueError:
        return sys.executable
    return str(Path(os.curdir) / inside) if len(inside.parts) > 1 else sys.executable

"""The commands that need a configuration: each reads it, calls one job, and shows what came of it."""

from argparse import Namespace
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from exporter import app_shards
from exporter.app import App, open_app
from exporter.app_choice import Choice
from exporter.cli import render
from exporter.cli.codes import ExitCode
from exporter.cli.grid import show
from exporter.cli.output import emit, tell
from exporter.cli.progress import complain, log_style, open_progress
from exporter.config.load import load_settings
from exporter.core.manifest import RunState
from exporter.core.moved import moves_of, what_moved
from exporter.core.partition import partitions_prefix, receipt_key
from exporter.core.report import ColumnType, Dataset
from exporter.core.summary import (
    RunSummary,
    least_requests,
    summarise_manifest,
    summarise_plan,
    summarise_run,
    summarise_runs,
)
from exporter.core.text import printable
from exporter.errors import ExporterError, UsageError
from exporter.jobs.doctor import Check
from exporter.jobs.events import Event
from exporter.jobs.lines import describe
from exporter.jobs.meter import Meter
from exporter.jobs.metrics import metric_lines
from exporter.tables.ddl import Dialect
from exporter.tables.ddl import ddl as definition

#: Runs whose unasked columns a table definition takes up.
_RUNS_WITH_EXTRAS = 100

#: Runs that are shown where nobody says how many, and runs whose manifests are read to learn from them.
RUNS_SHOWN = 10
RUNS_LEARNT_FROM = 100


async def doctor(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    """Look at configuration, sink, clock and credentials."""
    async with open_configured(args, environ) as app:
        valid = Check(
            name="configuration",
            ok=True,
            detail=f"{len(app.studios)} studios, {len(app.datasets)} datasets, every secret is set",
        )
        checks = (valid, *await app.doctor())
    emit(render.checks_text(checks))
    return ExitCode.OK if all(check.ok for check in checks) else ExitCode.FAILED


async def plan(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    """Show what a run would do, or cut it into shards."""
    if "shards" in args and (args.shards or args.out):
        return await _plan_shards(args, environ)
    async with open_configured(args, environ) as app:
        api = app.settings.api
        choice = await _shard(app, args) if "shard" in args and args.shard else choice_of(args)
        summary = summarise_plan(
            await app.plan(choice), page_size=api.page_size, requests_per_minute=api.requests_per_minute
        )
    if args.json:
        emit(render.to_json(summary))
        return ExitCode.OK
    if summary.tasks:
        show(render.plan_grid(summary))
    emit(render.plan_text(summary))
    return ExitCode.OK


async def _plan_shards(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    if not (args.shards and args.out):
        raise UsageError("plan: --shards and --out go together; give how many shards and the file to write them to")
    async with open_configured(args, environ) as app:
        sharded = await app_shards.plan_shards(app, choice_of(args), args.shards, args.out)
    if args.json:
        emit(render.to_json(sharded))
        return ExitCode.OK
    if sharded.shards:
        show(render.shards_grid(sharded.shards))
    emit(render.shards_text(args.out, sharded.shards))
    return ExitCode.OK


async def run(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    """Export what is not settled yet."""
    if args.dry_run:
        return await plan(args, environ)
    async with open_configured(args, environ) as app:
        choice = await _shard(app, args) if args.shard else choice_of(args)
        return await export(app, choice, environ, log_format=args.log_format, as_json=args.json)


async def _shard(app: App, args: Namespace) -> Choice:
    url, index = args.shard
    return await app_shards.choice_of_shard(app, url, index, choice_of(args))


async def export(
    app: App, choice: Choice, environ: Mapping[str, str], *, log_format: str | None, as_json: bool = False
) -> ExitCode:
    """Run once, with progress on stderr and a summary on stdout, also where the run was stopped."""
    meter = app.make_meter()
    try:
        with open_progress(meter, log_format) as observer:
            manifests = await app.run(choice, observer)
        code = ExitCode.OK if all(manifest.state is RunState.OK for manifest in manifests) else ExitCode.FAILED
    except ExporterError as error:
        if not meter.manifests:
            raise
        complain(str(error), log_style(log_format))  # here, since stdout has its one answer: the summary
        code = ExitCode.FAILED
    finally:
        for line in metric_lines(meter, environ, datetime.now(UTC)):
            tell(line)
        if meter.manifests:
            _show_run(summarise_run(meter.manifests), meter, as_json=as_json)
    return code


async def status(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    """Show the last runs, or what they found changed."""
    if args.changes:
        return await _changes(args, environ)
    last = args.last or RUNS_SHOWN
    async with open_configured(args, environ) as app:
        runs = summarise_runs([summarise_manifest(m) async for m in app.history(choice_of(args), last)], last)
    if args.json:
        emit(render.to_json({"runs": runs}))
    elif runs:
        show(render.history_grid(runs))
    else:
        emit("there is no run yet\n")
    return ExitCode.OK


async def _changes(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    last = args.last or RUNS_LEARNT_FROM
    async with open_configured(args, environ) as app:
        moves = [moves_of(manifest) async for manifest in app.history(choice_of(args), last)]
        found = what_moved(moves, app.settings.windows.lookback_days)
    if args.json:
        emit(render.to_json({"changes": found}))
        return ExitCode.OK
    if not found:
        emit("there is no run yet\n")
    for dataset in found:
        emit(f"{dataset.dataset}\n\n")
        show(render.changes_run_grid(dataset, args.last or RUNS_SHOWN))
        emit("\n")
        show(render.changes_age_grid(dataset))
        emit(f"\n{dataset.says}\n")
    return ExitCode.OK


async def verify(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    """Hold what is published against the manifests, and on request against the API."""
    async with open_configured(args, environ) as app:
        verified = await app.verify(choice_of(args), source=args.source, observer=_tell)
        sink = app.store.url
    differences = sum(len(found.differences) for found in verified)
    emit(
        render.to_json({"differences": differences, "datasets": verified})
        if args.json
        else render.verified_text(verified, sink)
    )
    return ExitCode.DIFFERS if differences else ExitCode.OK


async def forget(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    """Remove a customer, or show what would be removed."""
    async with open_configured(args, environ) as app:
        receipt = await app.forget(args.customer, args.studio, dry_run=args.dry_run)
    key = None if args.dry_run else receipt_key(receipt.receipt_id)
    emit(
        render.to_json(
            {"receipt": key, "dry_run": args.dry_run, "rows_removed": receipt.rows_removed, **asdict(receipt)}
        )
        if args.json
        else render.receipt_text(receipt, key)
    )
    return ExitCode.FAILED if receipt.unsearched else ExitCode.OK


async def ddl(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    """Print the table definitions."""
    async with open_configured(args, environ) as app:
        came = [(m.dataset, m.extra_columns) async for m in app.history(choice_of(args), _RUNS_WITH_EXTRAS)]
        chosen = [d for d in app.datasets if not args.datasets or d.name in args.datasets]
        settings = app.settings
        for dataset in chosen:
            if not await app.store.list(partitions_prefix(dataset.name)):
                tell(render.nothing_yet(dataset.name, app.store.url))
    statements = [
        definition(
            dataset,
            location(settings.sink.url),
            Dialect(args.dialect),
            f"{settings.windows.start:%Y-%m}",
            extra_columns(dataset, came),
        )
        for dataset in chosen
    ]
    emit("\n".join(statements))
    return ExitCode.OK


def location(sink_url: str) -> str:
    """Where a sink lies for an engine that runs in another folder: a URL on S3, or a whole path."""
    if sink_url.startswith("s3://"):
        return sink_url
    path = unquote(urlsplit(sink_url).path) if sink_url.startswith("file:") else sink_url
    return str(Path(path).expanduser().absolute())


def extra_columns(dataset: Dataset, came: Iterable[tuple[str, Sequence[str]]]) -> tuple[tuple[str, ColumnType], ...]:
    """Columns of *dataset* that came without being asked for; of a type that the catalogue does not know, strings.

    Args:
        dataset: whose columns.
        came: names of such columns, run by run, beside the name of the dataset.
    """
    types = {column.name: column.type for column in dataset.spec.columns}
    names = dict.fromkeys(name for where, columns in came if where == dataset.name for name in columns)
    return tuple((name, types.get(name, ColumnType.STRING)) for name in names)


def _tell(event: Event) -> None:
    """On stderr, what a person who waits wants to know."""
    if line := describe(event):
        tell(printable(line.message))


def _show_run(summary: RunSummary, meter: Meter, *, as_json: bool) -> None:
    if as_json:
        emit(render.to_json(summary))
        return
    show(render.run_grid(summary))
    emit(render.run_text(summary, meter, least_requests(meter.manifests, meter.page_size)))


def choice_of(args: Namespace) -> Choice:
    """What the flags of a command narrow it to; no command has all of them."""
    asked = vars(args)
    return Choice(
        start=asked.get("start"),
        end=asked.get("end"),
        studios=tuple(asked.get("studios", ())),
        datasets=tuple(asked.get("datasets", ())),
        full=asked.get("full", False),
        rewrite=asked.get("rewrite", False),
    )


@asynccontextmanager
async def open_configured(args: Namespace, environ: Mapping[str, str]) -> AsyncIterator[App]:
    """The app that the configuration of a command asks for."""
    async with open_app(load_settings(args.config, environ), environ) as app:
        yield app

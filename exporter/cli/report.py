"""`exporter report`: what the last run did and what the sink holds, as one page."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from exporter.app import App
from exporter.cli import render
from exporter.cli.codes import ExitCode
from exporter.cli.commands import RUNS_LEARNT_FROM, RUNS_SHOWN, choice_of, open_configured
from exporter.cli.grid import Grid
from exporter.cli.html import Section, page
from exporter.cli.output import emit
from exporter.core.ledger import Ledger
from exporter.core.moved import DatasetChanges, moves_of, what_moved
from exporter.core.partition import Partition
from exporter.core.report import DatasetName
from exporter.core.summary import RunSummary, summarise_manifest, summarise_runs
from exporter.errors import UsageError


async def report(args: Namespace, environ: Mapping[str, str]) -> ExitCode:
    """Write the page to stdout, or to a file."""
    async with open_configured(args, environ) as app:
        text = await _page(app, args)
    if args.out is None:
        emit(text)
        return ExitCode.OK
    _write(args.out, text)
    return ExitCode.OK


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out: {path} cannot be written ({error.strerror}); choose another file") from error


async def _page(app: App, args: Namespace) -> str:
    choice = choice_of(args)
    told = [(summarise_manifest(m), moves_of(m)) async for m in app.history(choice, RUNS_LEARNT_FROM)]
    runs = summarise_runs([summary for summary, _ in told], RUNS_SHOWN)
    ledgers = await app.ledgers(choice)
    moved = what_moved([moves for _, moves in told], app.settings.windows.lookback_days)
    now = datetime.now(UTC)
    sections = [
        _last_run(runs),
        *(_data(name, ledgers) for name in dict.fromkeys(partition.dataset for partition in ledgers)),
        *(_changes(found) for found in moved),
        *([Section(title="Runs", grid=render.history_grid(runs))] if runs else []),
        Section(title="About", lines=[f"sink: {app.store.url}", f"written at {now:%Y-%m-%d %H:%M:%S} UTC"]),
    ]
    return page("Studio reports", runs[-1].state if runs else "", sections)


def _last_run(runs: Sequence[RunSummary]) -> Section:
    if not runs:
        return Section(title="Last run", lines=["there is no run yet"])
    return Section(
        title=f"Last run: {runs[-1].run_id}", lines=render.outcome_lines(runs[-1]), grid=render.run_grid(runs[-1])
    )


def _data(name: DatasetName, ledgers: Mapping[Partition, Ledger]) -> Section:
    """The months of one dataset, as their ledgers count them; no row is read."""
    rows = []
    for partition in sorted(p for p in ledgers if p.dataset == name):
        entries = ledgers[partition].entries
        studios = len({entry.studio for entry in entries})
        empty = sum(not entry.rows for entry in entries)
        rows.append(
            (
                partition.month,
                studios,
                len(entries),
                empty,
                sum(entry.rows for entry in entries),
                sum(entry.measure for entry in entries),
            )
        )
    most = max((row[4] for row in rows), default=0)
    return Section(
        title=f"Data: {name}",
        lines=[f"{sum(row[4] for row in rows):,} rows in {len(rows):,} partitions"],
        grid=Grid(columns=("month", "studios", "windows", "empty", "rows", "sum"), rows=tuple(rows)),
        bars=[row[4] / most if most else 0.0 for row in rows],
    )


def _changes(found: DatasetChanges) -> Section:
    return Section(title=f"What moved: {found.dataset}", lines=[found.says], grid=render.changes_age_grid(found))

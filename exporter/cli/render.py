"""Values as text and as JSON. Pure."""

import json
from collections.abc import Sequence
from datetime import UTC

from exporter.cli.grid import Grid
from exporter.core.failures import failure_lines
from exporter.core.jsonable import jsonable
from exporter.core.manifest import Change, RunState
from exporter.core.moved import AgeBand, DatasetChanges
from exporter.core.receipt import Receipt
from exporter.core.shards import Shard
from exporter.core.summary import DatasetSummary, PlanSummary, RunSummary
from exporter.core.text import printable, some
from exporter.jobs.doctor import Check
from exporter.jobs.meter import Meter
from exporter.jobs.verify import Verified

#: Studios that are named where a credential has many.
_NAMED = 3
#: Lines of one kind that a person is shown at most.
MOST_LINES = 50
_KILO = 1000
_MINUTE_S = 60
#: How the columns of a change are headed.
_CHANGED = ("changed", "rows added", "gone", "recounted", "change of the sum")


def to_json(value: object) -> str:
    """One JSON object: a dataclass, or what JSON can say with dataclasses in it."""
    return json.dumps(value, indent=2, default=jsonable) + "\n"


def duration(seconds: float) -> str:
    """Hours where there are any, minutes and seconds."""
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(size_bytes: int) -> str:
    """Bytes as a person would say them."""
    amount = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < _KILO:
            return f"{size_bytes} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= _KILO
    return f"{amount:.1f} TB"


def plan_grid(plan: PlanSummary) -> Grid:
    """What each credential has to do; where there are many, those with the most requests."""
    loads = plan.credentials
    if len(loads) > MOST_LINES:
        loads = tuple(sorted(loads, key=lambda load: -load.least_requests)[:MOST_LINES])
    return Grid(
        columns=("credential", "studios", "tasks", "least requests", "least time"),
        rows=tuple(
            (
                load.credential,
                some(load.studios, _NAMED),
                load.tasks,
                load.least_requests,
                duration(load.least_seconds),
            )
            for load in loads
        ),
    )


def plan_text(plan: PlanSummary) -> str:
    """The sums of a plan."""
    lines = []
    if plan.continued:
        lines.append(f"{plan.continued:,} tasks were published by the stopped run that this one goes on with")
    if len(plan.credentials) > MOST_LINES:
        lines.append(
            f"of {len(plan.credentials):,} credentials, the {MOST_LINES} with the most requests; --json has all"
        )
    if plan.tasks:
        lines.append(f"{plan.tasks:,} tasks to fetch, {plan.settled:,} settled")
        lines.append(
            f"at least {plan.least_requests:,} requests (one for each task that was never published), which take at"
            f" least {duration(plan.least_seconds)} at {plan.requests_per_minute:,} requests a minute and credential"
        )
    else:
        lines.append(f"nothing to fetch: {plan.settled:,} tasks are settled")
    return "".join(f"{line}\n" for line in lines)


def shards_grid(shards: Sequence[Shard]) -> Grid:
    """What each shard has to do; of many, the first ones, between which there is little difference."""
    return Grid(
        columns=("shard", "studios", "requests", "least time"),
        rows=tuple(
            (shard.index, len(shard.studios), shard.requests, duration(shard.minutes * _MINUTE_S))
            for shard in shards[:MOST_LINES]
        ),
    )


def shards_text(url: str, shards: Sequence[Shard]) -> str:
    """Where the shards are, and how one is run."""
    if not shards:
        return f"nothing to fetch; {url} holds no shard\n"
    return f"{len(shards):,} shards in {url}; run each, from 0 on: exporter run --shard '{url}#0'\n"


def run_grid(run: RunSummary) -> Grid:
    """What became of the tasks of each dataset."""
    return Grid(
        columns=("dataset", "state", "tasks", "published", "empty", "failed", "left", "settled", "rows"),
        rows=tuple(
            (
                entry.dataset,
                entry.state,
                entry.totals.tasks,
                entry.totals.published,
                entry.totals.empty,
                entry.totals.failed,
                entry.totals.pending,
                entry.totals.settled,
                entry.totals.rows,
            )
            for entry in run.datasets
        ),
    )


def run_text(run: RunSummary, meter: Meter, least_requests: int) -> str:
    """What a run cost, what came of it, and what to do about it."""
    totals = run.totals
    lines = [f"run {run.run_id}: {run.state} after {totals.seconds:.1f} s"]
    if totals.tasks:
        lines += [
            f"{totals.requests:,} requests; {least_requests:,} is the least possible",
            *([f"{totals.reconcile_requests:,} more for the API's own totals"] if totals.reconcile_requests else []),
            f"{totals.retries:,} retries, {totals.throttled:,} throttled",
            f"{meter.peak:,} of {meter.allowed:,} allowed requests in the busiest minute",
            f"{size(totals.bytes_in)} received, {size(totals.bytes_out)} written",
        ]
    return "".join(f"{line}\n" for line in (*lines, *outcome_lines(run)))


def outcome_lines(run: RunSummary) -> list[str]:
    """What came of a run, and what to do about it."""
    totals = run.totals
    lines = [] if totals.tasks else [f"nothing to fetch: all {totals.settled:,} tasks are settled"]
    for entry in run.datasets:
        lines += _moved_lines(entry) + _reconciled_lines(entry)
    if totals.withheld:
        lines.append(f"{totals.withheld:,} rows of people who are left out were withheld")
    failures = [line for entry in run.datasets for line in failure_lines(entry.failures)]
    lines += [f"failed: {printable(line)}" for line in failures]
    if failures:
        lines.append("run again to retry just these")
    if run.state is RunState.INTERRUPTED:
        lines.append("stopped: what is whole is kept; run again to go on from there")
    lines += [
        f"{entry.dataset}: columns that came without being asked for: {printable(', '.join(entry.extra_columns))}"
        for entry in run.datasets
        if entry.extra_columns
    ]
    return lines


def _moved_lines(entry: DatasetSummary) -> list[str]:
    """What became of windows that were published before."""
    if not entry.refetched:
        return []
    kept = f"; {entry.unchanged_objects:,} partitions were left as they were" if entry.unchanged_objects else ""
    return [f"{entry.dataset}: {entry.changed:,} of {entry.refetched:,} windows fetched again had changed{kept}"]


def _reconciled_lines(entry: DatasetSummary) -> list[str]:
    """Whether the API agrees, and where it does not."""
    if not entry.reconciled:
        return []
    agreeing = sum(record.agrees for record in entry.reconciled)
    lines = [f"{entry.dataset}: {agreeing:,} of {len(entry.reconciled):,} totals agree with the API's own"]
    lines += _first([f"warning: {printable(str(record))}" for record in entry.reconciled if not record.agrees])
    if agreeing < len(entry.reconciled):
        lines.append(
            "a report may change while a run reads it; if the next run says the same, fetch everything with --full"
        )
    return lines


def changes_run_grid(found: DatasetChanges, last: int) -> Grid:
    """What each of the *last* runs found changed."""
    return Grid(
        columns=("run", "started (UTC)", "fetched again", *_CHANGED),
        rows=tuple(
            (
                run.run_id,
                f"{run.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                run.refetched,
                *_moved(run.changed, run.change),
            )
            for run in found.runs[-last:]
        ),
    )


def changes_age_grid(found: DatasetChanges) -> Grid:
    """What was found changed, by the age of the windows."""
    return Grid(
        columns=("days since the window's end", "fetched again", *_CHANGED),
        rows=tuple((_ages(band), band.refetched, *_moved(band.changed, band.change)) for band in found.ages),
    )


def _moved(changed: int, change: Change) -> tuple[int, ...]:
    return (changed, change.rows_added, change.rows_gone, change.rows_recounted, change.measure_change)


def _ages(band: AgeBand) -> str:
    return f"{band.first_day}-{band.last_day}" if band.last_day is not None else f"{band.first_day} or more"


def history_grid(runs: Sequence[RunSummary]) -> Grid:
    """The runs, a line for each dataset."""
    return Grid(
        columns=(
            "run",
            "dataset",
            "state",
            "started (UTC)",
            "time",
            "tasks",
            "failed",
            "left",
            "settled",
            "rows",
            "requests",
        ),
        rows=tuple(
            (
                run.run_id,
                entry.dataset,
                entry.state,
                f"{run.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                duration(entry.totals.seconds),
                entry.totals.tasks,
                entry.totals.failed,
                entry.totals.pending,
                entry.totals.settled,
                entry.totals.rows,
                entry.totals.requests,
            )
            for run in runs
            for entry in run.datasets
        ),
    )


def nothing_yet(dataset: str, sink: str) -> str:
    """What a command says of a dataset that has no part."""
    return f"{dataset}: nothing is published in {sink} yet"


def verified_text(verified: Sequence[Verified], sink: str) -> str:
    """What was read in *sink*, whether the API agrees, and every difference."""
    lines = []
    for found in verified:
        if found.parts or found.differences:
            lines.append(f"{found.dataset}: {found.parts:,} parts, {found.rows:,} rows, sum {found.measure:,}")
        else:
            lines.append(nothing_yet(found.dataset, sink))
        if found.withheld:
            lines.append(f"{found.dataset}: {found.withheld:,} rows of people who are left out are withheld")
        if found.unconfigured:
            names = printable(some(found.unconfigured, MOST_LINES))
            lines.append(f"{found.dataset}: rows of studios that are not configured are among them: {names}")
        agreeing = sum(total.agrees for total in found.source)
        if found.source:
            lines.append(f"{found.dataset}: {agreeing:,} of {len(found.source):,} totals agree with the API's own")
        lines += _first([f"difference: {printable(difference)}" for difference in found.differences])
    number = sum(len(found.differences) for found in verified)
    if number:
        lines.append(f"{number:,} differences")
    elif any(found.parts for found in verified):
        lines.append("no difference")
    return "".join(f"{line}\n" for line in lines)


def receipt_text(receipt: Receipt, key: str | None) -> str:
    """What was removed, what could not be searched, and where it is on record; *key* is None for a dry run."""
    verb = "would go" if key is None else "removed"
    lines = [
        f"{found.place}: {found.objects:,} objects searched, {found.rows_removed:,} rows {verb} from"
        f" {found.replaced:,} of them"
        for found in receipt.searched
    ]
    lines += [f"not searched: {printable(f'{item.place}: {item.reason}')}" for item in receipt.unsearched]
    total = f"{receipt.rows_removed:,} rows"
    if key is None:
        lines.append(f"{total} would go; nothing was changed")
    else:
        lines.append(f"{total} removed, and later runs leave the customer out; see {key}")
    return "".join(f"{line}\n" for line in lines)


def checks_text(checks: Sequence[Check]) -> str:
    """A line for each check; where very many are well, only the first ones of these."""
    left_out = {check.name for check in [check for check in checks if check.ok][MOST_LINES:]}
    lines = [
        f"{'ok     ' if check.ok else 'problem'}  {check.name}: {printable(check.detail)}"
        for check in checks
        if check.name not in left_out
    ]
    lines += [f"ok       {len(left_out):,} more"] if left_out else []
    return "".join(f"{line}\n" for line in lines)


def _first(lines: Sequence[str]) -> list[str]:
    """*lines*, cut where a person would no longer read them."""
    left_out = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"and {left_out:,} more; --json has all"] if left_out > 0 else [])]

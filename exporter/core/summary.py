"""What commands tell in the end, as values: the text for people and the JSON for machines are made of the same ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from exporter.core.manifest import Manifest, RunState, TaskState, Totals, sum_totals
from exporter.core.plan import Plan
from exporter.core.reconcile import Reconciled

#: How a run ended, from bad to good.
_BY_SEVERITY = (RunState.INTERRUPTED, RunState.FAILED, RunState.OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A task that failed; days as YYYY-MM-DD, the last one not included."""

    studio: str
    window_start: str
    window_end: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSummary:
    """One run over one dataset.

    Attributes:
        refetched, changed: windows that were published before and fetched again; that were no longer the same.
        unchanged_objects: partitions that were not put again, since they held just these rows.
        reconciled: studios held against the API's own totals.
    """

    dataset: str
    state: RunState
    totals: Totals
    failures: tuple[Failure, ...]
    extra_columns: tuple[str, ...]
    refetched: int
    changed: int
    unchanged_objects: int
    reconciled: tuple[Reconciled, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run.

    Attributes:
        state: the worst of its datasets.
        totals: sums over its datasets.
    """

    run_id: str
    state: RunState
    started_at: datetime
    ended_at: datetime
    totals: Totals
    datasets: tuple[DatasetSummary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialLoad:
    """What a plan asks of one credential; `least_seconds` is what its rate limit makes of the requests."""

    credential: str
    studios: tuple[str, ...]
    tasks: int
    least_requests: int
    least_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSummary:
    """One plan.

    Attributes:
        tasks: to be fetched.
        settled: that need no request.
        continued: that a stopped run, with which this one would go on, has published already.
        least_requests, least_seconds: over all credentials, which work side by side.
        requests_per_minute: allowed to each credential.
        credentials: those with something to fetch.
    """

    tasks: int
    settled: int
    continued: int
    least_requests: int
    least_seconds: float
    requests_per_minute: int
    credentials: tuple[CredentialLoad, ...]


def worst(states: Iterable[RunState]) -> RunState:
    """The worst of *states*; OK where there is none."""
    return min(states, key=_BY_SEVERITY.index, default=RunState.OK)


def summarise_run(manifests: Sequence[Manifest]) -> RunSummary:
    """One run from its manifests, at least one."""
    return _joined([summarise_manifest(manifest) for manifest in manifests])


def summarise_manifest(manifest: Manifest) -> RunSummary:
    """One run over one of its datasets; it holds no task that did not fail, so those of years may be in memory."""
    return RunSummary(
        run_id=manifest.run_id,
        state=manifest.state,
        started_at=manifest.started_at,
        ended_at=manifest.ended_at,
        totals=manifest.totals,
        datasets=(_summarise_dataset(manifest),),
    )


def summarise_runs(datasets: Iterable[RunSummary], last: int) -> tuple[RunSummary, ...]:
    """The *last* runs, oldest first, of which *datasets* tells dataset by dataset."""
    runs: dict[str, list[RunSummary]] = {}
    for summary in datasets:
        runs.setdefault(summary.run_id, []).append(summary)
    return tuple(_joined(runs[run_id]) for run_id in sorted(runs)[-last:])


def _joined(parts: Sequence[RunSummary]) -> RunSummary:
    """Summaries of one run over different datasets, as one."""
    return RunSummary(
        run_id=parts[0].run_id,
        state=worst(part.state for part in parts),
        started_at=min(part.started_at for part in parts),
        ended_at=max(part.ended_at for part in parts),
        totals=sum_totals(parts),
        datasets=tuple(dataset for part in parts for dataset in part.datasets),
    )


def summarise_plan(plan: Plan, *, page_size: int, requests_per_minute: int) -> PlanSummary:
    """One plan."""
    requests = plan.least_requests(page_size)
    settled = sum(done.settled for done in plan.done)
    return PlanSummary(
        tasks=len(plan.tasks),
        settled=settled,
        continued=len(plan.done) - settled,
        least_requests=sum(requests.values()),
        least_seconds=plan.least_seconds(page_size, requests_per_minute),
        requests_per_minute=requests_per_minute,
        credentials=tuple(
            CredentialLoad(
                credential=credential,
                studios=tuple(dict.fromkeys(task.studio.id for task in tasks)),
                tasks=len(tasks),
                least_requests=requests[credential],
                least_seconds=replace(plan, tasks=tasks).least_seconds(page_size, requests_per_minute),
            )
            for credential, tasks in plan.lanes().items()
        ),
    )


def least_requests(manifests: Sequence[Manifest], page_size: int) -> int:
    """The requests that would have done for what a run asked, had no answer failed and no report changed.

    A task that failed before its size was known counts as one; of a task that an earlier run had begun, only the rest
    was asked for.
    """
    least = 0
    for task in (task for manifest in manifests for task in manifest.tasks if task.requests):
        pages = max(1, -(-(task.total or 0) // page_size))
        least += min(pages, task.requests - task.retries) if task.resumed else pages
    return least


def _summarise_dataset(manifest: Manifest) -> DatasetSummary:
    changes = [task.changed for task in manifest.tasks if task.changed is not None]
    return DatasetSummary(
        dataset=manifest.dataset,
        state=manifest.state,
        totals=manifest.totals,
        failures=tuple(
            Failure(
                studio=task.studio,
                window_start=task.window_start,
                window_end=task.window_end,
                error=task.error or "",
            )
            for task in manifest.tasks
            if task.state is TaskState.FAILED
        ),
        extra_columns=manifest.extra_columns,
        refetched=len(changes),
        changed=sum(map(bool, changes)),
        unchanged_objects=sum(record.unchanged for record in manifest.objects),
        reconciled=manifest.reconciled,
    )

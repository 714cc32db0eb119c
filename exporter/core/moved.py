"""What the manifests of many runs say of how long rows still change after the end of their window."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from exporter.core.manifest import Change, Manifest, TaskRecord

#: The last age of each band, in days; the last band has none.
_BANDS: tuple[int | None, ...] = (7, 14, 35, 90, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChanges:
    """What one run found changed in one dataset.

    Attributes:
        run_id, started_at: which run.
        refetched: windows that were published before and fetched again.
        changed: those of them that were no longer the same.
        change: the sum of what was otherwise.
    """

    run_id: str
    started_at: datetime
    refetched: int
    changed: int
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeBand:
    """What was found changed in windows that had ended so many days before the run.

    Attributes:
        first_day, last_day: the ages, both included; None: no end.
        refetched, changed, change: as of a run.
    """

    first_day: int
    last_day: int | None
    refetched: int
    changed: int
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetChanges:
    """What is known of one dataset.

    Attributes:
        dataset: its name.
        lookback_days: as configured.
        refetched, changed: windows, over all runs.
        oldest_change_days: the greatest age of a window that was found changed; None where none was.
        says: what that means for `lookback_days`, in a sentence.
        runs, ages: the same, by run and by age.
    """

    dataset: str
    lookback_days: int
    refetched: int
    changed: int
    oldest_change_days: int | None
    says: str
    runs: tuple[RunChanges, ...]
    ages: tuple[AgeBand, ...]


def what_moved(manifests: Sequence[Manifest], lookback_days: int) -> tuple[DatasetChanges, ...]:
    """What *manifests*, oldest first, say of each of their datasets."""
    names = dict.fromkeys(manifest.dataset for manifest in manifests)
    return tuple(_of_dataset(name, [m for m in manifests if m.dataset == name], lookback_days) for name in names)


def _of_dataset(name: str, manifests: Sequence[Manifest], lookback_days: int) -> DatasetChanges:
    runs = []
    aged: list[tuple[int, Change]] = []
    for manifest in manifests:
        found = [(_age_days(task, manifest), task.changed) for task in manifest.tasks if task.changed is not None]
        aged += found
        runs.append(
            RunChanges(
                run_id=manifest.run_id,
                started_at=manifest.started_at,
                refetched=len(found),
                changed=sum(bool(change) for _, change in found),
                change=_sum(change for _, change in found),
            )
        )
    oldest = max((age for age, change in aged if change), default=None)
    return DatasetChanges(
        dataset=name,
        lookback_days=lookback_days,
        refetched=len(aged),
        changed=sum(bool(change) for _, change in aged),
        oldest_change_days=oldest,
        says=_says(len(aged), oldest, lookback_days),
        runs=tuple(runs),
        ages=tuple(_bands(aged)),
    )


def _age_days(task: TaskRecord, manifest: Manifest) -> int:
    """Days from the window's end to the run; 0 while the window is not over."""
    return max(0, (manifest.started_at.date() - date.fromisoformat(task.window_end)).days)


def _bands(aged: Sequence[tuple[int, Change]]) -> Iterable[AgeBand]:
    first = 0
    for last in _BANDS:
        changes = [change for age, change in aged if first <= age and (last is None or age <= last)]
        yield AgeBand(
            first_day=first,
            last_day=last,
            refetched=len(changes),
            changed=sum(map(bool, changes)),
            change=_sum(changes),
        )
        first = (last or 0) + 1


def _sum(changes: Iterable[Change]) -> Change:
    return sum(changes, Change())


def _says(refetched: int, oldest: int | None, lookback_days: int) -> str:
    if not refetched:
        return f"no published window was fetched again so far; lookback_days is {lookback_days}"
    if oldest is None:
        return f"none of the {refetched} windows that were fetched again had changed; lookback_days is {lookback_days}"
    seen = f"all changes seen so far were within {oldest} days of the window's end; lookback_days is {lookback_days}"
    if oldest > lookback_days:
        return f"{seen}: raise it to {oldest} or more, so that runs without --full see such changes too"
    return seen

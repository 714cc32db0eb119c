"""What the manifests of many runs say of how long rows still change after the end of their window."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What one run says of one dataset.

    Attributes:
        dataset: its name.
        run: what it found changed.
        ages: the same, by age.
        oldest_change_days: the greatest age of a window that was found changed; None where none was.
    """

    dataset: str
    run: RunChanges
    ages: tuple[AgeBand, ...]
    oldest_change_days: int | None


def moves_of(manifest: Manifest) -> Moves:
    """What *manifest* says, without its tasks: that of many runs may be in memory."""
    aged = [(_age_days(task, manifest), task.changed) for task in manifest.tasks if task.changed is not None]
    return Moves(
        dataset=manifest.dataset,
        run=RunChanges(
            run_id=manifest.run_id,
            started_at=manifest.started_at,
            refetched=len(aged),
            changed=sum(bool(change) for _, change in aged),
            change=_sum(change for _, change in aged),
        ),
        ages=tuple(_bands(aged)),
        oldest_change_days=max((age for age, change in aged if change), default=None),
    )


def what_moved(moves: Sequence[Moves], lookback_days: int) -> tuple[DatasetChanges, ...]:
    """What runs, oldest first, say of each of their datasets."""
    names = dict.fromkeys(one.dataset for one in moves)
    return tuple(_of_dataset(name, [one for one in moves if one.dataset == name], lookback_days) for name in names)


def _of_dataset(name: str, moves: Sequence[Moves], lookback_days: int) -> DatasetChanges:
    refetched = sum(one.run.refetched for one in moves)
    oldest = max((one.oldest_change_days for one in moves if one.oldest_change_days is not None), default=None)
    return DatasetChanges(
        dataset=name,
        lookback_days=lookback_days,
        refetched=refetched,
        changed=sum(one.run.changed for one in moves),
        oldest_change_days=oldest,
        says=_says(refetched, oldest, lookback_days),
        runs=tuple(one.run for one in moves),
        ages=tuple(_together(bands) for bands in zip(*(one.ages for one in moves), strict=True)),
    )


def _together(bands: Sequence[AgeBand]) -> AgeBand:
    """The same ages in several runs."""
    return replace(
        bands[0],
        refetched=sum(band.refetched for band in bands),
        changed=sum(band.changed for band in bands),
        change=_sum(band.change for band in bands),
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

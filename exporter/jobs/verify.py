"""Holds the published data against the manifests, and on request against the API's own totals.

Rules kept here: nothing is changed; one part is in memory at a time; a difference is said with the place, what was
expected and what was seen.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from exporter.api.base import ReportSource
from exporter.core.ledger import Ledger, TaskKey, Withheld
from exporter.core.manifest import Manifest, ObjectRecord, TaskRecord, TaskState
from exporter.core.partition import Partition, parse_partition, partition_of, partitions_prefix
from exporter.core.receipt import Receipt, Replaced
from exporter.core.report import Dataset
from exporter.core.studio import Studio, StudioId
from exporter.core.window import Window, unbroken
from exporter.errors import DataError, NotFoundError
from exporter.jobs.history import each_manifest, read_receipts
from exporter.jobs.replace import sha256
from exporter.jobs.total import ask_total
from exporter.store.base import ObjectStore
from exporter.tables.measure import part_sums
from exporter.tables.parquet import PartFile


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTotal:
    """One studio's own total over a range of days.

    Attributes:
        studio, days: whose, of which days.
        published: sum published.
        source: sum as the API counts it now.
        withheld: sum of what the API told of people who are left out (see `exporter forget`).
    """

    studio: StudioId
    days: Window
    published: int
    source: int
    withheld: int = 0

    @property
    def agrees(self) -> bool:
        """Whether the API counts what is published, and what is withheld."""
        return self.published + self.withheld == self.source

    def __str__(self) -> str:
        withheld = f" and {self.withheld} withheld" if self.withheld else ""
        return f"{self.studio} {self.days}: {self.published} are published{withheld}, the API counts {self.source} now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found in one dataset.

    Attributes:
        dataset: its name.
        parts, rows: read.
        measure: sum of the counts (rows, where the report has none).
        differences: one line each; empty where everything agrees.
        source: the API's totals; empty where it was not asked.
        withheld: rows that the API told of people who are left out.
        unconfigured: studios that have rows and are not configured: taken out, renamed, or of another configuration.
    """

    dataset: str
    parts: int
    rows: int
    measure: int
    differences: tuple[str, ...]
    source: tuple[SourceTotal, ...] = ()
    withheld: int = 0
    unconfigured: tuple[StudioId, ...] = ()


@dataclass(slots=True)
class _Found:
    """What the parts of one dataset hold, by studio and window, held against what the manifests say."""

    recorded: Mapping[str, Sequence[ObjectRecord]] = field(default_factory=dict)
    tasks: Mapping[TaskKey, tuple[str, TaskRecord]] = field(default_factory=dict)
    parts: int = 0
    rows: dict[TaskKey, int] = field(default_factory=dict)
    measure: dict[TaskKey, int] = field(default_factory=dict)
    withheld: dict[TaskKey, Withheld] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


async def verify(
    store: ObjectStore,
    dataset: Dataset,
    studios: Sequence[Studio],
    source: ReportSource | None,
    *,
    configured: Collection[StudioId],
) -> Verified:
    """Re-read what is published of *dataset*.

    Args:
        store: the sink.
        dataset: what to read.
        studios: whose totals are asked for.
        source: the report API; None where it shall not be asked.
        configured: all studios that are.

    Raises:
        StoreError: the sink cannot be read.
        SourceError: the API did not tell its totals.
    """
    objects: list[ObjectRecord] = []
    tasks: dict[TaskKey, tuple[str, TaskRecord]] = {}
    async for manifest in each_manifest(store, dataset.name):
        objects += manifest.objects
        tasks |= _published_tasks(manifest)
    receipts = await read_receipts(store)
    objects += [_as_put(item, receipt) for receipt in receipts for item in receipt.replaced if _is_of(dataset, item)]
    found = _Found(recorded=_newest_objects(objects), tasks=tasks)
    keys = {info.key for info in await store.list(partitions_prefix(dataset.name))}
    for key in sorted(keys | found.recorded.keys()):
        partition = parse_partition(key)
        if partition is None:
            found.differences.append(f"{key}: is no object of this dataset; move it away")
        elif key not in keys:
            found.differences.append(
                f"{key}: is gone, the manifests say that it holds {found.recorded[key][-1].rows} rows"
            )
        else:
            await _look_at(store, partition, dataset, found)
    totals: tuple[SourceTotal, ...] = ()
    if source is not None:
        totals = await _ask(source, dataset, studios, found)
        found.differences += [
            f"{dataset.name}: {total}; run again, with --full where the days are settled"
            for total in totals
            if not total.agrees
        ]
    return Verified(
        dataset=dataset.name,
        parts=found.parts,
        rows=sum(found.rows.values()),
        measure=sum(found.measure.values()),
        withheld=sum(withheld.rows for withheld in found.withheld.values()),
        differences=tuple(found.differences),
        source=totals,
        unconfigured=tuple(sorted({studio for (studio, _), rows in found.rows.items() if rows} - {*configured})),
    )


async def _look_at(store: ObjectStore, partition: Partition, dataset: Dataset, found: _Found) -> None:
    try:
        data, _ = await store.get(partition.key)
        part = await asyncio.to_thread(PartFile, data)
        rows, measure = await asyncio.to_thread(part_sums, part, dataset)
    except NotFoundError:
        return  # replaced this very moment by a run that is under way
    except DataError as error:
        found.differences.append(f"{partition.key}: {error}; restore it, or delete it and run with --full")
        return
    found.parts += 1
    records = found.recorded.get(partition.key, ())
    if not records:
        found.differences.append(
            f"{partition.key}: is in no manifest; run again to record it, with --full where the days are settled"
        )
    elif sha256(data) not in {record.sha256 for record in records}:
        found.differences.append(
            f"{partition.key}: its bytes are not those that were published at {records[0].published_at}"
        )
    found.differences += _against_ledger(partition, part.ledger, rows, found.tasks)
    for span, number in rows.items():
        found.rows[span] = found.rows.get(span, 0) + number
        found.measure[span] = found.measure.get(span, 0) + measure[span]
    for entry in part.ledger.entries:
        found.rows.setdefault(entry.task, 0)
        found.measure.setdefault(entry.task, 0)
        if entry.withheld:
            found.withheld[entry.task] = entry.withheld


def _against_ledger(
    partition: Partition, ledger: Ledger, rows: Mapping[TaskKey, int], tasks: Mapping[TaskKey, tuple[str, TaskRecord]]
) -> list[str]:
    differences = []
    expected = {entry.task: entry for entry in ledger.entries}
    for span in sorted(rows.keys() | expected.keys()):
        studio, window = span
        where = f"{partition.key}: {studio} {window}"
        entry = expected.get(span)
        if entry is None:
            differences.append(f"{where}: {rows[span]} rows of a task that its ledger does not know")
            continue
        if rows.get(span, 0) != entry.rows:
            differences.append(f"{where}: {rows.get(span, 0)} rows instead of {entry.rows}")
        if partition_of(partition.dataset, window) != partition:
            differences.append(f"{where}: belongs to another partition; move the part away and run again")
        run_id, task = tasks.get(span, ("", None))
        if not task or run_id != entry.run_id or task.state is TaskState.FAILED:
            continue
        # Who was forgotten since is withheld now; what the API told stays the same.
        if task.rows + task.withheld != entry.rows + entry.withheld.rows:
            differences.append(
                f"{where}: {_counted(entry.rows, entry.withheld.rows)}, the manifest of {run_id} says"
                f" {_counted(task.rows, task.withheld)}"
            )
    return differences


def _counted(rows: int, withheld: int) -> str:
    return f"{rows} rows and {withheld} withheld" if withheld else f"{rows} rows"


def _newest_objects(records: Iterable[ObjectRecord]) -> Mapping[str, Sequence[ObjectRecord]]:
    """What each part may be: as it was put last, or as it was found unchanged after that.

    A run may find a part unchanged in the moment in which another replaces it, so the two are not told apart by time.
    The same goes for a part that a `forget` was about to put when it was stopped.
    """
    newest: dict[str, list[ObjectRecord]] = {}
    for record in sorted(records, key=lambda record: record.published_at):
        if record.unchanged:
            newest.setdefault(record.key, []).append(record)
        else:
            newest[record.key] = [record]
    return newest


def _is_of(dataset: Dataset, item: Replaced) -> bool:
    partition = parse_partition(item.key)
    return partition is not None and partition.dataset == dataset.name


def _as_put(item: Replaced, receipt: Receipt) -> ObjectRecord:
    return ObjectRecord(
        key=item.key,
        rows=item.rows_left,
        bytes=item.after.bytes,
        sha256=item.after.sha256,
        columns=(),
        published_at=item.replaced_at,
        unchanged=receipt.ended_at is None,
    )


def _published_tasks(manifest: Manifest) -> dict[TaskKey, tuple[str, TaskRecord]]:
    return {
        (StudioId(task.studio), _window(task)): (manifest.run_id, task) for task in manifest.tasks if task.state.is_done
    }


def _window(task: TaskRecord) -> Window:
    return Window(date.fromisoformat(task.window_start), date.fromisoformat(task.window_end))


async def _ask(
    source: ReportSource, dataset: Dataset, studios: Sequence[Studio], found: _Found
) -> tuple[SourceTotal, ...]:
    """Each studio's own totals, over ranges of days as long as possible."""
    measures: dict[StudioId, dict[Window, int]] = {}
    for (studio_id, window), number in found.measure.items():
        measures.setdefault(studio_id, {})[window] = number
    withheld: dict[StudioId, dict[Window, Withheld]] = {}
    for (studio_id, window), left_out in found.withheld.items():
        withheld.setdefault(studio_id, {})[window] = left_out
    wanted = [
        (studio, days, sum(n for window, n in measures[studio.id].items() if days.covers(window)))
        for studio in studios
        for days in unbroken(sorted(measures.get(studio.id, ())))
    ]
    totals = await asyncio.gather(*(ask_total(source, dataset, studio, days) for studio, days, _ in wanted))
    return tuple(
        SourceTotal(
            studio=studio.id,
            days=days,
            published=published,
            withheld=sum(n.measure for window, n in withheld.get(studio.id, {}).items() if days.covers(window)),
            source=total,
        )
        for (studio, days, published), total in zip(wanted, totals, strict=True)
    )

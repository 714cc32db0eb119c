"""Runs that come to an end before their time, the runs that go on from there, and what must be true of their lake."""

import io
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from datetime import date

import pyarrow.parquet as pq

from exporter.app_choice import Choice
from exporter.core.lease import Process
from exporter.core.partition import STAGING
from exporter.core.staged import SegmentRecord
from exporter.jobs.events import PageStaged
from exporter.store.base import ObjectStore
from exporter.tables.segment import decode_segment
from tests.support.dying_store import Died, RememberingStore
from tests.support.exports import DEFAULT_COLUMNS, Bench, groups, published

Rows = list[tuple[object, ...]]


def nobody_runs(_owner: Process) -> bool:
    """Every other run is dead, whatever process it names: here they all were this one."""
    return False


async def lives(bench: Bench, store: ObjectStore, choice: Choice | None = None, **changes: object) -> bool:
    """Whether a run comes to its end; False where it died."""
    app = bench.app(store, **changes)
    app.is_running = nobody_runs
    return await comes_to_its_end(app.run(choice or Choice(), bench.events.append))


async def comes_to_its_end(run: Awaitable[object]) -> bool:
    """Whether *run* does; False where it died."""
    try:
        await run
    except Died:
        return False
    except BaseExceptionGroup as group:
        if group.subgroup(Died) is None:
            raise
        return False
    return True


async def copied(store: ObjectStore) -> RememberingStore:
    """Another store with the same objects, which remembers none of them."""
    copy = RememberingStore()
    for info in await store.list(""):
        await copy.put(info.key, (await store.get(info.key))[0])
    copy.parts.clear()
    return copy


def staged_pages(bench: Bench, since: int = 0) -> int:
    """Pages that runs have told to be safe, from the event with the number *since* on."""
    return sum(isinstance(event, PageStaged) for event in bench.events[since:])


async def segments(store: ObjectStore) -> dict[str, SegmentRecord]:
    """What is staged, by key."""
    keys = [info.key for info in await store.list(f"{STAGING}/") if info.key.endswith(".arrow")]
    return {key: decode_segment((await store.get(key))[0])[0] for key in keys}


def least_pages(rows: Rows) -> int:
    """Requests that the tasks of *rows*, as `groups` shows them, need: none of them is empty."""
    sizes = Counter((row[0], row[1]) for row in rows)
    return sum(-(-size // 100) for size in sizes.values())


async def safe_pages(store: ObjectStore) -> int:
    """Pages that need not be asked for any more: those of published tasks, and those that are staged."""
    rows = groups(await published(store))
    done = {(row[0], row[1]) for row in rows}
    staged = {
        (page.studio, page.window.start, page.offset)
        for record in (await segments(store)).values()
        for page in record.pages
    }
    return least_pages(rows) + sum(page[:2] not in done for page in staged)


async def assert_sound(bench: Bench, store: ObjectStore, rows: Rows, **changes: object) -> None:
    """*store* holds exactly *rows*, agrees with its manifests, and nothing is staged any more."""
    assert groups(await published(store)) == rows
    assert [info.key for info in await store.list(f"{STAGING}/")] == []
    for verified in await bench.app(store, **changes).verify(Choice(), source=False):
        assert verified.differences == ()


def by_month(rows: Sequence[tuple[object, ...]]) -> Mapping[str, Rows]:
    """*rows*, as `groups` shows them, by the month of their window."""
    months: dict[str, Rows] = {}
    for row in rows:
        assert isinstance(row[1], date)
        months.setdefault(f"{row[1]:%Y-%m}", []).append(row)
    return months


def versions(store: RememberingStore) -> Mapping[str, Sequence[Rows]]:
    """The rows of every version of every part that a reader could have seen, by month."""
    return {
        key.split("month=")[1].split("/")[0]: [
            groups(pq.read_table(io.BytesIO(data)), DEFAULT_COLUMNS) for data in parts
        ]
        for key, parts in store.parts.items()
    }

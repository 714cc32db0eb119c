"""Very many small tasks in one run: what it costs in calls, connections and files, which no machine changes."""

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState
from exporter.core.partition import ERASURE, LEASES, STAGING
from exporter.jobs.events import Event, Opened, TaskFetched
from exporter.jobs.inbox import MOST_WAITING
from exporter.store.local import LocalStore
from tests.load.quick_api import config_text, quick_api, tokens
from tests.support.counting_store import CountingStore
from tests.support.exports import app_for

STUDIOS, MONTHS, ROWS, CONNECTIONS = 200, 12, 2, 8
TASKS = STUDIOS * MONTHS


async def test_thousands_of_tasks_cost_the_least_requests_few_connections_and_few_calls_of_the_sink():
    with quick_api(ROWS) as api:
        text = config_text(api.base_url, studios=STUDIOS, months=MONTHS, sink="./lake", max_connections=CONNECTIONS)
        store = CountingStore()
        app = app_for(text, tokens(STUDIOS), store)

        (manifest,) = await app.run(Choice(), lambda _: None)
        counts = api.counts()
        assert (manifest.state, manifest.totals.rows) == (RunState.OK, TASKS * ROWS)
        assert (counts.requests, counts.sums) == (TASKS + STUDIOS, STUDIOS)
        assert counts.different == counts.requests
        assert counts.most_connections <= CONNECTIONS
        # A lease is read, taken and given back, and renewed four times a minute.
        assert store.calls.pop(LEASES) < 8 * STUDIOS
        # A segment, of several pages as a rule, is written, read for each of its partitions, and deleted.
        staged = store.calls.pop(STAGING)
        assert staged < 3 * TASKS
        # Who is left out is looked up for each segment, and thrice for each part.
        assert store.calls.pop(ERASURE) <= staged + 3 * MONTHS + 1
        # Each part is read and put once, and its ledger read in the end (which is counted twice); the rest is the
        # manifest, the marker, and what is asked before the run.
        assert store.calls.total() <= 4 * MONTHS + 16

        for again in (
            lambda: app.run(Choice(), lambda _: None),
            lambda: app.plan(Choice()),
            lambda: app.verify(Choice(), source=False),
        ):
            store.calls.clear()
            await again()
            # The sink is asked by partition, not by task.
            assert store.calls.total() <= 5 * MONTHS + 10
        assert api.counts() == counts


async def test_with_many_more_credentials_than_connections_few_windows_are_open_at_a_time():
    """Each has its pages in memory until it is whole."""
    opened, decided, most = 0, 0, 0

    def count(event: Event) -> None:
        nonlocal opened, decided, most
        opened += isinstance(event, Opened)
        decided += isinstance(event, TaskFetched)
        most = max(most, opened - decided)

    with quick_api(250) as api:
        text = config_text(api.base_url, studios=STUDIOS, months=2, sink="./lake", max_connections=CONNECTIONS)
        await app_for(text, tokens(STUDIOS), CountingStore()).run(Choice(), count)
    assert decided == 2 * STUDIOS
    # Whose first page came and whose others are under way; whose last pages wait to be staged.
    assert most <= 2 * CONNECTIONS + MOST_WAITING


@contextmanager
def few_files(more: int) -> Iterator[None]:
    """This process may open so many files more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(number) for number in os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all that is wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")  # noqa: PTH112 - a condition, no path
async def test_a_folder_takes_hundreds_of_objects_at_once_with_few_open_files(tmp_path):
    store = LocalStore(tmp_path / "lake")
    keys = [f"_leases/{number:03}.json" for number in range(400)]
    with few_files(100):
        await asyncio.gather(*(store.put(key, key.encode()) for key in keys))
        found = await asyncio.gather(*(store.get(key) for key in keys))
    assert [data.decode() for data, _ in found] == keys

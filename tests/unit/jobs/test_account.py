"""What a run remembers of its tasks, and what that takes."""

import tracemalloc

import pytest

from exporter.core.manifest import Change, ObjectRecord, TaskState
from exporter.core.plan import Plan
from exporter.jobs.account import Account
from exporter.jobs.tally import Tally
from tests.support.tasks import LATER, days, make_dataset, make_scope, make_studio, make_task, month

#: What a published task takes beside its place in the plan: some numbers for the manifest.
MOST_BYTES_A_TASK = 120

DATASET = make_dataset()
MONTHS = [month(f"{year}-{number:02}") for year in range(2015, 2025) for number in range(1, 13)]


@pytest.fixture
def tasks():
    return tuple(make_task(make_studio(f"studio-{n}"), window, DATASET) for n in range(10) for window in MONTHS)


def record_of(task):
    return ObjectRecord(key=task.partition.key, rows=1, bytes=1, sha256="", columns=(), published_at=LATER)


def manifest_of(account):
    return account.manifest(
        DATASET,
        make_scope(days("2015-01-01", "2025-01-01")),
        run_id="run",
        version="1",
        config={},
        extra_columns=(),
        ended_at=LATER,
        seconds=1,
        stopped=False,
    )


def test_what_was_sent_for_a_task_is_told_before_and_after_it_is_published_and_each_time_it_is_asked(tasks):
    first, second, third = tasks[:3]
    tally = Tally()
    account = Account(Plan(tasks=(first, second, third), done=(), known_rows={}), tally)
    for attempt in (1, 2, 3):
        tally.note(first.id, attempt=attempt, ok=attempt == 3, throttled=False, size_bytes=1)
    tally.note(second.id, attempt=1, ok=True, throttled=False, size_bytes=1)
    account.fetched(first, "fetch-1", rows=5, total=5, resumed=False)
    account.merged([first], {}, {})
    account.published(record_of(first), [first])

    for _ in range(2):
        manifest = manifest_of(account)
        assert [(t.state, t.requests, t.retries) for t in manifest.tasks] == [
            (TaskState.PUBLISHED, 3, 2),
            (TaskState.PENDING, 1, 0),
            (TaskState.PENDING, 0, 0),
        ]
        assert (manifest.totals.requests, manifest.totals.retries) == (4, 2)


def test_a_published_task_takes_little_memory(tasks):
    tally = Tally()
    account = Account(Plan(tasks=tasks, done=(), known_rows={}), tally)
    tracemalloc.start()
    try:
        for number, task in enumerate(tasks):
            tally.note(task.id, attempt=1, ok=True, throttled=False, size_bytes=40_000)
            account.fetched(
                task, f"20250301T120000Z-abcdef.{number}", rows=1_000 + number, total=2_000 + number, resumed=False
            )
            account.merged([task], {(task.studio.id, task.window): Change()}, {})
            account.published(record_of(task), [task])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= MOST_BYTES_A_TASK * len(tasks)

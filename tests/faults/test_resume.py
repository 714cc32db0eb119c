"""What a run may use of what earlier runs left, and what it must fetch anew."""

import asyncio
import json
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from exporter.api.base import AttemptOutcome
from exporter.app_choice import Choice
from exporter.core.manifest import RunState, TaskState
from exporter.core.partition import STAGING
from exporter.jobs.events import Attempted, PageStaged, TaskFetched
from exporter.sandbox.faults import Fault
from exporter.sandbox.options import SandboxOptions
from exporter.store.memory import MemoryStore
from exporter.tables.segment import decode_segment
from tests.support.dying_store import DyingStore, Trouble
from tests.support.exports import DATASET, bench, expected, groups, months, published, small_world, studio_id
from tests.support.lives import assert_sound, comes_to_its_end, copied, lives, nobody_runs, segments

FIRST, SECOND = (studio_id(n) for n in range(2))

#: Three windows: the first is settled at NOW, the others are not.
NOW = datetime(2026, 3, 10, 3, tzinfo=UTC)
RECENT = {"start": date(2026, 1, 1), "end": date(2026, 4, 1), "lookback_days": 35}
WINDOWS = months(RECENT["start"], RECENT["end"])
SETTLED = date(2026, 1, 1)

#: So few pages are staged together that windows are left partial.
FEW_AT_ONCE = {"api": "max_connections = 2"}


def recent_world():
    """Two studios with three or four pages a month, each with a credential of its own."""
    return small_world(2, start=date(2025, 12, 1), end=date(2026, 4, 1), per_month=330)


def recent_bench(**options):
    return bench(recent_world(), SandboxOptions(rate=None, **options))


def pages(world, *, only=lambda _studio, _start: True):
    """Requests that the tasks which pass need at the least."""
    rows = Counter((row[0], row[1]) for row in expected(world, WINDOWS))
    return sum(-(-number // 100) for task, number in rows.items() if only(*task))


def forget_some(world):
    """Let every studio have fewer infractions than it had."""
    for studio in world.studios:
        for infraction in studio.infractions[::15]:
            studio.remove(infraction.id)


async def run(running, store, *, at=NOW, choice=None, is_running=nobody_runs, **changes):
    """A run that begins at *at* and takes every other for dead; returns its manifests and how much it asked."""
    app = running.app(store, **{**RECENT, **changes})
    app.is_running, app.clock = is_running, lambda: at
    asked = running.asked()
    manifests = await app.run(choice or Choice(), running.events.append)
    return manifests, running.asked() - asked


def begun(running, store, observer, **changes):
    """A run that begins at NOW, as the task that it is."""
    app = running.app(store, **{**RECENT, **changes})
    app.is_running, app.clock = nobody_runs, lambda: NOW
    return asyncio.create_task(app.run(Choice(), observer))


class Left:
    """What is staged, page by page."""

    def __init__(self):
        self.pages = Counter()
        self.whole = set()
        self.segments = []

    def count(self, *, only=lambda _task: True, whole=True, partial=True):
        """Pages of the tasks that pass, of whole fetches, of partial ones."""
        wanted = {True: whole, False: partial}
        return sum(n for task, n in self.pages.items() if only(task) and wanted[task in self.whole])


async def staged(store):
    left = Left()
    for key, record in (await segments(store)).items():
        left.segments.append(key)
        left.pages.update((record.dataset, page.studio, page.window.start) for page in record.pages)
        left.whole.update((record.dataset, seal.studio, seal.window.start) for seal in record.seals)
    return left


async def die_with(running, enough, *, choice=None, **changes):
    """A sink where a run died at NOW and left what *enough* accepts, with nothing published."""
    for step in range(4, 60):
        store = MemoryStore()
        dying = DyingStore(store, at=step, trouble=Trouble.DIES_AFTER)
        if await comes_to_its_end(run(running, dying, choice=choice, **changes)):
            break
        left = await staged(store)
        if enough(left) and not await published(store):
            return store, left
    raise AssertionError("no step leaves that")


def some_of_each(left):
    """Whole and partial fetches, of settled and other windows."""
    return left.whole and left.whole != left.pages.keys()


def many_whole(left):
    return len(left.whole) >= 4


async def sound(running, store, **changes):
    rows = expected(running.world, WINDOWS)
    await assert_sound(running, store, rows, **{**RECENT, **changes})


@pytest.mark.parametrize("after", [1, 5, 9, 14])
async def test_what_came_before_a_run_was_stopped_is_not_asked_for_again(after):
    answered = 0

    def stop_after_some(event):
        nonlocal answered
        answered += isinstance(event, Attempted) and event.attempt.outcome is AttemptOutcome.OK
        if isinstance(event, Attempted) and answered == after:
            running_task.cancel()

    async with recent_bench() as running:
        store = MemoryStore()
        running_task = begun(running, store, stop_after_some)
        with pytest.raises(asyncio.CancelledError):
            await running_task
        _, asked = await run(running, store)
        assert asked == pages(running.world) - answered
        await sound(running, store)


@pytest.mark.parametrize("segment", [0, 1, 3])
async def test_what_was_being_staged_when_a_run_was_stopped_is_not_asked_for_again(segment):
    answered = 0

    def count(event):
        nonlocal answered
        answered += isinstance(event, Attempted) and event.attempt.outcome is AttemptOutcome.OK

    class StoppedAtSegment(MemoryStore):
        stopped = False

        async def put(self, key, data, **condition):
            if key.endswith(f"{segment:08}.arrow") and not self.stopped:
                self.stopped = running_task.cancel()
                await asyncio.Event().wait()
            return await super().put(key, data, **condition)

    async with recent_bench() as running:
        store = StoppedAtSegment()
        running_task = begun(running, store, count, **FEW_AT_ONCE)
        with pytest.raises(asyncio.CancelledError):
            await running_task
        _, asked = await run(running, store)
        assert asked == pages(running.world) - answered
        await sound(running, store)


async def test_pages_of_a_fetch_that_was_not_completed_are_used_while_they_are_fresh():
    async with recent_bench() as running:
        store, left = await die_with(running, some_of_each, **FEW_AT_ONCE)
        _, asked = await run(running, store, at=NOW + timedelta(minutes=14))
        assert asked == pages(running.world) - left.count()
        await sound(running, store)


async def test_pages_of_a_fetch_that_was_not_completed_are_fetched_again_once_they_are_old():
    async with recent_bench() as running:
        store, left = await die_with(running, some_of_each, **FEW_AT_ONCE)
        _, asked = await run(running, store, at=NOW + timedelta(minutes=16))
        assert asked == pages(running.world) - left.count(partial=False)
        await sound(running, store)


async def test_whole_fetches_are_used_for_half_a_day_and_those_of_settled_windows_at_any_time():
    async with recent_bench() as running:
        for later, usable in (
            (timedelta(hours=11), lambda _task: True),
            (timedelta(hours=13), lambda task: task[2] == SETTLED),
            (timedelta(days=30), lambda task: task[2] == SETTLED),
        ):
            store, left = await die_with(running, many_whole)
            _, asked = await run(running, store, at=NOW + later)
            assert asked == pages(running.world) - left.count(only=usable, partial=False), later
            await sound(running, store)


async def test_what_was_staged_for_the_hours_of_another_zone_is_fetched_again():
    async with recent_bench() as running:
        right = running.config
        running.config = lambda *given, **changes: re.sub(
            'timezone = ".*"', 'timezone = "UTC"', right(*given, **changes)
        )
        store, left = await die_with(running, many_whole)
        running.config = right
        _, asked = await run(running, store)
        assert asked > pages(running.world) - left.count()
        await sound(running, store)


async def test_pages_of_a_report_that_changed_meanwhile_are_fetched_again_and_whole_fetches_are_kept():
    async with recent_bench() as running:
        store, left = await die_with(running, some_of_each, **FEW_AT_ONCE)
        old = expected(running.world, WINDOWS)
        forget_some(running.world)
        new = expected(running.world, WINDOWS)
        await run(running, store, at=NOW + timedelta(minutes=5))
        kept = [row for row in old if (DATASET, row[0], row[1]) in left.whole]
        fetched = [row for row in new if (DATASET, row[0], row[1]) not in left.whole]
        await assert_sound(running, store, sorted(kept + fetched, key=repr), **RECENT)


async def test_a_full_run_uses_nothing_of_a_run_that_was_not_full_and_the_next_run_clears_it_up():
    async with recent_bench() as running:
        store, _ = await die_with(running, many_whole)
        before = [info.key for info in await store.list(f"{STAGING}/")]
        forget_some(running.world)
        _, asked = await run(running, store, at=NOW + timedelta(minutes=1), choice=Choice(full=True))
        assert asked == pages(running.world)
        assert [info.key for info in await store.list(f"{STAGING}/")] == before
        _, asked = await run(running, store, at=NOW + timedelta(minutes=2))
        assert asked == pages(running.world, only=lambda _, start: start != SETTLED)
        await sound(running, store)


@pytest.mark.parametrize("full", [True, False])
async def test_a_full_run_that_died_is_gone_on_with_by_any_run(full):
    async with recent_bench() as running:
        store, left = await die_with(running, many_whole, choice=Choice(full=True))
        _, asked = await run(running, store, choice=Choice(full=full))
        assert asked == pages(running.world) - left.count()
        await sound(running, store)


@pytest.mark.parametrize("lost", ["cut short", "garbage", "gone"])
async def test_a_segment_that_cannot_be_read_counts_as_never_fetched(lost):
    async with recent_bench() as running:
        before, left = await die_with(running, many_whole)
        for key in left.segments:
            store = await copied(before)
            data, _ = await store.get(key)
            if lost == "gone":
                await store.delete(key)
            else:
                await store.put(key, data[: len(data) // 2] if lost == "cut short" else b"garbage")
            record, _ = decode_segment(data)
            _, asked = await run(running, store)
            assert asked == pages(running.world) - left.count() + len(record.pages), key
            await sound(running, store)


async def test_a_run_without_a_readable_record_is_left_alone_and_does_no_harm():
    async with recent_bench() as running:
        store, _ = await die_with(running, many_whole)
        (record,) = [info.key for info in await store.list(f"{STAGING}/") if info.key.endswith("run.json")]
        await store.put(record, b"garbage")
        before = await store.list(f"{STAGING}/")
        _, asked = await run(running, store)
        assert asked == pages(running.world)
        assert await store.list(f"{STAGING}/") == before
        assert groups(await published(store)) == expected(running.world, WINDOWS)


async def test_what_is_staged_after_its_run_was_cleared_up_by_another_is_gone_on_with_and_goes():
    async with recent_bench() as running:
        store, left = await die_with(running, some_of_each, **FEW_AT_ONCE)
        (record,) = [info.key for info in await store.list(f"{STAGING}/") if info.key.endswith("run.json")]
        await store.delete(record)
        _, asked = await run(running, store)
        assert asked == pages(running.world) - left.count()
        await sound(running, store)


async def test_a_run_of_another_machine_is_taken_for_dead_when_it_was_not_seen_for_some_time():
    async with recent_bench() as running:
        store, left = await die_with(running, many_whole)
        before = await store.list(f"{STAGING}/")
        another = await copied(store)
        _, asked = await run(running, store, at=NOW + timedelta(seconds=119), is_running=lambda _: None)
        assert asked == pages(running.world)
        assert await store.list(f"{STAGING}/") == before
        _, asked = await run(running, another, at=NOW + timedelta(seconds=121), is_running=lambda _: None)
        assert asked == pages(running.world) - left.count()
        await sound(running, another)


async def stopped_at(app, told, number):
    """A run that is asked to stop when the event of this kind and number is told."""
    seen = []

    def observe(event):
        seen.extend([event] if isinstance(event, told) else [])
        if len(seen) == number:
            running.cancel()

    running = asyncio.create_task(app.run(Choice(), observe))
    return await running


@pytest.mark.parametrize("told", [PageStaged, TaskFetched])
async def test_a_run_that_is_stopped_in_order_is_gone_on_with_at_once_by_whoever_comes(told):
    async with recent_bench() as running:
        for stop_at in (1, 3, 5):
            store = MemoryStore()

            with pytest.raises(asyncio.CancelledError):
                await stopped_at(running.app(store, **RECENT), told, stop_at)
            (manifest,) = [m async for m in running.app(store, **RECENT).history(Choice(), 1)]
            assert manifest.state is RunState.INTERRUPTED
            left = await staged(store)
            done = {(row[0], row[1]) for row in groups(await published(store))}
            asked = running.asked()
            await running.app(store, **RECENT).run(Choice(), running.events.append)
            missing = pages(running.world, only=lambda *task: task not in done)  # noqa: B023 - used at once
            assert running.asked() - asked == missing - left.count()
            await sound(running, store)


def failing(faulty):
    """The second studio's February fails while *faulty* holds something."""

    def faults(_number, asked):
        february = dict(asked.params)["event_starts_at_gte"].startswith("2026-02-01")
        return Fault.ERROR_500 if faulty and february and asked.headers["TeamUp-Provider-ID"] == faulty[0] else None

    return faults


async def test_a_run_after_a_failed_one_asks_only_for_what_failed_and_a_later_one_for_all_that_is_not_settled():
    february = date(2026, 2, 1)
    for later, is_wanted in (
        (timedelta(hours=11), lambda studio, start: (studio, start) == (SECOND, february)),
        (timedelta(hours=13), lambda _, start: start != SETTLED),
    ):
        faulty = []
        async with recent_bench(faults=failing(faulty)) as running:
            faulty.append(str(running.world.studios[1].provider_id))
            store = MemoryStore()
            (manifest,), _ = await run(running, store, api="max_attempts = 1")
            assert [task.studio for task in manifest.tasks if task.state is TaskState.FAILED] == [SECOND]
            faulty.clear()
            (manifest,), asked = await run(running, store, at=NOW + later)
            assert (manifest.state, asked) == (RunState.OK, pages(running.world, only=is_wanted))
            await sound(running, store)


async def test_a_studio_that_fails_for_ever_does_not_keep_the_others_from_being_fetched_again():
    faulty = []
    async with recent_bench(faults=failing(faulty)) as running:
        faulty.append(str(running.world.studios[1].provider_id))
        store = MemoryStore()
        asked = [
            (await run(running, store, at=NOW + timedelta(hours=hours), api="max_attempts = 1"))[1]
            for hours in (0, 5, 10, 15, 20)
        ]
        failed = (SECOND, date(2026, 2, 1))
        others = pages(running.world, only=lambda *task: task != failed)
        unsettled = pages(running.world, only=lambda *task: task != failed and task[1] != SETTLED)
        assert asked == [others + 1, 1, 1, unsettled + 1, 1]


TWO_DATASETS = '[[reports]]\nname = "attendance_strikes.grouped"\ndataset = "second"\n'


async def test_what_was_left_for_another_dataset_is_still_there_for_it():
    def enough(left):
        return {dataset for dataset, *_ in left.whole} == {DATASET, "second"}

    async with recent_bench() as running:
        store, left = await die_with(running, enough, report=TWO_DATASETS)
        for name in ("second", DATASET):
            _, asked = await run(running, store, choice=Choice(datasets=(name,)), report=TWO_DATASETS)
            assert asked == pages(running.world) - left.count(only=lambda task: task[0] == name)  # noqa: B023 - used at once
        await sound(running, store, report=TWO_DATASETS)
        assert groups(await published(store, "second")) == expected(running.world, WINDOWS)


async def test_what_was_left_for_another_studio_is_still_there_for_it():
    def enough(left):
        return {studio for _, studio, _ in left.whole} == {FIRST, SECOND}

    async with recent_bench() as running:
        store, left = await die_with(running, enough)
        for minute, studio in enumerate((FIRST, SECOND), start=1):
            at = NOW + timedelta(minutes=minute)
            _, asked = await run(running, store, at=at, choice=Choice(studios=(studio,)))
            assert asked == pages(
                running.world,
                only=lambda name, _: name == studio,  # noqa: B023 - used at once
            ) - left.count(only=lambda task: task[1] == studio)  # noqa: B023 - used at once
        await sound(running, store)


async def test_what_was_left_at_another_grain_is_not_used_and_goes_after_a_week():
    columns = ("customer_id", "count")
    report = f"columns = {json.dumps(columns)}"
    async with recent_bench() as running:
        store, left = await die_with(running, many_whole)
        _, fresh = await run(running, MemoryStore(), report=report)
        _, asked = await run(running, store, report=report)
        assert asked == fresh
        assert groups(await published(store), columns) == expected(running.world, WINDOWS, columns)
        assert (await staged(store)).segments == left.segments
        await run(running, store, at=NOW + timedelta(days=8), report=report)
        assert await store.list(f"{STAGING}/") == []


async def test_a_dead_run_that_published_is_recorded_by_the_next_although_nothing_is_left_to_ask():
    async with bench(small_world(per_month=60)) as running:
        for step in range(20, 60):
            store = MemoryStore()
            if await lives(running, DyingStore(store, at=step, trouble=Trouble.DIES_AFTER)):
                break
            asked = running.asked()
            assert await lives(running, store)
            if running.asked() == asked:
                await assert_sound(running, store, expected(running.world, months()))

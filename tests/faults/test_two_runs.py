"""Two runs at once on one sink: neither loses the other's rows, and nothing is there twice."""

import asyncio

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState, TaskState
from exporter.core.partition import STAGING
from exporter.errors import StoreError
from tests.support.dying_store import DyingStore, RememberingStore, Trouble
from tests.support.exports import bench, expected, groups, months, published, small_world, studio_id
from tests.support.lives import assert_sound, by_month, lives, nobody_runs, segments, versions
from tests.support.meddling_store import MeddlingStore

FIRST, SECOND, THIRD = (studio_id(n) for n in range(3))


def three_studios(**changes):
    return small_world(3, per_month=60, **changes)


def forget_one_of_each_month(world):
    """Let every studio have one infraction less in every month."""
    for studio in world.studios:
        for infraction in {infraction.starts_at.month: infraction for infraction in studio.infractions}.values():
            studio.remove(infraction.id)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param((), (), id="the same studios"),
        pytest.param((FIRST, SECOND), (SECOND, THIRD), id="some of the same studios"),
        pytest.param((FIRST,), (SECOND, THIRD), id="different studios of the same partitions"),
    ],
)
async def test_two_runs_at_once_publish_the_rows_of_both_once(one, other):
    async with bench(three_studios(), store=RememberingStore()) as running:
        both = await asyncio.gather(
            running.app().run(Choice(studios=one), running.events.append),
            running.app().run(Choice(studios=other), running.events.append),
        )
        assert [manifest.state for (manifest,) in both] == [RunState.OK, RunState.OK]
        await assert_sound(running, running.store, expected(running.world, months()))


@pytest.mark.parametrize("times", [1, 3])
async def test_a_run_merges_into_what_another_published_between_its_reading_and_its_writing(times):
    store = MeddlingStore(times=times)
    async with bench(three_studios(), store=store) as running:
        others = iter((SECOND, THIRD, SECOND))

        async def meddle():
            await running.run(Choice(studios=(next(others),), full=True))

        store.meddle = meddle
        (manifest,) = await running.run(Choice(studios=(FIRST,)))
        assert manifest.state is RunState.OK
        assert store.parts_put > len(months()), "no put was repeated"
        there = range(1 + min(times, 2))
        await assert_sound(running, store, expected(running.world, months(), studios=there))


async def test_a_run_that_fetched_earlier_does_not_overwrite_what_was_fetched_later():
    store = MeddlingStore()
    async with bench(three_studios(), store=store) as running:
        old = expected(running.world, months())

        async def meddle():
            forget_one_of_each_month(running.world)
            await running.run(Choice(full=True))

        store.meddle = meddle
        (manifest,) = await running.run()
        new = expected(running.world, months())
        assert (manifest.state, old != new) == (RunState.OK, True)
        await assert_sound(running, store, new)
        for month, parts in versions(store).items():
            assert parts == [by_month(new)[month]] * len(parts)


async def test_what_a_dead_run_staged_does_not_overwrite_what_was_fetched_later():
    store = RememberingStore()
    async with bench(three_studios(), store=store) as running:
        assert not await lives(running, DyingStore(store, at=21, trouble=Trouble.DIES_AFTER))
        assert [info for info in await store.list(f"{STAGING}/") if info.key.endswith(".arrow")]
        forget_one_of_each_month(running.world)
        assert await lives(running, store, Choice(full=True))
        assert await lives(running, store)
        await assert_sound(running, store, expected(running.world, months()))


async def test_what_a_living_run_staged_is_neither_used_nor_deleted_by_another():
    store = MeddlingStore()
    async with bench(three_studios(), store=store) as running:
        before, during = [], []

        async def meddle():
            before.extend(info.key for info in await store.list(f"{STAGING}/"))
            asked = running.asked()
            await running.run(Choice(full=True))
            during.append(running.asked() - asked)
            assert set(before) <= {info.key for info in await store.list(f"{STAGING}/")}

        store.meddle = meddle
        (manifest,) = await running.run()
        assert manifest.state is RunState.OK
        assert any(key.endswith(".arrow") for key in before)
        assert during == [9]
        await assert_sound(running, store, expected(running.world, months()))


async def test_a_run_fails_where_another_published_another_grain_meanwhile_and_leaves_its_rows():
    store = MeddlingStore()
    columns = ("customer_id", "count")
    async with bench(three_studios(), store=store) as running:

        async def meddle():
            await running.run(report=f"columns = {list(columns)}")

        store.meddle = meddle
        (manifest,) = await running.run()
        assert manifest.state is RunState.FAILED
        assert {task.state for task in manifest.tasks} == {TaskState.FAILED}
        assert all("was published at another grain meanwhile" in (task.error or "") for task in manifest.tasks)
        assert groups(await published(store), columns) == expected(running.world, months(), columns)
        assert await store.list(f"{STAGING}/") == []


async def test_of_two_runs_at_once_only_one_goes_on_with_what_a_stopped_run_left():
    async with bench(three_studios(), store=RememberingStore()) as running:
        store, least = running.store, 9
        with pytest.raises(StoreError):
            await running.run(store=DyingStore(store, at=25, trouble=Trouble.REFUSAL))
        done = {(row[0], row[1]) for row in groups(await published(store))}
        left = {
            (page.studio, page.window.start) for record in (await segments(store)).values() for page in record.pages
        }
        asked = running.asked()
        assert left - done
        both = await asyncio.gather(running.run(), running.run())
        assert [manifest.state for (manifest,) in both] == [RunState.OK, RunState.OK]
        # Nobody asks for what was left; both ask for the same only where neither has published yet.
        once, twice = (times * (least - len(done)) - len(left - done) for times in (1, 2))
        assert once <= running.asked() - asked <= twice
        await assert_sound(running, store, expected(running.world, months()))


async def test_runs_that_take_each_other_for_dead_publish_nothing_wrong_and_the_next_run_mends_what_is_missing():
    async with bench(three_studios(), store=RememberingStore()) as running:
        apps = [running.app() for _ in range(3)]
        for app in apps:
            app.is_running = nobody_runs
        await asyncio.gather(*(app.run(Choice(), running.events.append) for app in apps), return_exceptions=True)
        rows = expected(running.world, months())
        assert set(groups(await published(running.store))) <= set(rows)
        assert await lives(running, running.store)
        await assert_sound(running, running.store, rows)

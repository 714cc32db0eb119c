"""Clocks that are set back, or were ahead once: nothing is lost, and no wrong time stays in the lake."""

from datetime import UTC, date, datetime, timedelta
from itertools import count

import pytest

from exporter.app_choice import Choice
from exporter.core.clocks import CLOCK_TOLERANCE
from exporter.core.manifest import RunState
from exporter.errors import PlanConflictError
from exporter.jobs.events import ClockBehind
from exporter.jobs.resume import CONTINUE_WITHIN
from exporter.store.memory import MemoryStore
from tests.support.dying_store import DyingStore, Trouble
from tests.support.exports import bench, expected, months, small_world
from tests.support.lives import assert_sound, comes_to_its_end, nobody_runs, segments

#: All windows of these tests are settled by then.
NOW = datetime(2025, 11, 20, 3, tzinfo=UTC)
BACK = pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=30)], ids=str)
CHANGED = pytest.mark.parametrize("changed", [True, False], ids=["rows change", "rows stay"])


async def run(running, *, at, store=None, choice=None, **changes):
    """A run that begins at *at*, or asks *at* for the time; returns its manifests and how much it asked."""
    app = running.app(store, **changes)
    app.is_running, app.clock = nobody_runs, at if callable(at) else lambda: at
    asked = running.asked()
    manifests = await app.run(choice or Choice(), running.events.append)
    return manifests, running.asked() - asked


def warnings(running):
    return [event for event in running.events if isinstance(event, ClockBehind)]


def change(world):
    for studio in world.studios:
        for infraction in studio.infractions[::10]:
            studio.remove(infraction.id)


@CHANGED
@BACK
async def test_what_is_fetched_after_the_clock_was_set_back_replaces_what_a_later_time_stands_beside(back, changed):
    async with bench(small_world(per_month=60)) as running:
        await run(running, at=NOW)
        if changed:
            change(running.world)
        (manifest,), asked = await run(running, at=NOW - back, choice=Choice(full=True))
        assert (manifest.state, asked) == (RunState.OK, 6)
        (warning,) = warnings(running)
        assert (warning.ahead, warning.tasks) == (NOW, 6)
        await assert_sound(running, running.store, expected(running.world, months()))


@CHANGED
async def test_what_a_clock_that_was_years_ahead_settled_is_fetched_again_once_and_then_settled(changed):
    ahead = NOW + timedelta(days=5 * 365)
    async with bench(small_world(per_month=60)) as running:
        await run(running, at=ahead)
        await run(running, at=ahead + timedelta(days=1), choice=Choice(full=True))  # and confirmed it, too
        if changed:
            change(running.world)
        (manifest,), asked = await run(running, at=NOW)
        assert (manifest.state, asked, len(warnings(running))) == (RunState.OK, 6, 1)
        await assert_sound(running, running.store, expected(running.world, months()))
        (manifest,), asked = await run(running, at=NOW + timedelta(days=1))
        assert (manifest.totals.settled, asked, len(warnings(running))) == (6, 0, 1)


async def test_clocks_that_differ_a_little_settle_what_they_settle():
    async with bench(small_world(per_month=60)) as running:
        await run(running, at=NOW)
        (manifest,), asked = await run(running, at=NOW - timedelta(minutes=4))
        assert (manifest.totals.settled, asked, warnings(running)) == (6, 0, [])


async def test_a_full_run_a_moment_earlier_by_its_clock_than_the_last_one_is_not_lost():
    async with bench(small_world(per_month=60)) as running:
        await run(running, at=NOW)
        change(running.world)
        await run(running, at=NOW - timedelta(seconds=30), choice=Choice(full=True))
        await assert_sound(running, running.store, expected(running.world, months()))


@BACK
async def test_a_clock_that_is_set_back_under_way_costs_nothing(back):
    for jump in (2, 5, 9):
        calls = count()

        def clock(calls=calls, jump=jump):
            return NOW if next(calls) < jump else NOW - back

        async with bench(small_world(per_month=150)) as running:
            (manifest,), asked = await run(running, at=clock)
            assert (manifest.state, asked) == (RunState.OK, 12)
            assert next(calls) > jump
            await assert_sound(running, running.store, expected(running.world, months()))
            _, asked = await run(running, at=NOW)
            assert asked == 0


@pytest.mark.parametrize("back", [timedelta(minutes=1), CONTINUE_WITHIN], ids=str)
async def test_pages_that_a_dead_run_staged_by_a_later_time_are_used_only_where_clocks_may_differ_so_much(back):
    async with bench(small_world(per_month=60)) as running:
        staged, at = 0, 1
        while not staged:
            store, at = MemoryStore(), at + 1
            dying = DyingStore(store, at=at, trouble=Trouble.DIES_AFTER)
            assert not await comes_to_its_end(run(running, at=NOW, store=dying))
            staged = sum(len(record.pages) for record in (await segments(store)).values())
        _, asked = await run(running, at=NOW - back, store=store)
        assert asked == (6 - staged if back < CLOCK_TOLERANCE else 6)
        await assert_sound(running, store, expected(running.world, months()))


async def test_a_clock_before_the_day_up_to_which_was_exported_is_refused_and_once_it_is_set_the_run_completes():
    changes = {"start": date(2025, 10, 1), "end": "today"}
    world = small_world(1, start=date(2025, 9, 1), end=date(2025, 12, 1), per_month=60)
    async with bench(world) as running:
        await run(running, at=NOW, **changes)
        asked = running.asked()
        with pytest.raises(PlanConflictError, match="would cut the published window"):
            await run(running, at=NOW - timedelta(days=3), **changes)
        assert running.asked() == asked
        (manifest,), _ = await run(running, at=NOW + timedelta(days=1), **changes)
        assert manifest.state is RunState.OK
        windows = [(date(2025, 10, 1), date(2025, 11, 1)), (date(2025, 11, 1), date(2025, 11, 21))]
        await assert_sound(running, running.store, expected(world, windows), **changes)

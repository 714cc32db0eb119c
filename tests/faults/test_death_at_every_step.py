"""A run that dies, or whose sink fails, at every single step of its work with the sink; and the runs after it."""

from random import Random

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState
from exporter.errors import ConfigError, StoreError
from exporter.sandbox.studios import World
from tests.support.dying_store import DyingStore, RememberingStore, Trouble
from tests.support.exports import Bench, bench, expected, months, small_world
from tests.support.lives import assert_sound, by_month, copied, lives, staged_pages, versions

LOSSES = pytest.mark.parametrize("loss", [Trouble.LOST_ANSWER, Trouble.LOST_PUT])

#: More steps than any of these runs takes.
MANY = 500


def change(world: World) -> None:
    """Let every studio have one infraction less in every month."""
    for studio in world.studios:
        for month in {infraction.starts_at.month: infraction for infraction in studio.infractions}.values():
            studio.remove(month.id)


async def least_requests(running: Bench, store: RememberingStore) -> int:
    """Requests of a run that nothing disturbs."""
    before = running.asked()
    assert await lives(running, store)
    return running.asked() - before


@pytest.mark.parametrize(
    ("death", "per_month"),
    [
        pytest.param(Trouble.DIES_BEFORE, 60, id="before it has an effect, windows of one page"),
        pytest.param(Trouble.DIES_AFTER, 150, id="after it had its effect, windows of several pages"),
    ],
)
async def test_a_run_that_dies_at_any_step_is_completed_by_the_next_which_asks_only_for_the_rest(death, per_month):
    async with bench(small_world(per_month=per_month)) as running:
        least = await least_requests(running, RememberingStore())
        rows = expected(running.world, months())
        for step in range(1, MANY):
            store, told, asked = RememberingStore(), len(running.events), running.asked()
            if await lives(running, DyingStore(store, at=step, trouble=death)):
                break
            safe, lost = staged_pages(running, told), running.asked()
            assert lost - asked <= least
            assert await lives(running, store), step
            assert running.asked() - lost <= least - safe, step
            await assert_sound(running, store, rows)
            assert all(seen == by_month(rows)[month] for month, parts in versions(store).items() for seen in parts)
        assert 20 < step < MANY


async def test_whoever_reads_while_full_runs_die_sees_each_partition_as_it_was_or_as_it_becomes():
    full = Choice(full=True)
    async with bench(small_world(per_month=60)) as running:
        old = expected(running.world, months())
        before = RememberingStore()
        assert await lives(running, before)
        change(running.world)
        new = expected(running.world, months())
        assert old != new
        for step in range(1, MANY):
            store = await copied(before)
            if await lives(running, DyingStore(store, at=step, trouble=Trouble.DIES_AFTER), full):
                break
            assert await lives(running, store, full), step
            await assert_sound(running, store, new)
            for month, parts in versions(store).items():
                assert all(seen in (by_month(old)[month], by_month(new)[month]) for seen in parts), step
        assert 20 < step < MANY


async def test_runs_that_die_one_after_the_other_ask_again_only_for_what_was_in_flight():
    rng = Random(5)
    async with bench() as running:
        least = await least_requests(running, RememberingStore())
        rows = expected(running.world, months())
        died = 0
        for attempt in range(40):
            store, told, asked = RememberingStore(), len(running.events), running.asked()
            steps = [rng.randrange(1, 40) for _ in range(3)]
            for step in steps:
                dying = DyingStore(store, at=step, trouble=rng.choice([Trouble.DIES_BEFORE, Trouble.DIES_AFTER]))
                died += not await lives(running, dying)
            in_flight = running.asked() - asked - staged_pages(running, told)
            assert await lives(running, store)
            assert running.asked() - asked <= least + in_flight, (attempt, steps)
            await assert_sound(running, store, rows)
        assert died > 80


@LOSSES
async def test_a_run_comes_to_its_end_whichever_answer_to_a_put_is_lost(loss):
    async with bench(small_world(per_month=60)) as running:
        least = await least_requests(running, RememberingStore())
        rows = expected(running.world, months())
        for step in range(1, MANY):
            store, asked = RememberingStore(), running.asked()
            dying = DyingStore(store, at=step, trouble=loss)
            assert await lives(running, dying), step
            assert running.asked() - asked == least
            await assert_sound(running, store, rows)
            if dying.steps < step:
                break
        assert 5 < step < MANY


@LOSSES
async def test_a_run_that_goes_on_from_a_dead_one_comes_to_its_end_whichever_answer_to_a_put_is_lost(loss):
    async with bench(small_world(per_month=60)) as running:
        least = await least_requests(running, RememberingStore())
        rows = expected(running.world, months())
        for step in range(1, MANY):
            store, told, asked = RememberingStore(), len(running.events), running.asked()
            assert not await lives(running, DyingStore(store, at=14, trouble=Trouble.DIES_AFTER))
            in_flight = running.asked() - asked - staged_pages(running, told)
            dying = DyingStore(store, at=step, trouble=loss)
            assert await lives(running, dying), step
            assert running.asked() - asked <= least + in_flight, step
            await assert_sound(running, store, rows)
            if dying.steps < step:
                break
        assert 5 < step < MANY


async def test_what_a_refusing_sink_interrupts_the_next_run_of_the_same_process_completes():
    async with bench(small_world(per_month=60)) as running:
        least = await least_requests(running, RememberingStore())
        rows = expected(running.world, months())
        refused = 0
        for step in range(1, MANY):
            store, told, asked = RememberingStore(), len(running.events), running.asked()
            dying = DyingStore(store, at=step, trouble=Trouble.REFUSAL)
            try:
                manifests = await running.run(store=dying)
            except ConfigError:
                assert running.asked() == asked, step
            except StoreError:
                refused += 1
            else:
                assert all(manifest.state is RunState.OK for manifest in manifests), step
            if dying.steps < step:
                break
            safe, lost = staged_pages(running, told), running.asked()
            await running.run(store=store)
            assert running.asked() - lost <= least - safe, step
            await assert_sound(running, store, rows)
        assert refused > 10
        assert 20 < step < MANY

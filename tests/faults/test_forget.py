"""A person is forgotten while everything else happens: deaths at every step, runs at the same time, other people."""

import asyncio
from datetime import UTC, datetime

import pytest

from exporter.app_choice import Choice
from exporter.core.erasure import Person
from exporter.core.manifest import RunState
from exporter.errors import PreconditionFailedError, StoreError
from exporter.jobs.forget import Doors, Options
from exporter.jobs.forget import forget as forget_with
from tests.support.dying_store import DyingStore, RememberingStore, Trouble
from tests.support.exports import END, START, bench, expected, groups, months, published, small_world
from tests.support.forgotten import forget, holding, rest, somebody
from tests.support.interrupted_store import InterruptedStore
from tests.support.lives import assert_sound, comes_to_its_end, copied, lives, segments
from tests.support.passing_store import PassingStore

FULL = Choice(full=True)

#: More steps than any of these takes.
MANY = 500


def others(running, customer):
    """Two more people of the first studio."""
    seen = {i.customer.id for i in running.world.studios[0].infractions if START <= i.starts_at.date() < END}
    return sorted(seen - {customer})[:2]


@pytest.mark.parametrize("death", [Trouble.DIES_BEFORE, Trouble.DIES_AFTER])
async def test_forgetting_again_completes_what_died_at_any_step(death):
    async with bench(small_world(per_month=60)) as running:
        customer = somebody(running.world)
        before = RememberingStore()
        assert await lives(running, before)
        assert not await lives(running, DyingStore(before, at=23, trouble=Trouble.DIES_AFTER), FULL)
        assert await segments(before)
        for step in range(1, MANY):
            store = await copied(before)
            if await comes_to_its_end(forget(running, customer, store=DyingStore(store, at=step, trouble=death))):
                break
            # What was replaced is on record at every moment.
            (verified,) = await running.app(store).verify(Choice(), source=False)
            assert verified.differences == (), step
            await forget(running, customer, store=store)
            assert await holding(store, customer) == [], step
            assert await lives(running, store), step
            await assert_sound(running, store, rest(running, customer))
        assert 15 < step < MANY


@pytest.mark.parametrize("loss", [Trouble.LOST_ANSWER, Trouble.LOST_PUT, Trouble.REFUSAL])
async def test_a_person_is_forgotten_whichever_answer_is_lost(loss):
    async with bench(small_world(per_month=60)) as running:
        customer = somebody(running.world)
        before = RememberingStore()
        assert await lives(running, before)
        for step in range(1, MANY):
            store = await copied(before)
            dying = DyingStore(store, at=step, trouble=loss)
            try:
                await forget(running, customer, store=dying)
            except StoreError:
                assert loss is Trouble.REFUSAL
                await forget(running, customer, store=store)
            assert await holding(store, customer) == [], step
            await assert_sound(running, store, rest(running, customer))
            if dying.steps < step:
                break
        assert 5 < step < MANY


@pytest.mark.parametrize(("choice", "every"), [(Choice(), 1), (FULL, 2)], ids=["a first run", "a full run"])
async def test_whoever_is_forgotten_at_any_step_of_a_run_is_gone_when_it_ends(choice, every):
    async with bench(small_world(per_month=60)) as running:
        customer = somebody(running.world)
        before = RememberingStore()
        if choice.full:
            assert await lives(running, before)
            # Something to be put again in every month.
            for studio in running.world.studios:
                for last in {i.starts_at.month: i for i in studio.infractions if i.customer.id != customer}.values():
                    studio.remove(last.id)
        for step in range(1, MANY, every):
            store = await copied(before)
            interrupted = InterruptedStore(store, at=step, by=lambda s=store: forget(running, customer, store=s))
            (manifest,) = await running.run(choice, store=interrupted)
            if interrupted.steps < step:
                break
            assert manifest.state is RunState.OK, step
            assert await holding(store, customer) == [], step
            await assert_sound(running, store, rest(running, customer))
        assert 20 < step < MANY


async def test_a_run_at_any_step_of_forgetting_does_not_bring_the_person_back():
    async with bench(small_world(per_month=60)) as running:
        customer = somebody(running.world)
        before = RememberingStore()
        assert await lives(running, before)
        for step in range(1, MANY):
            store = await copied(before)
            interrupted = InterruptedStore(store, at=step, by=lambda s=store: lives(running, s, FULL))
            await forget(running, customer, store=interrupted)
            if interrupted.steps < step:
                break
            assert await holding(store, customer) == [], step
            await assert_sound(running, store, rest(running, customer))
        assert 10 < step < MANY


@pytest.mark.parametrize(
    ("per_month", "every"), [(60, 2), (150, 4)], ids=["windows of one page", "windows of several pages"]
)
async def test_staged_rows_of_a_dead_run_are_without_the_person_and_are_gone_on_with(per_month, every):
    async with bench(small_world(per_month=per_month)) as running:
        customer = somebody(running.world)
        continued = 0
        for step in range(1, MANY, every):
            store = RememberingStore()
            if await lives(running, DyingStore(store, at=step, trouble=Trouble.DIES_AFTER)):
                break
            sealed = sum(len(record.seals) for record in (await segments(store)).values())
            receipt = await forget(running, customer, store=store)
            assert receipt.unsearched == ()
            assert await holding(store, customer) == [], step
            asked = running.asked()
            assert await lives(running, store), step
            # What was whole is used as it is: at least its windows' first pages are not asked for again.
            assert running.asked() - asked <= (6 - sealed) * (1 if per_month == 60 else 2), step
            continued += bool(sealed)
            assert await holding(store, customer) == [], step
            await assert_sound(running, store, rest(running, customer))
        assert continued > 3
        assert 20 < step < MANY


class ReplacedStore(PassingStore):
    """Each of the first three times that a segment is put, somebody else was quicker."""

    times = 3

    async def put(self, key, data, *, condition=None):
        if key.endswith(".arrow") and self.times:
            self.times -= 1
            raise PreconditionFailedError(f"{key}: was replaced")
        return await super().put(key, data, condition=condition)


async def test_a_segment_that_others_replace_is_tried_again_after_ever_longer_waits():
    waits = []

    async def wait(seconds):
        waits.append(round(seconds, 1))
        await asyncio.sleep(0)

    async with bench(small_world(per_month=60)) as running:
        customer = somebody(running.world)
        store = RememberingStore()
        assert await lives(running, store)
        assert not await lives(running, DyingStore(store, at=23, trouble=Trouble.DIES_AFTER), FULL)
        doors = Doors(store=ReplacedStore(store), clock=lambda: datetime.now(UTC), sleep=wait, random=lambda: 1.0)
        options = Options(
            receipt_id="receipt",
            version="1.0",
            compression="none",
            datasets=running.app().datasets,
            studios=frozenset(),
            dry_run=False,
        )
        await forget_with(Person(values=frozenset({str(customer)})), options, doors)
        assert await holding(store, customer) == []
    assert waits == [0.1, 0.2, 0.4]


async def test_a_run_that_dies_when_it_has_put_what_it_read_before_is_put_right_by_the_next():
    async with bench(small_world(per_month=60)) as running:
        customer = somebody(running.world)
        came_back = 0
        for step in range(1, MANY):
            store = RememberingStore()
            # The person is forgotten right before the step, and the run dies right after it.
            dying = DyingStore(store, at=step, trouble=Trouble.DIES_AFTER)
            interrupted = InterruptedStore(dying, at=step, by=lambda s=store: forget(running, customer, store=s))
            if await lives(running, interrupted):
                break
            came_back += bool([key for key in await holding(store, customer) if key.endswith(".parquet")])
            assert await lives(running, store), step
            assert await holding(store, customer) == [], step
            await assert_sound(running, store, rest(running, customer))
        assert came_back > 0
        assert 20 < step < MANY


async def test_people_who_are_forgotten_at_once_are_all_gone():
    async with bench(small_world(per_month=60)) as running:
        await running.run()
        customer = somebody(running.world)
        people = [customer, *others(running, customer)]
        await asyncio.gather(*(forget(running, person) for person in people))
        assert [await holding(running.store, person) for person in people] == [[], [], []]
        await assert_sound(running, running.store, rest(running, *people))
        (manifest,) = await running.run(FULL)
        assert manifest.totals.withheld == len(expected(running.world, months())) - len(rest(running, *people))
        assert groups(await published(running.store)) == rest(running, *people)

"""--rewrite: a dataset of another grain is replaced as a whole, or left as it is."""

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState
from exporter.core.partition import STAGING
from exporter.core.window import Every, cut
from exporter.errors import PlanConflictError
from exporter.sandbox.faults import Fault
from exporter.sandbox.options import SandboxOptions
from tests.support.dying_store import DyingStore, RememberingStore, Trouble
from tests.support.exports import END, START, bench, expected, groups, months, published, small_world, studio_id
from tests.support.lives import assert_sound, copied, lives, staged_pages

FIRST, SECOND = (studio_id(n) for n in range(2))
REWRITE = Choice(rewrite=True)
COLUMNS = ("customer_id", "count")

#: Another grain, how its rows are shown, and its windows.
BY_CUSTOMER = {"report": 'columns = ["customer_id", "count"]'}
BY_WEEK = {"every": "week"}


def weeks():
    """Monday to Monday, the first and the last cut at the ends."""
    return [(window.start, window.end) for window in cut(START, END, Every.WEEK)]


GRAINS = pytest.mark.parametrize(
    ("changes", "columns", "windows"),
    [
        pytest.param(BY_CUSTOMER, COLUMNS, months(), id="other columns"),
        pytest.param(BY_WEEK, None, weeks(), id="other windows"),
    ],
)


async def shown(store, columns):
    table = await published(store)
    return groups(table, columns) if columns else groups(table)


def truth_of(world, windows, columns):
    return expected(world, windows, columns) if columns else expected(world, windows)


@pytest.fixture
async def exported():
    """A bench whose store holds everything by month."""
    async with bench(small_world(per_month=60), store=RememberingStore()) as running:
        await running.run()
        yield running


@GRAINS
async def test_another_grain_is_refused_without_rewrite_and_nothing_is_asked_or_written(
    exported, changes, columns, windows
):
    asked, there = exported.asked(), await exported.store.list("")
    with pytest.raises(PlanConflictError, match="--rewrite"):
        await exported.run(**changes)
    assert exported.asked() == asked
    assert await exported.store.list("") == there


@GRAINS
async def test_a_rewrite_replaces_everything(exported, changes, columns, windows):
    (manifest,) = await exported.run(REWRITE, **changes)
    assert manifest.state is RunState.OK
    assert await shown(exported.store, columns) == truth_of(exported.world, windows, columns)
    assert await exported.store.list(f"{STAGING}/") == []
    asked = exported.asked()
    await exported.run(**changes)
    assert exported.asked() == asked, "what was rewritten is settled"


@pytest.mark.parametrize(
    "choice",
    [Choice(rewrite=True, studios=(FIRST,)), Choice(rewrite=True, end=months()[1][1])],
    ids=["a studio", "a month"],
)
async def test_a_rewrite_that_would_lose_rows_is_refused_and_nothing_is_asked_or_written(exported, choice):
    asked, there = exported.asked(), await exported.store.list("")
    with pytest.raises(PlanConflictError, match="would lose the published rows"):
        await exported.run(choice, **BY_CUSTOMER)
    assert exported.asked() == asked
    assert await exported.store.list("") == there


@GRAINS
async def test_a_rewrite_that_dies_at_any_step_is_completed_by_the_next_which_asks_only_for_the_rest(
    exported, changes, columns, windows
):
    rows = truth_of(exported.world, windows, columns)
    asked = exported.asked()
    assert await lives(exported, await copied(exported.store), REWRITE, **changes)
    least = exported.asked() - asked
    stride = 1 if columns else 5
    for step in range(1, 1000, stride):
        store, told, asked = await copied(exported.store), len(exported.events), exported.asked()
        if await lives(exported, DyingStore(store, at=step, trouble=Trouble.DIES_AFTER), REWRITE, **changes):
            break
        safe, lost = staged_pages(exported, told), exported.asked()
        assert lost - asked <= least
        there_still = bool(await store.list(f"{STAGING}/"))
        assert await lives(exported, store, REWRITE, **changes), step
        assert exported.asked() - lost <= least - safe or not there_still, step
        assert await shown(store, columns) == rows, step
        assert await store.list(f"{STAGING}/") == []
        for verified in await exported.app(store, **changes).verify(Choice(), source=False):
            assert verified.differences == ()
    assert 20 < step < 999


async def test_a_rewrite_of_which_a_task_fails_replaces_nothing_and_the_next_asks_only_for_that_task():
    world = small_world(per_month=60)
    faulty = [str(world.studios[1].provider_id)]

    def faults(_number, asked):
        january = dict(asked.params)["event_starts_at_gte"].startswith("2025-01-01")
        return Fault.ERROR_500 if january and asked.headers["TeamUp-Provider-ID"] in faulty else None

    async with bench(world) as running:
        await running.run()
        store = running.store
    old = expected(world, months())
    async with bench(world, SandboxOptions(rate=None, faults=faults), store) as running:
        (manifest,) = await running.run(REWRITE, api="max_attempts = 1", **BY_CUSTOMER)
        assert manifest.state is RunState.FAILED
        assert groups(await published(store)) == old
        faulty.clear()
        asked = running.asked()
        (manifest,) = await running.run(REWRITE, **BY_CUSTOMER)
        assert (manifest.state, running.asked() - asked) == (RunState.OK, 1)
        assert groups(await published(store), COLUMNS) == expected(world, months(), COLUMNS)
        assert await store.list(f"{STAGING}/") == []


async def test_a_rewrite_at_the_same_grain_replaces_everything(exported):
    for studio in exported.world.studios:
        for infraction in studio.infractions[::10]:
            studio.remove(infraction.id)
    (manifest,) = await exported.run(REWRITE)
    assert manifest.state is RunState.OK
    await assert_sound(exported, exported.store, expected(exported.world, months()))

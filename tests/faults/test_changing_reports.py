"""Reports that are not what they should be, or change while they are paged: the truth is published, or nothing is."""

from datetime import date

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState, TaskState
from exporter.jobs.fetch import MOST_FETCHES
from exporter.sandbox.faults import Fault, parse_faults
from exporter.sandbox.options import SandboxOptions
from exporter.store.memory import MemoryStore
from tests.support.api_answers import TOKEN, json_page, says, tiny_server
from tests.support.dying_store import RememberingStore
from tests.support.exports import app_for, bench, expected, groups, months, published, small_world, studio_id
from tests.support.lives import assert_sound

FORMATS = pytest.mark.parametrize("style", ["json", "csv"])
FEBRUARY = date(2025, 2, 1)

#: What shows in one answer alone, or in two answers of one report.
WRONG = [Fault.REPEAT, Fault.SHORT_PAGE, Fault.WRONG_SORT]


def one_studio():
    """Three pages a month."""
    return small_world(1, per_month=330)


def noticeable(faults):
    """*faults*, but for the one that nobody can notice: a first CSV page that is short looks like the only one."""

    def source(number, asked):
        fault, params = faults(number, asked), dict(asked.params)
        first_csv = params["format"] == "csv" and params["offset"] == "0"
        return None if fault is Fault.SHORT_PAGE and first_csv else fault

    return source


def by_task(rows):
    tasks = {}
    for row in rows:
        tasks.setdefault((row[0], row[1]), []).append(row)
    return tasks


@FORMATS
async def test_a_report_that_changes_before_any_one_request_is_published_as_it_was_or_as_it_is(style):
    for number in range(1, 100):
        options = SandboxOptions(rate=None, faults=parse_faults(f"drift@{number}"))
        async with bench(one_studio(), options, RememberingStore()) as running:
            before = expected(running.world, months(end=FEBRUARY))
            (manifest,) = await running.run(api=f'format = "{style}"', end=FEBRUARY)
            after = expected(running.world, months(end=FEBRUARY))
            assert manifest.state is RunState.OK
            rows = groups(await published(running.store))
            await assert_sound(running, running.store, rows)
            if before == after:
                break
            assert rows == before if number > 4 else rows in (before, after), number
    assert 3 < number < 99


@pytest.mark.parametrize(
    ("fault", "style"), [*((fault, "json") for fault in WRONG), (Fault.REPEAT, "csv"), (Fault.SHORT_PAGE, "csv")]
)
async def test_any_one_page_with_wrong_rows_changes_nothing_that_is_published(fault, style):
    world = one_studio()
    rows = expected(world, months(end=FEBRUARY))
    for number in range(1, 100):
        options = SandboxOptions(rate=None, faults=noticeable(parse_faults(f"{fault}@{number}")))
        async with bench(world, options) as running:
            (manifest,) = await running.run(api=f'format = "{style}"', end=FEBRUARY)
            assert manifest.state is RunState.OK
            await assert_sound(running, running.store, rows)
            assert running.asked() <= 2 * 3
            if running.asked() < number:
                break
    assert number == 4


@FORMATS
async def test_an_api_that_always_tells_another_order_is_exported_with_no_request_more(style):
    options = SandboxOptions(rate=None, faults=lambda _number, _asked: Fault.WRONG_SORT)
    async with bench(one_studio(), options) as running:
        (manifest,) = await running.run(api=f'format = "{style}"', end=FEBRUARY)
        assert manifest.state is RunState.OK
        assert running.asked() == 3
        await assert_sound(running, running.store, expected(running.world, months(end=FEBRUARY)))


async def test_a_page_that_tells_another_order_than_the_others_of_its_window_is_not_put_beside_them():
    options = SandboxOptions(rate=None, faults=lambda number, _asked: Fault.WRONG_SORT if number == 2 else None)
    async with bench(one_studio(), options) as running:
        (manifest,) = await running.run(end=FEBRUARY)
        assert manifest.state is RunState.OK
        assert running.asked() > 3
        await assert_sound(running, running.store, expected(running.world, months(end=FEBRUARY)))


@pytest.mark.parametrize("fault", [Fault.REPEAT, Fault.SHORT_PAGE, Fault.DRIFT])
async def test_a_report_that_is_never_right_fails_after_a_few_tries_and_leaves_what_is_published(fault):
    world = small_world(2, per_month=330)
    first = world.studios[0]
    store = RememberingStore()
    async with bench(world, store=store) as running:
        await running.run()
    old = expected(world, months(), studios=[0])

    def faults(_number, asked):
        return fault if asked.headers.get("TeamUp-Provider-ID") == str(first.provider_id) else None

    for infraction in world.studios[1].infractions[::50]:
        world.studios[1].remove(infraction.id)
    new = expected(world, months(), studios=[1])
    async with bench(world, SandboxOptions(rate=None, faults=faults), store) as running:
        (manifest,) = await running.run(Choice(full=True))
        assert manifest.state is RunState.FAILED
        failed = [task for task in manifest.tasks if task.state is TaskState.FAILED]
        assert {task.studio for task in failed} == {studio_id(0)}
        assert len(failed) == len(months())
        assert all(f"it did so {MOST_FETCHES} times" in (task.error or "") for task in failed)
        assert all("try another api.pagination" in (task.error or "") for task in failed)
        pages = 4
        assert running.asked() <= pages * len(months()) * (MOST_FETCHES + 1)
        await assert_sound(running, store, sorted(old + new, key=repr))


@FORMATS
async def test_whatever_mixture_of_wrong_answers_comes_each_task_is_published_right_or_not_at_all(style):
    for seed in range(6):
        world = small_world(2, per_month=250)
        store = RememberingStore()
        async with bench(world, store=store) as running:
            await running.run()
        old = by_task(expected(world, months()))
        kinds = "repeat:0.1,shortpage:0.1" + (",wrongsort:0.1" if style == "json" else "")
        for studio in world.studios:
            studio.remove(studio.infractions[len(studio.infractions) // 2].id)
        new = by_task(expected(world, months()))
        async with bench(
            world, SandboxOptions(rate=None, faults=noticeable(parse_faults(kinds, seed))), store
        ) as running:
            (manifest,) = await running.run(Choice(full=True), api=f'format = "{style}"')
            rows = by_task(groups(await published(store)))
            for task in manifest.tasks:
                key = (task.studio, date.fromisoformat(task.window_start))
                assert rows[key] == (old if task.state is TaskState.FAILED else new)[key], (seed, key)


async def test_a_window_with_a_page_that_is_damaged_within_its_rows_is_fetched_again():
    def answer(customer):
        row = {"customer": {"id": customer}, "attendance": {"status": "no_show"}, "count": 1}
        headings = [{"key": key, "label": key} for key in ("customer.id", "attendance.status", "count")]
        return json_page(total=2, rows=[row], column_headers=headings)

    damaged = answer(2).replace(b'"no_show"', b"no_show  ")
    config = (
        '[api]\nbase_url = "URL"\npage_size = 1\n'
        '[[reports]]\nname = "attendance_strikes.grouped"\ncolumns = ["customer_id", "attendance_status", "count"]\n'
        '[windows]\nstart = "2025-03-01"\nend = "2025-04-01"\n[run]\nreconcile = "off"\n'
        '[[studios]]\nid = "studio-1"\ntoken = "env:TOKEN"\n[sink]\nurl = "./lake"\n'
    )
    store = MemoryStore()
    async with tiny_server(*map(says, (answer(1), damaged, answer(1), answer(2)))) as server:
        app = app_for(config.replace("URL", server.url), {"TOKEN": TOKEN}, store)
        (manifest,) = await app.run(Choice(), lambda _event: None)
    assert (manifest.state, len(server.heads)) == (RunState.OK, 4)
    assert (await published(store))["customer_id"].to_pylist() == [1, 2]

"""What will not pass: refused credentials, refused studios, tasks that fail for good. Nobody else suffers."""

from dataclasses import replace
from datetime import date

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState, TaskState
from exporter.jobs.events import TaskFetched
from exporter.sandbox.faults import Fault
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.studios import World
from tests.support.exports import bench, config_for, expected, groups, months, published, small_world, studio_id
from tests.support.lives import assert_sound

FIRST, SECOND, THIRD = (studio_id(n) for n in range(3))
YEAR = {"start": date(2025, 1, 1), "end": date(2026, 1, 1)}


def of_provider(asked):
    return asked.headers.get("TeamUp-Provider-ID")


def states(manifest):
    """The states of each studio's tasks."""
    found = {}
    for task in manifest.tasks:
        found.setdefault(task.studio, set()).add(task.state)
    return found


async def test_a_credential_that_is_refused_at_first_costs_one_request_however_many_windows_wait():
    world = small_world(2, end=date(2026, 1, 1), per_month=60)
    async with bench(world) as running:
        running.sandbox.revoke(world.tokens[0])
        (manifest,) = await running.run(**YEAR)
        assert manifest.state is RunState.FAILED
        assert states(manifest) == {FIRST: {TaskState.FAILED}, SECOND: {TaskState.PUBLISHED}}
        assert sum(served.status == 401 for served in running.sandbox.requests) == 1
        assert running.asked() == 1 + 12
        assert groups(await published(running.store)) == expected(world, months(**YEAR), studios=[1])


@pytest.mark.parametrize("format_", ["json", "csv"])
async def test_a_credential_that_is_revoked_under_way_stops_at_once_and_the_next_run_asks_for_the_missing(format_):
    world = small_world(2, end=date(2026, 1, 1), per_month=150)
    api = f'format = "{format_}"\nmax_connections = 4'

    def revoke(number, _asked):
        if number == 12:
            running.sandbox.revoke(world.tokens[0])

    async with bench(world, SandboxOptions(rate=None, faults=revoke)) as running:
        (manifest,) = await running.run(api=api, **YEAR)
        store = running.store
        assert manifest.state is RunState.FAILED
        assert states(manifest)[SECOND] == {TaskState.PUBLISHED}
        assert states(manifest)[FIRST] == {TaskState.PUBLISHED, TaskState.FAILED}
        assert 1 <= sum(served.status == 401 for served in running.sandbox.requests) <= 4
        missing = [task for task in manifest.tasks if task.state is TaskState.FAILED]
        assert all("401" in (task.error or "") for task in missing)
        before = expected(world, months(**YEAR))
        partly = groups(await published(store))
        assert partly == [
            row for row in before if (row[0], str(row[1])) not in {(task.studio, task.window_start) for task in missing}
        ]
    async with bench(world, store=store) as running:
        (manifest,) = await running.run(api=api, **YEAR)
        asked = {
            (served.provider_id, dict(served.params)["event_starts_at_gte"]) for served in running.sandbox.requests
        }
        assert manifest.state is RunState.OK
        assert len(asked) == len(missing)
        assert {provider for provider, _ in asked} == {world.studios[0].provider_id}
        await assert_sound(running, store, before, api=api, **YEAR)


async def test_a_studio_that_its_credential_does_not_reach_fails_alone():
    world = small_world(3, credentials=1, per_month=60)
    stranger = replace(world.studios[1], token="another")
    async with bench(World((world.studios[0], stranger, world.studios[2]))) as running:
        running.config = lambda base_url, _world, **changes: config_for(base_url, world, **changes)
        (manifest,) = await running.run()
        assert manifest.state is RunState.FAILED
        assert states(manifest) == {
            FIRST: {TaskState.PUBLISHED},
            SECOND: {TaskState.FAILED},
            THIRD: {TaskState.PUBLISHED},
        }
        assert 1 <= sum(served.status == 403 for served in running.sandbox.requests) <= len(months())
        assert groups(await published(running.store)) == expected(world, months(), studios=[0, 2])


async def test_studios_that_are_answered_with_each_others_rows_publish_nothing():
    async with bench(small_world(4, credentials=2), SandboxOptions(rate=None, ignore_provider_header=True)) as running:
        (manifest,) = await running.run()
        assert {task.state for task in manifest.tasks} == {TaskState.FAILED}
        assert groups(await published(running.store)) == []


@pytest.mark.parametrize("credentials", [1, 3], ids=["one credential", "a credential each"])
async def test_a_slow_studio_holds_up_nobody(credentials):
    world = small_world(3, credentials=credentials, per_month=60)
    slow = str(world.studios[2].provider_id)  # not the first: the first request of a credential goes alone

    def faults(_number, asked):
        january = dict(asked.params)["event_starts_at_gte"] < "2025-01-15"
        return Fault.SLOW if january and of_provider(asked) == slow else None

    async with bench(world, SandboxOptions(rate=None, faults=faults, slow_s=3)) as running:
        (manifest,) = await running.run(api="max_connections = 4")
        order = [str(event.task) for event in running.events if isinstance(event, TaskFetched)]
        assert manifest.state is RunState.OK
        assert {task.split()[0] for task in order[order.index(f"{THIRD} 2025-01") :]} == {THIRD}
        await assert_sound(running, running.store, expected(world, months()))


@pytest.mark.parametrize("credentials", [1, 3], ids=["one credential", "a credential each"])
async def test_a_studio_that_always_fails_holds_up_nobody_and_costs_few_requests(credentials):
    world = small_world(3, credentials=credentials, per_month=60)
    bad = world.studios[0]

    def faults(_number, asked):
        return Fault.ERROR_500 if of_provider(asked) == str(bad.provider_id) else None

    async with bench(world, SandboxOptions(rate=None, faults=faults)) as running:
        (manifest,) = await running.run(api="max_attempts = 2")
        order = [event.task.studio.id for event in running.events if isinstance(event, TaskFetched)]
        assert states(manifest) == {
            FIRST: {TaskState.FAILED},
            SECOND: {TaskState.PUBLISHED},
            THIRD: {TaskState.PUBLISHED},
        }
        assert running.asked() == 6 + 3 * 2
        assert order[-1] == FIRST
        assert groups(await published(running.store)) == expected(world, months(), studios=[1, 2])


async def test_a_task_that_fails_keeps_its_rows_while_those_of_its_partition_are_replaced():
    world = small_world(2, per_month=60)
    async with bench(world) as running:
        await running.run()
        store = running.store
    old = expected(world, months(), studios=[0])
    bad = str(world.studios[0].provider_id)
    for studio in world.studios:
        for infraction in studio.infractions[::20]:
            studio.remove(infraction.id)

    def faults(_number, asked):
        february = dict(asked.params)["event_starts_at_gte"].startswith("2025-02-01")
        return Fault.ERROR_500 if of_provider(asked) == bad and february else None

    async with bench(world, SandboxOptions(rate=None, faults=faults), store) as running:
        (manifest,) = await running.run(Choice(full=True), api="max_attempts = 2")
        failed = [(task.studio, task.window_start) for task in manifest.tasks if task.state is TaskState.FAILED]
        assert (manifest.state, failed) == (RunState.FAILED, [(FIRST, "2025-02-01")])
        kept = [row for row in old if row[1] == date(2025, 2, 1)]
        new = [row for row in expected(world, months()) if (row[0], row[1]) != (FIRST, date(2025, 2, 1))]
        await assert_sound(running, store, sorted(kept + new, key=repr))
    async with bench(world, store=store) as running:
        (manifest,) = await running.run(Choice(full=True))
        assert (manifest.state, running.asked()) == (RunState.OK, 1)
        await assert_sound(running, store, expected(world, months()))

"""The same command twice at once: the second waits for the credential, and asks only for what is missing then."""

import asyncio
import re
from datetime import UTC, datetime

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState, TaskState
from exporter.jobs.events import Spared
from exporter.sandbox.faults import Fault
from exporter.sandbox.options import SandboxOptions
from tests.support.exports import bench, expected, groups, months, published, small_world, studio_id

#: Two studios with one credential, three months with a page or two each.
LEAST = 2 * (1 + 1 + 1)


def one_credential(**options):
    world = small_world(2, credentials=1, per_month=60)
    return bench(world, SandboxOptions(rate=None, latency_ms=10, **options))


async def twice(running, *, choice=None, at=None, second=None, **changes):
    """Both manifests, the one of the run that waited last."""
    apps = [running.app(**changes), running.app(**changes)]
    for app in apps:
        if at:
            app.clock = lambda: at
    both = await asyncio.gather(
        apps[0].run(choice or Choice(), running.events.append),
        apps[1].run(second or choice or Choice(), running.events.append),
    )
    return sorted((manifest for (manifest,) in both), key=lambda manifest: -manifest.totals.requests)


@pytest.mark.parametrize(
    "at", [datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 4, 2, tzinfo=UTC)], ids=["settled", "may still change"]
)
@pytest.mark.parametrize("reconcile", ["off", "warn"])
async def test_the_second_run_asks_for_nothing_that_the_first_has_published_meanwhile(at, reconcile):
    async with one_credential() as running:
        first, second = await twice(running, at=at, run=f'reconcile = "{reconcile}"')
        totals = 0 if reconcile == "off" else 2
        assert running.asked() == LEAST + totals
        assert groups(await published(running.store)) == expected(running.world, months())
    assert (first.state, second.state) == (RunState.OK, RunState.OK)
    assert (first.totals.tasks, first.totals.settled) == (6, 0)
    assert (second.totals.tasks, second.totals.settled, second.totals.requests) == (0, 6, 0)
    assert second.tasks == ()
    assert second.continues == (first.run_id,)
    assert [event.tasks for event in running.events if isinstance(event, Spared)] == [6]


async def test_what_another_run_published_meanwhile_for_the_hours_of_another_zone_is_asked_for_again():
    async with one_credential() as running:
        apps = [running.app()]
        right = running.config
        running.config = lambda *given, **changes: re.sub(
            'timezone = ".*"', 'timezone = "UTC"', right(*given, **changes)
        )
        apps.append(running.app())
        await asyncio.gather(*(app.run(Choice(), running.events.append) for app in apps))
        assert running.asked() > LEAST
    # London's January and February have the hours that they have in UTC.
    assert [event.tasks for event in running.events if isinstance(event, Spared)] == [2]


async def test_with_full_both_ask_for_everything():
    async with one_credential() as running:
        first, second = await twice(running, choice=Choice(full=True))
        assert running.asked() == 2 * LEAST
    assert (first.totals.tasks, second.totals.tasks) == (6, 6)


async def test_the_second_run_asks_for_what_the_first_was_not_about():
    async with one_credential() as running:
        manifests = await twice(running, choice=Choice(studios=(studio_id(0),)), second=Choice())
        assert groups(await published(running.store)) == expected(running.world, months())
    assert sum(manifest.totals.requests for manifest in manifests) in {LEAST, LEAST // 2 + LEAST}
    assert {manifest.state for manifest in manifests} == {RunState.OK}


async def test_the_second_run_asks_again_for_what_failed_in_the_first():
    def refuse_the_first(number, _asked):
        return Fault.ERROR_500 if number < 2 else None

    async with one_credential(faults=refuse_the_first) as running:
        failed, mended = await twice(running, api="max_attempts = 1")
        if failed.state is RunState.OK:
            failed, mended = mended, failed
        assert groups(await published(running.store)) == expected(running.world, months())
    assert failed.state is RunState.FAILED
    assert {task.state for task in failed.tasks} == {TaskState.FAILED, TaskState.PUBLISHED}
    assert mended.state is RunState.OK
    assert mended.totals.published + mended.totals.settled == 6

"""Days that end with today: each studio's own, also where a plan is made in shards and done later."""

from datetime import UTC, date, datetime, timedelta

import pytest

from exporter.app_choice import Choice
from exporter.app_shards import choice_of_shard, plan_shards
from exporter.errors import ConfigError
from tests.support.exports import bench, small_world, studio_id

#: In London and Sydney it is the 11th, in New York still the 10th.
NIGHT = datetime(2025, 2, 11, 2, tzinfo=UTC)
DAYS = {"start": date(2025, 2, 8), "end": "today", "every": "day"}
LAST = {studio_id(0): date(2025, 2, 10), studio_id(1): date(2025, 2, 9), studio_id(2): date(2025, 2, 10)}


def asked_for(manifests):
    """The last day of each studio; the windows before it have no gap."""
    days = {}
    for task in (task for manifest in manifests for task in manifest.tasks):
        days.setdefault(task.studio, []).append(date.fromisoformat(task.window_start))
    for studio, asked in days.items():
        assert asked == [DAYS["start"] + timedelta(days=n) for n in range(len(asked))], studio
    return {studio: asked[-1] for studio, asked in days.items()}


async def test_the_day_that_a_studio_is_in_is_not_asked_for_nor_one_left_out_that_is_over_there():
    async with bench(small_world(3, per_month=60)) as running:
        app = running.app(**DAYS, run='reconcile = "fail"')
        app.clock = lambda: NIGHT
        assert asked_for(await app.run(Choice(), running.events.append)) == LAST
        (verified,) = await app.verify(Choice(), source=True)
        assert not verified.differences


async def test_shards_are_done_up_to_the_day_that_they_were_planned_on(tmp_path):
    url = str(tmp_path / "plan.json")
    async with bench(small_world(3, per_month=60)) as running:
        app = running.app(**DAYS)
        app.clock = lambda: NIGHT
        sharded = await plan_shards(app, Choice(), 3, url)
        app.clock = lambda: NIGHT + timedelta(days=2)
        chosen = [await choice_of_shard(app, url, shard.index, Choice()) for shard in sharded.shards]
        assert asked_for([m for choice in chosen for m in await app.run(choice, running.events.append)]) == LAST


async def test_a_first_day_that_is_over_in_some_places_only_is_asked_for_there():
    async with bench(small_world(3, per_month=60)) as running:
        app = running.app(**DAYS | {"start": date(2025, 2, 10)})
        app.clock = lambda: NIGHT
        plan = await app.plan(Choice())
        assert {task.studio.id for task in plan.tasks} == {studio_id(0), studio_id(2)}
        app.clock = lambda: NIGHT - timedelta(days=1)
        with pytest.raises(ConfigError, match=r'"today", 2025-02-10'):
            await app.plan(Choice())


async def test_an_end_that_is_named_is_the_same_everywhere():
    async with bench(small_world(3, per_month=60)) as running:
        app = running.app(**DAYS)
        app.clock = lambda: NIGHT
        plan = await app.plan(Choice(end=date(2025, 2, 12)))
        assert len(plan.tasks) == 3 * 4

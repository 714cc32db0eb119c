"""What is looked at and written before the first request, and what is left where a run cannot begin."""

from dataclasses import replace

import pytest

from exporter.core.partition import owner_key
from exporter.errors import ConfigError
from exporter.jobs.beginning import begin, plan
from exporter.jobs.resume import Owner, parse_owner
from exporter.store.memory import MemoryStore
from tests.support.tasks import LATER, make_scope, make_task, month

ME = Owner(run_id="new", began_at=LATER, seen_at=LATER, full=False, host="here", process="2")
DEAD = replace(ME, run_id="old", process="1")
TASK = make_task()
SCOPE = make_scope(month("2025-01"))


async def keys_in(store):
    return [info.key for info in await store.list("")]


async def test_a_plan_is_made_without_writing_anything():
    store = MemoryStore()
    assert [task.id for task in (await plan(store, SCOPE)).tasks] == [TASK.id]
    assert await keys_in(store) == []


async def test_a_run_has_the_same_plan_and_is_announced():
    store = MemoryStore()
    beginning = await begin(store, SCOPE, ME, is_running=lambda _owner: False)
    assert beginning.plan == await plan(store, SCOPE)
    assert await keys_in(store) == [owner_key(ME.run_id)]


async def test_a_run_that_cannot_begin_takes_its_record_away_and_lets_go_of_what_it_took_over():
    store = MemoryStore()
    await store.put(owner_key(DEAD.run_id), DEAD.to_json())
    await store.put(TASK.partition.key, b"not a part")

    with pytest.raises(ConfigError, match=f"^sink memory:.*{TASK.partition.key}"):
        await plan(store, SCOPE)
    with pytest.raises(ConfigError, match=f"^sink memory:.*{TASK.partition.key}"):
        await begin(store, SCOPE, ME, is_running=lambda _owner: False)

    assert await keys_in(store) == [owner_key(DEAD.run_id), TASK.partition.key]
    left = parse_owner((await store.get(owner_key(DEAD.run_id)))[0])
    assert (left.process, left.ended) == (ME.process, True)

"""A small crowd in one process: ten exporters at once over one sink, and what must be true when all have ended."""

import asyncio

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState
from exporter.core.studio import StudioId
from exporter.sandbox.invent import make_world
from exporter.store.local import LocalStore
from exporter.store.memory import MemoryStore
from tests.load.crowd import END, MONTHS, START, busiest, errands, rows_of
from tests.support.exports import bench, studio_id
from tests.support.lives import assert_sound

EXPORTERS = STUDIOS = 10
LIMIT = 250


@pytest.mark.parametrize("kind", ["memory", "folder"])
async def test_ten_exporters_at_once_lose_no_row_double_none_and_keep_every_limit(kind, tmp_path):
    world = make_world(STUDIOS, 7, start=START, end=END, per_month=40)
    sent = errands(EXPORTERS, STUDIOS, seed=3)
    days = {"start": START, "end": END, "api": f"requests_per_minute = {LIMIT}"}
    async with bench(world, store=MemoryStore() if kind == "memory" else LocalStore(tmp_path / "lake")) as b:
        runs = await asyncio.gather(
            *(
                b.app(**days).run(
                    Choice(
                        start=MONTHS[errand.first][0],
                        studios=tuple(StudioId(studio_id(n)) for n in errand.studios),
                        full=errand.full,
                    ),
                    b.events.append,
                )
                for errand in sent
            )
        )
        assert [manifest.state for (manifest,) in runs] == [RunState.OK] * EXPORTERS
        assert sum(manifest.totals.requests for (manifest,) in runs) == b.asked()
        assert max(busiest(b.sandbox).values()) <= LIMIT
        await assert_sound(b, b.store, rows_of(world, sent), **days)


def test_errands_overlap_and_leave_no_studio_out():
    sent = errands(EXPORTERS, STUDIOS, seed=3)
    assert {studio for errand in sent for studio in errand.studios} == set(range(STUDIOS))
    assert sum(len(errand.tasks) for errand in sent) > len(frozenset().union(*(errand.tasks for errand in sent)))

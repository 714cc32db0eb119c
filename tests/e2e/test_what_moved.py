"""A window that is fetched again is compared with what was published; what did not change is left alone."""

import asyncio
import gc
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from exporter.app_choice import Choice
from exporter.core.confirmed import parse_confirmations
from exporter.core.manifest import Change, RunState, TaskState
from exporter.core.moved import moves_of, what_moved
from exporter.core.partition import confirmed_key
from exporter.core.report import DatasetName
from exporter.core.staged import StagedFetch
from exporter.errors import ConfigError, StoreError
from exporter.store.memory import MemoryStore
from tests.support.changed_source import change
from tests.support.exports import DATASET, bench, expected, groups, months, published, studio_id
from tests.support.lives import segments

JANUARY, FEBRUARY, MARCH = months()
CONFIRMED = confirmed_key(DatasetName(DATASET))
#: The day after the last window, and a day on which a lookback of 35 days is over.
EARLY, LATE = datetime(2025, 4, 2, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC)


async def run_at(b, moment, choice=None, store=None, **changes):
    """One run, at a time of its own."""
    app = b.app(store, **changes)
    ticks = iter(range(10**9))
    app.clock = lambda: moment + timedelta(milliseconds=next(ticks))
    (manifest,) = await app.run(choice or Choice(), b.events.append)
    return manifest


async def etags(store):
    return {info.key: info.etag for info in await store.list(f"{DATASET}/month=")}


async def confirmed(store):
    data, _ = await store.get(CONFIRMED)
    return [(item.studio, item.window.start) for item in parse_confirmations(data).items]


def naive(before, after, studio, span):
    """The change of one task, from the rows of the source."""
    sides = [
        {row[2:-1]: row[-1] for row in rows if row[:2] == (studio_id(studio), span[0])} for rows in (before, after)
    ]
    old, new = sides
    return Change(
        rows_added=len(new.keys() - old.keys()),
        rows_gone=len(old.keys() - new.keys()),
        rows_recounted=sum(old[key] != new[key] for key in old.keys() & new.keys()),
        measure_change=sum(new.values()) - sum(old.values()),
    )


async def test_where_nothing_changed_every_object_stays_as_it_was():
    async with bench() as b:
        (first,) = await b.run()
        before, rows = await etags(b.store), await published(b.store)
        (second,) = await b.run(Choice(full=True))
        assert await etags(b.store) == before
        assert (await published(b.store)).equals(rows)
        (verified,) = await b.app().verify(Choice(), source=True)
        assert [info.key for info in await b.store.list("_staging/")] == []
    assert verified.differences == ()
    assert second.totals.requests == first.totals.requests
    assert [task.changed for task in first.tasks] == [None] * 6
    assert [(task.state, task.changed) for task in second.tasks] == [(TaskState.PUBLISHED, Change())] * 6
    assert [record.unchanged for record in second.objects] == [True] * 3
    assert [(r.sha256, r.bytes, r.rows, r.columns) for r in second.objects] == [
        (r.sha256, r.bytes, r.rows, r.columns) for r in first.objects
    ]
    assert (second.state, second.totals.bytes_out) == (RunState.OK, 0)


async def test_what_was_found_unchanged_stays_staged_until_that_is_recorded_but_not_in_memory():
    staged, remembered = [], []

    class Looking(MemoryStore):
        async def put(self, key, data, **condition):
            if key == CONFIRMED:
                staged.extend([info.key for info in await self.list("_staging/") if info.key.endswith(".arrow")])
                gc.collect()
                remembered.extend(held.fetch_id for held in gc.get_objects() if isinstance(held, StagedFetch))
            return await super().put(key, data, **condition)

    async with bench(store=Looking()) as b:
        await b.run()
        (manifest,) = await b.run(Choice(full=True))
    assert staged
    assert [fetch_id for fetch_id in remembered if fetch_id.startswith(manifest.run_id)] == []


@pytest.mark.parametrize("changed", [JANUARY, FEBRUARY, MARCH])
async def test_what_was_found_unchanged_stays_staged_also_beside_what_changed(changed):
    staged = set()

    class Looking(MemoryStore):
        async def put(self, key, data, **condition):
            if key == CONFIRMED:
                for record in (await segments(self)).values():
                    staged.update((page.studio, page.window.start) for page in record.pages)
            return await super().put(key, data, **condition)

    async with bench(store=Looking()) as b:
        await b.run()
        change(b.world.studios[0], changed)
        (manifest,) = await b.run(Choice(full=True))
        found = await confirmed(b.store)
    assert len(found) == 4
    assert staged >= set(found)
    assert manifest.state is RunState.OK


async def test_only_partitions_with_a_change_are_put_again_and_each_task_says_what_it_was():
    async with bench() as b:
        await b.run()
        etags_before, before = await etags(b.store), expected(b.world, months())
        change(b.world.studios[0], JANUARY)
        after = expected(b.world, months())
        (manifest,) = await b.run(Choice(full=True))
        etags_after = await etags(b.store)
        assert groups(await published(b.store)) == after
        (verified,) = await b.app().verify(Choice(), source=True)
    assert verified.differences == ()
    assert [key for key in etags_before if etags_before[key] != etags_after[key]] == [
        f"{DATASET}/month=2025-01/part-00000.parquet"
    ]
    changes = {(task.studio, task.window_start): task.changed for task in manifest.tasks}
    moved = naive(before, after, 0, JANUARY)
    assert moved.rows_added
    assert changes.pop((studio_id(0), "2025-01-01")) == moved
    assert set(changes.values()) == {Change()}
    assert Counter(record.unchanged for record in manifest.objects) == {True: 2, False: 1}


async def test_a_window_that_was_found_unchanged_past_the_lookback_is_settled():
    async with bench() as b:
        await run_at(b, EARLY)
        before = await etags(b.store)
        again = await run_at(b, EARLY + timedelta(days=20))
        # January was past the lookback when it was published; now February is too.
        assert {task.window_start for task in again.tasks} == {"2025-02-01", "2025-03-01"}
        late = await run_at(b, LATE)
        assert {task.window_start for task in late.tasks} == {"2025-03-01"}
        asked = b.asked()
        last = await run_at(b, LATE + timedelta(days=1))
        assert (b.asked(), last.totals.settled, last.totals.tasks) == (asked, 6, 0)
        assert await etags(b.store) == before
        assert await confirmed(b.store) == [(studio_id(n), start) for n in (0, 1) for start, _ in (FEBRUARY, MARCH)]


async def test_what_was_confirmed_is_forgotten_when_the_window_is_published_anew():
    async with bench() as b:
        await run_at(b, EARLY)
        await run_at(b, LATE, Choice(full=True))
        change(b.world.studios[0], JANUARY)
        await run_at(b, LATE + timedelta(days=1), Choice(full=True))
        kept = await confirmed(b.store)
        assert [start for _, start in kept] == [FEBRUARY[0], MARCH[0]] * 2
        asked = b.asked()
        await run_at(b, LATE + timedelta(days=2))
        assert b.asked() == asked


async def test_windows_that_others_rows_were_published_beside_stay_confirmed():
    async with bench() as b:
        await run_at(b, EARLY)
        await run_at(b, LATE, Choice(full=True))
        change(b.world.studios[0], MARCH)
        await run_at(b, LATE + timedelta(days=1), Choice(full=True, studios=(studio_id(0),)))
        asked = b.asked()
        await run_at(b, LATE + timedelta(days=2))
        assert b.asked() == asked


class ForgetfulStore(MemoryStore):
    """Refuses to keep what was confirmed."""

    async def put(self, key, data, **options):
        if key == CONFIRMED and self.refuses:
            raise StoreError("no room")
        return await super().put(key, data, **options)

    refuses = True


async def test_a_run_that_cannot_keep_what_it_confirmed_leaves_it_to_the_next_which_asks_nothing():
    store = ForgetfulStore()
    async with bench(store=store) as b:
        await run_at(b, EARLY)
        before = await etags(store)
        with pytest.raises(StoreError, match="no room"):
            await run_at(b, LATE, Choice(full=True))
        asked = b.asked()
        store.refuses = False
        manifest = await run_at(b, LATE + timedelta(minutes=1), Choice(full=True))
        assert b.asked() == asked
        assert await etags(store) == before
        assert [info.key for info in await store.list("_staging/")] == []
    assert {(task.state, task.resumed, task.changed) for task in manifest.tasks} == {
        (TaskState.PUBLISHED, True, Change())
    }


async def test_windows_without_rows_are_confirmed_too():
    async with bench() as b:
        for studio in b.world.studios:
            for infraction in studio.infractions:
                studio.remove(infraction.id)
        await run_at(b, EARLY)
        manifest = await run_at(b, LATE)
        asked = b.asked()
        await run_at(b, LATE + timedelta(days=1))
        assert b.asked() == asked
    assert {(task.state, task.changed) for task in manifest.tasks} == {(TaskState.EMPTY, Change())}


@pytest.mark.parametrize(
    "changes",
    [
        {"report": 'pivot = "week"\nmax_pivot_columns = 6'},
        {"privacy": 'drop = ["customer_id"]'},
        {"api": 'format = "csv"'},
        {"report": 'columns = ["status", "count"]'},
    ],
    ids=["pivot", "dropped key", "csv", "few rows"],
)
async def test_whatever_is_exported_the_same_rows_are_no_change(changes):
    async with bench() as b:
        await b.run(**changes)
        before = await etags(b.store)
        (manifest,) = await b.run(Choice(full=True), **changes)
        assert await etags(b.store) == before
        assert {task.changed for task in manifest.tasks} == {Change()}


async def test_a_list_of_confirmed_windows_that_cannot_be_read_is_named_with_the_way_out():
    async with bench() as b:
        await b.store.put(CONFIRMED, b"{}")
        with pytest.raises(ConfigError, match=r"_manifests/confirmed\.json: .*; delete it: it only spares requests"):
            await b.run()
        assert b.asked() == 0


async def test_two_runs_at_once_keep_what_each_of_them_confirmed():
    async with bench() as b:
        await run_at(b, EARLY)
        choices = [Choice(full=True, studios=(studio_id(n),)) for n in (0, 1)]
        await asyncio.gather(*(run_at(b, LATE, choice) for choice in choices))
        assert len(await confirmed(b.store)) == 6
        asked = b.asked()
        await run_at(b, LATE + timedelta(days=1))
        assert b.asked() == asked


async def test_the_runs_teach_how_long_the_lookback_must_be():
    async with bench() as b:
        await run_at(b, EARLY)
        change(b.world.studios[0], MARCH)
        await run_at(b, EARLY + timedelta(days=10))
        change(b.world.studios[1], JANUARY)
        await run_at(b, EARLY + timedelta(days=20), Choice(full=True))
        (found,) = what_moved([moves_of(m) async for m in b.app().history(Choice(), 10)], 35)
    assert [(run.refetched, run.changed) for run in found.runs] == [(0, 0), (4, 1), (6, 1)]
    assert [(age.first_day, age.refetched, age.changed) for age in found.ages] == [
        (0, 0, 0),
        (8, 2, 1),
        (15, 2, 0),
        (36, 6, 1),
        (91, 0, 0),
    ]
    assert found.says.endswith(
        "lookback_days is 35: raise it to 80 or more, so that runs without --full see such changes too"
    )

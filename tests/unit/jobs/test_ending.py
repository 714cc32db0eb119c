"""What follows a run that has ended: the marker, and the message."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from exporter.app_choice import Choice
from exporter.core.freshness import parse_freshness
from exporter.core.manifest import RunState
from exporter.core.notice import notice_of
from exporter.core.partition import success_key
from exporter.core.report import DatasetName
from exporter.errors import NotifyError, StoreError
from exporter.jobs.events import NotTold
from exporter.sandbox.faults import parse_faults
from exporter.sandbox.options import SandboxOptions
from exporter.store.memory import MemoryStore
from tests.support.exports import DATASET, END, bench, groups, published

KEY = success_key(DatasetName(DATASET))


async def marker(store):
    return parse_freshness((await store.get(KEY))[0])


def ending_of(b, store=None, **changes):
    app = b.app(store)
    return replace(app.ending(b.events.append), **changes)


async def test_a_run_that_ended_well_says_how_far_the_dataset_reaches():
    async with bench() as b:
        (manifest,) = await b.run()
        told = await marker(b.store)
        assert (told.run_id, told.finished_at) == (manifest.run_id, manifest.ended_at)
        assert (told.complete_until, told.rows) == (END, len(groups(await published(b.store))))


async def test_a_run_in_which_something_failed_leaves_the_marker_of_the_last_good_one():
    async with bench() as b:
        (good,) = await b.run()
        b.sandbox.revoke(b.world.tokens[0])
        (bad,) = await b.run(Choice(full=True))
        assert bad.state is RunState.FAILED
        assert (await marker(b.store)).run_id == good.run_id


async def test_without_any_good_run_there_is_no_marker():
    async with bench(options=SandboxOptions(rate=None, faults=parse_faults("401@1", 1))) as b:
        await b.run()
        assert await b.store.list(KEY) == []


async def test_a_run_of_one_studio_does_not_say_that_the_others_are_there():
    async with bench() as b:
        await b.run(Choice(studios=("studio-1",)))
        assert (await marker(b.store)).complete_until is None
        await b.run(Choice(studios=("studio-2",)))
        assert (await marker(b.store)).complete_until == END


async def test_a_run_that_finds_nothing_to_do_marks_the_dataset_too():
    async with bench() as b:
        await b.run()
        await b.store.delete(KEY)
        (manifest,) = await b.run()
        assert (await marker(b.store)).run_id == manifest.run_id


async def test_an_older_end_never_replaces_a_newer_one():
    async with bench() as b:
        (manifest,) = await b.run()
        newer = notice_of(manifest, "record")
        older = replace(newer, run_id="older", ended_at=newer.ended_at - timedelta(seconds=1))
        await ending_of(b).conclude([older])
        assert (await marker(b.store)).run_id == newer.run_id


async def test_an_end_that_a_clock_which_was_ahead_told_is_replaced():
    async with bench() as b:
        (manifest,) = await b.run()
        notice = notice_of(manifest, "record")
        await ending_of(b).conclude([replace(notice, run_id="ahead", ended_at=notice.ended_at + timedelta(days=1))])
        await ending_of(b).conclude([notice])
        assert (await marker(b.store)).run_id == manifest.run_id


async def test_something_else_in_its_place_is_replaced():
    async with bench() as b:
        await b.store.put(KEY, b"")
        (manifest,) = await b.run()
        assert (await marker(b.store)).run_id == manifest.run_id


class MetBy(MemoryStore):
    """A store in which somebody else puts a newer marker just before ours is put."""

    def __init__(self, *theirs):
        super().__init__()
        self.theirs = list(theirs)

    async def put(self, key, data, *, condition=None):
        if key == KEY and self.theirs:
            await super().put(key, self.theirs.pop())
        return await super().put(key, data, condition=condition)


async def test_of_two_that_end_at_once_the_newer_end_stands():
    async with bench() as b:
        (manifest,) = await b.run()
        mine = await marker(b.store)
        newer = replace(mine, run_id="newer", finished_at=mine.finished_at + timedelta(seconds=1))
        store = MetBy(newer.to_json())
        for info in await b.store.list(f"{DATASET}/month="):
            await store.put(info.key, (await b.store.get(info.key))[0])
        await ending_of(b, store).conclude([notice_of(manifest, "record")])
        assert (await marker(store)).run_id == "newer"


async def test_after_each_conflict_the_wait_is_longer_and_after_ten_the_run_gives_up():
    waits = []

    async def wait(seconds):
        waits.append(round(seconds, 1))
        await asyncio.sleep(0)

    async with bench() as b:
        (manifest,) = await b.run()
        older = replace(await marker(b.store), finished_at=manifest.ended_at - timedelta(days=1))
        theirs = [replace(older, run_id=f"run-{n}").to_json() for n in range(10)]
        ending = ending_of(b, MetBy(*theirs), sleep=wait, random=lambda: 1.0)
        with pytest.raises(StoreError, match="others replaced it 10 times"):
            await ending.conclude([notice_of(manifest, "record")])
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0]


class Full(MemoryStore):
    """A store that takes everything but a marker."""

    async def put(self, key, data, *, condition=None):
        if key == KEY:
            raise StoreError(f"{key}: cannot write: made up")
        return await super().put(key, data, condition=condition)


async def test_a_marker_that_cannot_be_put_fails_the_run_and_the_next_one_asks_for_nothing_but_puts_it():
    async with bench() as b:
        store = Full()
        with pytest.raises(StoreError, match="_SUCCESS"):
            await b.run(store=store)
        asked = b.asked()
        for info in await store.list(""):
            await b.store.put(info.key, (await store.get(info.key))[0])
        (manifest,) = await b.run()
        assert b.asked() == asked
        assert (await marker(b.store)).run_id == manifest.run_id


async def test_a_message_is_sent_after_the_marker_and_one_that_nobody_takes_is_a_warning():
    async with bench() as b:
        (manifest,) = await b.run()
        await b.store.delete(KEY)
        seen = []

        async def send(notice):
            seen.append((notice.dataset, [info.key for info in await b.store.list(KEY)]))
            await asyncio.sleep(0)
            raise NotifyError("arn: took no message that the run ended: AuthorizationError")

        await ending_of(b, send=send).conclude([notice_of(manifest, "record")])
        assert seen == [(DATASET, [KEY])]
        assert b.events[-1] == NotTold(reason="arn: took no message that the run ended: AuthorizationError")

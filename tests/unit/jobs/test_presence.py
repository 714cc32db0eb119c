import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from exporter.core.partition import owner_key, staging_prefix
from exporter.errors import NotFoundError, TakenOverError
from exporter.jobs.presence import HEARTBEAT_S, announce, renew, say_ended, stay_present
from exporter.jobs.resume import Owner, parse_owner
from exporter.jobs.sweep import sweep
from tests.support.troubled_store import TroubledStore
from tests.support.virtual_time import run_virtual

EPOCH = datetime(2025, 3, 1, tzinfo=UTC)
ME = Owner(run_id="run-1", began_at=EPOCH, seen_at=EPOCH, full=False, host="host-1", process="process-1")
SUCCESSOR = replace(ME, host="host-2", process="process-2", seen_at=EPOCH + timedelta(minutes=5))
SEGMENT = f"{staging_prefix(ME.run_id)}00000001.arrow"


class Sink(TroubledStore):
    def __init__(self):
        super().__init__()
        self.troubles = []
        self.trouble = lambda: self.troubles.pop(0) if self.troubles else ""

    async def record(self):
        return parse_owner((await self.get(owner_key(ME.run_id)))[0])


@pytest.fixture
def sink():
    return Sink()


async def taken_over(sink):
    await sink.put(owner_key(ME.run_id), SUCCESSOR.to_json())


def stay(sink):
    epoch = asyncio.get_running_loop().time()
    return stay_present(
        sink,
        [ME],
        clock=lambda: EPOCH + timedelta(seconds=asyncio.get_running_loop().time() - epoch),
        sleep=asyncio.sleep,
    )


async def test_a_late_heartbeat_does_not_overwrite_the_claim_of_a_successor(sink):
    await announce(sink, ME)
    await taken_over(sink)
    with pytest.raises(TakenOverError, match="run run-1: another run goes on with what it had fetched"):
        await renew(sink, replace(ME, seen_at=EPOCH + timedelta(minutes=6)))
    assert await sink.record() == SUCCESSOR


async def test_a_run_whose_area_was_cleared_up_does_not_bring_it_back(sink):
    await announce(sink, ME)
    await sink.delete(owner_key(ME.run_id))
    with pytest.raises(TakenOverError):
        await renew(sink, ME)
    with pytest.raises(NotFoundError):
        await sink.record()


@pytest.mark.parametrize("trouble", ["lost", "unanswered"])
async def test_a_heartbeat_whose_answer_is_lost_is_no_reason_to_stop(sink, trouble):
    await announce(sink, ME)
    sink.troubles = [trouble]
    later = replace(ME, seen_at=EPOCH + timedelta(seconds=30))
    await renew(sink, later)
    await renew(sink, later)
    assert await sink.record() == later


async def test_who_ends_leaves_the_claim_of_a_successor_alone(sink):
    await announce(sink, ME)
    await taken_over(sink)
    await say_ended(sink, [ME])
    assert await sink.record() == SUCCESSOR


async def test_who_clears_up_leaves_alone_what_another_run_has_taken_over(sink):
    await announce(sink, ME)
    await sink.put(SEGMENT, b"rows")
    await taken_over(sink)
    await sweep(sink, [ME])
    assert {info.key for info in await sink.list("")} == {owner_key(ME.run_id), SEGMENT}


def test_a_run_stays_present_while_the_sink_refuses_now_and_then_and_stops_when_it_is_taken_over(sink):
    async def main():
        await announce(sink, ME)
        beating = asyncio.create_task(stay(sink))
        sink.troubles = ["refused"]
        await asyncio.sleep(2 * HEARTBEAT_S + 1)
        seen = (await sink.record()).seen_at
        await taken_over(sink)
        with pytest.raises(TakenOverError):
            await beating
        return seen, asyncio.get_running_loop().time()

    seen, stopped = run_virtual(main)
    assert seen == EPOCH + timedelta(seconds=2 * HEARTBEAT_S)
    assert stopped == pytest.approx(3 * HEARTBEAT_S)

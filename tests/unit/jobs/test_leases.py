"""Runs that share a credential, before a server with a hard limit, under a clock that jumps."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.lease import CLOCKS_S, LEASE_S, Lease
from exporter.core.partition import salt_key
from exporter.errors import CredentialError, StoreError
from exporter.jobs.events import Waiting
from exporter.jobs.leases import WhenBusy
from exporter.sandbox.rate import busiest_minute
from tests.support.leased_runs import EPOCH, KEY, OTHER, World
from tests.support.virtual_time import run_virtual


def now():
    return asyncio.get_running_loop().time()


async def cancelled(task):
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


# Within the limit, whoever asks


def lives():
    """Runs, each with its host, its requests, how long until the next begins, and when it dies, if it does."""
    return st.lists(
        st.tuples(
            st.sampled_from(["host-1", "host-2"]),
            st.integers(0, 60),
            st.floats(0, 70),
            st.none() | st.floats(0, 90),
        ),
        min_size=2,
        max_size=5,
    )


@given(
    lives=lives(),
    limit=st.integers(1, 40),
    longest_s=st.sampled_from([0.01, 0.5, 0.9]),
    ahead_s=st.floats(-CLOCKS_S, CLOCKS_S),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_no_sliding_minute_sees_more_than_the_limit_whoever_hands_over_dies_or_waits(
    *, lives, limit, longest_s, ahead_s, seed
):
    draw = random.Random(seed)

    async def main():
        world = World(limit, latency=lambda: draw.random() * longest_s, draw=draw)

        async def live(host, number, dies_after):
            run = world.run(host, ahead_s=ahead_s if host == "host-2" else 0.0)
            task = asyncio.create_task(run.work(number))
            if dies_after is not None:
                await asyncio.wait([task], timeout=dies_after)
                run.die()
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        tasks = []
        for host, number, pause_s, dies_after in lives:
            tasks.append(asyncio.create_task(live(host, number, dies_after)))
            await asyncio.sleep(pause_s)
        await asyncio.gather(*tasks)
        await world.run().work(limit)
        return world.api()

    api = run_virtual(main)
    assert len(api.seen) >= limit
    assert (busiest_minute(api.seen) <= limit, api.throttled) == (True, 0)


@pytest.mark.parametrize("number", [10, 100, 249, 250, 400])
def test_who_follows_at_once_uses_what_is_left_of_the_minute(number):
    async def main():
        world = World(250)
        await world.run().work(number)
        await world.run("host-2").work(250)
        return world.api(), now()

    api, ended = run_virtual(main)
    assert (busiest_minute(api.seen), api.throttled) == (250, 0)
    assert ended <= 69 + 60 * ((number + 249) // 250 - 1)


def test_a_run_that_was_killed_is_followed_at_once_on_its_host():
    async def main():
        world = World(100)
        first = world.run()
        asking = asyncio.create_task(first.ask(90))
        await asyncio.sleep(3)
        first.die()
        await cancelled(asking)
        killed_at, before = now(), len(world.api().seen)
        await world.run().work(100)
        return world.api(), killed_at, before

    api, killed_at, before = run_virtual(main)
    assert api.throttled == 0
    assert busiest_minute(api.seen) <= 100
    # What the dead one had reserved is taken to have been sent, so what is left over is less than it could be.
    assert 0 <= sum(moment < killed_at + 50 for moment in api.seen[before:]) <= 100 - before


def test_a_run_that_was_killed_elsewhere_is_followed_when_its_lease_has_run_out():
    async def main():
        world = World(100)
        first = world.run("host-1")
        await first.ask(40)
        first.die()
        killed_at = now()
        await world.run("host-2").work(100)
        return world.api().seen[40] - killed_at, world.api().throttled

    waited, throttled = run_virtual(main)
    assert LEASE_S - 16 <= waited <= LEASE_S + 8
    assert throttled == 0


@pytest.mark.parametrize("ahead_s", [-CLOCKS_S, CLOCKS_S])
@pytest.mark.parametrize("pause_s", [0.3, 0.6, 0.9])
def test_a_hand_over_between_clocks_that_differ_stays_within_the_limit(ahead_s, pause_s):
    async def main():
        world = World(100)
        await asyncio.sleep(pause_s)
        await world.run("host-1").work(100)
        await world.run("host-2", ahead_s=ahead_s).work(100)
        return world.api()

    api = run_virtual(main)
    assert (busiest_minute(api.seen), api.throttled) == (100, 0)


def test_a_clock_far_ahead_keeps_nobody_out_for_longer_than_a_lease():
    async def main():
        world = World(100)
        first = world.run("host-1", ahead_s=86_400)
        await first.ask(1)
        first.die()
        await world.run("host-2").work(1)
        return now()

    assert run_virtual(main) <= LEASE_S + 10


def test_a_record_that_cannot_be_read_is_taken_for_a_minute_used_up():
    async def main():
        world = World(100)
        await world.store.overwrite(b"{]")
        await world.run().work(1)
        return now()

    assert 60 <= run_virtual(main) <= 63


# Who waits, and who does not


def test_a_second_run_works_on_other_credentials_first_and_then_completes():
    async def main():
        world = World(100)
        first, second = world.run(), world.run()
        working = asyncio.create_task(first.work(350))
        await asyncio.sleep(1)
        others, same = (asyncio.create_task(second.work(90, key)) for key in (OTHER, KEY))
        await others
        others_done = now()
        await asyncio.gather(working, same)
        return world, second, others_done

    world, second, others_done = run_virtual(main)
    assert others_done < 10
    assert len(world.api().seen) == 440
    assert busiest_minute(world.api().seen) == 100
    assert second.events == [Waiting(where="credential of key-1", holder="run-1")]


def test_a_run_that_skips_says_that_the_credential_is_busy():
    async def main():
        world = World(100)
        first, second = world.run(), world.run("host-2", when_busy=WhenBusy.SKIP)
        await first.ask(1)
        await second.work(5, OTHER)
        for _ in range(2):
            with pytest.raises(CredentialError, match=r"^credential of key-1: busy: run run-1 uses the same"):
                await second.work(5)
        await first.gate.leave(KEY)
        return now(), len(world.api().seen), second.events

    took, asked, told = run_virtual(main)
    assert took < 2
    assert (asked, told) == (1, [])


def test_who_has_waited_is_told_that_another_run_used_the_credential():
    async def main():
        world = World(100)
        first, second, third = (world.run() for _ in range(3))
        alone = await first.gate.claim(KEY)
        waiting = asyncio.create_task(second.gate.claim(KEY))
        await asyncio.sleep(1)
        await first.gate.leave(KEY)
        waited = await waiting
        await second.work(1)
        late = await third.gate.claim(KEY)
        await third.gate.leave(KEY)
        after = world.run()
        return alone, waited, late, await after.gate.claim(OTHER)

    assert run_virtual(main) == (False, True, True, False)


@pytest.mark.parametrize("salted", [False, True], ids=["at-the-salt", "at-the-lease"])
def test_a_sink_whose_puts_never_land_and_never_fail_is_given_up(salted):
    async def main():
        world = World(10)
        if salted:
            await world.run().work(1)
        world.store.trouble = lambda: "lost"
        before = len(world.store.puts)
        with pytest.raises(StoreError, match=r"_leases/.*: was not written in 5 attempts.*run again"):
            await world.run().work(1)
        return len(world.store.puts) - before

    assert run_virtual(main) == 5


# Few words with the sink


def test_a_short_run_writes_its_lease_twice_and_one_that_asks_nothing_never():
    async def main():
        world = World(250)
        idle = world.run()
        await idle.leases.close()
        silent = list(world.store.puts)
        await world.run().work(20)
        return silent, world.store.puts, await world.store.lease()

    silent, puts, lease = run_virtual(main)
    assert silent == []
    assert puts[0] == salt_key()
    assert len(puts) == 3
    assert (lease.expires_at, lease.pending, sum(lease.ended.values())) == (None, 0, 20)


def test_an_hour_at_full_speed_writes_a_few_times_a_minute():
    async def main():
        world = World(250)
        await world.run().work(250 * 20)
        return world.store.lease_puts / (now() / 60)

    assert run_virtual(main) <= 15


def test_leases_are_given_back_when_a_run_is_stopped():
    async def main():
        world = World(100)
        run = world.run()
        asking = asyncio.create_task(run.ask(300))
        await asyncio.sleep(20)
        await cancelled(asking)
        await run.leases.close()
        return await world.store.lease(), world.api()

    lease, api = run_virtual(main)
    assert (lease.expires_at, lease.pending) == (None, 0)
    assert sum(lease.ended.values()) >= len(api.seen)


# Faults of the sink


@pytest.mark.parametrize("trouble", ["lost", "unanswered"])
@pytest.mark.parametrize("at", range(1, 9))
def test_a_lost_answer_costs_nothing(trouble, at):
    async def main():
        world, count = World(100), iter(range(1, 1000))
        world.store.trouble = lambda: trouble if next(count) == at else ""
        await world.run().work(150)
        took = now()
        await world.run("host-2").work(100)
        return world.api(), took, await world.store.lease()

    api, took, lease = run_virtual(main)
    assert took <= 66
    assert (len(api.seen), api.throttled) == (250, 0)
    assert busiest_minute(api.seen) <= 100
    assert (lease.run_id, lease.expires_at) == ("run-2", None)


def test_what_the_sink_holds_is_never_less_than_what_was_sent():
    async def main():
        world = World(250, draw=random.Random(3))
        run = world.run()
        await run.ask(1)
        world.store.trouble = lambda: world.draw.choice(["", "", "lost", "unanswered", "refused"])
        asking = asyncio.create_task(run.ask(600))
        while now() < 55:
            await asyncio.sleep(world.draw.random())
            lease = await world.store.lease()
            assert sum(lease.ended.values()) + lease.pending >= len(world.api().seen)
        await cancelled(asking)
        return len(world.api().seen)

    assert run_virtual(main) > 200


def test_a_sink_that_refuses_for_a_while_is_waited_for():
    async def main():
        world = World(100)
        run = world.run()
        await run.ask(10)
        world.store.trouble = lambda: "refused" if now() < 40 else ""
        await run.work(60)
        return now(), world.api().seen

    took, seen = run_virtual(main)
    assert 40 <= took <= 45
    assert len(seen) == 70


def test_a_run_that_cannot_renew_its_lease_stops_asking():
    async def main():
        world = World(100)
        run = world.run()
        await run.ask(10)
        world.store.trouble = lambda: "refused"
        with pytest.raises(CredentialError, match="its lease could not be renewed for 50 s"):
            await run.ask(60)
        stopped_at = now()
        with pytest.raises(CredentialError, match="could not be renewed"):
            await run.ask(1)
        await run.leases.close()
        return stopped_at, len(world.api().seen)

    stopped_at, asked = run_virtual(main)
    assert stopped_at <= LEASE_S - 8
    assert asked <= 25


@pytest.mark.parametrize("taken", [True, False])
def test_a_run_that_lost_its_lease_stops_asking(taken):
    async def main():
        world = World(100)
        run = world.run()
        await run.ask(1)
        if taken:
            thief = Lease(run_id="run-9", expires_at=EPOCH + timedelta(seconds=LEASE_S))
            await world.store.overwrite(thief.to_json())
        else:
            await world.store.delete(f"_leases/name-of-{KEY}.json")
        reason = "was taken by run run-9" if taken else "is gone from the sink"
        with pytest.raises(CredentialError, match=reason):
            await run.ask(99)
        await run.leases.close()
        return len(world.api().seen), taken and await world.store.lease()

    asked, lease = run_virtual(main)
    assert asked <= 25
    assert not taken or lease.run_id == "run-9"


def test_a_task_that_was_opened_before_the_lease_ran_out_asks_for_another_turn():
    async def main():
        world = World(100)
        run = world.run("host-1")
        await run.gate.opening(KEY)
        await world.store.overwrite(Lease(run_id="run-9", expires_at=EPOCH + timedelta(seconds=9 * LEASE_S)).to_json())
        run.slept_s = 2 * LEASE_S
        with pytest.raises(CredentialError, match="was taken by run run-9"):
            await run.ask(1)
        await run.leases.close()
        return len(world.api().seen)

    assert run_virtual(main) == 0


def test_a_machine_that_slept_looks_before_it_asks_again():
    async def main():
        world = World(100)
        run = world.run("host-1")
        await run.ask(1)
        await world.store.overwrite(Lease(run_id="run-9", expires_at=EPOCH + timedelta(seconds=9 * LEASE_S)).to_json())
        run.slept_s = 2 * LEASE_S
        with pytest.raises(CredentialError, match="was taken by run run-9"):
            await run.ask(1)
        await run.leases.close()
        return len(world.api().seen)

    assert run_virtual(main) == 1

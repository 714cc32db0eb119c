"""The gate before a server with a hard limit, under a clock that jumps."""

import asyncio
import random
import sys
from collections import Counter
from contextlib import suppress
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.api import limiter
from exporter.core.pace import Outcome, Pace
from exporter.core.studio import CredentialKey
from exporter.errors import CredentialError, RateLimitedError, RejectedError, SourceError, StudioError, UnavailableError
from exporter.sandbox.rate import busiest_minute
from tests.support.timed_api import Minute, TimedApi, ask, make_gate
from tests.support.virtual_time import run_virtual

KEY = CredentialKey("key-1")
OTHER = CredentialKey("key-2")

seeds = pytest.mark.parametrize("seed", [1, 2, 3])


def now():
    return asyncio.get_running_loop().time()


async def ask_many(gate, api, number, key=KEY):
    await asyncio.gather(*(ask(gate, key, api) for _ in range(number)))


async def ask_for(seconds, gate, api, key=KEY, *, at_once=40):
    """Ask as much as the gate lets through, for so long."""

    async def worker():
        while True:
            await ask(gate, key, api)

    workers = [asyncio.create_task(worker()) for _ in range(at_once)]
    await asyncio.sleep(seconds)
    await cancel(workers)


async def cancel(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def queue(*coroutines):
    """Start each when the one before it waits."""
    tasks = []
    for coroutine in coroutines:
        tasks.append(asyncio.create_task(coroutine))
        await asyncio.sleep(0)
    return tasks


async def proven(gate, key=KEY):
    """Let the one request through that goes alone."""
    async with gate.turn(key):
        pass


# In no sliding minute more than the limit


@given(
    limit=st.integers(1, 30),
    longest_s=st.sampled_from([0.01, 1.0, 5.0, 40.0]),
    pause_s=st.floats(0, 130),
    spread=st.booleans(),
    minute=st.sampled_from(Minute),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_no_sliding_minute_sees_more_than_the_limit_whatever_becomes_of_requests(
    *, limit, longest_s, pause_s, spread, minute, seed
):
    """From cold and after a pause; answers late, failed or given up while they are on their way."""
    draw = random.Random(seed)

    async def main():
        gate = make_gate(limit, spread=spread, random=draw.random)
        api = TimedApi(limit=limit, minute=minute, latency=lambda: draw.random() * longest_s)

        async def answer():
            await api.answer()
            if draw.random() < 0.2:
                raise UnavailableError("made up")

        async def one():
            with suppress(UnavailableError):
                async with gate.turn(KEY):
                    await answer()

        for _ in range(2):
            requests = [asyncio.create_task(one()) for _ in range(3 * limit)]
            while not all(request.done() for request in requests):
                await asyncio.sleep(draw.random() * 20)
                draw.choice(requests).cancel()
            await asyncio.gather(*requests, return_exceptions=True)
            await asyncio.sleep(pause_s)
        return api

    api = run_virtual(main)
    assert busiest_minute(api.seen) <= limit
    assert api.throttled == 0


# All of the limit


def test_ten_minutes_use_nearly_all_that_is_allowed():
    async def main():
        gate, api = make_gate(250), TimedApi(limit=250)
        await ask_for(600, gate, api)
        return api

    api = run_virtual(main)
    assert len(api.accepted) >= 0.99 * 2500
    assert api.throttled == 0


def test_what_fits_into_two_minutes_limits_ends_when_the_second_begins():
    async def main():
        gate, api = make_gate(250), TimedApi(limit=250)
        await ask_many(gate, api, 378)
        return now(), api

    ended, api = run_virtual(main)
    assert ended <= 66
    assert api.throttled == 0


def test_slow_answers_do_not_cost_throughput():
    async def main():
        gate, api = make_gate(250, max_connections=100), TimedApi(limit=250, latency=lambda: 2.0)
        await ask_for(600, gate, api, at_once=120)
        return api

    # A request counts until a minute after its answer, so four seconds are lost with each minute.
    assert len(run_virtual(main).accepted) >= 0.98 * 2500 * 60 / 64


def test_spread_requests_come_at_even_distances():
    async def main():
        gate, api = make_gate(250, spread=True), TimedApi(limit=250)
        await ask_many(gate, api, 700)
        return api

    api = run_virtual(main)
    gaps = [after - before for before, after in pairwise(api.seen)]
    assert min(gaps) >= 0.24 - 1e-6
    assert max(gaps) <= 0.24 + 0.12
    assert sum(gaps) / len(gaps) <= 0.242


# A limit lower than configured


@pytest.mark.parametrize("minute", Minute)
@pytest.mark.parametrize("true_limit", [100, 200])
@pytest.mark.parametrize("retry_after_s", [None, 0.0, 1.0])
@seeds
def test_a_limit_below_the_configured_one_is_found_and_used_with_few_refusals(minute, true_limit, retry_after_s, seed):
    draw = random.Random(seed)

    async def main():
        gate = make_gate(250, random=draw.random)
        api = TimedApi(limit=true_limit, minute=minute, retry_after_s=retry_after_s)
        await ask_for(660, gate, api)
        return api, gate.limit(KEY)

    api, assumed = run_virtual(main)
    later = [moment for moment in api.accepted if moment >= 60]
    assert len(later) >= 0.9 * true_limit * 10
    assert api.throttled < 0.02 * len(api.seen)
    assert assumed == pytest.approx(true_limit, rel=0.05)


@pytest.mark.parametrize("burst", [5, 20])
@pytest.mark.parametrize("true_limit", [100, 200])
@pytest.mark.parametrize("retry_after_s", [None, 1.0])
@seeds
def test_a_token_bucket_below_the_configured_limit_is_found_and_used_with_few_refusals(
    burst, true_limit, retry_after_s, seed
):
    draw = random.Random(seed)

    async def main():
        gate = make_gate(250, random=draw.random)
        api = TimedApi(limit=true_limit, burst=burst, retry_after_s=retry_after_s)
        await ask_for(660, gate, api)
        return api, gate.limit(KEY)

    api, assumed = run_virtual(main)
    seen, accepted = ([moment for moment in moments if moment >= 60] for moments in (api.seen, api.accepted))
    assert len(accepted) >= 0.97 * true_limit * 10
    assert len(seen) - len(accepted) < 0.02 * len(seen)
    assert api.throttled < 0.02 * len(api.seen)
    assert assumed == pytest.approx(true_limit, rel=0.1)


@pytest.mark.parametrize("kind", [{}, {"minute": Minute.FIXED}, {"burst": 5}, {"burst": 20}], ids=str)
@pytest.mark.parametrize(("true_limit", "refused_at_most"), [(10, 0.03), (20, 0.02), (30, 0.02), (60, 0.02)])
@pytest.mark.parametrize("retry_after_s", [None, 1.0])
def test_a_small_limit_is_used_and_costs_few_refusals_in_an_hour(kind, true_limit, refused_at_most, retry_after_s):
    async def main():
        gate, api = make_gate(250), TimedApi(limit=true_limit, retry_after_s=retry_after_s, **kind)
        await ask_for(660, gate, api)
        soon = api.throttled
        await ask_for(2940, gate, api)
        return api, soon

    api, soon = run_virtual(main)
    assert sum(60 <= moment < 660 for moment in api.accepted) >= 0.9 * true_limit * 10
    assert sum(660 <= moment < 3600 for moment in api.accepted) >= 0.97 * true_limit * 49
    assert soon <= (17 if "burst" in kind else 10)
    assert api.throttled < refused_at_most * len(api.seen)


@pytest.mark.parametrize("begin", [8, 23, 37, 52])
@pytest.mark.parametrize("true_limit", [100, 200])
@pytest.mark.parametrize("retry_after_s", [None, 1.0])
def test_a_limit_of_the_clocks_minute_is_found_whenever_in_it_a_run_begins(begin, true_limit, retry_after_s):
    async def main():
        await asyncio.sleep(begin)
        gate, api = make_gate(250), TimedApi(limit=true_limit, minute=Minute.FIXED, retry_after_s=retry_after_s)
        await ask_for(660, gate, api)
        return api

    api = run_virtual(main)
    assert sum(moment >= begin + 60 for moment in api.accepted) >= 0.9 * true_limit * 10
    assert api.throttled < 0.02 * len(api.seen)


@pytest.mark.parametrize("begin", [5, 30, 45])
def test_a_limit_of_the_clocks_minute_just_below_the_configured_one_costs_few_refusals_in_the_long_run(begin):
    async def main():
        await asyncio.sleep(begin)
        gate, api = make_gate(250), TimedApi(limit=240, minute=Minute.FIXED, retry_after_s=1.0)
        await ask_for(2400, gate, api)
        return api

    api = run_virtual(main)
    assert sum(moment >= begin + 60 for moment in api.accepted) >= 0.97 * 240 * 39
    assert api.throttled < 0.02 * len(api.seen)


@pytest.mark.parametrize("minute", Minute)
@pytest.mark.parametrize("true_limit", [100, 200])
@seeds
def test_refusals_for_no_reason_do_not_lower_a_limit_that_was_found(minute, true_limit, seed):
    draw = random.Random(seed)

    async def main():
        gate = make_gate(250, random=draw.random)
        api = TimedApi(limit=true_limit, minute=minute, spurious=lambda: draw.random() < 0.01)
        await ask_for(660, gate, api)
        return api

    api = run_virtual(main)
    assert sum(moment >= 60 for moment in api.accepted) >= 0.9 * true_limit * 10
    assert api.throttled < 0.1 * len(api.seen)


def test_a_token_bucket_that_becomes_slower_costs_a_few_refusals():
    async def main():
        gate, api = make_gate(250), TimedApi(limit=200, burst=20)
        await ask_for(300, gate, api)
        before = api.throttled
        api.limit = 100
        await ask_for(300, gate, api)
        return api, api.throttled - before

    api, refused = run_virtual(main)
    assert sum(moment >= 300 for moment in api.accepted) >= 0.97 * 500
    assert refused < 0.04 * 500


def test_a_limit_that_is_raised_meanwhile_is_used_again():
    async def main():
        gate, api = make_gate(250), TimedApi(limit=50)
        await ask_for(300, gate, api)
        api.limit = 250
        await ask_for(700, gate, api)
        return gate.limit(KEY), busiest_minute(api.accepted)

    assert run_virtual(main) == (250, 250)


@pytest.mark.parametrize(
    "retry_after_s",
    [
        None,
        0.0,
        1.0,
    ],
)
def test_who_begins_after_another_used_up_the_minute_is_soon_at_full_speed(retry_after_s):
    async def main():
        gate, api = make_gate(250), TimedApi(limit=250, retry_after_s=retry_after_s)
        api.accepted = [0.0] * 250
        await asyncio.sleep(5)
        await ask_many(gate, api, 378)
        return now()

    assert run_virtual(main) <= 240


# 429


@pytest.mark.parametrize("seconds", [7.0, 90.0])
def test_nothing_of_the_credential_is_sent_before_a_named_wait_is_over(seconds):
    async def main():
        gate, api = make_gate(250), TimedApi(limit=30, retry_after_s=seconds)
        sent, refused_at = [], []

        async def insist():
            while True:
                try:
                    async with gate.turn(KEY):
                        sent.append(now())
                        await api.answer()
                except RateLimitedError:
                    refused_at.append(now())

        workers = [asyncio.create_task(insist()) for _ in range(40)]
        await asyncio.sleep(400)
        await cancel(workers)
        return sent, refused_at

    sent, refused_at = run_virtual(main)
    assert [moment for moment in sent if any(said < moment < said + seconds - 1e-6 for said in refused_at)] == []
    assert sent[-1] > refused_at[0] + seconds


def test_another_credential_goes_on_meanwhile():
    async def main():
        gate = make_gate(250)
        refusing, api = TimedApi(limit=0, retry_after_s=600.0), TimedApi(limit=250)
        waiting = [asyncio.create_task(ask(gate, KEY, refusing)) for _ in range(9)]
        await ask_many(gate, api, 200, OTHER)
        await cancel(waiting)
        return now(), len(refusing.seen)

    ended, asked = run_virtual(main)
    assert ended < 6
    assert asked == 1


@pytest.mark.parametrize("named", [None, 0.0])
def test_a_wait_that_is_not_named_or_no_time_at_all_is_backed_off_from_ever_longer(named):
    async def main():
        gate, api = make_gate(250, random=lambda: 0.5), TimedApi(limit=0, latency=lambda: 0.0, retry_after_s=named)
        await ask_for(100, gate, api)
        return api.seen

    seen = run_virtual(main)
    waits = [after - before for before, after in pairwise(seen)]
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30])


@seeds
@pytest.mark.parametrize("retry_after_s", [None, 0.0, 0.2])
def test_refusals_for_no_reason_do_not_stall_a_fast_api(seed, retry_after_s):
    draw = random.Random(seed)

    async def main():
        gate = make_gate(1_000_000, random=draw.random)
        api = TimedApi(
            limit=1_000_000,
            latency=lambda: 0.0025,
            spurious=lambda: draw.random() < 0.03,
            retry_after_s=retry_after_s,
        )
        await ask_many(gate, api, 3000)
        return now()

    # About ninety refusals of some half a second each.
    assert run_virtual(main) < 120


# A refused credential


def refused(status=401):
    return CredentialError("harbour-yoga 2025-03: the API refused the credential (401)", status=status)


def test_a_refused_credential_costs_one_request_however_many_wait():
    async def main():
        gate, sent = make_gate(), []

        async def one():
            async with gate.turn(KEY):
                sent.append(now())
                await asyncio.sleep(1)
                raise refused()

        requests = await queue(*(one() for _ in range(51)), gate.opening(KEY))
        requests.pop(7).cancel()
        ended = await asyncio.gather(*requests, return_exceptions=True)
        return ended, sent, now()

    ended, sent, took = run_virtual(main)
    assert (sent, took) == ([0], 1)
    assert {(type(error), str(error), error.status) for error in ended} == {(CredentialError, str(refused()), 401)}
    assert len({id(error) for error in ended}) == len(ended)


def test_a_refused_credential_stays_refused():
    async def main():
        gate = make_gate()
        assert gate.refused(KEY) is None
        with pytest.raises(CredentialError):
            async with gate.turn(KEY):
                raise refused()
        assert str(gate.refused(KEY)) == str(refused())
        for wait in (gate.turn(KEY).__aenter__(), gate.opening(KEY)):
            with pytest.raises(CredentialError, match=r"refused the credential \(401\)"):
                await wait

    run_virtual(main)


def test_a_refused_credential_stops_nobody_else():
    async def main():
        gate, api = make_gate(), TimedApi(limit=250)
        others = asyncio.create_task(ask_many(gate, api, 100, OTHER))
        with pytest.raises(CredentialError):
            async with gate.turn(KEY):
                raise refused()
        await others
        return now()

    assert run_virtual(main) < 3


def test_a_refused_credential_leaves_its_share_to_others():
    async def main():
        gate = make_gate(max_connections=8)

        async def one():
            async with gate.turn(KEY):
                await asyncio.sleep(1)
                raise refused()

        await asyncio.gather(*(one() for _ in range(9)), return_exceptions=True)
        api = TimedApi(limit=250, latency=lambda: 15.0)
        await ask_many(gate, api, 50, OTHER)
        return api.most_in_flight

    assert run_virtual(main) == 8


def test_a_refusal_gives_back_what_was_reserved_for_the_credential():
    async def main():
        gate = make_gate(max_connections=3)
        await proven(gate)
        for _ in range(2):
            await gate.opening(KEY)

        async def fail():
            await asyncio.sleep(1)
            raise refused()

        with pytest.raises(CredentialError):
            async with gate.turn(KEY):  # takes the first reservation
                await fail()
        with pytest.raises(CredentialError):
            async with gate.turn(KEY):
                raise AssertionError
        api = TimedApi(limit=250)
        await proven(gate, OTHER)
        await ask_many(gate, api, 30, OTHER)
        return api.most_in_flight

    assert run_virtual(main) == 3


@pytest.mark.parametrize(
    ("error", "proves"),
    [
        (None, True),
        (RejectedError("400", status=400), True),
        (StudioError("403", status=403), True),
        (RejectedError("never sent"), False),
        (StudioError("never sent"), False),
        (UnavailableError("503", status=503), False),
        (RateLimitedError("429", status=429, retry_after_s=0.001), False),
        (ZeroDivisionError(), False),
    ],
    ids=repr,
)
def test_requests_go_alone_until_one_was_answered_by_somebody_who_knew_the_credential(error, proves):
    async def main():
        gate, api = make_gate(), TimedApi(limit=250)
        with suppress(SourceError, ZeroDivisionError):
            async with gate.turn(KEY):
                if error:
                    raise error
        requests = [asyncio.create_task(ask(gate, KEY, api)) for _ in range(9)]
        await asyncio.sleep(0.03)
        at_once = api.most_in_flight
        await asyncio.gather(*requests)
        return at_once

    assert (run_virtual(main) > 1) == proves


class Listening(Pace):
    """Remembers how requests ended."""

    def __init__(self):
        super().__init__(250, random=lambda: 0.5)
        self.ended = []

    def finish(self, now, ticket, outcome, retry_after_s=None):
        self.ended.append((outcome, retry_after_s))
        super().finish(now, ticket, outcome, retry_after_s)


@pytest.mark.parametrize(
    ("error", "outcome", "retry_after_s"),
    [
        (None, Outcome.ACCEPTED, None),
        (RateLimitedError("429", status=429, retry_after_s=2.0), Outcome.THROTTLED, 2.0),
        (CredentialError("401", status=401), Outcome.ACCEPTED, None),
        (RejectedError("400", status=400), Outcome.ACCEPTED, None),
        (StudioError("403", status=403), Outcome.ACCEPTED, None),
        (RejectedError("never sent"), Outcome.FAILED, None),
        (UnavailableError("503", status=503), Outcome.FAILED, None),
        (asyncio.CancelledError(), Outcome.FAILED, None),
    ],
    ids=repr,
)
def test_the_pace_is_told_how_a_turn_ended(error, outcome, retry_after_s):
    async def main():
        pace = Listening()
        gate = limiter.Gate(make_pace=lambda _: pace, max_connections=1, clock=now)
        with suppress(SourceError, asyncio.CancelledError):
            async with gate.turn(KEY):
                if error:
                    raise error
        return pace.ended

    assert run_virtual(main) == [(outcome, retry_after_s)]


# Lanes side by side


def test_forty_credentials_are_each_at_their_own_limit_at_once():
    keys = [CredentialKey(f"key-{number}") for number in range(40)]

    async def main():
        gate = make_gate(60, max_connections=32)
        apis = {key: TimedApi(limit=60) for key in keys}
        await asyncio.gather(*(ask_for(180, gate, apis[key], key, at_once=10) for key in keys))
        return apis.values()

    apis = run_virtual(main)
    assert [api.throttled for api in apis] == [0] * 40
    assert min(len(api.accepted) for api in apis) >= 0.99 * 180


def test_a_slow_lane_takes_no_more_than_its_share_while_others_wait_and_all_when_they_are_done():
    async def main():
        gate = make_gate(250, max_connections=8)
        slow, fast = TimedApi(limit=250, latency=lambda: 15.0), TimedApi(limit=250)
        slow_one = asyncio.create_task(ask_for(600, gate, slow))
        fast_one = asyncio.create_task(ask_many(gate, fast, 1250, OTHER))
        await asyncio.sleep(239)
        assert not fast_one.done()
        meanwhile = slow.most_in_flight
        await fast_one
        await asyncio.sleep(0.001)
        at_once, ended_at = slow.in_flight, now()
        await slow_one
        return meanwhile, at_once, slow.most_in_flight, ended_at

    *slow_in_flight, ended_at = run_virtual(main)
    assert slow_in_flight == [4, 8, 8]
    assert ended_at < 4 * 60 + 10


def test_a_lane_whose_waiters_all_gave_up_leaves_its_share_to_others():
    async def main():
        gate = make_gate(250, max_connections=8)
        await ask_many(gate, TimedApi(limit=250), 250)
        waiting = [asyncio.create_task(proven(gate)) for _ in range(3)]
        await asyncio.sleep(1)
        await cancel(waiting)
        api = TimedApi(limit=250, latency=lambda: 15.0)
        await ask_many(gate, api, 50, OTHER)
        return api.most_in_flight

    assert run_virtual(main) == 8


@given(
    lanes=st.integers(1, 6),
    connections=st.integers(1, 9),
    longest_s=st.sampled_from([0.1, 3.0, 30.0]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_never_are_more_requests_in_flight_than_connections_and_all_are_answered_in_the_end(
    lanes, connections, longest_s, seed
):
    draw = random.Random(seed)

    async def main():
        gate = make_gate(40, max_connections=connections, random=draw.random)
        api = TimedApi(limit=10**9, latency=lambda: draw.random() * longest_s)
        keys = [CredentialKey(f"key-{number}") for number in range(lanes)]
        kept = [asyncio.create_task(ask(gate, key, api)) for key in keys for _ in range(15)]
        given_up = [asyncio.create_task(ask(gate, key, api)) for key in keys for _ in range(5)]
        for task in draw.sample(given_up, len(given_up)):
            await asyncio.sleep(draw.random() * longest_s)
            task.cancel()
        await asyncio.gather(*kept)
        await asyncio.gather(*given_up, return_exceptions=True)
        # Whoever gave up has left nothing behind.
        busy = api.most_in_flight
        await asyncio.gather(*(ask(gate, key, api) for key in keys for _ in range(20)))
        return busy, api.most_in_flight

    assert max(run_virtual(main)) <= connections


# Whose turn it is within a lane


def test_pages_of_open_windows_go_before_new_windows_and_each_in_order():
    async def main():
        gate, order = make_gate(max_connections=1), []

        async def page(name):
            async with gate.turn(KEY):
                order.append(name)
                await asyncio.sleep(1)

        async def window(name):
            await gate.opening(KEY)
            async with gate.turn(KEY):
                order.append(name)

        await asyncio.gather(*await queue(page("p1"), window("w1"), window("w2"), page("p2"), page("p3")))
        return order

    assert run_virtual(main) == ["p1", "p2", "p3", "w1", "w2"]


def test_pages_of_earlier_windows_go_before_those_of_later_ones():
    async def main():
        gate = make_gate(250, max_connections=1)
        await proven(gate)
        done = []

        async def page(number, month):
            async with gate.turn(KEY, date(2025, month, 1)):
                await asyncio.sleep(1)
                done.append((number, month))

        await asyncio.gather(*await queue(*(page(number, month) for number, month in enumerate((4, 3, 2, 3, 2)))))
        return done

    assert run_virtual(main) == [(0, 4), (2, 2), (4, 2), (1, 3), (3, 3)]


def test_what_an_opening_reserved_is_granted_to_the_next_turn_at_once():
    async def main():
        gate = make_gate(max_connections=1)
        await gate.opening(KEY)
        waiting = asyncio.create_task(proven(gate, OTHER))
        await asyncio.sleep(1)
        assert not waiting.done()
        await proven(gate)
        await waiting
        return now()

    assert run_virtual(main) == 1


def test_an_opening_that_is_not_used_lets_the_next_go():
    async def main():
        gate = make_gate(max_connections=1)
        await gate.opening(KEY)
        waiting = asyncio.create_task(proven(gate, OTHER))
        await asyncio.sleep(1)
        gate.unused(KEY)
        gate.unused(KEY)  # once is enough
        await waiting
        return now()

    assert run_virtual(main) == 1


def test_an_opening_that_is_not_used_uses_nothing_of_the_minute():
    async def main():
        gate = make_gate(2)
        await proven(gate)
        for _ in range(5):
            await gate.opening(KEY)
            gate.unused(KEY)
        await proven(gate)
        return now()

    assert run_virtual(main) == 0


def test_a_waiter_that_is_cancelled_gives_its_turn_to_the_next():
    async def main():
        gate, order = make_gate(max_connections=1), []

        async def page(name, then=lambda: None):
            async with gate.turn(KEY):
                order.append(name)
                await asyncio.sleep(1)
            then()

        # When the first is over, the third is granted its turn, but is cancelled before it knows.
        def cancel_third():
            third.cancel()

        first = page("first", then=cancel_third)
        _, second, third, fourth = await queue(first, page("second"), page("third"), page("fourth"))
        second.cancel()
        await fourth
        assert second.cancelled()
        assert third.cancelled()
        return order, now()

    assert run_virtual(main) == (["first", "fourth"], 2)


def test_a_request_that_is_cancelled_gives_its_connection_back():
    async def main():
        gate = make_gate(max_connections=1)

        async def hang():
            async with gate.turn(KEY):
                await asyncio.Event().wait()

        hanging = asyncio.create_task(hang())
        await asyncio.sleep(1)
        await cancel([hanging])
        await proven(gate, OTHER)
        return now()

    assert run_virtual(main) == 1


def test_a_turn_costs_no_more_work_where_there_are_many_credentials():
    def work(credentials):
        """Calls of the gate's own functions for each request."""
        calls = 0

        def count(frame, event, _argument):
            nonlocal calls
            calls += event == "call" and frame.f_code.co_filename == limiter.__file__

        async def main():
            gate, api = make_gate(1000, max_connections=4), TimedApi(limit=1000)
            keys = [CredentialKey(f"key-{n}") for n in range(credentials)]
            await asyncio.gather(*(ask(gate, key, api) for key in keys for _ in range(3)))

        sys.setprofile(count)
        try:
            run_virtual(main)
        finally:
            sys.setprofile(None)
        return calls / (3 * credentials)

    assert work(300) < 1.5 * work(20)


def test_lanes_take_turns():
    async def main():
        gate, order = make_gate(max_connections=1), []

        async def page(key):
            async with gate.turn(key):
                order.append(key)
                await asyncio.sleep(0.01)

        await asyncio.gather(*await queue(*(page(KEY) for _ in range(6)), *(page(OTHER) for _ in range(3))))
        return order

    order = run_virtual(main)
    last = max(place for place, key in enumerate(order) if key == OTHER)
    assert Counter(order[:last]) == {KEY: 4, OTHER: 2}


def test_the_earliest_day_goes_first_in_whatever_lane_and_pages_before_windows():
    async def main():
        gate, order = make_gate(max_connections=1), []

        async def page(key, number):
            async with gate.turn(key, date(2025, 1, number)):
                order.append(number)
                await asyncio.sleep(0.01)

        async def window(key, number):
            await gate.opening(key, date(2025, 1, number))
            await page(key, number)

        waiting = [page(KEY, 4), page(KEY, 2), window(KEY, 11), page(OTHER, 3), window(OTHER, 10), page(OTHER, 1)]
        await asyncio.gather(*await queue(page(KEY, 31), *waiting))
        return order

    assert run_virtual(main) == [31, 1, 2, 3, 4, 10, 11]


def test_a_lane_whose_earliest_waiter_gave_up_stands_where_the_next_one_belongs():
    async def main():
        gate, order = make_gate(max_connections=1), []

        async def page(key, number):
            async with gate.turn(key, date(2025, 1, number)):
                order.append(number)
                await asyncio.sleep(0.01)

        first, gone, *others = await queue(page(KEY, 31), page(KEY, 1), page(KEY, 5), page(OTHER, 3))
        gone.cancel()
        await asyncio.gather(first, *others)
        return order

    assert run_virtual(main) == [31, 3, 5]


def test_with_many_more_credentials_than_connections_few_windows_are_open_at_a_time():
    async def main():
        gate, api, open_now, most = make_gate(max_connections=4), TimedApi(limit=10**9), 0, 0

        async def window(key):
            nonlocal open_now, most
            await gate.opening(key)
            open_now += 1
            most = max(most, open_now)
            await ask(gate, key, api)
            await asyncio.gather(*(ask(gate, key, api) for _ in range(2)))
            open_now -= 1

        keys = [CredentialKey(f"key-{number}") for number in range(100)]
        await asyncio.gather(*(window(key) for key in keys for _ in range(2)))
        return most

    assert run_virtual(main) <= 2 * 4


def test_pages_that_wait_for_their_pace_keep_no_other_credential_from_opening_a_window():
    async def main():
        gate, api = make_gate(1, max_connections=1), TimedApi(limit=1)
        waiting = asyncio.create_task(ask_many(gate, api, 3))
        await asyncio.sleep(1)
        await gate.opening(OTHER)
        opened_at = now()
        await cancel([waiting])
        return opened_at

    assert run_virtual(main) == 1


def test_the_assumed_limit_is_the_configured_one_at_first():
    async def main():
        return make_gate(123).limit(KEY)

    assert run_virtual(main) == 123


def test_while_held_the_gate_lets_nothing_through_and_goes_on_where_it_was():
    async def main():
        gate, api = make_gate(250), TimedApi(limit=250)
        await ask_many(gate, api, 1)
        gate.hold(True)
        waiting = asyncio.create_task(ask_many(gate, api, 5))
        await asyncio.sleep(30)
        while_held = len(api.seen)
        gate.hold(False)
        await waiting
        return while_held, len(api.seen)

    assert run_virtual(main) == (1, 6)

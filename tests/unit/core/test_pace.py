"""The arithmetic of one credential's pace, without a loop: every time is given."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.pace import (
    FEWEST_IN_FLIGHT,
    LONG_STREAK,
    LONGEST_BACKOFF_S,
    LONGEST_LOWERED_S,
    LONGEST_PROBE_S,
    PROBE_GROWTH,
    REQUESTS_A_PROBE,
    SLACK_S,
    WINDOW_S,
    Outcome,
    Pace,
)

MINUTE = WINDOW_S + SLACK_S

#: What a sum of times may be off.
ROUNDING = 1e-9


@dataclass
class Caller:
    """Asks at a pace, and keeps the time."""

    pace: Pace
    now: float = 0.0
    open: list = field(default_factory=list)
    spans: list = field(default_factory=list)

    @property
    def delay(self):
        return self.pace.delay_s(self.now)

    def start(self):
        assert self.delay < ROUNDING
        ticket = self.pace.start(self.now)
        self.open.append(ticket)
        return ticket

    def finish(self, ticket=None, outcome=Outcome.ACCEPTED, retry_after_s=None):
        ticket = ticket or self.open[0]
        self.open.remove(ticket)
        self.spans.append((ticket.sent_at, self.now))
        self.pace.finish(self.now, ticket, outcome, retry_after_s)

    def ask(self, outcome=Outcome.ACCEPTED, *, latency_s=0.1, retry_after_s=None):
        """One request, alone, as soon as it may be sent; the seconds that it had to wait."""
        waited = self.delay
        self.now += waited
        ticket = self.start()
        self.now += latency_s
        self.finish(ticket, outcome, retry_after_s)
        return waited


def make_caller(limit=250, *, spread=False, random=1.0, proven=True):
    pace = Pace(limit, spread=spread, random=lambda: random)
    if proven:
        pace.prove()
    return Caller(pace)


def throttled_after(accepted, *, limit=250, **options):
    """A caller that was refused for the first time after *accepted* requests."""
    caller = make_caller(limit, **options)
    for _ in range(accepted):
        caller.ask()
    caller.ask(Outcome.THROTTLED)
    return caller


def busiest(spans):
    """The most requests that a server may have seen in a sliding minute, whenever within its span it saw each."""
    ends = [end for _, end in spans]
    return max((sum(begin < first + WINDOW_S and end >= first for begin, end in spans) for first in ends), default=0)


steps = st.lists(
    st.tuples(
        st.sampled_from(["start", "start", "start", "finish", "finish", "wait", "pass"]),
        st.floats(0, 70),
        st.integers(0, 50),
        st.sampled_from(Outcome),
        st.sampled_from([None, None, 0.0, 0.5, 7.0]),
    ),
    max_size=150,
)


@given(limit=st.integers(1, 12), spread=st.booleans(), steps=steps, random=st.floats(0, 1, exclude_max=True))
@settings(max_examples=200, deadline=None)
def test_in_no_sliding_minute_can_the_server_have_seen_more_than_the_limit(limit, spread, steps, random):
    caller = make_caller(limit, spread=spread, random=random)
    for what, seconds, number, outcome, retry_after_s in steps:
        if what == "wait" and caller.delay < math.inf:
            caller.now += caller.delay
        if what in ("start", "wait") and caller.delay < ROUNDING:
            caller.start()
        elif what == "finish" and caller.open:
            caller.finish(caller.open[number % len(caller.open)], outcome, retry_after_s)
        else:
            caller.now += seconds
    still_open = [(ticket.sent_at, math.inf) for ticket in caller.open]
    assert busiest([*caller.spans, *still_open]) <= limit


@given(limit=st.integers(1, 12), spread=st.booleans(), steps=steps)
@settings(deadline=None)
def test_who_has_nothing_in_flight_need_only_wait(limit, spread, steps):
    caller = make_caller(limit, spread=spread, random=0.9)
    for what, seconds, _, outcome, retry_after_s in steps:
        caller.now += 0 if what == "start" else seconds
        caller.ask(outcome, latency_s=seconds / 10, retry_after_s=retry_after_s)


def test_from_cold_all_of_the_limit_may_be_sent_at_once_and_no_more_for_a_minute():
    caller = make_caller(3)
    for _ in range(3):
        caller.start()
    assert caller.delay == math.inf
    caller.now += 5
    caller.finish()
    assert caller.delay == pytest.approx(MINUTE)
    caller.now += MINUTE - 1
    assert caller.delay == pytest.approx(1)
    caller.now += 1
    assert caller.delay == pytest.approx(0)


def test_a_request_that_was_given_up_counts_as_seen():
    caller = make_caller(1)
    caller.ask(Outcome.FAILED)
    assert caller.delay == pytest.approx(MINUTE)


def test_a_request_that_was_not_sent_after_all_does_not_count():
    caller = make_caller(1)
    caller.pace.take_back(caller.pace.start(caller.now))
    assert (caller.delay, caller.pace.in_flight) == (0, 0)


def test_where_a_try_was_not_sent_after_all_another_may_be():
    caller = throttled_after(30)
    caller.now += caller.delay
    ticket = caller.pace.start(caller.now)
    assert ticket.probe
    caller.pace.take_back(ticket)
    assert caller.delay == 0
    assert caller.start().probe


def test_the_first_request_goes_alone_until_the_credential_is_proven():
    caller = make_caller(proven=False)
    caller.start()
    assert caller.delay == math.inf
    caller.finish(outcome=Outcome.FAILED)
    caller.start()
    assert caller.delay == math.inf
    caller.pace.prove()
    assert caller.delay == 0


def in_flight_at_most(caller):
    while caller.delay == 0:
        caller.start()
    return len(caller.open)


def test_few_are_in_flight_while_nothing_is_known_of_the_latency():
    assert in_flight_at_most(make_caller(250)) == FEWEST_IN_FLIGHT


@pytest.mark.parametrize(("latency_s", "in_flight"), [(0.1, 4), (1.0, 9), (6.0, 50)])
def test_as_many_are_in_flight_as_the_latency_needs_to_reach_the_limit_and_as_many_again(latency_s, in_flight):
    caller = make_caller(250)
    caller.ask(latency_s=latency_s)
    assert in_flight_at_most(caller) == in_flight


def test_one_slow_answer_among_many_does_not_decide_how_many_are_in_flight():
    caller = make_caller(250)
    for _ in range(20):
        caller.ask(latency_s=0.1)
    caller.ask(latency_s=6)
    assert in_flight_at_most(caller) < 15


def test_spread_requests_keep_an_even_distance():
    caller = make_caller(60, spread=True)
    assert caller.ask() == 0
    assert [caller.ask(latency_s=0) for _ in range(3)] == pytest.approx([0.9, 1, 1])


# 429


@pytest.mark.parametrize("seconds", [0.5, 30.0, 600.0])
def test_a_named_wait_is_obeyed(seconds):
    caller = make_caller()
    caller.ask(Outcome.THROTTLED, retry_after_s=seconds)
    assert caller.delay == pytest.approx(seconds)


def test_the_longest_of_several_named_waits_is_obeyed_even_within_one_burst():
    caller = make_caller()
    burst = [caller.start() for _ in range(3)]
    for ticket, seconds in zip(burst, [2.0, 9.0, 1.0], strict=True):
        caller.finish(ticket, Outcome.THROTTLED, seconds)
    assert caller.delay == pytest.approx(9)


@pytest.mark.parametrize("named", [None, 0.0])
def test_waits_that_are_not_named_double_up_to_a_minute(named):
    caller = make_caller()
    waits = [caller.ask(Outcome.THROTTLED, retry_after_s=named) for _ in range(9)]
    assert waits == pytest.approx([0, 1, 2, 4, 8, 16, 32, LONGEST_BACKOFF_S, LONGEST_BACKOFF_S])


def test_waits_that_are_not_named_have_full_jitter():
    caller = make_caller(random=0.25)
    waits = [caller.ask(Outcome.THROTTLED) for _ in range(4)]
    assert waits == pytest.approx([0, 0.25, 0.5, 1])


def test_the_waits_begin_anew_after_an_accepted_request():
    caller = make_caller()
    for outcome in (Outcome.THROTTLED, Outcome.THROTTLED, Outcome.THROTTLED, Outcome.ACCEPTED):
        caller.ask(outcome)
    caller.now += MINUTE
    caller.ask(Outcome.THROTTLED)
    assert caller.delay == pytest.approx(1)


def test_a_burst_of_refusals_is_one():
    caller = make_caller()
    for ticket in [caller.start() for _ in range(4)]:
        caller.finish(ticket, Outcome.THROTTLED)
    assert caller.delay == pytest.approx(1)
    assert caller.pace.limit == 1


def test_a_failed_request_changes_neither_the_limit_nor_the_wait():
    caller = make_caller()
    caller.ask(Outcome.FAILED)
    assert (caller.delay, caller.pace.limit) == (0, 250)


# A limit lower than configured


def test_what_was_accepted_in_the_minute_before_a_refusal_is_taken_for_the_limit():
    assert make_caller().pace.limit == 250
    assert throttled_after(30).pace.limit == 30


def test_no_limit_is_assumed_above_the_configured_one():
    assert throttled_after(5, limit=6).pace.limit == 5
    assert throttled_after(0).pace.limit == 1
    caller = make_caller(2)
    caller.ask(latency_s=0)
    caller.ask(latency_s=0)
    caller.ask(Outcome.THROTTLED, latency_s=0)
    assert caller.pace.limit <= 2


def test_what_was_sent_before_a_refusal_and_accepted_after_it_raises_the_assumed_limit():
    caller = make_caller()
    for _ in range(5):
        caller.ask()
    refused, *others = [caller.start() for _ in range(4)]
    caller.finish(refused, Outcome.THROTTLED)
    assert caller.pace.limit == 5
    for ticket in others:
        caller.finish(ticket)
    assert caller.pace.limit == 8


def test_an_assumed_limit_that_reaches_the_configured_one_is_forgotten():
    caller = make_caller(3)
    caller.ask()
    refused, *others = [caller.start() for _ in range(2)]
    caller.finish(refused, Outcome.THROTTLED)
    assert caller.pace.limit == 1
    caller.finish(others[0])
    assert caller.pace.limit == 2
    # The request that was refused has used up the minute's third place, so there is nothing to try.
    assert caller.delay > 50


def test_above_the_assumed_limit_one_request_alone_tries_after_the_wait():
    caller = throttled_after(30)
    assert caller.delay == pytest.approx(1)
    caller.now += caller.delay
    probe = caller.start()
    assert probe.probe
    assert caller.delay == math.inf
    caller.finish(probe, Outcome.THROTTLED)
    assert 1 < caller.delay < math.inf


def test_nobody_tries_while_others_are_in_flight():
    caller = throttled_after(3)
    caller.now += MINUTE
    for _ in range(3):
        assert not caller.start().probe
    assert caller.delay == math.inf


def test_a_refusal_that_is_disproved_is_forgotten():
    caller = throttled_after(30)
    caller.now += caller.delay
    caller.finish(caller.start())
    assert caller.pace.limit == 250


def test_a_try_that_is_accepted_when_the_minute_is_nearly_over_disproves_nothing():
    caller = make_caller()
    for _ in range(3):
        caller.ask()
    caller.ask(Outcome.THROTTLED, retry_after_s=57.5)
    # The API may have forgotten the first three, although less than a minute ago we heard of them.
    assert caller.ask() < MINUTE - 1
    assert caller.pace.limit == 3


def tries_above(caller, requests):
    """When it tried more than the ceiling, while each try is refused and all else is accepted."""
    tries = []
    for _ in range(requests):
        caller.now += caller.delay
        ticket = caller.start()
        tries += [caller.now] if ticket.probe else []
        caller.finish(ticket, Outcome.THROTTLED if ticket.probe else Outcome.ACCEPTED)
    return tries


@pytest.mark.parametrize("accepted", [30, 120])
def test_tries_that_are_refused_grow_seldom(accepted):
    caller = throttled_after(accepted)
    tries = tries_above(caller, 100 * accepted)
    apart = [after - before for before, after in pairwise(tries)]
    longest_s = max(LONGEST_PROBE_S, REQUESTS_A_PROBE * WINDOW_S / accepted)
    assert caller.pace.limit <= accepted
    assert longest_s <= max(apart) <= longest_s + MINUTE
    assert apart[:2] == pytest.approx([PROBE_GROWTH, PROBE_GROWTH**2])


@given(accepted=st.integers(1, 100))
@settings(max_examples=30, deadline=None)
def test_however_low_a_limit_is_few_requests_try_for_more(accepted):
    requests = 1500
    assert len(tries_above(throttled_after(accepted), requests)) <= 10 + requests / REQUESTS_A_PROBE


def test_while_refusals_are_frequent_the_assumed_limit_grows_by_one_for_each_try():
    caller = make_caller()
    for _ in range(3):
        caller.ask()
        for _ in range(LONG_STREAK - 1):
            caller.ask(Outcome.THROTTLED, retry_after_s=0.5)
    limits = [caller.pace.limit]
    for _ in range(40):
        caller.ask()
        limits.append(caller.pace.limit)
    assert limits[0] + 1 in limits
    assert limits[-1] == 250


def at_its_limit(accepted, *, minutes=3):
    """A caller that has been refused whatever it tried above so many a minute, and begins the next minute."""
    caller = throttled_after(accepted)
    end = caller.now + minutes * MINUTE
    while caller.now < end or caller.now + caller.delay < end:
        caller.now += caller.delay
        ticket = caller.start()
        caller.finish(ticket, Outcome.THROTTLED if ticket.probe else Outcome.ACCEPTED)
    caller.now += MINUTE
    assert caller.pace.limit == accepted
    return caller


def test_after_an_accident_below_the_limit_that_was_found_it_holds_again():
    caller = at_its_limit(60)
    for _ in range(30):
        caller.ask()
    caller.ask(Outcome.THROTTLED)
    assert caller.pace.limit == 30
    assert caller.ask() <= 1
    assert caller.pace.limit == 60


def test_a_limit_that_became_lower_is_found_at_once():
    caller = at_its_limit(60)
    for _ in range(30):
        caller.ask()
    waits = [caller.ask(Outcome.THROTTLED) for _ in range(4)]
    assert caller.pace.limit == 30
    assert waits == pytest.approx([0, 1, 2, 4])


@pytest.mark.parametrize("minutes", [5, 6], ids=["long after a try", "soon after a try"])
def test_a_refusal_below_the_limit_that_was_found_is_tried_within_half_a_minute(minutes):
    caller = at_its_limit(60, minutes=minutes)
    caller.ask()
    caller.ask(Outcome.THROTTLED)
    assert caller.pace.limit == 1
    assert caller.delay <= LONGEST_LOWERED_S


def test_refusals_that_follow_each_other_closely_do_not_make_tries_seldom():
    caller = at_its_limit(60, minutes=5)
    caller.ask()
    caller.ask(Outcome.THROTTLED)
    for _ in range(4):
        caller.now += MINUTE
        caller.ask()
        caller.ask(Outcome.THROTTLED)
        assert caller.pace.limit == 1
        assert caller.delay <= LONGEST_LOWERED_S


def test_a_minute_that_began_anew_in_between_does_not_double_the_assumed_limit():
    caller = throttled_after(30)
    for _ in range(2):
        caller.ask(Outcome.THROTTLED)
    # The clock's minute is over: as many again are accepted, although less than a minute has passed.
    for _ in range(30):
        caller.ask()
    assert caller.now < MINUTE
    caller.ask(Outcome.THROTTLED)
    assert caller.pace.limit == 30


@pytest.mark.parametrize("accepted", [20, 45])
def test_another_number_in_less_than_a_minute_counts_with_what_was_accepted_before(accepted):
    caller = throttled_after(30)
    for _ in range(accepted):
        caller.ask()
    caller.ask(Outcome.THROTTLED)
    assert caller.pace.limit == 30 + accepted


def test_a_named_wait_that_did_not_help_again_and_again_is_not_believed():
    caller = make_caller()
    waits = [caller.ask(Outcome.THROTTLED, retry_after_s=0.5) for _ in range(LONG_STREAK + 3)]
    assert waits[LONG_STREAK:] == pytest.approx([8, 16, 32])


# Going on from where others were


def test_what_others_used_of_the_minute_counts():
    pace = Pace(3, random=lambda: 0.5)
    pace.take_up([-10.0, -50.0])
    assert pace.ended(0.0) == (-50.0, -10.0)
    pace.finish(0.5, pace.start(0.0), Outcome.ACCEPTED)
    assert pace.delay_s(1.0) == pytest.approx(9 + SLACK_S)


def test_what_may_have_been_sent_a_little_ahead_counts_until_a_minute_after_it():
    pace = Pace(2, random=lambda: 0.5)
    pace.take_up([1.0])
    pace.finish(0.2, pace.start(0.0), Outcome.ACCEPTED)
    assert pace.ended(0.3) == (0.2, 1.0)
    assert pace.delay_s(0.3) == pytest.approx(59.9 + SLACK_S)

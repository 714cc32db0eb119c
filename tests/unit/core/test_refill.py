"""What refusals tell of a token bucket, without a loop: every time is given."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.refill import DOUBLING_S, DOUBT, ENOUGH, EXCESS, FEW, MEMORY_S, SOME, SOON_S, TOO_MANY, Refill

MOST = 4.0


@dataclass
class Bucket:
    """A server: gives a token a request, and gets *rate* of them a second, up to *size*."""

    rate: float
    size: float = 1.0
    refill: Refill = field(default_factory=lambda: Refill(MOST))
    now: float = 0.0
    tokens: float = 0.0
    asked: int = 0
    refused: int = 0

    def wait(self, seconds):
        self.now += seconds
        self.tokens = min(self.size, self.tokens + seconds * self.rate)

    def ask(self):
        self.asked += 1
        if self.tokens >= 1:
            self.tokens -= 1
            self.refill.accept()
        else:
            self.refused += 1
            self.refill.refuse(self.now)

    def ask_for(self, seconds):
        """As fast as it is known to be refilled; until it is known, twice as fast as it is. What is accepted."""
        end, before = self.now + seconds, self.asked - self.refused
        while self.now < end:
            self.wait(1 / (self.refill.rate(self.now) or 2 * self.rate))
            self.ask()
        return self.asked - self.refused - before

    @property
    def known(self):
        return self.refill.rate(self.now)


def refusals(refill, *, between, apart_s, number=ENOUGH, begin=0.0):
    """So many refusals; the time of the last one."""
    for index in range(number):
        for _ in range(between if index else 0):
            refill.accept()
        refill.refuse(begin + index * apart_s)
    return begin + (number - 1) * apart_s


@given(rate=st.floats(0.4, 0.95 * MOST), size=st.floats(1.5, 50))
@settings(max_examples=50)
def test_the_rate_of_a_bucket_of_any_size_is_found_and_kept_with_few_refusals(rate, size):
    bucket = Bucket(rate, size)
    bucket.ask_for(300)
    refused = bucket.refused
    accepted = bucket.ask_for(600)
    assert accepted >= 0.95 * 600 * rate
    assert bucket.refused - refused <= 0.012 * accepted + 600 / DOUBLING_S / 2


def test_nothing_is_assumed_before_there_were_enough_refusals():
    refill = Refill(MOST)
    last = refusals(refill, between=2, apart_s=2, number=ENOUGH - 1)
    assert refill.rate(last) is None
    refusals(refill, between=2, apart_s=2, number=1, begin=last + 2)
    assert refill.rate(last + 2) is None, "nothing was accepted since the last"
    refill.accept()
    refill.refuse(last + 4)
    assert refill.rate(last + 4) == pytest.approx(3 / 6 * (1 + EXCESS + DOUBT / 3))


@pytest.mark.parametrize(
    ("between", "apart_s"), [(FEW // (ENOUGH - 1) + 1, 1.0), (1, SOON_S / (ENOUGH - 1) + 0.1)], ids=["many", "late"]
)
def test_refusals_that_are_seldom_are_those_of_no_bucket(between, apart_s):
    refill = Refill(MOST)
    last = refusals(refill, between=between, apart_s=apart_s, number=20)
    assert refill.rate(last) is None


def test_a_minute_that_is_full_looks_like_no_bucket():
    refill = Refill(MOST)
    for minute in range(10):
        for _ in range(100):
            refill.accept()
        for moment in (1, 2, 4, 8, 16):
            refill.refuse(60 * minute + moment)
    assert refill.rate(600) is None


def test_a_bucket_that_is_faster_than_all_that_is_sent_does_not_matter():
    refill = Refill(MOST)
    last = refusals(refill, between=9, apart_s=2)
    assert refill.rate(last) is None


def test_without_a_refusal_the_rate_is_tried_ever_faster_the_sooner_the_shorter_it_was_learnt():
    refill = Refill(MOST)
    learnt_s = 10
    last = refusals(refill, between=1, apart_s=learnt_s / 2)
    for _ in range(20):
        refill.accept()
    excess = EXCESS + DOUBT / 2
    assert learnt_s < DOUBLING_S
    assert [refill.rate(last + learnt_s * doublings) for doublings in (1, 2)] == pytest.approx(
        [21 / (2 * learnt_s) * (1 + 2 * excess), 21 / (3 * learnt_s) * (1 + 4 * excess)]
    )


def test_a_rate_that_was_learnt_for_long_is_tried_faster_every_half_minute():
    refill = Refill(MOST)
    last = refusals(refill, between=1, apart_s=1)
    for _ in range(100):
        refill.accept()
    refill.refuse(last + 2 * DOUBLING_S)
    now, doubt = last + 2 * DOUBLING_S, EXCESS + DOUBT / 101
    rates = [refill.rate(now + seconds) for seconds in (0, DOUBLING_S - 1, DOUBLING_S)]
    assert rates[0] == rates[1]
    assert rates[2] / rates[0] == pytest.approx((1 + 2 * doubt) / (1 + doubt), rel=1e-4)


def test_what_a_full_bucket_had_no_room_for_does_not_lower_the_rate():
    refill = Refill(MOST)
    for moment, accepted in ((0, 0), (10, 1), (15, 5)):
        for _ in range(accepted):
            refill.accept()
        refill.refuse(moment)
    assert refill.rate(15) == pytest.approx(5 / 5 * (1 + EXCESS + DOUBT / 5))


def test_a_bucket_that_refuses_nothing_any_more_is_forgotten():
    refill = Refill(MOST)
    last = refusals(refill, between=1, apart_s=1)
    assert refill.rate(last + MEMORY_S - 1) == MOST
    assert refill.rate(last + MEMORY_S) is None


@pytest.mark.parametrize("a_minute", [10, 20, 30])
def test_a_slow_bucket_refuses_few_of_its_few_requests(a_minute):
    bucket = Bucket(a_minute / 60, size=5)
    bucket.ask_for(600)
    refused = bucket.refused
    accepted = bucket.ask_for(7200)
    assert accepted >= 0.95 * 120 * a_minute
    assert bucket.refused - refused <= 0.02 * accepted


@pytest.mark.parametrize(("before", "after"), [(3.0, 1.0), (1.0, 2.0)])
def test_another_rate_is_found_within_minutes(before, after):
    bucket = Bucket(before, size=20)
    bucket.ask_for(300)
    bucket.rate = after
    bucket.ask_for(600)
    assert bucket.ask_for(300) >= 0.85 * after * 300
    assert bucket.refused < 0.05 * bucket.asked


def test_a_bucket_that_became_as_fast_as_all_that_is_sent_is_forgotten():
    bucket = Bucket(3.0, size=20)
    bucket.ask_for(300)
    bucket.rate = 2 * MOST
    bucket.ask_for(600)
    assert bucket.known is None


def test_what_refuses_all_is_no_bucket_and_is_not_taken_for_one_for_a_while():
    refill = Refill(MOST)
    last = refusals(refill, between=1, apart_s=1)
    for index in range(1, TOO_MANY):
        assert refill.rate(last) is not None
        refill.refuse(last + index)
    assert refill.rate(last + TOO_MANY) is None
    soon = refusals(refill, between=1, apart_s=1, begin=last + TOO_MANY)
    assert refill.rate(soon) is None
    late = refusals(refill, between=1, apart_s=1, begin=last + TOO_MANY + MEMORY_S)
    assert refill.rate(late) is not None


def test_what_refuses_often_however_slowly_it_is_asked_is_no_bucket():
    refill = Refill(MOST)
    last = refusals(refill, between=1, apart_s=1)
    last = refusals(refill, between=10, apart_s=10, number=SOME - 1, begin=last + 5)
    assert refill.rate(last) is not None
    last = refusals(refill, between=10, apart_s=10, number=3, begin=last + 5)
    assert refill.rate(last) is None

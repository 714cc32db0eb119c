"""How long is insisted, under a clock that only moves when somebody waits."""

import asyncio
import logging
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.retry import RetryPolicy
from exporter.errors import (
    CredentialError,
    DataError,
    RateLimitedError,
    RejectedError,
    StudioError,
    UnavailableError,
)

WHERE = "harbour-yoga 2025-03 page 4"


@dataclass
class Time:
    """A clock and its sleep."""

    now: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


def policy(time, *, max_attempts=8, random=0.5):
    return RetryPolicy(max_attempts=max_attempts, clock=time.clock, sleep=time.sleep, random=lambda: random)


def script(*outcomes):
    """An attempt that goes through *outcomes*, the last one again and again; and the numbers it was told."""
    numbers = []

    async def attempt(number):
        numbers.append(number)
        outcome = outcomes[min(number, len(outcomes)) - 1]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return attempt, numbers


def unavailable(status=503, retry_after_s=None):
    return UnavailableError(f"{WHERE}: the API answered {status}", status=status, retry_after_s=retry_after_s)


def throttled(retry_after_s=None):
    message = f"{WHERE}: too many requests (429); lower api.requests_per_minute"
    return RateLimitedError(message, status=429, retry_after_s=retry_after_s)


async def test_what_comes_at_once_is_returned_without_a_wait():
    time = Time()
    attempt, numbers = script("page")
    assert await policy(time).run(WHERE, attempt) == "page"
    assert (numbers, time.waits) == ([1], [])


async def test_waits_double_up_to_half_a_minute_and_are_drawn_from_the_whole_range():
    time = Time()
    attempt, _ = script(unavailable())
    with pytest.raises(UnavailableError):
        await policy(time, max_attempts=10, random=1.0).run(WHERE, attempt)
    assert time.waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@given(random=st.floats(0, 1, exclude_max=True), attempts=st.integers(1, 40))
def test_no_wait_of_ours_is_longer_than_half_a_minute(random, attempts):
    time = Time()
    attempt, numbers = script(unavailable())
    with pytest.raises(UnavailableError):
        asyncio.run(policy(time, max_attempts=attempts, random=random).run(WHERE, attempt))
    assert len(numbers) == attempts
    assert len(time.waits) == attempts - 1
    assert all(0 <= wait <= 30 for wait in time.waits)


@pytest.mark.parametrize(("asked", "waited"), [(60.0, 60.0), (3600.0, 300.0), (0.1, 0.25), (0.0, 0.25), (None, 0.25)])
async def test_the_servers_wait_counts_where_it_is_the_longer_one(asked, waited):
    time = Time()
    attempt, _ = script(unavailable(retry_after_s=asked), "page")
    assert await policy(time).run(WHERE, attempt) == "page"
    assert time.waits == [waited]


@pytest.mark.parametrize(
    "error", [RejectedError("x"), StudioError("x"), CredentialError("x"), DataError("x"), ZeroDivisionError("x")]
)
async def test_what_will_not_pass_is_raised_as_it_is_at_once(error):
    time = Time()
    attempt, numbers = script(error)
    with pytest.raises(type(error)) as caught:
        await policy(time).run(WHERE, attempt)
    assert caught.value is error
    assert (numbers, time.waits) == ([1], [])


async def test_what_is_given_up_says_how_often_and_how_long():
    time = Time()
    attempt, _ = script(unavailable())
    with pytest.raises(UnavailableError) as caught:
        await policy(time, max_attempts=8, random=1.0).run(WHERE, attempt)
    assert str(caught.value) == f"{WHERE}: still 503 after 8 attempts in 62 s; run again to retry just this task"
    assert caught.value.status == 503
    assert isinstance(caught.value.__cause__, UnavailableError)


@pytest.mark.parametrize(
    ("message", "status", "expected"),
    [
        ("no whole answer within 30 s", None, "still no whole answer within 30 s after 1 attempt in 0 s; run again"),
        ("an HTML page instead of JSON", 200, "still an HTML page instead of JSON after 1 attempt in 0 s; run again"),
        ("no TLS; check the date", None, "still no TLS after 1 attempt in 0 s; check the date, then run again"),
    ],
)
async def test_what_has_no_telling_status_is_given_up_in_its_own_words(message, status, expected):
    attempt, _ = script(UnavailableError(f"{WHERE}: {message}", status=status))
    with pytest.raises(UnavailableError) as caught:
        await policy(Time(), max_attempts=1).run(WHERE, attempt)
    assert str(caught.value) == f"{WHERE}: {expected} to retry just this task"


async def test_throttled_attempts_neither_wait_here_nor_count_as_failed():
    time = Time()
    attempt, numbers = script(throttled(9.0), throttled(), unavailable(), throttled(), unavailable(), "page")
    assert await policy(time, max_attempts=3, random=1.0).run(WHERE, attempt) == "page"
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert time.waits == [0, 0, 0.5, 0, 1]


async def test_a_page_that_is_throttled_without_end_is_given_up():
    attempt, numbers = script(throttled())
    with pytest.raises(UnavailableError) as caught:
        await policy(Time(), max_attempts=3).run(WHERE, attempt)
    assert len(numbers) == 15
    assert str(caught.value) == (
        f"{WHERE}: still 429 after 15 attempts in 0 s; lower api.requests_per_minute, then run again to retry just "
        "this task"
    )


async def test_a_cancelled_attempt_is_not_tried_again():
    attempt, numbers = script(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await policy(Time()).run(WHERE, attempt)
    assert numbers == [1]


async def test_calls_at_once_count_for_themselves():
    insisting = policy(Time(), max_attempts=2)
    first, _ = script(unavailable(), "first")
    second, _ = script(unavailable(), "second")
    assert await asyncio.gather(insisting.run("a", first), insisting.run("b", second)) == ["first", "second"]


async def test_each_further_attempt_is_logged_with_its_reason(caplog):
    caplog.set_level(logging.INFO, "exporter")
    attempt, _ = script(unavailable(), throttled(), "page")
    await policy(Time()).run(WHERE, attempt)
    assert [record.getMessage() for record in caplog.records] == [
        f"{WHERE}: the API answered 503 - again in 0.2 s",
        f"{WHERE}: too many requests (429); lower api.requests_per_minute - again in the credential's pace",
    ]

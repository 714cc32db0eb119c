"""Whole runs against an API that fails in ways that pass when it is asked again."""

import time
from collections import Counter
from datetime import date

import pytest

from exporter.core.manifest import RunState
from exporter.sandbox.faults import GROUPS, parse_faults
from exporter.sandbox.options import RetryAfter, SandboxOptions
from tests.support.exports import bench, expected, months, small_world
from tests.support.lives import assert_sound

FORMATS = pytest.mark.parametrize("style", ["json", "csv"])

FEBRUARY = date(2025, 2, 1)

PASSING = GROUPS["all"]


def every_request_once(fault):
    """Each request goes wrong when it is sent for the first time."""
    seen = Counter()

    def source(_number, asked):
        key = (asked.headers.get("TeamUp-Provider-ID"), asked.params)
        seen[key] += 1
        return fault if seen[key] == 1 else None

    return source


class JumpingClock:
    """Stands still for so many requests; then nearly a minute has passed, and it goes on as clocks do."""

    def __init__(self, requests):
        self._left = requests
        self._began_at = 0.0

    def __call__(self):
        self._left -= 1
        if self._left >= 0:
            return 0.0
        self._began_at = self._began_at or time.monotonic()
        return 59.7 + time.monotonic() - self._began_at


@FORMATS
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_fifth_of_all_requests_failing_in_ten_ways_changes_no_row_and_costs_no_other_request(style, seed):
    options = SandboxOptions(rate=None, faults=parse_faults("all:0.2", seed))
    async with bench(options=options) as running:
        (manifest,) = await running.run(api=f'format = "{style}"')
        faulty = sum(served.fault is not None for served in running.sandbox.requests)
        assert manifest.state is RunState.OK
        assert faulty > 0
        assert running.asked() == 12 + faulty
        assert manifest.totals.requests == running.asked()
        await assert_sound(running, running.store, expected(running.world, months()))


@pytest.mark.parametrize("fault", PASSING)
async def test_every_request_failing_once_changes_no_row_and_costs_one_request_each(fault):
    options = SandboxOptions(rate=None, faults=every_request_once(fault))
    async with bench(small_world(2, per_month=60), options) as running:
        (manifest,) = await running.run(end=FEBRUARY)
        faulty = sum(served.fault is not None for served in running.sandbox.requests)
        assert manifest.state is RunState.OK
        assert (running.asked(), manifest.totals.retries) == (2 * faulty, faulty)
        assert faulty > 1
        await assert_sound(running, running.store, expected(running.world, months(end=FEBRUARY)))


@pytest.mark.parametrize("named", RetryAfter)
async def test_a_rate_that_is_used_up_costs_a_few_requests_and_no_row_whatever_the_answer_says_of_when(named):
    options = SandboxOptions(rate=4, retry_after=named, clock=JumpingClock(4))
    async with bench(small_world(1, per_month=150), options) as running:
        (manifest,) = await running.run()
        refused = sum(served.status == 429 for served in running.sandbox.requests)
        assert manifest.state is RunState.OK
        assert running.asked() == 6 + refused
        assert 0 < refused <= 4
        assert manifest.totals.throttled == refused
        await assert_sound(running, running.store, expected(running.world, months()))

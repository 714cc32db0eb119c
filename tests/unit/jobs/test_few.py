import asyncio

import pytest

from exporter.jobs.few import few_at_once


async def test_all_are_done_in_their_order_and_never_more_than_a_few_at_once():
    at_work, most = 0, 0

    async def double(number):
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        return 2 * number

    assert await few_at_once(double, range(100)) == list(range(0, 200, 2))
    assert 1 < most <= 16


async def test_after_a_failure_nothing_more_is_begun():
    begun = []

    async def fail(number):
        begun.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        await few_at_once(fail, range(100))
    assert len(begun) <= 16

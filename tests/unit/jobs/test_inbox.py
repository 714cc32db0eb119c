"""Pages wait for others, but not for long and never for none."""

import asyncio

from exporter.jobs.inbox import LONGEST_WAIT_S, MOST_WAITING, Inbox
from tests.support.virtual_time import run_virtual


def inbox(enough=3):
    said = []
    return Inbox(enough, said.append), said


async def asked_for(box, page_after_s):
    """Pages that are asked for now and come so many seconds later, one after the other."""
    for number, seconds in enumerate(page_after_s):
        with box.coming():
            await asyncio.sleep(seconds)
        box.put(number)


def taken_with(enough, *pages):
    """When what was taken, where each of *pages* is asked for at once and comes so many seconds later."""

    async def main():
        box, _ = inbox(enough)
        clock = asyncio.get_running_loop().time
        coming = [asyncio.create_task(asked_for(box, [seconds])) for seconds in pages]
        await asyncio.sleep(0)
        taken, number = [], 0
        while number < len(pages):
            found = await box.take()
            number += len(found)
            taken.append((round(clock(), 6), len(found)))
        await asyncio.gather(*coming)
        return taken

    return run_virtual(main)


def test_a_page_waits_until_there_are_enough():
    assert taken_with(3, 0.01, 0.02, 0.03, 9.0) == [(0.03, 3), (9.0, 1)]


def test_a_page_waits_for_none_where_no_other_is_on_its_way():
    assert taken_with(3, 0.01) == [(0.01, 1)]
    assert taken_with(3, 0.01, 0.02) == [(0.02, 2)]


def test_no_page_waits_longer_than_a_moment():
    assert taken_with(3, 1.0, 9.0) == [(1.0 + LONGEST_WAIT_S, 1), (9.0, 1)]


def test_a_page_whose_next_one_is_asked_for_at_once_waits_for_that():
    async def main():
        box, _ = inbox()
        taking = asyncio.create_task(box.take())
        with box.coming():
            await asyncio.sleep(0)
        box.put("first")
        others = [asyncio.create_task(asked_for(box, [0.1])) for _ in range(2)]
        found = await taking
        await asyncio.gather(*others)
        return len(found)

    assert run_virtual(main) == 3


def test_what_comes_meanwhile_waits_anew():
    async def main():
        box, _ = inbox(enough=2)
        clock = asyncio.get_running_loop().time
        with box.coming():
            box.put("first")
            await asyncio.sleep(0.2)
            box.put("second")
            assert len(await box.take()) == 2
            box.put("third")
            began = clock()
            assert len(await box.take()) == 1
            return clock() - began

    assert run_virtual(main) == LONGEST_WAIT_S


def test_too_many_are_told_of_until_they_are_taken():
    async def main():
        box, said = inbox(enough=10 * MOST_WAITING)
        with box.coming():
            for number in range(MOST_WAITING):
                assert said == []
                box.put(number)
            assert said == [True]
            assert len(await box.take()) == MOST_WAITING
            assert said == [True, False]

    run_virtual(main)

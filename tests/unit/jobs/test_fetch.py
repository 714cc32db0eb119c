"""A fetch asks for all pages of a window as soon as it knows how many there are."""

import asyncio
import gc

import pytest

from exporter.core.answer import Format, Header, Page
from exporter.errors import DataError
from exporter.jobs.fetch import Fetcher
from exporter.jobs.inbox import Inbox
from tests.support.tasks import LATER, make_task

ROWS, PAGE_ROWS = 75, 10
HEADERS = (Header(key="customer.id", label="Customer"), Header(key="count", label="Count"))


class Source:
    """Answers with pages of so many rows, whose values nobody reads here."""

    def __init__(self, rows=ROWS):
        self.rows = rows
        self.requests = []

    @property
    def asked(self):
        return [(request.offset, request.format) for request in self.requests]

    async def fetch(self, request):
        self.requests.append(request)
        lines = min(request.limit, max(0, self.rows - request.offset))
        as_json = request.format is Format.JSON
        return Page(
            request=request,
            format=request.format,
            headers=HEADERS if as_json else (),
            total=self.rows if as_json else None,
            body=b"[]" if as_json else b"customer.id,count\n" + lines * b"1,1\n",
            received_at=LATER,
            size_bytes=1,
        )


class Staging:
    """Holds every page back; the first one only until *first* is set."""

    def __init__(self, error=None, first=None):
        self.error = error
        self.first = first
        self.added = 0
        self.ended = 0

    async def add(self, _assembly, page, _labels, _order):
        self.added += 1
        try:
            if self.error and not page.request.offset:
                raise self.error
            if self.first and not page.request.offset:
                await self.first.wait()
                return PAGE_ROWS
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended += 1


def make_fetcher(source, staging, kind):
    return Fetcher(
        source=source,
        staging=staging,
        inbox=Inbox(1, lambda _full: None),
        format=kind,
        page_size=PAGE_ROWS,
        most_pages_at_once=64,
        new_id=lambda: "fetch-1",
        observer=lambda _: None,
    )


async def asked_while_nothing_is_staged(source, kind):
    fetching = asyncio.create_task(make_fetcher(source, Staging(), kind).fetch(make_task()))
    for _ in range(20):
        await asyncio.sleep(0)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    return source.asked


async def test_the_other_pages_are_asked_for_while_the_first_one_is_being_staged():
    asked = await asked_while_nothing_is_staged(Source(), Format.JSON)
    assert asked == [(offset, Format.JSON) for offset in range(0, ROWS, PAGE_ROWS)]


async def test_the_bytes_of_the_first_page_are_not_held_until_the_others_are_there():
    staging = Staging(first=asyncio.Event())
    staging.first.set()
    source = Source()
    fetching = asyncio.create_task(make_fetcher(source, staging, Format.JSON).fetch(make_task()))
    for _ in range(20):
        await asyncio.sleep(0)
    pages = [held for held in gc.get_objects() if isinstance(held, Page)]
    held = {page.request.offset for page in pages if any(page.request is request for request in source.requests)}
    del pages
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert held == set(range(PAGE_ROWS, ROWS, PAGE_ROWS))


async def test_behind_a_full_csv_page_the_one_that_tells_the_total_is_asked_for_at_once():
    asked = await asked_while_nothing_is_staged(Source(), Format.CSV)
    assert asked[:2] == [(0, Format.CSV), (PAGE_ROWS, Format.JSON)]
    assert asked[2:] == [(offset, Format.CSV) for offset in range(2 * PAGE_ROWS, ROWS, PAGE_ROWS)]


async def test_behind_a_short_csv_page_nothing_is_asked_for():
    assert await asked_while_nothing_is_staged(Source(rows=PAGE_ROWS - 1), Format.CSV) == [(0, Format.CSV)]


async def test_a_total_beyond_belief_asks_for_no_page():
    assert await asked_while_nothing_is_staged(Source(rows=10**12), Format.JSON) == [(0, Format.JSON)]


async def test_a_first_page_that_cannot_be_staged_ends_the_others():
    staging = Staging(DataError("the first page"))
    with pytest.raises(DataError, match="the first page"):
        await make_fetcher(Source(), staging, Format.JSON).fetch(make_task())
    assert staging.added == staging.ended

"""Each kind of fault, as a plain HTTP client meets it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from urllib.parse import urlsplit

import aiohttp
import pytest

from exporter.sandbox.faults import Fault, parse_faults
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import Sandbox, serve

PATH = "/reports/attendance_strikes.grouped/data"
TOKEN = {"Authorization": "Bearer sandbox-token-1"}
PARAMS = {"columns": "customer_id,count", "sort": "customer_id", "format": "json", "limit": "20"}


class Client:
    """Sends the same request again and again, on one connection where the server lets it."""

    def __init__(self, session: aiohttp.ClientSession, sandbox: Sandbox) -> None:
        self.session = session
        self.url = sandbox.base_url + PATH
        self.sandbox = sandbox

    async def get(self, **params: str) -> tuple[aiohttp.ClientResponse, str]:
        async with self.session.get(self.url, params=PARAMS | params) as response:
            return response, await response.text()

    async def report(self, **params: str) -> dict:
        response, text = await self.get(**params)
        assert response.status == 200
        return json.loads(text)

    @property
    def records(self) -> list[tuple[int | None, str | None]]:
        return [(request.status, request.fault) for request in self.sandbox.requests]


@asynccontextmanager
async def failing(faults: str, **options) -> AsyncIterator[Client]:
    """A client of a sandbox in which *faults* happen."""
    world = make_world(1, 5, start=date(2025, 3, 1), end=date(2025, 4, 1), per_month=60)
    async with (
        serve(world, SandboxOptions(faults=parse_faults(faults), **options)) as sandbox,
        aiohttp.ClientSession(headers=TOKEN) as session,
    ):
        yield Client(session, sandbox)


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "retry_after"),
    [
        ("500", 500, "application/json", None),
        ("502", 502, "text/html", None),
        ("503", 503, "application/json", None),
        ("503wait", 503, "application/json", "1"),
        ("504", 504, "text/html", None),
        ("429", 429, "application/json", None),
        ("401", 401, "application/json", None),
        ("html200", 200, "text/html", None),
    ],
)
async def test_a_wrong_answer_comes_once(kind, status, content_type, retry_after):
    async with failing(f"{kind}@1") as client:
        response, text = await client.get()
        assert (response.status, response.content_type) == (status, content_type)
        assert response.headers.get("Retry-After") == retry_after
        assert text.startswith("<!doctype html>" if content_type == "text/html" else '{"code":')
        assert len((await client.report())["rows"]) == 20
        assert client.records == [(status, kind), (200, None)]


@pytest.mark.parametrize("format_", ["json", "csv"])
async def test_bad_json_comes_whole_and_cannot_be_read(format_):
    async with failing("badjson@1") as client:
        response, text = await client.get(format=format_)
        assert (response.status, response.content_type) == (200, "application/json")
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        assert (await client.report())["rows"]


@pytest.mark.parametrize("compress", [True, False])
async def test_a_truncated_body_ends_before_its_length(compress):
    async with failing("truncate@1", compress=compress) as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.get()
        assert (await client.report())["rows"]
        assert client.records == [(200, "truncate"), (200, None)]


async def test_a_reset_connection_answers_nothing():
    # aiohttp's client would ask again by itself, so this one is bare.
    async with failing("reset@1") as client:
        url = urlsplit(client.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        query = "columns=count&format=json"
        writer.write(
            f"GET {url.path}?{query} HTTP/1.1\r\nHost: h\r\nAuthorization: {TOKEN['Authorization']}\r\n\r\n".encode()
        )
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert (await client.report())["rows"]
        assert client.records == [(None, "reset"), (200, None)]


async def test_a_slow_answer_is_right_but_late():
    async with failing("slow@1", slow_s=30.0) as client:
        with pytest.raises(TimeoutError):
            await client.session.get(client.url, params=PARAMS, timeout=aiohttp.ClientTimeout(total=0.05))
        assert (await client.report())["rows"]
        assert client.records == [(200, "slow"), (200, None)]


async def test_latency_holds_every_answer_back():
    async with failing("", latency_ms=30_000.0) as client:
        with pytest.raises(TimeoutError):
            await client.session.get(client.url, params=PARAMS, timeout=aiohttp.ClientTimeout(total=0.05))
        assert client.records == [(200, None)]


async def test_drift_changes_the_report_between_its_pages():
    async with failing("drift@3") as client:
        totals = [(await client.report(offset=offset))["total"] for offset in ("0", "20", "40")]
    assert totals == [totals[0], totals[0], totals[0] + 1]


async def test_a_repeated_row_belongs_to_another_page():
    async with failing("repeat@1") as client:
        spoiled = await client.report()
        right, following = await client.report(), await client.report(offset="20")
    assert spoiled["rows"] == [*right["rows"][:-1], following["rows"][0]]


async def test_a_short_page_lacks_its_last_row():
    async with failing("shortpage@1") as client:
        spoiled, right = await client.report(), await client.report()
    assert spoiled == right | {"rows": right["rows"][:-1]}


async def test_a_wrong_sort_is_told_in_the_headers():
    async with failing("wrongsort@1") as client:
        spoiled, right = await client.report(), await client.report()
    assert right["column_headers"][0]["sorted"] == {"order": "asc", "priority": 0}
    assert spoiled["column_headers"][0]["sorted"] == {"order": "desc", "priority": 0}
    assert spoiled["rows"] == right["rows"]


async def test_a_missing_column_is_gone_from_headers_and_rows():
    async with failing("missingcolumn@1") as client:
        spoiled = await client.report()
    assert [header["key"] for header in spoiled["column_headers"]] == ["count"]
    assert all(row.keys() == {"count"} for row in spoiled["rows"])


async def test_faults_by_share_leave_the_report_as_it_was():
    async with failing("all:0.5") as client:
        right, failures = None, 0
        while len(client.records) < 60:
            try:
                response, text = await client.get()
                answer = json.loads(text) if response.status == 200 else None
            except (aiohttp.ClientError, json.JSONDecodeError):
                answer = None
            failures += answer is None
            right = right or answer
            assert answer in (None, right)
        assert right is not None
        assert failures > 10
        assert {fault for _, fault in client.records} >= set(Fault) & {"500", "reset", "truncate", "429"}

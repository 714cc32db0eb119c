"""The simulated API over HTTP, seen by a plain client and held against the documentation."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from datetime import date

import aiohttp
import pytest

from exporter.sandbox.catalogue import REPORTS
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import Sandbox, serve
from exporter.sandbox.truth import truth

COLUMNS = ("customer_id", "status", "attendance_status", "membership_id", "day_of_week", "event_start_time", "count")
MARCH = {"event_starts_at_gte": "2025-03-01T00:00:00Z", "event_starts_at_lte": "2025-03-31T23:59:59.999999Z"}
GROUPED = "/reports/attendance_strikes.grouped/data"


def make_march(studios: int = 1, **options):
    return make_world(studios, 2, start=date(2025, 2, 20), end=date(2025, 4, 10), zones=["UTC"], **options)


async def get(sandbox: Sandbox, path: str = GROUPED, token: str = "sandbox-token-1", **params: str):
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(sandbox.base_url + path, params=params) as response,
    ):
        return response, await response.text()


def is_header(header: Mapping) -> bool:
    assert header.keys() <= {"label", "key", "sortable", "holds_customer_id", "sorted", "required"}
    assert isinstance(header["label"], str)
    assert isinstance(header["key"], str)
    assert isinstance(header["sortable"], bool)
    assert isinstance(header.get("holds_customer_id", False), bool)
    assert isinstance(header.get("required", False), bool)
    assert header.get("sorted", {"order": "asc"})["order"] in {"asc", "desc"}
    return True


def leaves(row: Mapping, path: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in row.items():
        found |= leaves(value, f"{path}{name}.") if isinstance(value, dict) else {path + name: value}
    return found


def documented_type(key: str) -> type:
    last = key.rpartition(".")[2]
    if last == "decimal":
        return float
    return int if last in {"id", "count", "days", "max_infractions", "sequence_position"} else str


@pytest.mark.parametrize("path", REPORTS)
async def test_an_answer_has_the_documented_shape(path):
    columns = {"columns": "customer,status,attendance,rule,event,customer_membership,day_of_week,count"}
    async with serve(make_march()) as sandbox:
        response, text = await get(sandbox, path, format="json", limit="100", **(columns if "grouped" in path else {}))
    document = json.loads(text)
    assert (response.status, response.content_type) == (200, "application/json")
    assert document.keys() == {"total", "column_headers", "rows"}
    assert all(map(is_header, document["column_headers"]))
    keys = [header["key"] for header in document["column_headers"]]
    assert len(document["rows"]) == 100 < document["total"]
    for row in document["rows"]:
        for path_, value in leaves(row).items():
            assert any(f"{key}.".startswith(f"{path_}.") or path_.startswith(f"{key}.") for key in keys)
            assert value is None or type(value) is documented_type(path_)


async def test_an_error_has_the_documented_shape():
    async with serve(make_march()) as sandbox:
        response, text = await get(sandbox, columns="shoe_size", limit="1000")
    document = json.loads(text)
    assert (response.status, response.content_type) == (400, "application/json")
    assert document["code"] == "parameter_invalid"
    assert document["type"] == "invalid_request_error"
    assert isinstance(document["message"], str)
    assert document["field_errors"].keys() == {"columns", "limit"}


@pytest.mark.parametrize("format_", ["json", "csv"])
async def test_all_pages_together_hold_the_truth(format_):
    world, rows, names = make_march(2), [], []
    async with serve(world) as sandbox:
        for offset in range(0, 400, 100):
            params = {"columns": ",".join(COLUMNS), "sort": ",".join(COLUMNS[:-1]), "limit": "100", "format": format_}
            _, text = await get(sandbox, token="sandbox-token-2", offset=str(offset), **params, **MARCH)
            if format_ == "csv":
                names, *page = csv.reader(io.StringIO(text, newline=""))
                rows += page
            else:
                document = json.loads(text)
                names = [header["key"] for header in document["column_headers"]]
                for row in document["rows"]:
                    found = leaves(row)
                    rows.append(["" if found.get(name) is None else str(found[name]) for name in names])
    expected = truth(world, world.studios[1].provider_id, COLUMNS, date(2025, 3, 1), date(2025, 4, 1))
    assert names[0] == "customer.id"
    assert Counter(map(tuple, rows)) == Counter(
        tuple("" if value is None else str(value) for value in row.values()) for row in expected
    )
    assert len(rows) > 200


async def test_both_ways_of_paging_serve_the_same_page():
    async with serve(make_march()) as sandbox:
        params = {"columns": "customer_id,count", "sort": "customer_id", "format": "json"}
        _, by_offset = await get(sandbox, limit="40", offset="80", **params)
        _, by_page = await get(sandbox, page_size="40", page="3", **params)
    assert by_offset == by_page
    assert json.loads(by_page)["rows"]


async def test_a_page_beyond_the_end_is_empty():
    async with serve(make_march()) as sandbox:
        _, text = await get(sandbox, columns="status,count", format="json", offset="1000")
    assert json.loads(text)["rows"] == []
    assert json.loads(text)["total"] == 7


@pytest.mark.parametrize(
    ("accepted", "compress", "encoding"), [("gzip", True, "gzip"), ("identity", True, None), ("gzip", False, None)]
)
async def test_gzip_is_used_where_both_sides_take_it(accepted, compress, encoding):
    headers = {"Authorization": "Token sandbox-token-1", "Accept-Encoding": accepted}
    async with (
        serve(make_march(), SandboxOptions(compress=compress)) as sandbox,
        aiohttp.ClientSession(headers=headers) as session,
        session.get(sandbox.base_url + GROUPED, params={"columns": "customer,count", "format": "json"}) as response,
    ):
        assert response.headers.get("Content-Encoding") == encoding
        assert len((await response.json())["rows"]) == 50


async def test_a_short_answer_is_not_compressed():
    async with serve(make_march()) as sandbox:
        response, _ = await get(sandbox, columns="count", format="json")
    assert "Content-Encoding" not in response.headers


async def test_the_sandbox_has_a_loopback_address_and_remembers_what_it_answered():
    async with serve(make_march()) as sandbox:
        assert sandbox.base_url.startswith("http://127.0.0.1:")
        await get(sandbox, columns="count")
        assert [request.status for request in sandbox.requests] == [200]


async def test_a_token_can_be_revoked_while_the_sandbox_runs():
    async with serve(make_march()) as sandbox:
        before, _ = await get(sandbox, columns="count")
        sandbox.revoke("sandbox-token-1")
        after, _ = await get(sandbox, columns="count")
    assert (before.status, after.status) == (200, 401)

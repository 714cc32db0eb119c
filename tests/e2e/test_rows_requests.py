"""Rows cost no more requests than they must, and every request keeps to the documented contract."""

import re
from datetime import date
from itertools import groupby

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.query import ListStyle
from tests.support.exports import DEFAULT_COLUMNS, bench, expected, groups, months, published, small_world
from tests.support.sources import columns_key, expected_requests, spans

#: Source: docs/api.md section 1.
DOCUMENTED = {
    "columns",
    "sort",
    "format",
    "event_starts_at_gte",
    "event_starts_at_lte",
    "attendance_status",
    "customers",
    "memberships",
    "offering_types",
    "rule_applies_to",
    "status",
    "venues",
    "penalty",
    "pivot",
    "max_pivot_columns",
    "limit",
    "offset",
    "page",
    "page_size",
}
KEYS = {
    "customer.id",
    "status",
    "attendance.status",
    "event.offering_type.id",
    "event.offering_type.name",
    "event.venue.id",
    "event.venue.name",
    "day_of_week",
    "event.start_time",
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


def parameters(served):
    """The parameters of one request, lists as lists, in whichever style."""
    pairs = sorted(((name.removesuffix("[]"), value) for name, value in served.params), key=lambda pair: pair[0])
    values = {name: [value for _, value in group] for name, group in groupby(pairs, key=lambda pair: pair[0])}
    return {name: [part for value in found for part in value.split(",")] for name, found in values.items()}


@pytest.mark.parametrize("page_size", [7, 100])
@pytest.mark.parametrize("pagination", ["offset", "page"])
async def test_json_costs_exactly_the_least_number_of_requests(page_size, pagination):
    async with bench() as b:
        (manifest,) = await b.run(api=f'page_size = {page_size}\npagination = "{pagination}"')
        least = expected_requests(b.world, months(), DEFAULT_COLUMNS, page_size)
    assert b.asked() == manifest.totals.requests == least > 6


@pytest.mark.parametrize("page_size", [7, 100])
async def test_csv_costs_at_most_one_request_more_for_each_window(page_size):
    async with bench() as b:
        (manifest,) = await b.run(api=f'page_size = {page_size}\nformat = "csv"')
        least = expected_requests(b.world, months(), DEFAULT_COLUMNS, page_size)
    assert b.asked() == manifest.totals.requests
    assert least <= b.asked() <= least + manifest.totals.tasks


async def test_windows_without_rows_cost_one_request_each():
    start, end = date(2025, 1, 1), date(2025, 2, 1)
    async with bench(small_world(start=date(2024, 1, 1), end=date(2024, 2, 1))) as b:
        (manifest,) = await b.run(start=start, end=end, every="day")
    assert b.asked() == expected_requests(b.world, spans("day", start, end), DEFAULT_COLUMNS) == 62
    assert (manifest.totals.empty, manifest.totals.rows) == (62, 0)


STYLES = {
    "offset-comma": ('pagination = "offset"', ListStyle.COMMA),
    "page-repeat": ('pagination = "page"\nlist_style = "repeat"', ListStyle.REPEAT),
    "offset-brackets-csv": ('format = "csv"\nlist_style = "brackets"', ListStyle.BRACKETS),
}


@pytest.mark.parametrize(("api", "list_style"), STYLES.values(), ids=STYLES)
async def test_every_request_keeps_to_the_contract(api, list_style):
    async with bench(options=SandboxOptions(rate=None, list_style=list_style)) as b:
        await b.run(api=f"{api}\npage_size = 40", report='status = ["open", "expired"]')
    assert b.asked() > 6
    for served in b.sandbox.requests:
        asked = parameters(served)
        assert served.status == 200
        assert served.path == "/api/v2/reports/attendance_strikes.grouped/data"
        assert asked.keys() <= DOCUMENTED
        assert set(asked["columns"]) == KEYS | {"count"}
        assert set(asked["sort"]) == KEYS
        assert asked["status"] == ["open", "expired"]
        assert asked["pivot"] == ["all"]
        assert asked["format"] in (["json"], ["csv"])
        assert all(MOMENT.fullmatch(asked[name][0]) for name in ("event_starts_at_gte", "event_starts_at_lte"))
        assert asked.keys() & {"limit", "offset", "page", "page_size"} in ({"limit", "offset"}, {"page", "page_size"})
        assert served.headers["teamup-request-mode"] == "provider"
        assert served.headers["teamup-provider-id"] == str(served.provider_id)
        assert served.headers["accept"] == ("text/csv" if asked["format"] == ["csv"] else "application/json")
        assert served.headers["user-agent"].startswith("studio-exporter/")


async def test_no_request_is_sent_twice():
    async with bench() as b:
        await b.run(api="page_size = 20")
    seen = [(served.provider_id, served.params) for served in b.sandbox.requests]
    assert len(seen) == len(set(seen))


async def test_without_studio_headers_none_is_sent():
    async with bench() as b:
        await b.run(api="studio_headers = false")
    assert b.asked()
    assert not any(name.startswith("teamup-") for served in b.sandbox.requests for name in served.headers)


async def test_the_ungrouped_report_is_sorted_by_its_id_alone():
    async with bench() as b:
        await b.run(Choice(datasets=("attendance_strikes",)), report='[[reports]]\nname = "attendance_strikes"')
    assert b.asked()
    for served in b.sandbox.requests:
        asked = parameters(served)
        assert asked["sort"] == ["id"]
        assert not asked.keys() & {"pivot", "max_pivot_columns"}


@pytest.mark.parametrize("api", ['format = "json"', 'format = "csv"'])
async def test_columns_that_come_unasked_are_part_of_the_order_that_is_asked_for(api):
    # Without them the order is not total, and pages lose and repeat rows.
    columns = ("status", "customer_id", "count")
    options = SandboxOptions(rate=None, required_columns=("customer_id",))
    async with bench(options=options) as b:
        (manifest,) = await b.run(report=columns_key(["status", "count"]), api=f"page_size = 20\n{api}")
        rows = groups(await published(b.store), columns)
    assert manifest.state is RunState.OK
    assert rows == expected(b.world, months(), columns)

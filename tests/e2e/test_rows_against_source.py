"""Rows in the sink are the rows of the source, whatever is asked, in whatever way."""

import json
from collections import Counter
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.app_choice import Choice
from exporter.core.catalogue import REPORTS
from exporter.core.manifest import RunState
from exporter.sandbox.encode import CsvHeaders
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.query import ListStyle
from tests.support.exports import (
    DEFAULT_COLUMNS,
    END,
    START,
    bench,
    expected,
    groups,
    months,
    published,
    small_world,
)
from tests.support.sources import ALL_COLUMNS, columns_key, expected_periods, expected_strikes, spans

ZONES = ("Europe/London", "America/New_York", "Australia/Sydney", "Pacific/Apia", "UTC", "America/Sao_Paulo")

#: How rows travel: the configuration's format, and what the first line of a CSV answer holds.
WAYS = {
    "json": ('format = "json"', CsvHeaders.KEY),
    "csv-by-key": ('format = "csv"', CsvHeaders.KEY),
    "csv-by-label": ('format = "csv"', CsvHeaders.LABEL),
}
every_way = pytest.mark.parametrize(("api", "csv_headers"), WAYS.values(), ids=WAYS)

CALENDARS = {
    "days-while-clocks-go-forward": ("day", date(2025, 3, 5), date(2025, 4, 9)),
    "days-while-clocks-go-back": ("day", date(2025, 10, 2), date(2025, 11, 5)),
    "days-of-which-one-never-was": ("day", date(2011, 12, 27), date(2012, 1, 3)),
    "days-without-midnight": ("day", date(2018, 11, 1), date(2018, 11, 8)),
    "weeks-cut-at-both-ends": ("week", date(2025, 2, 20), date(2025, 4, 10)),
    "weeks-over-the-new-year": ("week", date(2024, 12, 16), date(2025, 1, 15)),
    "weeks-with-a-midnight-twice": ("week", date(2019, 2, 4), date(2019, 3, 4)),
    "months": ("month", date(2025, 2, 1), date(2025, 5, 1)),
    "months-cut-at-both-ends": ("month", date(2025, 9, 15), date(2025, 12, 10)),
    "years": ("year", date(2024, 7, 1), date(2025, 8, 1)),
}


@every_way
@pytest.mark.parametrize(("every", "start", "end"), CALENDARS.values(), ids=CALENDARS)
async def test_rows_are_the_source_s_in_every_zone_and_calendar(every, start, end, api, csv_headers):
    world = small_world(len(ZONES), zones=ZONES, start=start, end=end, per_month=120)
    async with bench(world, SandboxOptions(rate=None, csv_headers=csv_headers)) as b:
        (manifest,) = await b.run(start=start, end=end, every=every, api=api)
        rows = groups(await published(b.store))
    assert manifest.state is RunState.OK
    assert rows == expected(world, spans(every, start, end))


@every_way
async def test_all_columns_come_with_awkward_names_and_nulls_as_they_are(api, csv_headers):
    async with bench(options=SandboxOptions(rate=None, csv_headers=csv_headers)) as b:
        await b.run(report=columns_key(ALL_COLUMNS), api=api)
        table = await published(b.store)
    assert groups(table, ALL_COLUMNS) == expected(b.world, months(), ALL_COLUMNS)
    names = set(table["customer_name"].to_pylist())
    assert {
        "Sample, Nora",
        'Otto "Quick" Example',
        "Two\nLines Example",
        "Carriage\r\nReturn Example",
        " Blank Around Example ",
        "null",
        "\N{PERSON IN LOTUS POSITION} Emoji Example",
    } <= names
    assert table["membership_id"].null_count == table["membership_name"].null_count > 0


@pytest.mark.parametrize(
    ("asked", "columns"),
    [
        (("count",), ("count",)),
        (("count", "status"), ("count", "status")),
        (("customer.id", "event.venue", "count"), ("customer_id", "venue_id", "venue_name", "count")),
        (("customer_membership", "day_of_week", "count"), ("membership_id", "membership_name", "day_of_week", "count")),
        (("event", "count"), ("offering_type_id", "offering_type_name", "venue_id", "venue_name", "event_start_time")),
    ],
)
@pytest.mark.parametrize("api", ['format = "json"', 'format = "csv"'])
async def test_a_subset_of_columns_groups_by_just_these(asked, columns, api):
    async with bench() as b:
        await b.run(report=columns_key(asked), api=api)
        table = await published(b.store)
    columns = columns if "count" in columns else (*columns, "count")
    assert set(table.column_names) == {"studio_id", "window_start", "window_end", *columns, "run_id", "exported_at"}
    assert groups(table, columns) == expected(b.world, months(), columns)


def filter_values(world):
    studio = world.studios[0]
    penalty = next(i.penalty.id for i in studio.between(None, None) if i.penalty and i.starts_at.year == START.year)
    return {
        "status": ["open", "charge_skipped"],
        "attendance_status": ["no_show"],
        "rule_applies_to": ["late_cancels", "no_shows"],
        "customers": [customer.id for customer in studio.customers[:20]],
        "memberships": [studio.memberships[1].id],
        "offering_types": [kind.id for kind in studio.offering_types[:2]],
        "venues": [venue.id for venue in studio.venues[:1]],
        "penalty": penalty,
    }


@pytest.mark.parametrize("name", filter_values(small_world()))
async def test_a_filter_keeps_the_rows_that_the_source_keeps(name):
    world = small_world()
    value = filter_values(world)[name]
    async with bench(world) as b:
        await b.run(report=f"{name} = {json.dumps(value)}")
        rows = groups(await published(b.store))
    assert 0 < len(rows) < len(expected(world, months()))
    assert rows == expected(world, months(), **{name: value})


async def test_filters_together_keep_what_passes_each():
    async with bench() as b:
        await b.run(report='status = ["open", "expired"]\nattendance_status = ["no_show"]')
        rows = groups(await published(b.store))
    assert rows
    assert rows == expected(b.world, months(), status=["open", "expired"], attendance_status=["no_show"])


PIVOTS = {
    "months-of-a-year": ("month", 12, ("year", date(2025, 1, 1), date(2026, 1, 1))),
    "months-of-half-a-year": ("month", 4, ("year", date(2024, 9, 10), date(2025, 3, 20))),
    "weeks-of-a-month": ("week", 6, ("month", date(2024, 12, 1), date(2025, 4, 1))),
    "a-year-of-a-year": ("year", 1, ("year", date(2024, 7, 1), date(2025, 7, 1))),
}


@every_way
@pytest.mark.parametrize(("pivot", "most", "calendar"), PIVOTS.values(), ids=PIVOTS)
async def test_a_pivot_gives_each_group_a_row_for_each_period(pivot, most, calendar, api, csv_headers):
    every, start, end = calendar
    columns = ("customer_id", "status", "period_key", "count")
    asked = columns_key(["customer_id", "status", "count"])
    world = small_world(start=start, end=end, per_month=60)
    async with bench(world, SandboxOptions(rate=None, csv_headers=csv_headers)) as b:
        (manifest,) = await b.run(
            start=start,
            end=end,
            every=every,
            api=api,
            report=f'{asked}\npivot = "{pivot}"\nmax_pivot_columns = {most}',
        )
        table = await published(b.store)
    assert manifest.state is RunState.OK
    assert groups(table, columns) == expected_periods(world, spans(every, start, end), columns, pivot)


async def test_pivoted_counts_add_up_to_the_unpivoted():
    report = columns_key(["status", "venue_id", "count"])
    pivoted = f'{report}\npivot = "week"\nmax_pivot_columns = 6\ndataset = "weekly"\n'
    async with bench() as b:
        await b.run(report=f'{pivoted}[[reports]]\nname = "attendance_strikes.grouped"\n{report}')
        weekly, plain = await published(b.store, "weekly"), await published(b.store)
    sums: Counter[tuple[object, ...]] = Counter()
    for *group, count in groups(weekly, ("status", "venue_id", "count")):
        sums[tuple(group)] += count
    assert sums == {tuple(group): count for *group, count in groups(plain, ("status", "venue_id", "count"))}


@every_way
async def test_the_ungrouped_report_comes_out_of_the_catalogue_alone(api, csv_headers):
    chosen = Choice(datasets=("attendance_strikes",))
    async with bench(options=SandboxOptions(rate=None, csv_headers=csv_headers)) as b:
        (manifest,) = await b.run(chosen, report='[[reports]]\nname = "attendance_strikes"', api=api)
        table = await published(b.store, "attendance_strikes")
        (verified,) = await b.app(report='[[reports]]\nname = "attendance_strikes"').verify(chosen, source=True)
    columns = table.column_names[3:-2]
    assert len(columns) == 13
    assert groups(table, columns) == expected_strikes(b.world, months(), columns)
    assert (verified.differences, verified.measure) == ((), manifest.totals.rows)


ALL_STRIKES = REPORTS["attendance_strikes"].names()
REPORT_OF_ALL_STRIKES = f'[[reports]]\nname = "attendance_strikes"\ndataset = "all_strikes"\n{columns_key(ALL_STRIKES)}'


@pytest.mark.parametrize("api", ['format = "json"', 'format = "csv"'])
async def test_the_ungrouped_report_gives_all_its_columns(api):
    async with bench() as b:
        await b.run(Choice(datasets=("all_strikes",)), report=REPORT_OF_ALL_STRIKES, api=api)
        table = await published(b.store, "all_strikes")
    assert groups(table, ALL_STRIKES) == expected_strikes(b.world, months(), ALL_STRIKES)


async def test_csv_whose_labels_cannot_be_told_apart_is_refused_with_the_way_out():
    # JSON describes a money object as one column, CSV labels each of its parts.
    async with bench(options=SandboxOptions(rate=None, csv_headers=CsvHeaders.LABEL)) as b:
        chosen = Choice(datasets=("all_strikes",))
        (manifest,) = await b.run(chosen, report=REPORT_OF_ALL_STRIKES, api='format = "csv"')
        assert await b.store.list("all_strikes/month=") == []
    assert manifest.state is RunState.FAILED
    assert "penalty_charge_amount_string" in (manifest.tasks[0].error or "")
    assert 'api.format = "json"' in (manifest.tasks[0].error or "")


@every_way
async def test_required_columns_are_kept_and_told(api, csv_headers):
    options = SandboxOptions(rate=None, csv_headers=csv_headers, required_columns=("membership_id", "customer_name"))
    async with bench(options=options) as b:
        (manifest,) = await b.run(api=api)
        table = await published(b.store)
    columns = (*DEFAULT_COLUMNS, "customer_name", "membership_id")
    assert manifest.extra_columns == ("customer_name", "membership_id")
    assert table.column_names[3:-2] == list(columns)
    assert groups(table, columns) == expected(b.world, months(), columns)


SPOKEN = {
    "pages-by-number": (SandboxOptions(rate=None), 'pagination = "page"'),
    "pages-of-7": (SandboxOptions(rate=None), "page_size = 7"),
    "pages-of-7-by-number": (SandboxOptions(rate=None), 'page_size = 7\npagination = "page"'),
    "pages-of-7-in-csv": (SandboxOptions(rate=None), 'page_size = 7\nformat = "csv"'),
    "lists-repeated": (SandboxOptions(rate=None, list_style=ListStyle.REPEAT), 'list_style = "repeat"'),
    "lists-in-brackets": (SandboxOptions(rate=None, list_style=ListStyle.BRACKETS), 'list_style = "brackets"'),
    "scheme-token": (SandboxOptions(rate=None, schemes=frozenset({"token"})), 'auth_scheme = "Token"'),
    "scheme-jwt": (SandboxOptions(rate=None, schemes=frozenset({"jwt"})), 'auth_scheme = "JWT"'),
    "no-studio-headers": (SandboxOptions(rate=None), "studio_headers = false"),
    "uncompressed": (SandboxOptions(rate=None, compress=False), ""),
}


@pytest.mark.parametrize(("options", "api"), SPOKEN.values(), ids=SPOKEN)
async def test_rows_do_not_depend_on_how_the_api_is_spoken_to(options, api):
    async with bench(options=options) as b:
        await b.run(api=api, report='status = ["open", "expired", "voided"]')
        rows = groups(await published(b.store))
    assert rows == expected(b.world, months(), status=["open", "expired", "voided"])


async def test_studios_of_one_credential_keep_their_own_rows():
    world = small_world(5, credentials=2, per_month=60)
    async with bench(world) as b:
        await b.run()
        rows = groups(await published(b.store))
    assert rows == expected(world, months())


async def test_json_and_csv_make_the_same_table():
    tables = []
    for api in ('format = "json"', 'format = "csv"'):
        async with bench() as b:
            await b.run(api=api, report=columns_key(ALL_COLUMNS))
            table = await published(b.store)
            tables.append(table.drop_columns(["run_id", "exported_at"]).replace_schema_metadata(None))
    assert tables[0].schema.equals(tables[1].schema, check_metadata=True)
    assert tables[0].equals(tables[1])


KEYS = st.lists(st.sampled_from(ALL_COLUMNS[:-1]), unique=True, max_size=5)
DAYS = st.dates(START, END)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    keys=KEYS,
    days=st.tuples(DAYS, DAYS).filter(lambda pair: pair[0] < pair[1]),
    every=st.sampled_from(["week", "month", "year"]),
    status=st.lists(st.sampled_from(["open", "expired", "charged"]), unique=True),
    page_size=st.integers(20, 100),
    page_format=st.sampled_from(["json", "csv"]),
)
async def test_whatever_is_asked_the_sink_holds_what_the_source_does(
    *, keys, days, every, status, page_size, page_format
):
    (start, end), columns = days, (*keys, "count")
    async with bench(small_world(per_month=60)) as b:
        (manifest,) = await b.run(
            start=start,
            end=end,
            every=every,
            report=f"{columns_key(columns)}\nstatus = {json.dumps(status)}",
            api=f'page_size = {page_size}\nformat = "{page_format}"',
        )
        table = await published(b.store)
    assert manifest.state is RunState.OK
    filters = {"status": status} if status else {}
    assert groups(table, columns) == expected(b.world, spans(every, start, end), columns, **filters)

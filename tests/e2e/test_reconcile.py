"""What is published of a studio is held against the API's own total."""

from datetime import UTC, date, datetime

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState, TaskState
from exporter.core.summary import least_requests
from exporter.jobs.events import HeldAgainst
from exporter.sandbox.faults import Fault
from exporter.sandbox.options import SandboxOptions
from tests.support.changed_source import in_span
from tests.support.exports import DATASET, bench, expected, groups, months, published, studio_id
from tests.support.sources import columns_key

WARN, FAIL = 'reconcile = "warn"', 'reconcile = "fail"'
JANUARY, FEBRUARY, MARCH = months()
#: March is fetched again, what was before it is settled.
LOOKBACK = {"lookback_days": (datetime.now(UTC).date() - FEBRUARY[1]).days - 3}
ALL_COLUMNS = ("customer_id", "count")


def is_total(asked):
    """Whether one request is for a grand total."""
    columns = [value for name, value in asked.params if name == "columns"]
    return columns == ["count"]


def totals_asked(b):
    return [served for served in b.sandbox.requests if is_total(served)]


def told(manifest):
    return [(record.studio, record.published, record.source, record.agrees) for record in manifest.reconciled]


AGREED = [(studio_id(0), 450, 450, True), (studio_id(1), 450, 450, True)]


@pytest.mark.parametrize("run", [WARN, FAIL])
@pytest.mark.parametrize("api", ['format = "json"', 'format = "csv"', 'pagination = "page"'])
async def test_one_request_a_studio_tells_that_all_is_there_and_is_counted_apart(run, api):
    async with bench() as b:
        (manifest,) = await b.run(run=run, api=f"page_size = 40\n{api}")
        rows = groups(await published(b.store))
    assert told(manifest) == AGREED
    assert {(record.start, record.end) for record in manifest.reconciled} == {("2025-01-01", "2025-04-01")}
    assert (manifest.state, manifest.totals.reconcile_requests, len(totals_asked(b))) == (RunState.OK, 2, 2)
    assert b.asked() == manifest.totals.requests + 2
    assert rows == expected(b.world, months())
    if "csv" not in api:
        assert least_requests([manifest], 40) == manifest.totals.requests


async def test_nothing_is_asked_where_everything_is_settled_and_by_nobody_who_does_not_want_it():
    async with bench() as b:
        (first,) = await b.run(run='reconcile = "off"')
        asked = b.asked()
        (second,) = await b.run(run=FAIL)
        assert b.asked() == asked
    assert (first.reconciled, first.totals.reconcile_requests, second.reconciled) == ((), 0, ())


REPORTS = {
    "pivot and filter": 'pivot = "week"\nmax_pivot_columns = 6\nstatus = ["open", "expired"]',
    "ungrouped": '[[reports]]\nname = "attendance_strikes"',
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
@pytest.mark.parametrize("run", [WARN, FAIL])
async def test_totals_are_of_the_same_rows_whatever_is_asked_for(report, run):
    privacy = 'drop = ["venue_name"]\nhash = ["customer_id"]\nhash_key = "env:HASH_KEY"'
    async with bench() as b:
        manifests = await b.run(report=report, run=run, privacy=privacy)
    for manifest in manifests:
        assert manifest.state is RunState.OK
        assert all(record.agrees and record.published for record in manifest.reconciled)
        assert (len(manifest.reconciled), manifest.totals.reconcile_requests) == (2, 2)


async def test_of_a_report_without_counts_one_row_is_asked_for():
    async with bench() as b:
        (manifest,) = await b.run(report=columns_key(("customer_id", "count")), run=WARN)
        assert manifest.totals.reconcile_requests == 2
        choice = Choice(datasets=("attendance_strikes",))
        (manifest,) = await b.run(choice, report=REPORTS["ungrouped"], run=WARN)
        (one, other) = [served for served in b.sandbox.requests if ("limit", "1") in served.params]
    assert one.provider_id != other.provider_id
    assert told(manifest) == AGREED


async def test_a_settled_window_that_changed_is_told_and_the_others_are_published():
    async with bench() as b:
        await b.run(run=WARN, **LOOKBACK)
        studio = b.world.studios[1]
        studio.remove(in_span(studio, JANUARY)[0].id)
        studio.remove(in_span(studio, MARCH)[0].id)
        (manifest,) = await b.run(run=WARN, **LOOKBACK)
        rows = groups(await published(b.store))
        now = expected(b.world, months())
    assert told(manifest) == [AGREED[0], (studio_id(1), 449, 448, False)]
    assert manifest.state is RunState.OK
    assert [row for row in rows if row[1] == MARCH[0]] == [row for row in now if row[1] == MARCH[0]]
    held = [event for event in b.events if isinstance(event, HeldAgainst)][-2:]
    assert sorted((event.record.agrees, event.refused) for event in held) == [(False, False), (True, False)]


async def test_with_fail_a_studio_that_does_not_reconcile_keeps_its_rows_until_everything_is_fetched():
    async with bench() as b:
        await b.run(run=FAIL, **LOOKBACK)
        before = groups(await published(b.store))
        for studio in b.world.studios:
            studio.remove(in_span(studio, MARCH)[0].id)
        studio = b.world.studios[1]
        studio.remove(in_span(studio, JANUARY)[0].id)
        (manifest,) = await b.run(run=FAIL, **LOOKBACK)
        rows, now = groups(await published(b.store)), expected(b.world, months())
        assert told(manifest) == [(studio_id(0), 449, 449, True), (studio_id(1), 449, 448, False)]
        # What differs is asked for twice.
        assert manifest.totals.reconcile_requests == 3
        assert [task.state for task in manifest.tasks] == [TaskState.PUBLISHED, TaskState.FAILED]
        assert manifest.tasks[1].error == (
            "studio-2 2025-03: does not reconcile, so what was published of it stays: studio-2 2025-01-01..2025-04-01:"
            " the API counts 448, the rows add up to 449; run again, with --full if it stays so"
        )
        assert [row for row in rows if row[0] == studio_id(0)] == [row for row in now if row[0] == studio_id(0)]
        assert [row for row in rows if row[0] == studio_id(1)] == [row for row in before if row[0] == studio_id(1)]

        (healed,) = await b.run(Choice(full=True), run=FAIL, **LOOKBACK)
        assert (healed.state, groups(await published(b.store))) == (RunState.OK, now)
        assert [info.key for info in await b.store.list("_staging/")] == []


async def test_with_fail_nothing_of_a_rewrite_is_published_where_a_studio_does_not_reconcile():
    faults, report = Faults(), columns_key(("customer_id", "count"))
    async with bench(options=SandboxOptions(rate=None, faults=faults)) as b:
        await b.run()
        before = await published(b.store)
        faults.on_total = lambda: Fault.UNAUTHORIZED
        (manifest,) = await b.run(Choice(rewrite=True), report=report, run=FAIL)
        assert manifest.state is RunState.FAILED
        assert (await published(b.store)).equals(before)
        faults.on_total = lambda: None
        (manifest,) = await b.run(Choice(rewrite=True), report=report, run=FAIL)
        assert manifest.state is RunState.OK
        assert groups(await published(b.store), ALL_COLUMNS) == expected(b.world, months(), ALL_COLUMNS)


class Faults:
    """Goes wrong where a total is asked for, or a window."""

    def __init__(self):
        self.on_total = lambda: None
        self.on_window = {}

    def __call__(self, _number, asked):
        if is_total(asked):
            return self.on_total()
        since = dict(asked.params).get("event_starts_at_gte", "")
        return self.on_window.get(since[:10])


async def test_with_fail_a_difference_that_passes_is_asked_for_again_and_then_published():
    faults = Faults()
    async with bench(options=SandboxOptions(rate=None, faults=faults)) as b:
        studio = b.world.studios[0]
        model = in_span(studio, JANUARY)[0]
        answers = iter([lambda: studio.remove(model.id), lambda: studio.add(model)])

        def flicker():
            next(answers, lambda: None)()

        faults.on_total = flicker
        (manifest,) = await b.run(Choice(studios=(studio_id(0),)), run=FAIL)
    assert (told(manifest), manifest.totals.reconcile_requests) == (AGREED[:1], 2)
    assert manifest.state is RunState.OK


@pytest.mark.parametrize(("run", "state"), [(WARN, RunState.OK), (FAIL, RunState.FAILED)])
async def test_a_total_that_nobody_tells_is_a_warning_or_a_failure(run, state):
    faults = Faults()
    faults.on_total = lambda: Fault.ERROR_500
    async with bench(options=SandboxOptions(rate=None, faults=faults)) as b:
        (manifest,) = await b.run(run=run, api="max_attempts = 1")
        parts = await b.store.list(f"{DATASET}/month=")
    assert manifest.state is state
    assert [(record.source, record.agrees) for record in manifest.reconciled] == [(None, False), (None, False)]
    assert all("500" in record.error for record in manifest.reconciled)
    assert len(parts) == (3 if state is RunState.OK else 0)


@pytest.mark.parametrize("run", [WARN, FAIL])
async def test_windows_that_failed_are_left_out_of_the_days_that_are_asked_for(run):
    faults = Faults()
    faults.on_window = {"2025-02-01": Fault.ERROR_500, "2025-01-31": Fault.ERROR_500}
    async with bench(options=SandboxOptions(rate=None, faults=faults)) as b:
        (manifest,) = await b.run(run=run, api="max_attempts = 1")
    assert [task.window_start for task in manifest.tasks if task.state is TaskState.FAILED] == ["2025-02-01"] * 2
    assert [(record.start, record.end, record.agrees) for record in manifest.reconciled] == [
        ("2025-01-01", "2025-02-01", True),
        ("2025-03-01", "2025-04-01", True),
    ] * 2


async def test_days_that_a_zone_skipped_do_not_cut_the_range():
    # Apia went from the 29th of December 2011 to the 31st.
    start, end = date(2011, 12, 28), date(2012, 1, 2)
    async with bench() as b:
        for studio in b.world.studios:
            studio.timezone = "Pacific/Apia"
        (manifest,) = await b.run(run=WARN, start=start, end=end, every="day")
    assert [(record.start, record.end) for record in manifest.reconciled] == [("2011-12-28", "2012-01-02")] * 2
    assert (manifest.totals.tasks, manifest.totals.reconcile_requests) == (8, 2)

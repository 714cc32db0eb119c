"""A later run asks for what may have changed, and swaps just that."""

import re
from datetime import UTC, date, datetime

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import TaskState
from exporter.errors import PlanConflictError
from tests.support.changed_source import change, in_span
from tests.support.exports import END, START, bench, expected, groups, months, published, small_world, studio_id

JANUARY, FEBRUARY, MARCH = months()


def lookback_that_settles(end):
    """Days of lookback that make windows that ended by *end* settled, and those that ended a week later not."""
    return (datetime.now(UTC).date() - end).days - 3


def of_spans(rows, *wanted):
    return [row for row in rows if row[1] in {start for start, _ in wanted}]


async def test_a_second_run_over_settled_windows_asks_nothing_and_changes_nothing():
    async with bench() as b:
        await b.run()
        before, asked = await published(b.store), b.asked()
        (manifest,) = await b.run()
        assert b.asked() == asked
        assert (await published(b.store)).equals(before)
    assert (manifest.totals.requests, manifest.totals.settled, manifest.objects) == (0, 6, ())


async def test_windows_within_the_lookback_are_fetched_again_and_replaced():
    lookback_days = lookback_that_settles(FEBRUARY[1])
    async with bench() as b:
        await b.run(lookback_days=lookback_days)
        before, asked = expected(b.world, months()), b.asked()
        for studio in b.world.studios:
            change(studio, JANUARY)
            change(studio, MARCH)
        now = expected(b.world, months())
        (manifest,) = await b.run(lookback_days=lookback_days)
        rows = groups(await published(b.store))
        fetched = {dict(served.params)["event_starts_at_gte"][:7] for served in b.sandbox.requests[asked:]}
    assert {task.window_start for task in manifest.tasks} == {"2025-03-01"}
    assert fetched == {"2025-03"}
    assert of_spans(rows, MARCH) == of_spans(now, MARCH) != of_spans(before, MARCH)
    assert of_spans(rows, JANUARY) == of_spans(before, JANUARY) != of_spans(now, JANUARY)
    assert of_spans(rows, FEBRUARY) == of_spans(now, FEBRUARY)


async def test_once_a_studio_s_time_zone_is_corrected_no_row_is_missing_or_there_twice():
    async with bench(small_world(studios=3)) as b:
        right = b.config
        b.config = lambda *given, **changes: re.sub('timezone = ".*"', 'timezone = "UTC"', right(*given, **changes))
        await b.run(end=MARCH[0])
        b.config = right
        await b.run()
        rows, asked = groups(await published(b.store)), b.asked()
        await b.run()
        assert b.asked() == asked
    assert rows == expected(b.world, months())


async def test_windows_of_other_hours_are_asked_for_once_more_even_where_their_rows_are_the_same():
    world = small_world(studios=1)
    at_the_seam = [
        i for i in world.studios[0].infractions if i.starts_at.date() in {date(2025, 3, 31), date(2025, 4, 1)}
    ]
    for infraction in at_the_seam:
        world.studios[0].remove(infraction.id)
    async with bench(world) as b:
        right = b.config
        b.config = lambda *given, **changes: re.sub('timezone = ".*"', 'timezone = "UTC"', right(*given, **changes))
        await b.run()
        first, rows = b.asked(), groups(await published(b.store))
        b.config = right
        await b.run()
        again = b.asked()
        assert again > first
        assert groups(await published(b.store)) == rows
        await b.run()
        assert b.asked() == again


async def test_a_full_run_brings_settled_windows_up_to_date():
    async with bench() as b:
        await b.run()
        change(b.world.studios[0], JANUARY)
        await b.run(Choice(full=True))
        assert groups(await published(b.store)) == expected(b.world, months())


async def test_what_was_removed_at_the_source_disappears():
    async with bench() as b:
        await b.run()
        studio = b.world.studios[1]
        for infraction in in_span(studio, FEBRUARY):
            studio.remove(infraction.id)
        (manifest,) = await b.run(Choice(full=True))
        rows = groups(await published(b.store))
    assert rows == expected(b.world, months())
    assert (studio_id(1), FEBRUARY[0]) not in {row[:2] for row in rows}
    (emptied,) = (t for t in manifest.tasks if (t.studio, t.window_start) == (studio_id(1), "2025-02-01"))
    assert (emptied.state, emptied.rows, emptied.total) == (TaskState.EMPTY, 0, 0)


async def test_an_empty_window_leaves_no_row_and_is_not_asked_for_again():
    quiet = small_world(start=date(2025, 1, 1), end=date(2025, 2, 1))
    async with bench(quiet) as b:
        (first,) = await b.run()
        (second,) = await b.run()
        rows = groups(await published(b.store))
    assert rows == expected(quiet, [JANUARY])
    assert (first.totals.published, first.totals.empty) == (2, 4)
    assert (second.totals.requests, second.totals.settled) == (0, 6)


async def test_a_window_that_has_grown_covers_and_replaces_the_narrower_one():
    middle = date(2025, 3, 15)
    async with bench() as b:
        await b.run(end=middle)
        assert groups(await published(b.store)) == expected(b.world, [JANUARY, FEBRUARY, (MARCH[0], middle)])
        (manifest,) = await b.run()
        table = await published(b.store)
    assert groups(table) == expected(b.world, months())
    assert set(table["window_end"].to_pylist()) == {end for _, end in months()}
    assert {task.window_start for task in manifest.tasks} == {"2025-03-01"}


async def test_a_window_that_would_cut_a_published_one_is_refused_before_anything_is_asked():
    async with bench() as b:
        await b.run()
        before, asked = await published(b.store), b.asked()
        with pytest.raises(PlanConflictError, match="would cut the published window 2025-03"):
            await b.run(end=date(2025, 3, 15))
        assert b.asked() == asked
        assert (await published(b.store)).equals(before)


async def test_one_studio_s_run_leaves_the_other_studios_rows_alone():
    async with bench() as b:
        await b.run()
        before = expected(b.world, months())
        for studio in b.world.studios:
            change(studio, JANUARY)
        now = expected(b.world, months())
        await b.run(Choice(studios=(studio_id(0),), full=True))
        rows = groups(await published(b.store))
    assert rows == sorted(
        [row for row in now if row[0] == studio_id(0)] + [row for row in before if row[0] == studio_id(1)], key=repr
    )


async def test_months_exported_one_by_one_are_the_months_exported_at_once():
    async with bench() as one_by_one, bench() as at_once:
        for start, end in (MARCH, JANUARY, FEBRUARY):
            await one_by_one.run(Choice(start=start, end=end))
        await at_once.run(Choice(start=START, end=END))
        tables = [
            (await published(b.store)).drop_columns(["run_id", "exported_at"]).replace_schema_metadata(None)
            for b in (one_by_one, at_once)
        ]
    assert tables[0].equals(tables[1])


async def test_every_row_names_the_run_that_fetched_it():
    async with bench() as b:
        (first,) = await b.run(end=FEBRUARY[1])
        (second,) = await b.run()
        rows = groups(await published(b.store), ("run_id",))
        times = (await published(b.store))["exported_at"].to_pylist()
    assert {row[2] for row in of_spans(rows, JANUARY, FEBRUARY)} == {first.run_id}
    assert {row[2] for row in of_spans(rows, MARCH)} == {second.run_id}
    assert all(first.started_at <= time <= second.ended_at for time in times)

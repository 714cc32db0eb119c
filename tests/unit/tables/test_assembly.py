"""Pages are put together only where they agree with each other."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.report import Pivot
from exporter.core.staged import StagedPage
from exporter.errors import ChangedError, DataError
from exporter.tables.assembly import MOST_ROWS, Assembly
from exporter.tables.pieces import whole
from tests.support.tasks import make_dataset, make_task

LIMIT = 10


def make_assembly(dataset=None):
    return Assembly(make_task(dataset=dataset), "fetch-1", LIMIT)


def make_page(assembly, number, api_rows, total):
    return StagedPage(
        studio=assembly.task.studio.id,
        window=assembly.task.window,
        fetch_id=assembly.fetch_id,
        offset=(number - 1) * assembly.limit,
        api_rows=api_rows,
        rows=api_rows,
        total=total,
        received_at=datetime(2025, 3, 1, tzinfo=UTC),
    )


def customers(first, rows):
    return pa.table({"customer_id": pa.array(range(first, first + rows), pa.int64()), "count": [1] * rows})


def assemble(*pages, assembly=None):
    """Pages given by number, rows and total, each with customers of its own."""
    assembly = assembly or make_assembly()
    for number, rows, total in pages:
        assembly.add(make_page(assembly, number, rows, total), whole(customers((number - 1) * LIMIT, rows)))
    return assembly


def changed(*pages):
    with pytest.raises(ChangedError) as caught:
        assemble(*pages)
    return str(caught.value)


def put_together(*orders):
    """Full pages that tell these orders."""
    assembly = make_assembly()
    for number, order in enumerate(orders, start=1):
        page = make_page(assembly, number, LIMIT, LIMIT * len(orders))._replace(order=order)
        assembly.add(page, whole(customers(number * LIMIT, LIMIT)))
    return assembly


@pytest.mark.parametrize("orders", [("", ""), ("status desc", "status desc"), ("", None, ""), (None, "status desc")])
def test_pages_in_one_order_fit_whatever_it_is(orders):
    assert put_together(*orders).is_whole


@pytest.mark.parametrize("orders", [("", "status desc"), ("status desc", None, "")])
def test_pages_in_two_orders_mean_that_the_report_changed(orders):
    with pytest.raises(ChangedError, match=f"page {len(orders)}: is sorted by .*status desc|what was asked for by"):
        put_together(*orders)


# Which pages there are


@given(total=st.integers(0, 75), data=st.data())
def test_pages_come_in_any_order_once_one_of_them_told_the_total(total, data):
    numbers = range(1, max(1, -(-total // LIMIT)) + 1)
    order = data.draw(st.permutations(numbers))
    assembly = make_assembly()
    assert (assembly.missing, assembly.is_whole, assembly.rows) == ((0,), False, 0)
    for place, number in enumerate(order):
        assert not assembly.is_whole
        assemble((number, min(LIMIT, total - (number - 1) * LIMIT), total), assembly=assembly)
        assert assembly.missing == tuple((n - 1) * LIMIT for n in numbers if n not in order[: place + 1])
    assert assembly.is_whole
    assert assembly.offsets == {(n - 1) * LIMIT for n in numbers}
    assert assembly.rows == total
    assert assembly.check()["customer_id"].to_pylist() == list(range(total))


@given(total=st.integers(0, 45))
def test_without_a_total_pages_come_one_after_the_other_until_one_is_not_full(total):
    assembly = make_assembly()
    number = 0
    while not assembly.is_whole:
        number += 1
        assert assembly.missing == ((number - 1) * LIMIT,)
        assemble((number, max(0, min(LIMIT, total - (number - 1) * LIMIT)), None), assembly=assembly)
    # Where the last full page is full to the end, only an empty one can tell.
    assert number == total // LIMIT + 1
    assert (assembly.total, assembly.rows) == (total, total)
    assert assembly.check()["customer_id"].to_pylist() == list(range(total))


def test_a_report_without_rows_is_one_empty_page():
    assembly = assemble((1, 0, 0))
    assert (assembly.is_whole, assembly.total, assembly.missing) == (True, 0, ())
    assert assembly.check().num_rows == 0


def test_a_later_page_may_be_the_first_to_tell_the_total():
    assembly = assemble((1, LIMIT, None), (2, LIMIT, 25))
    assert (assembly.total, assembly.missing) == (25, (20,))


def test_a_page_may_keep_silent_about_a_total_that_is_known():
    assert assemble((1, LIMIT, 13), (2, 3, None)).is_whole


# What does not agree


def test_a_total_that_drifts_is_refused():
    assert changed((1, LIMIT, 25), (2, LIMIT, 26)) == (
        "harbour-yoga 2025-01 page 2: the API counts 26 rows, on another page it was 25"
    )


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([(1, 9, 25)], "page 1: 9 rows came instead of 10 (the API counts 25 in all)"),
        ([(1, 10, 25), (3, 4, 25)], "page 3: 4 rows came instead of 5 (the API counts 25 in all)"),
        ([(1, 10, 25), (3, 6, 25)], "page 3: 6 rows came instead of 5 (the API counts 25 in all)"),
        ([(1, 10, 15), (2, 4, None)], "page 2: 4 rows came instead of 5 (the API counts 15 in all)"),
        ([(1, 10, 10), (2, 1, 10)], "page 2: 1 rows came instead of 0 (the API counts 10 in all)"),
        ([(1, 1, 0)], "page 1: 1 rows came instead of 0 (the API counts 0 in all)"),
        ([(1, 0, 1)], "page 1: 0 rows came instead of 1 (the API counts 1 in all)"),
    ],
)
def test_a_page_with_other_than_its_share_of_the_total_is_refused(pages, said):
    assert changed(*pages) == f"harbour-yoga 2025-01 {said}"


@pytest.mark.parametrize("total", [None, 11, 25])
def test_more_rows_than_were_asked_for_are_refused(total):
    assert changed((1, 11, total)) == "harbour-yoga 2025-01 page 1: 11 rows came, 10 were asked for"


@pytest.mark.parametrize(("rows", "total"), [(0, 9), (0, 0), (3, 3)])
def test_a_total_below_the_rows_that_came_before_it_is_refused(rows, total):
    assert changed((1, LIMIT, None), (2, rows, total)) == (
        f"harbour-yoga 2025-01 page 2: the API counts {total} rows, which the pages before it do not fit"
    )


def test_a_page_that_is_refused_is_not_taken_in():
    assembly = assemble((1, LIMIT, 25))
    with pytest.raises(ChangedError):
        assemble((2, 9, 25), assembly=assembly)
    assert (assembly.offsets, assembly.rows, assembly.missing) == ({0}, LIMIT, (10, 20))


# Groups that repeat


def check(dataset, *tables):
    """Hold pages of these rows against the rules, each of which but the last is full."""
    assembly = Assembly(make_task(dataset=dataset), "fetch-1", tables[0].num_rows)
    total = sum(table.num_rows for table in tables)
    for number, table in enumerate(tables):
        assembly.add(make_page(assembly, number + 1, table.num_rows, total), whole(table))
    return assembly.check()


def repeats(dataset, *tables):
    with pytest.raises(ChangedError) as caught:
        check(dataset, *tables)
    return str(caught.value)


GROUPED = make_dataset("customer_id", "status", "count")


def rows(*groups, **more):
    return pa.table(
        {
            "customer_id": pa.array([customer for customer, _ in groups], pa.int64()),
            "status": pa.array([status for _, status in groups], pa.string()),
            "count": pa.array(range(len(groups)), pa.int64()),
            **more,
        }
    )


def test_a_group_that_stands_on_two_pages_is_refused():
    message = repeats(GROUPED, rows((1, "open"), (2, "open")), rows((2, "open"), (1, "open")), rows((3, "open")))
    assert message == "harbour-yoga 2025-01: 2 of 5 rows repeat the group of another row"


@pytest.mark.parametrize("group", [(None, "open"), (1, None), (None, None), (1, "")])
def test_a_group_repeats_where_nulls_stand_at_the_same_places(group):
    assert "1 of 2 rows" in repeats(GROUPED, rows(group, group))


def test_groups_that_differ_in_a_null_alone_differ():
    assert check(GROUPED, rows((1, None), (1, ""), (None, "")), rows((None, None))).num_rows == 4


def test_the_measure_tells_no_groups_apart():
    assert "1 of 2 rows" in repeats(
        make_dataset("status", "count"), rows((1, "open"), (2, "open")).drop(["customer_id"])
    )


def test_a_column_that_came_without_being_asked_for_is_part_of_the_group():
    extra = rows((1, "open"), (1, "open"), level=["a", "b"])
    assert check(GROUPED, extra).num_rows == 2
    assert "1 of 2 rows" in repeats(GROUPED, rows((1, "open"), (1, "open"), level=["a", "a"]))


def test_an_extra_column_may_have_a_name_like_a_periods():
    assert check(GROUPED, rows((1, "open"), (1, "open"), period_of_day=["early", "late"])).num_rows == 2


def test_a_column_that_came_on_one_page_alone_is_null_on_the_others():
    table = check(GROUPED, rows((1, "open"), level=["a"]), rows((1, "open")))
    assert table["level"].to_pylist() == ["a", None]


def test_a_pivoted_group_stands_once_in_each_period():
    pivoted = make_dataset("customer_id", "status", "count", pivot=Pivot.MONTH)
    months = {"period_key": ["2025-01", "2025-02"], "period_label": ["January", "February"]}
    assert check(pivoted, rows((1, "open"), (1, "open"), **months)).num_rows == 2
    months["period_key"] = ["2025-01", "2025-01"]
    assert "1 of 2 rows" in repeats(pivoted, rows((1, "open"), (1, "open"), **months))


def test_a_report_of_counts_alone_is_one_row():
    total = make_dataset("count")
    assert check(total, pa.table({"count": [5]})).num_rows == 1
    assert "1 of 2 rows" in repeats(total, pa.table({"count": [5, 6]}))


def test_an_ungrouped_row_is_told_by_its_id_alone():
    strikes = make_dataset("id", "status", report="attendance_strikes")
    table = pa.table({"id": [1, 2], "status": ["open", "open"]})
    assert check(strikes, table).num_rows == 2
    again = pa.table({"id": [1, 1], "status": ["open", "voided"], "level": ["a", "b"]})
    assert "1 of 2 rows" in repeats(strikes, again)


# What is promised


@pytest.mark.parametrize("total", [MOST_ROWS + 1, 10**18, 10**400])
def test_more_rows_than_any_window_has_are_not_believed(total):
    with pytest.raises(DataError, match="choose a smaller") as caught:
        assemble((1, LIMIT, total))
    assert not isinstance(caught.value, ChangedError)


def test_pages_without_a_total_end_where_no_window_can_go_on():
    assemble((MOST_ROWS // LIMIT, LIMIT, None))
    with pytest.raises(DataError, match="more than 1,000,000 rows"):
        assemble((MOST_ROWS // LIMIT + 1, LIMIT, None))


def test_the_largest_window_is_believed():
    assert len(assemble((1, LIMIT, MOST_ROWS)).missing) == MOST_ROWS // LIMIT - 1

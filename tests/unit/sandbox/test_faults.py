from collections import Counter
from random import Random

import pytest

from exporter.errors import UsageError
from exporter.sandbox.catalogue import REPORTS
from exporter.sandbox.faults import GROUPS, Fault, parse_faults, spoil
from exporter.sandbox.query import parse_query
from exporter.sandbox.tabulate import Table, tabulate
from tests.support.made_up import make_infraction, make_request, make_studio


def draw(text: str, requests: int, seed: int = 1) -> list[Fault | None]:
    source = parse_faults(text, seed)
    return [source(number, make_request()) for number in range(1, requests + 1)]


def make_table(rows: int, sort: str = "customer_id") -> Table:
    report = REPORTS["/reports/attendance_strikes.grouped/data"]
    params = [("columns", "customer_id,count"), ("sort", sort)]
    return tabulate(make_studio(map(make_infraction, range(rows))), parse_query(report, params).selection)


def spoiled(fault: Fault, table: Table, offset: int = 0, limit: int = 3):
    return spoil(table.page(offset, limit, Random(1)), fault, table, offset)


def test_shares_are_kept():
    counts = Counter(draw("500:0.25,reset:0.1", 4000))
    assert counts[Fault.ERROR_500] == pytest.approx(1000, rel=0.15)
    assert counts[Fault.RESET] == pytest.approx(400, rel=0.2)
    assert counts.keys() == {Fault.ERROR_500, Fault.RESET, None}


def test_a_share_of_one_hits_every_request():
    assert set(draw("429:1", 100)) == {Fault.THROTTLED}


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_divides_its_share_among_its_kinds(group):
    counts = Counter(draw(f"{group}:1", 4000))
    assert counts.keys() == set(GROUPS[group])
    assert min(counts.values()) == pytest.approx(4000 / len(GROUPS[group]), rel=0.25)


def test_a_numbered_fault_hits_that_request_alone():
    assert draw("reset@2,drift@4", 5) == [None, Fault.RESET, None, Fault.DRIFT, None]


def test_one_seed_draws_the_same_faults():
    assert draw("all:0.3", 200, seed=5) == draw("all:0.3", 200, seed=5) != draw("all:0.3", 200, seed=6)


def test_no_text_plans_nothing():
    assert draw(" , ", 50) == [None] * 50


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("501:0.1", 'names the kind "501" instead of one of all, data, 500'),
        ("500", 'the share "" instead of a number from 0 to 1'),
        ("500:often", 'the share "often"'),
        ("500:nan", 'the share "nan"'),
        ("500:-0.1", 'the share "-0.1"'),
        ("500:1.5", 'the share "1.5"'),
        ("500:0.6,reset:0.6", "add up to 1.2 instead of at most 1"),
        ("reset@0", 'the number "0" instead of 1, 2'),
        ("reset@x", 'the number "x"'),
        ("all@3", "gives a group to one request"),
    ],
)
def test_a_plan_that_makes_no_sense_is_explained(text, complaint):
    with pytest.raises(UsageError, match=r"^faults: ") as caught:
        parse_faults(text)
    assert complaint in str(caught.value)


def test_a_repeat_serves_a_row_of_another_page():
    assert spoiled(Fault.REPEAT, make_table(6)).rows == ((0, 1), (1, 1), (3, 1))
    assert spoiled(Fault.REPEAT, make_table(6), offset=3).rows == ((3, 1), (4, 1), (0, 1))


def test_a_repeat_in_a_report_of_one_page_is_of_this_page():
    assert spoiled(Fault.REPEAT, make_table(3)).rows == ((0, 1), (1, 1), (0, 1))
    assert spoiled(Fault.REPEAT, make_table(1)).rows == ((0, 1), (0, 1))
    assert spoiled(Fault.REPEAT, make_table(0)).rows == ()


def test_a_short_page_keeps_the_total():
    page = spoiled(Fault.SHORT_PAGE, make_table(6))
    assert (page.rows, page.total) == (((0, 1), (1, 1)), 6)


@pytest.mark.parametrize(("sort", "told"), [("customer_id", "desc"), ("-customer_id", "asc")])
def test_a_wrong_sort_is_told_and_not_done(sort, told):
    table = make_table(6, sort)
    page = spoiled(Fault.WRONG_SORT, table)
    assert page.headings[0].order == told
    assert page.rows == tuple(table.rows[:3])


def test_a_missing_column_is_missing_from_headers_and_rows():
    page = spoiled(Fault.MISSING_COLUMN, make_table(2))
    assert [heading.key for heading in page.headings] == ["count"]
    assert page.rows == ((1,), (1,))

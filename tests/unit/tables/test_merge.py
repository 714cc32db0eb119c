from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.window import Window
from exporter.errors import DataError
from exporter.tables.merge import replace_tasks
from exporter.tables.schema import part_schema
from tests.support.parts import EXPORTED_AT, STRIKES, dataset, january, part, task

DAYS = [january(day) for day in range(1, 5)]
TASKS = [task(studio, day) for studio in ("cove", "dune", "élan") for day in DAYS]
ROW = st.fixed_dictionaries(
    {
        "status": st.none() | st.sampled_from(["open", "voided", "Open", "été"]),
        "customer_id": st.none() | st.integers(-2, 2),
        "count": st.integers(0, 3),
    }
)
ROWS = st.lists(ROW, max_size=4)
PUBLISHED = st.dictionaries(st.sampled_from(TASKS), ROWS)
LAW = settings(max_examples=60, deadline=None)


def part_of(published):
    return part([(one, row) for one, rows in published.items() for row in rows])


def replace(old, new, tasks=None):
    return replace_tasks(old, new if isinstance(new, pa.Table) else part_of(new), tasks or list(new), STRIKES)


def order(row):
    """Sorted as promised: nulls last."""
    keys = ("studio_id", "window_start", "status", "customer_id", "count")
    return [(row[key] is None, "" if row[key] is None else row[key]) for key in keys]


@given(published=PUBLISHED, fetched=PUBLISHED)
@LAW
def test_fetched_tasks_are_swapped_and_all_else_stays_and_is_sorted(published, fetched):
    result = replace(part_of(published), fetched)
    expected = part_of({**published, **fetched}).to_pylist()
    assert result.to_pylist() == sorted(expected, key=order)
    assert result.schema.equals(part_schema(STRIKES), check_metadata=True)


@given(published=PUBLISHED, fetched=PUBLISHED)
@LAW
def test_replacing_twice_is_replacing_once(published, fetched):
    once = replace(part_of(published), fetched)
    assert replace(once, fetched).equals(once, check_metadata=True)


@given(published=PUBLISHED, fetched=PUBLISHED, mine=st.sets(st.sampled_from(TASKS)))
@LAW
def test_the_order_of_disjoint_replacements_does_not_matter(published, fetched, mine):
    one = {key: rows for key, rows in fetched.items() if key in mine}
    other = {key: rows for key, rows in fetched.items() if key not in mine}
    old = part_of(published)
    assert replace(replace(old, one), other).equals(replace(replace(old, other), one), check_metadata=True)


@given(published=PUBLISHED, rows=ROWS, chunk=st.integers(1, 7), seed=st.randoms(use_true_random=False))
@LAW
def test_the_result_depends_on_nothing_but_the_rows(published, rows, chunk, seed):
    fetched = {TASKS[0]: rows}
    old = part_of(published)
    places = list(range(old.num_rows))
    seed.shuffle(places)
    shuffled = pa.concat_tables([old.take(places[n : n + chunk]) for n in range(0, len(places), chunk)] or [old])
    assert replace(shuffled, fetched).equals(replace(old, fetched))


@given(published=PUBLISHED, rows=ROWS)
@LAW
def test_published_windows_that_a_task_covers_go_with_it(published, rows):
    wide = task("cove", Window(DAYS[0].start, DAYS[-1].end))
    result = replace(part_of(published), {wide: rows})
    others = {key: kept for key, kept in published.items() if key[0] != "cove"}
    assert result.to_pylist() == sorted(part_of({wide: rows, **others}).to_pylist(), key=order)


def test_rows_that_stand_in_order_are_neither_sorted_nor_copied():
    old = part_of({TASKS[0]: [{"status": "open"}], TASKS[2]: [{"status": "voided"}]})
    new = part_of({TASKS[1]: [{"customer_id": n, "status": "open"} for n in range(3)]})
    result = replace(old, new, [TASKS[1]])
    given = {table["status"].chunk(0).buffers()[2].address for table in (old, new)}
    assert {chunk.buffers()[2].address for chunk in result["status"].chunks if len(chunk)} == given


def test_a_task_that_came_back_empty_leaves_no_row():
    old = part_of({TASKS[0]: [{"status": "open"}], TASKS[1]: [{"status": "voided"}]})
    assert replace(old, part([]), [TASKS[0]])["status"].to_pylist() == ["voided"]


def test_rows_that_only_a_dropped_column_told_apart_are_ordered_by_measure_before_time():
    later = EXPORTED_AT + timedelta(seconds=1)
    rows = [{"count": 2}, {"count": 1, "exported_at": later}]
    assert replace(part([]), part([(TASKS[0], row) for row in rows]), [TASKS[0]])["count"].to_pylist() == [1, 2]


def test_columns_that_either_side_lacks_are_null_there_and_stand_by_name_behind_the_datasets():
    old = part([(TASKS[0], {"zone": "a"})], extras=[pa.field("zone", pa.string(), nullable=False)])
    new = part([(TASKS[1], {"area": 7})], extras=[pa.field("area", pa.int64())])
    result = replace(old, new, [TASKS[1]])
    extras = [pa.field("area", pa.int64()), pa.field("zone", pa.string())]
    assert result.schema.equals(part_schema(STRIKES, extras), check_metadata=True)
    assert result.select(["area", "zone"]).to_pylist() == [{"area": None, "zone": "a"}, {"area": 7, "zone": None}]


def test_columns_stand_in_the_order_that_is_asked_for_now():
    old = part([(TASKS[0], {"status": "voided", "customer_id": 1}), (TASKS[0], {"status": "open", "customer_id": 2})])
    reordered = dataset("customer_id", "status", "count")
    result = replace_tasks(old, part([], reordered), [TASKS[1]], reordered)
    assert result.schema.equals(part_schema(reordered))
    assert result["customer_id"].to_pylist() == [1, 2]


def test_an_extra_column_is_part_of_the_order():
    extras = [pa.field("zone", pa.string())]
    new = part([(TASKS[0], {"zone": zone, "count": n}) for n, zone in enumerate("cab")], extras=extras)
    assert replace(part([]), new, [TASKS[0]])["zone"].to_pylist() == ["a", "b", "c"]


def test_a_row_of_another_task_is_refused():
    new = part([(TASKS[0], {}), (task("cove", january(2, 3)), {})])
    with pytest.raises(DataError, match=r"cove 2025-01-02\.\.2025-01-04: rows came for a window that is none of the 2"):
        replace(part([]), new, TASKS[:2])


def test_a_row_of_the_same_window_but_another_studio_is_refused():
    with pytest.raises(DataError, match="dune 2025"):
        replace(part([]), part([(task("dune", DAYS[0]), {})]), [task("cove", DAYS[0])])


@pytest.mark.parametrize("window", [january(2), january(1, 2), january(3, 5)])
def test_a_published_window_that_a_task_cuts_is_refused(window):
    old = part([(task("cove", january(2, 3)), {})])
    with pytest.raises(DataError, match=r"cove .*overlaps the published window 2025-01-02\.\.2025-01-04"):
        replace(old, part([]), [task("cove", window)])


def test_windows_of_other_studios_may_overlap():
    old = part([(task("cove", january(2, 3)), {})])
    assert replace(old, part([]), [task("dune", january(2))]).num_rows == 1


def test_a_column_of_another_type_is_refused():
    old = part([(TASKS[0], {"zone": "a"})], extras=[pa.field("zone", pa.string())])
    new = part([(TASKS[1], {"zone": 1})], extras=[pa.field("zone", pa.int64())])
    with pytest.raises(DataError, match="column zone is int64 in the new rows instead of string as published"):
        replace(old, new, [TASKS[1]])

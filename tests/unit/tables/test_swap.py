"""A merge in a stream, held against one of whole tables, and how much memory it takes."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.ledger import Entry, Ledger
from exporter.core.manifest import Change
from exporter.core.partition import partition_of
from exporter.errors import DamagedError, DataError
from exporter.tables import fetched as fetched_module
from exporter.tables import swap as module
from exporter.tables.changes import changes
from exporter.tables.erasure import leave_out
from exporter.tables.merge import replace_tasks
from exporter.tables.parquet import PartFile, encode_part
from exporter.tables.swap import Swap, merge
from tests.support.parts import EXPORTED_AT, RUN_ID, STRIKES, dataset, fetched, january, part, task

DAYS = [january(day) for day in range(1, 4)]
TASKS = [task(studio, day) for studio in ("cove", "dune", "élan", "fjord") for day in DAYS]
ROW = st.fixed_dictionaries(
    {
        "status": st.none() | st.sampled_from(["open", "voided", "été"]),
        "customer_id": st.none() | st.integers(1, 3),
        "count": st.integers(0, 3),
    }
)
STATE = st.dictionaries(st.sampled_from(TASKS), st.lists(ROW, max_size=5))
#: Rows of one studio, most of them of one task.
LARGE = st.fixed_dictionaries({TASKS[0]: st.lists(ROW, max_size=20), TASKS[1]: st.lists(ROW, max_size=3)})
ZONE = pa.field("zone", pa.string())
PARTITION = partition_of(STRIKES.name, DAYS[0])
ROOT = Path(__file__).parents[3]
LATER = "20250302T000000Z-000002"


def nobody(_studio, _value):
    return False


def second_customer(studio, value):
    return (studio, value) in {("cove", "2"), ("élan", "2")}


def entries(state, run_id, days=0):
    return tuple(
        Entry(
            studio=studio,
            window=window,
            rows=len(rows),
            total=len(rows),
            measure=sum(row["count"] for row in rows),
            run_id=run_id,
            began_at=EXPORTED_AT + timedelta(days=days),
        )
        for (studio, window), rows in sorted(state.items())
    )


def table_of(state, run_id=RUN_ID, extras=()):
    return part([(one, {**row, "run_id": run_id}) for one, rows in state.items() for row in rows], extras=extras)


def published(state, extras=()):
    """A part as it would have been put."""
    sorted_rows = replace_tasks(part([], extras=extras), table_of(state, extras=extras), list(state), STRIKES)
    ledger = Ledger(grain=STRIKES.grain.id, entries=entries(state, RUN_ID))
    return encode_part(sorted_rows, ledger, "zstd"), sorted_rows, ledger


def swap_of(state, extras=(), days=1, of=STRIKES):
    rows = [fetched(one, rows, of, extras=extras, run_id=LATER) for one, rows in state.items()]
    return Swap(partition=PARTITION, dataset=of, rows=rows, entries=entries(state, LATER, days))


def whole(old_state, new_state, left_out, extras=()):
    """The same by whole tables: bytes, and what changed."""
    _, old, ledger = published(old_state)
    fresh = Ledger(grain=STRIKES.grain.id, entries=entries(new_state, LATER, 1))
    # Columns that nobody asked for come with what is fetched; where nothing is, none comes.
    new, fresh = leave_out(table_of(new_state, LATER, extras if new_state else ()), fresh, left_out)
    old, ledger = leave_out(old, ledger, left_out)
    merged = replace_tasks(old, new, list(new_state), STRIKES)
    again = [one for one in new_state if one in old_state]
    found = changes(old, new, again, STRIKES) if again else {}
    return encode_part(merged, ledger.replace(fresh.entries), "zstd"), found


@pytest.fixture(autouse=True)
def _few_rows_at_a_time(monkeypatch):
    """So few that each example has several blocks."""
    monkeypatch.setattr(module, "BLOCK_ROWS", 3)
    monkeypatch.setattr(fetched_module, "HELD_ROWS", 2)


@given(old=STATE, new=STATE, left_out=st.sampled_from([None, second_customer]), zone=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_stream_gives_the_bytes_and_changes_of_a_merge_of_whole_tables(old, new, left_out, zone):
    extras = [ZONE] if zone else []
    data, moved = whole(old, new, left_out or nobody, extras)
    before = published(old)[0]
    result = merge(swap_of(new, extras), PartFile(before), left_out, "zstd")
    assert result.changes == moved
    if result.unchanged:
        assert result.data is before
        assert not any(moved.values())
    else:
        assert result.data == data
    file = PartFile(result.data)
    assert (result.rows, result.columns) == (file.num_rows, tuple(file.schema.names))


@given(old=LARGE, new=LARGE)
@settings(max_examples=60, deadline=None)
def test_a_studio_of_many_rows_is_merged_in_ranges_to_the_same_bytes_and_changes(old, new):
    data, moved = whole(old, new, nobody)
    result = merge(swap_of(new), PartFile(published(old)[0]), None, "zstd")
    assert result.changes == moved
    assert result.unchanged or result.data == data


def test_many_rows_that_were_published_with_columns_in_another_order_are_sorted_anew():
    rows = [{"status": status, "customer_id": n} for status in ("open", "voided") for n in range(9)]
    before = encode_part(
        replace_tasks(part([]), part([(TASKS[0], row) for row in rows]), [TASKS[0]], STRIKES),
        Ledger(grain=STRIKES.grain.id, entries=entries({TASKS[0]: [{"count": 1}] * 18}, RUN_ID)),
        "zstd",
    )
    by_customer = dataset("customer_id", "status", "count")
    result = merge(
        swap_of({TASKS[1]: [{"status": "open", "count": 1}]}, of=by_customer), PartFile(before), None, "zstd"
    )
    found = PartFile(result.data).read().select(["window_start", "customer_id", "status"]).to_pylist()[:18]
    assert [(row["customer_id"], row["status"]) for row in found] == [
        (n, s) for n in range(9) for s in ("open", "voided")
    ]


def test_many_rows_that_are_known_by_an_id_which_is_not_the_first_column_are_told_apart_by_it():
    strikes = dataset("status", "id", report="attendance_strikes")

    def state(status):
        return {TASKS[0]: [{"status": status if n % 2 else "open", "id": n, "count": 1} for n in range(18)]}

    ledger = Ledger(grain=strikes.grain.id, entries=entries(state("open"), RUN_ID))
    rows = [(TASKS[0], {name: row[name] for name in ("status", "id")}) for row in state("open")[TASKS[0]]]
    old = PartFile(encode_part(part(rows, strikes), ledger, "zstd"))
    result = merge(swap_of(state("voided"), of=strikes), old, None, "zstd")
    assert result.changes == {TASKS[0]: Change(rows_recounted=9)}


@given(old=STATE)
@settings(max_examples=30, deadline=None)
def test_rows_that_came_again_leave_the_part_as_it_is(old):
    data, _, _ = published(old)
    result = merge(swap_of(old), PartFile(data), None, "zstd")
    assert (result.unchanged, result.data) == (True, data)
    assert result.changes == dict.fromkeys(old, Change())


def test_a_row_that_changed_without_a_change_of_any_sum_is_seen():
    row = {"status": "open", "customer_id": 1, "count": 2}
    state = {one: [row] for one in TASKS}
    moved = merge(
        swap_of(state | {TASKS[5]: [row | {"status": "voided"}]}), PartFile(published(state)[0]), None, "zstd"
    )
    assert not moved.unchanged
    assert [one for one, change in moved.changes.items() if change] == [TASKS[5]]


def test_rows_of_a_task_that_has_no_entry_are_refused():
    swap = swap_of({TASKS[0]: [{"count": 1}], TASKS[1]: [{"count": 1}]})
    with pytest.raises(DataError, match="rows came for a window that is none of the 1 fetched"):
        merge(replace(swap, entries=swap.entries[:1]), None, None, "zstd")


def test_a_window_that_cuts_a_published_one_is_refused_before_anything_is_written():
    data, _, _ = published({task("cove", january(2, 3)): [{"count": 1}]})
    with pytest.raises(DataError, match="overlaps the published window"):
        merge(swap_of({task("cove", january(3, 4)): []}), PartFile(data), None, "zstd")


def test_a_part_whose_studios_are_out_of_order_is_not_merged():
    rows = part([(task("dune", DAYS[0]), {}), (task("cove", DAYS[0]), {})])
    data = encode_part(rows, Ledger(grain=STRIKES.grain.id, entries=entries({TASKS[0]: []}, RUN_ID)), "zstd")
    with pytest.raises(DamagedError, match="not sorted by studio"):
        merge(swap_of({TASKS[0]: []}), PartFile(data), None, "zstd")


_PEAK = """
import json, os, sys
os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
import pyarrow as pa
from exporter.tables.parquet import PartFile
from exporter.tables.swap import merge
from tests.unit.tables.test_swap import TASKS, swap_of
from tests.support.parts import january, task

studios, rows_of_each = map(int, sys.argv[1:])
def state(count):
    rows = [{"status": "open", "customer_id": n, "count": count} for n in range(rows_of_each)]
    return {task(f"studio-{n:04}", january(1)): rows for n in range(studios)}

def peak(swap, old):
    held = pa.total_allocated_bytes()
    data = merge(swap, old, None, "zstd").data
    return data, pa.default_memory_pool().max_memory() - held

data, first = peak(swap_of(state(1)), None)
_, second = peak(swap_of(state(2)), PartFile(data))
print(json.dumps({"arrow": PartFile(data).read().nbytes, "first": first, "second": second}))
"""


@pytest.mark.parametrize(("small", "large"), [((100, 1_000), (400, 1_000)), ((1, 100_000), (1, 400_000))])
def test_a_merge_of_four_times_the_rows_takes_no_more_memory(small, large):
    """Beside the fetched rows, which are given: one row group, some blocks, and the part's own bytes."""

    def peak(size):
        command = [sys.executable, "-c", _PEAK, *map(str, size)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return json.loads(run.stdout)

    small, large = peak(small), peak(large)
    assert large["arrow"] > 3.9 * small["arrow"]
    for when in ("first", "second"):
        assert large[when] < 1.2 * small[when] + large["arrow"] / 8, (small, large)
    assert max(large["first"], large["second"]) < large["arrow"], (small, large)

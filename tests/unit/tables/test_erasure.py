"""Rows of people who are left out are taken, counted, and no others."""

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.ledger import Entry, Ledger, Withheld
from exporter.core.report import GrainId
from exporter.core.staged import SegmentRecord, StagedPage
from exporter.core.studio import StudioId
from exporter.tables.erasure import grains_of, leave_out, leave_out_staged, why_unsearched
from tests.support.parts import EXPORTED_AT, RUN_ID, dataset, january, part, task
from tests.support.tasks import make_dataset

GRAIN = GrainId("0123456789abcdef")
TASKS = (task("bay", january(1, 15)), task("bay", january(16, 31)), task("cove", january(1, 31)))
ids = st.none() | st.integers(1, 4)
rows = st.lists(st.tuples(st.sampled_from(TASKS), ids, st.integers(1, 9)), max_size=12)


def made(rows, **changes):
    """A part of *rows* (task, id, count), and its ledger."""
    table = part(
        ((where, {"customer_id": customer, "count": count}) for where, customer, count in sorted(rows, key=repr))
    )
    entries = tuple(
        Entry(
            studio=where[0],
            window=where[1],
            rows=sum(row[0] == where for row in rows),
            total=50,
            measure=sum(row[2] for row in rows if row[0] == where),
            run_id=RUN_ID,
            began_at=EXPORTED_AT,
        )
        for where in TASKS
    )
    return table, Ledger(grain=GRAIN, entries=entries, **changes)


def leaves_out(*people):
    """Says so of *people*, each a studio and a value."""
    return lambda studio, value: (studio, value) in people


@given(rows)
@settings(deadline=None)
def test_what_is_left_and_what_is_withheld_are_what_was_there(rows):
    table, ledger = made(rows)
    gone = leaves_out(("bay", "1"), ("bay", "3"), ("cove", "2"))
    left, after = leave_out(table, ledger, gone)
    kept = [row for row in table.to_pylist() if not gone(row["studio_id"], str(row["customer_id"]))]
    assert left.to_pylist() == kept
    for was, now in zip(ledger.entries, after.entries, strict=True):
        assert (now.rows + now.withheld.rows, now.measure + now.withheld.measure) == (was.rows, was.measure)
        theirs = [row for row in kept if (row["studio_id"], row["window_start"]) == (now.studio, now.window.start)]
        assert (now.rows, now.measure) == (len(theirs), sum(row["count"] for row in theirs))
    again = leave_out(left, after, gone)
    assert again[0] is left
    assert again[1] is after


def test_where_nobody_is_found_what_was_given_comes_back():
    table, ledger = made([(TASKS[0], 7, 1), (TASKS[2], None, 1)])
    left, after = leave_out(table, ledger, leaves_out(("cove", "7"), ("bay", "None")))
    assert left is table
    assert after is ledger


def test_a_person_is_found_in_a_column_that_only_the_ledger_knows():
    flagged = pa.field("attendee_id", pa.string())
    table = part(
        [(TASKS[0], {"customer_id": 1, "attendee_id": "7"}), (TASKS[0], {"attendee_id": "8"})], extras=[flagged]
    )
    _, ledger = made([])
    gone = leaves_out(("bay", "7"))
    assert leave_out(table, ledger, gone)[0] is table
    left, _ = leave_out(table, replace(ledger, customer_columns=("attendee_id", "not_there")), gone)
    assert left["attendee_id"].to_pylist() == ["8"]


@given(rows, st.data())
@settings(deadline=None)
def test_a_segment_s_pages_tell_what_is_withheld(rows, data):
    where = data.draw(st.lists(st.sampled_from(TASKS), min_size=len(rows), max_size=len(rows)))
    table = pa.table(
        {
            "customer_id": pa.array([customer for _, customer, _ in rows], pa.int64()),
            "count": pa.array([count for *_, count in rows], pa.int64()),
        }
    )
    # A page a row, and one without any.
    pages = tuple(
        StagedPage(
            studio=studio,
            window=window,
            fetch_id="f",
            offset=number,
            api_rows=1,
            rows=1,
            total=None,
            received_at=datetime(2025, 3, 1, tzinfo=UTC),
        )
        for number, (studio, window) in enumerate(where)
    )
    empty = StagedPage(
        studio=StudioId("bay"),
        window=january(1),
        fetch_id="g",
        offset=0,
        api_rows=0,
        rows=0,
        total=0,
        received_at=datetime(2025, 3, 1, tzinfo=UTC),
    )
    record = SegmentRecord(
        dataset=dataset().name,
        grain=GRAIN,
        run_id=RUN_ID,
        began_at=EXPORTED_AT,
        full=False,
        pages=(empty, *pages),
        seals=(),
    )
    gone = leaves_out(("bay", "1"), ("cove", "2"))
    kept, left = leave_out_staged(record, table, gone)
    assert sum(page.rows for page in kept.pages) == left.num_rows
    for page, (_, customer, count) in zip(kept.pages[1:], rows, strict=True):
        theirs = gone(page.studio, str(customer))
        assert page.withheld == (Withheld(rows=1, measure=count) if theirs else Withheld())
    assert kept.seals == record.seals


HASHED = "ab" * 32


@pytest.mark.parametrize(
    ("columns", "grain", "why"),
    [
        ({"customer_id": [1]}, "", None),
        ({"customer_id": [HASHED]}, "", "hashed"),
        ({"customer_id": [HASHED]}, "ours", None),
        ({"customer_id": pa.array([None], pa.string())}, "", None),
        ({"venue_id": [1]}, "", "no column"),
        ({"venue_id": [1]}, "ours", "no column"),
        ({"venue_id": [1]}, "impersonal", None),
        ({"venue_id": [1], "customer_name": ["somebody"]}, "impersonal", "no column"),
        ({"venue_id": pa.array([], pa.int64())}, "", None),
    ],
)
def test_where_a_person_would_not_be_found_it_is_told(columns, grain, why):
    ours = make_dataset(hash=frozenset({"customer_id"}), hash_id="key")
    impersonal = make_dataset("venue_id", "count")
    known = {"ours": ours.grain.id, "impersonal": impersonal.grain.id}
    reason = why_unsearched(pa.table(columns), known.get(grain, GRAIN), (), grains_of([ours, impersonal]))
    assert reason is None if why is None else why in reason

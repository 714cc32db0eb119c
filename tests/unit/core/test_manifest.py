"""Manifests come back as they were written, and add up."""

import json
import tracemalloc
from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.manifest import (
    MANIFEST_VERSION,
    Change,
    Manifest,
    ObjectRecord,
    RunState,
    TaskRecord,
    TaskState,
    Totals,
    parse_manifest,
    sum_totals,
)
from exporter.core.reconcile import Reconciled
from tests.support.tasks import moments, windows

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
counts = st.integers(0, 10**12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
changes = st.builds(Change, rows_added=counts, rows_gone=counts, rows_recounted=counts, measure_change=st.integers())
task_records = st.builds(
    lambda window, **values: TaskRecord(window_start=str(window.start), window_end=str(window.end), **values),
    window=windows(),
    studio=texts,
    state=st.sampled_from(TaskState),
    rows=counts,
    total=st.none() | counts,
    requests=counts,
    retries=counts,
    resumed=st.booleans(),
    error=st.none() | texts,
    changed=st.none() | changes,
)
object_records = st.builds(
    ObjectRecord,
    key=texts,
    rows=counts,
    bytes=counts,
    sha256=texts,
    columns=st.lists(texts, max_size=3).map(tuple),
    published_at=moments(),
    unchanged=st.booleans(),
)
reconciled = st.builds(
    Reconciled,
    studio=texts,
    start=texts,
    end=texts,
    published=counts,
    source=st.none() | counts,
    agrees=st.booleans(),
    error=st.none() | texts,
)
totals = st.builds(
    lambda seconds, numbers: Totals(**numbers, seconds=seconds),
    st.floats(0, 10**6),
    st.fixed_dictionaries({f.name: counts for f in fields(Totals) if f.name != "seconds"}),
)
manifests = st.builds(
    Manifest,
    run_id=texts,
    dataset=texts,
    grain=texts,
    state=st.sampled_from(RunState),
    started_at=moments(),
    ended_at=moments(),
    version=texts,
    config=st.dictionaries(texts, json_values, max_size=3),
    continues=st.lists(texts, max_size=2).map(tuple),
    tasks=st.lists(task_records, max_size=3).map(tuple),
    objects=st.lists(object_records, max_size=3).map(tuple),
    extra_columns=st.lists(texts, max_size=2).map(tuple),
    reconciled=st.lists(reconciled, max_size=2).map(tuple),
    totals=totals,
)

MANIFEST = Manifest(
    run_id="20250301T120000Z-abcdef",
    dataset="strikes",
    grain="0123456789abcdef",
    state=RunState.FAILED,
    started_at=datetime(2025, 3, 1, 12, tzinfo=UTC),
    ended_at=datetime(2025, 3, 1, 12, 0, 1, 500, tzinfo=UTC),
    version="0.1.0",
    config={"api": {"page_size": 100}},
    tasks=(
        TaskRecord(studio="café", window_start="2025-01-01", window_end="2025-02-01", state=TaskState.EMPTY, total=0),
    ),
)


@given(manifests)
@settings(deadline=None)
def test_what_is_written_is_read_again(manifest):
    assert parse_manifest(manifest.to_json()) == manifest


def test_a_manifest_is_json_for_people_and_machines():
    text = MANIFEST.to_json().decode()
    assert '"studio": "café"' in text
    assert text.endswith("}\n")
    document = json.loads(text)
    assert document["manifest_version"] == MANIFEST_VERSION
    assert (document["started_at"], document["ended_at"]) == ("2025-03-01T12:00:00Z", "2025-03-01T12:00:01.000500Z")
    assert (document["state"], document["tasks"][0]["state"]) == ("failed", "empty")


def test_a_manifest_of_very_many_tasks_is_never_in_memory_twice():
    task = MANIFEST.tasks[0]
    many = replace(MANIFEST, tasks=(task,) * 5_000)
    many.to_json()  # whatever is made once is made now
    tracemalloc.start()
    try:
        data = many.to_json()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 1.3 * len(data)


def test_what_very_many_tasks_have_in_common_is_read_once():
    one, other = parse_manifest(replace(MANIFEST, tasks=2 * MANIFEST.tasks).to_json()).tasks
    assert one.studio is other.studio
    assert one.window_start is other.window_start
    assert one.window_end is other.window_end


def changed(**changes):
    return json.dumps({**json.loads(MANIFEST.to_json()), **changes}).encode()


def test_a_manifest_of_a_newer_version_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"^manifest version 2 is newer than 1; update this program$"):
        parse_manifest(changed(manifest_version=2))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff{}",
        b'{"manifest_version": 1}',
        changed(manifest_version="1"),
        changed(state="happy"),
        changed(started_at=None),
        changed(started_at="yesterday"),
        changed(tasks=[{"studio": "cove"}]),
        changed(tasks=None),
        changed(reconciled=None),
        changed(reconciled=[{}]),
        changed(objects=[{}]),
        changed(totals={"happiness": 1}),
        changed(unknown=1),
        MANIFEST.to_json()[:-3],
        b"[" * 100_000,
    ],
)
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own message
        parse_manifest(data)


def test_reading_very_many_tasks_takes_little_more_than_their_text():
    data = replace(MANIFEST, tasks=5000 * MANIFEST.tasks[:1]).to_json()
    tracemalloc.start()
    try:
        parse_manifest(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # With a dictionary for each task at a time it would be four times as much.
    assert peak < 2.5 * len(data)


def test_what_json_cannot_say_has_no_place_in_a_manifest():
    with pytest.raises(TypeError, match="bytes has no place in JSON"):
        replace(MANIFEST, config={"token": b"x"}).to_json()


@given(st.lists(totals, max_size=4))
def test_totals_of_datasets_add_up_but_their_seconds_ran_side_by_side(several):
    result = sum_totals([replace(MANIFEST, totals=one) for one in several])
    for name in {f.name for f in fields(Totals)} - {"seconds"}:
        assert getattr(result, name) == sum(getattr(one, name) for one in several)
    assert result.seconds == max((one.seconds for one in several), default=0)


@given(totals, totals)
def test_totals_add_field_by_field(one, other):
    added = one + other
    assert {f.name: getattr(added, f.name) for f in fields(Totals)} == {
        f.name: getattr(one, f.name) + getattr(other, f.name) for f in fields(Totals)
    }
    assert one + Totals() == one

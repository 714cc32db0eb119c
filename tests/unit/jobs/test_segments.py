"""A segment stays while somebody needs it, and a fetch is whole once it is sealed."""

import pytest

from exporter.core.staged import Seal, StagedPage
from exporter.errors import DataError
from exporter.jobs.segments import Segments
from tests.support.tasks import LATER, make_task

TASK = make_task()
DATASET = TASK.dataset.name


def page_of(fetch_id, offset=0):
    return StagedPage(
        studio=TASK.studio.id,
        window=TASK.window,
        fetch_id=fetch_id,
        offset=offset,
        api_rows=100,
        rows=100,
        total=200,
        received_at=LATER,
    )


def staged(*places, spared=frozenset()):
    """Segments that hold a page for each of *places*: a segment's key and a fetch's id."""
    segments = Segments(spared)
    for number, (key, fetch_id) in enumerate(places):
        segments.add(DATASET, key, page_of(fetch_id, 100 * number), LATER)
    return segments


def test_a_segment_is_unused_once_each_fetch_in_it_is_forgotten():
    segments = staged(("one", "first"), ("one", "second"), ("two", "second"))
    assert segments.unused(segments.forget(DATASET, "first")) == []
    assert segments.unused(segments.forget(DATASET, "second")) == ["one", "two"]


def test_a_segment_that_is_spared_is_never_unused():
    segments = staged(("one", "first"), ("two", "first"), spared=frozenset({"one"}))
    assert segments.unused(segments.forget(DATASET, "first")) == ["two"]


def test_what_an_earlier_run_staged_counts_like_ones_own():
    earlier = staged(("one", "first"), ("two", "first")).fetch(TASK, "first")
    segments = staged(("two", "second"))
    segments.adopt(DATASET, earlier)
    assert segments.unused(segments.forget(DATASET, "first")) == ["one"]


def test_a_fetch_that_is_not_known_uses_nothing():
    assert staged().forget(DATASET, "first") == []


def test_only_a_sealed_fetch_says_what_its_rows_add_up_to():
    segments = staged(("one", "first"), ("one", "second"))
    assert segments.unsealed() == {"first", "second"}
    with pytest.raises(DataError, match="harbour-yoga 2025-01: is not whole"):
        segments.measure(TASK, "first")
    seal = Seal(
        studio=TASK.studio.id, window=TASK.window, fetch_id="first", total=1, rows=1, measure=7, sealed_at=LATER
    )
    segments.seal(DATASET, seal)
    assert segments.measure(TASK, "first") == 7
    assert segments.unsealed() == {"second"}

"""Staged records, gathered into fetches again."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from exporter.core.report import DatasetName, GrainId
from exporter.core.staged import Seal, SegmentRecord, StagedPage, collect_fetches
from exporter.core.studio import StudioId
from tests.support.tasks import LATER, month

JANUARY = month("2025-01")
COVE = StudioId("cove")


def page(fetch_id, offset, *, minute=0):
    return StagedPage(
        studio=COVE,
        window=JANUARY,
        fetch_id=fetch_id,
        offset=offset,
        api_rows=100,
        rows=100,
        total=None,
        received_at=LATER + timedelta(minutes=minute),
    )


def seal(fetch_id):
    return Seal(studio=COVE, window=JANUARY, fetch_id=fetch_id, total=200, rows=200, measure=300, sealed_at=LATER)


def segment(*pages, seals=(), dataset="strikes", run=1):
    """A segment of the run number *run*; runs begin an hour apart."""
    return SegmentRecord(
        dataset=DatasetName(dataset),
        grain=GrainId("0123456789abcdef"),
        run_id=f"run-{run}",
        began_at=LATER + timedelta(hours=run),
        full=False,
        pages=pages,
        seals=tuple(seals),
    )


def test_a_fetch_is_gathered_from_the_segments_of_all_the_runs_that_worked_on_it():
    segments = [
        ("a", segment(page("f", 0, minute=1), page("g", 0))),
        ("b", segment(page("f", 100, minute=2))),
        ("c", segment(page("f", 200, minute=70), seals=[seal("f")], run=2)),
    ]
    fetches = collect_fetches(segments)
    assert list(fetches) == [("strikes", "f"), ("strikes", "g")]
    whole, partial = fetches.values()
    assert (whole.studio, whole.window, whole.fetch_id) == ("cove", JANUARY, "f")
    assert {offset: key for offset, (key, _) in whole.pages.items()} == {0: "a", 100: "b", 200: "c"}
    assert whole.segments == ("a", "b", "c")
    assert whole.seal == seal("f")
    assert whole.began_at == LATER + timedelta(hours=1)
    assert (partial.segments, partial.seal) == (("a",), None)


def test_a_fetch_knows_when_its_last_page_came():
    segments = [("b", segment(page("f", 0, minute=5))), ("a", segment(page("f", 100, minute=2), page("f", 200)))]
    [fetch] = collect_fetches(segments).values()
    assert fetch.newest_page_at == LATER + timedelta(minutes=5)


def test_a_segment_is_named_once_however_many_pages_it_holds():
    [fetch] = collect_fetches([("a", segment(page("f", 0), page("f", 100)))]).values()
    assert fetch.segments == ("a",)


def test_fetches_of_different_datasets_are_different_whatever_their_ids():
    segments = [("a", segment(page("f", 0))), ("b", segment(page("f", 0), dataset="weekly"))]
    assert set(collect_fetches(segments)) == {("strikes", "f"), ("weekly", "f")}


def test_a_seal_may_stand_apart_from_its_pages():
    segments = [("b", segment(seals=[seal("f")], run=2)), ("a", segment(page("f", 0)))]
    [fetch] = collect_fetches(segments).values()
    assert (fetch.seal, fetch.segments, fetch.began_at) == (seal("f"), ("a",), LATER + timedelta(hours=1))


SEGMENTS = [
    ("a", segment(page("f", 0, minute=1), page("g", 0))),
    ("b", segment(page("g", 100), page("f", 100))),
    ("c", segment(page("f", 200), seals=[seal("f")], run=2)),
    ("d", segment(seals=[seal("g")], run=3)),
    ("e", segment(page("h", 0), dataset="weekly")),
]


@given(st.permutations(SEGMENTS))
def test_the_order_of_the_segments_does_not_matter(segments):
    def facts(found):
        return {key: (dict(sorted(f.pages.items())), f.seal, f.began_at) for key, f in found.items()}

    assert facts(collect_fetches(segments)) == facts(collect_fetches(SEGMENTS))


def test_no_segments_hold_no_fetch():
    assert collect_fetches([]) == {}

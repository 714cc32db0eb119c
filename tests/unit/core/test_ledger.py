"""Ledgers come back as they were written, and change by whole windows."""

import base64
import json
import zlib
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.ledger import Entry, Ledger, Withheld, entries_by_studio, parse_ledger
from exporter.core.report import GrainId
from exporter.core.studio import StudioId
from exporter.core.window import Window
from tests.support.tasks import LATER, days, moments

GRAIN = GrainId("0123456789abcdef")
FIRST = days("2025-01-01", "2025-02-01").start
#: Few and near each other, so that they meet.
near_windows = st.builds(
    lambda first, length: Window(FIRST + timedelta(first), FIRST + timedelta(first + length)),
    st.integers(0, 8),
    st.integers(1, 4),
)
entries = st.builds(
    Entry,
    studio=st.sampled_from(["bay", "cove", "élan"]).map(StudioId),
    window=near_windows,
    rows=st.integers(0, 10**9),
    total=st.integers(0, 10**9),
    measure=st.integers(0, 10**9),
    run_id=st.sampled_from(["first", "second", "third"]),
    began_at=moments(),
    withheld=st.builds(Withheld, rows=st.integers(0, 2), measure=st.integers(0, 2)),
    zone=st.sampled_from(["", "UTC", "Europe/London"]),
)
several = st.lists(entries, max_size=8)


def place(entry):
    return entry.studio, entry.window


def covered(entry, by):
    return any(entry.studio == other.studio and other.window.covers(entry.window) for other in by)


def make_entry(studio="cove", window=days("2025-01-01", "2025-02-01"), run_id="first"):  # noqa: B008 - frozen
    return Entry(studio=StudioId(studio), window=window, rows=1, total=1, measure=1, run_id=run_id, began_at=LATER)


@given(several, st.lists(st.text(), max_size=2))
def test_what_is_written_is_read_again(old, names):
    ledger = Ledger(grain=GRAIN, entries=tuple(old), customer_columns=tuple(names))
    assert parse_ledger(ledger.to_text()) == ledger


def test_what_was_written_before_people_could_be_left_out_and_zones_were_kept_is_read():
    ledger = Ledger(grain=GRAIN, entries=(make_entry(),))
    document = json.loads(zlib.decompress(base64.b85decode(ledger.to_text())))
    assert document.keys() == {"v", "grain", "runs", "tasks"}
    [entry] = parse_ledger(ledger.to_text()).entries
    assert (entry.withheld, entry.zone) == (Withheld(), "")


@given(several)
def test_the_text_is_ascii_and_the_same_for_the_same_entries(old):
    ledger = Ledger(grain=GRAIN, entries=tuple(old))
    assert ledger.to_text().isascii()
    assert parse_ledger(ledger.to_text()).to_text() == ledger.to_text()


def test_many_tasks_of_few_runs_take_few_bytes():
    windows = [Window(FIRST + timedelta(n), FIRST + timedelta(n + 1)) for n in range(3000)]
    ledger = Ledger(grain=GRAIN, entries=tuple(make_entry(window=window) for window in windows))
    assert len(ledger.to_text()) < 10 * len(windows)


@given(several, several)
def test_new_entries_stand_in_place_of_those_they_cover_and_all_others_stay(old, new):
    result = Ledger(grain=GRAIN, entries=tuple(old)).replace(new)
    expected = [entry for entry in old if not covered(entry, new)] + new
    assert sorted(map(repr, result.entries)) == sorted(map(repr, expected))
    assert [place(entry) for entry in result.entries] == sorted(place(entry) for entry in expected)
    assert result.grain == GRAIN


@given(several, several)
def test_replacing_twice_is_replacing_once(old, new):
    once = Ledger(grain=GRAIN, entries=tuple(old)).replace(new)
    assert once.replace(new) == once


@given(several, several)
@settings(max_examples=50)
def test_replacing_all_leaves_the_new_entries_alone(old, new):
    result = Ledger(grain=GRAIN, entries=tuple(old)).replace(new, drop_all=True)
    assert result == Ledger(grain=GRAIN).replace(new)
    assert len(result.entries) == len(new)


def test_a_wide_window_takes_the_place_of_the_narrow_ones_of_its_own_studio():
    wide = make_entry(run_id="second")
    narrow = [make_entry(window=days(f"2025-01-{n:02}", f"2025-01-{n + 1:02}")) for n in (1, 15, 31 - 1)]
    other = make_entry("dune", days("2025-01-01", "2025-01-02"))
    assert Ledger(grain=GRAIN, entries=(*narrow, other)).replace([wide]).entries == (wide, other)


@given(several)
def test_entries_are_grouped_by_studio_in_the_order_of_their_windows(some):
    grouped = entries_by_studio(some)
    assert sorted(map(repr, (e for group in grouped.values() for e in group))) == sorted(map(repr, some))
    for studio, group in grouped.items():
        assert {entry.studio for entry in group} == {studio}
        assert [entry.window for entry in group] == sorted(entry.window for entry in group)


@given(st.text(max_size=40) | several.map(lambda old: Ledger(grain=GRAIN, entries=tuple(old)).to_text()[:-7]))
@settings(max_examples=200)
def test_a_text_that_is_no_ledger_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - whose message is the decoder's
        parse_ledger(text)


def packed(document):
    return base64.b85encode(zlib.compress(json.dumps(document).encode())).decode()


WHOLE = {
    "v": 1,
    "grain": GRAIN,
    "runs": [["first", "2025-03-01T00:00:00+00:00"]],
    "tasks": [["cove"], [739252], [739253], [1], [1], [5], [0]],
}


def test_a_written_ledger_of_this_version_is_read():
    [entry] = parse_ledger(packed(WHOLE)).entries
    assert place(entry) == ("cove", days("2025-01-01", "2025-01-02"))


@pytest.mark.parametrize(
    "document",
    [
        WHOLE | {"v": 2},
        {key: value for key, value in WHOLE.items() if key != "runs"},
        WHOLE | {"runs": []},
        WHOLE | {"runs": [["first", 5]]},
        WHOLE | {"tasks": [["cove"], [739252], [739253], [1], [1], [5], []]},
        WHOLE | {"tasks": [["cove"], [739253], [739252], [1], [1], [5], [0]]},
        WHOLE | {"tasks": [["cove"]]},
        [],
        None,
        7,
    ],
    ids=str,
)
def test_a_document_that_is_no_ledger_is_refused(document):
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own message
        parse_ledger(packed(document))


def test_a_ledger_of_another_version_is_refused_as_such():
    with pytest.raises(ValueError, match=r"^ledger version 2 instead of 1$"):
        parse_ledger(packed(WHOLE | {"v": 2}))


def test_times_are_read_in_utc():
    [entry] = parse_ledger(packed(WHOLE | {"runs": [["first", "2025-03-01T01:00:00+01:00"]]})).entries
    assert entry == replace(entry, began_at=entry.began_at.replace(hour=0))
    assert entry.began_at.isoformat() == "2025-03-01T00:00:00+00:00"

"""Confirmations are kept, replaced and applied as one would by hand."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.confirmed import Confirmation, Confirmations, parse_confirmations
from exporter.core.ledger import Entry, Ledger
from exporter.core.report import GrainId
from exporter.core.studio import StudioId
from tests.support.tasks import LATER, days, moments, windows

GRAIN = GrainId("0123456789abcdef")
JANUARY, FEBRUARY = days("2025-01-01", "2025-02-01"), days("2025-02-01", "2025-03-01")
NIGHT = timedelta(days=1)

confirmations = st.builds(
    Confirmation,
    studio=st.sampled_from(["bay", "élan"]).map(StudioId),
    window=windows(),
    published_by=st.sampled_from(["first", "second"]),
    run_id=st.sampled_from(["third", "fourth"]),
    began_at=moments(),
)
several = st.lists(confirmations, max_size=6)


def make_item(window=JANUARY, *, published_by="first", run_id="second", nights=1):
    return Confirmation(
        studio=StudioId("bay"),
        window=window,
        published_by=published_by,
        run_id=run_id,
        began_at=LATER + nights * NIGHT,
    )


def make_entry(window=JANUARY, run_id="first"):
    return Entry(studio=StudioId("bay"), window=window, rows=3, total=3, measure=5, run_id=run_id, began_at=LATER)


@given(several)
def test_what_is_written_is_read_again(new):
    kept = Confirmations().merge(new)
    assert parse_confirmations(kept.to_json()) == kept


@given(several)
def test_merging_twice_is_merging_once(new):
    once = Confirmations().merge(new)
    assert once.merge(new) == once
    assert len({(item.studio, item.window) for item in once.items}) == len(once.items)


def test_many_ledgers_are_held_against_what_is_confirmed_without_looking_through_it_each_time():
    class Watched(tuple):
        __slots__ = ()
        looked_through = 0

        def __iter__(self):
            Watched.looked_through += 1
            return super().__iter__()

    confirmed = Confirmations(Watched([make_item()]))
    ledgers = [Ledger(grain=GRAIN, entries=(make_entry(),)) for _ in range(100)]
    assert {confirmed.apply(ledger).entries[0].run_id for ledger in ledgers} == {"second"}
    assert Watched.looked_through == 1


def test_what_many_confirmations_have_in_common_is_read_once():
    items = [replace(make_item(), studio=StudioId(name)) for name in ("bay", "cove")]
    one, other = parse_confirmations(Confirmations(tuple(items)).to_json()).items
    assert one.window is other.window
    assert one.published_by is other.published_by


def test_of_two_about_one_entry_the_later_one_stays():
    early, late = make_item(nights=1), make_item(run_id="third", nights=2)
    assert Confirmations().merge([late]).merge([early]).items == (late,)
    assert Confirmations().merge([early]).merge([late]).items == (late,)


def test_one_about_another_entry_takes_the_place_of_the_old_one():
    old, new = make_item(nights=9), make_item(published_by="tenth", run_id="eleventh", nights=2)
    assert Confirmations((old,)).merge([new]).items == (new,)


def test_an_entry_that_is_confirmed_counts_as_the_confirming_run_s():
    ledger = Ledger(grain=GRAIN, entries=(make_entry(), make_entry(FEBRUARY)))
    applied = Confirmations((make_item(),)).apply(ledger)
    assert applied.entries == (replace(make_entry(), run_id="second", began_at=LATER + NIGHT), make_entry(FEBRUARY))


@pytest.mark.parametrize(
    "item",
    [
        make_item(published_by="another"),
        make_item(nights=0),
        make_item(nights=-1),
        make_item(FEBRUARY),
        replace(make_item(), studio=StudioId("cove")),
    ],
)
def test_what_is_about_another_entry_or_no_later_says_nothing(item):
    ledger = Ledger(grain=GRAIN, entries=(make_entry(),))
    assert Confirmations((item,)).apply(ledger) == ledger


def test_what_was_said_of_replaced_days_is_dropped_unless_it_is_about_their_new_entry():
    old, new, apart = make_item(), make_item(FEBRUARY, published_by="me"), make_item(days("2025-03-01", "2025-04-01"))
    kept = Confirmations((old, new, apart)).without([(StudioId("bay"), days("2025-01-15", "2025-03-01"))], by="me")
    assert kept.items == (new, apart)
    assert Confirmations((old,)).without([(StudioId("cove"), JANUARY)], by="me").items == (old,)


def changed(**changes):
    return json.dumps({**json.loads(Confirmations((make_item(),)).to_json()), **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        changed(confirmed_version=2),
        changed(runs=[]),
        changed(runs=[["second", 5]]),
        changed(windows=[["bay"]]),
        changed(windows=[["bay", "2025-02-01", "2025-01-01", "first", 0]]),
        changed(windows=[["bay", "2025-01-01", "2025-02-01", "first", "0"]]),
    ],
)
def test_what_is_no_list_of_confirmations_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own message
        parse_confirmations(data)

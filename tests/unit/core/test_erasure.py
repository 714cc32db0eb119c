"""Who is left out: the list, its key, and the receipts, as they are written and read."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.erasure import (
    PEPPER_BYTES,
    Person,
    Suppressed,
    parse_pepper,
    parse_subjects,
    pepper_to_json,
    subjects_to_json,
)
from exporter.core.receipt import Receipt, Replaced, Searched, Unsearched, Version, parse_receipt
from exporter.core.studio import StudioId
from tests.support.tasks import LATER

BAY, COVE = StudioId("bay"), StudioId("cove")
PEPPER = bytes(range(PEPPER_BYTES))
RECEIPT = Receipt(
    receipt_id="20260101T000000000000Z-00000001",
    version="1.0.0",
    studio="bay",
    subjects=("ab" * 32,),
    started_at=LATER,
    ended_at=LATER,
    searched=(Searched(place="strikes", objects=2, replaced=1, rows_removed=3),),
    unsearched=(Unsearched(place="others", reason="has no ids"),),
    replaced=(
        Replaced(
            key="strikes/month=2025-01/part-00000.parquet",
            rows_removed=3,
            rows_left=4,
            before=Version(sha256="a", bytes=9, etag="1"),
            after=Version(sha256="b", bytes=8),
            replaced_at=LATER,
        ),
    ),
)


def listed(*people):
    return Suppressed(pepper=PEPPER, subjects=frozenset().union(*(person.subjects(PEPPER) for person in people)))


values = st.integers(1, 2**63 - 1).map(str)


@given(values, values)
def test_who_is_listed_for_one_studio_is_left_out_there_alone(one, other):
    person = Person(values=frozenset({one}), studio=BAY)
    for names in (person.is_left_out, listed(person).is_left_out):
        assert names(BAY, one)
        assert not names(COVE, one)
        assert names(BAY, other) is (one == other)


@given(values)
def test_who_is_listed_for_every_studio_is_left_out_in_each(one):
    person = Person(values=frozenset({one, "ab" * 32}))
    for names in (person.is_left_out, listed(person).is_left_out):
        assert names(BAY, one)
        assert names(COVE, "ab" * 32)


def test_nobody_is_told_by_the_list_or_by_what_is_printed_of_it():
    person = Person(values=frozenset({"4711"}))
    suppressed = listed(person)
    assert "4711" not in repr(person) + repr(suppressed) + subjects_to_json(suppressed.subjects).decode()
    assert PEPPER.hex() not in repr(suppressed)
    assert person.subjects(PEPPER) != person.subjects(bytes(PEPPER_BYTES))


def test_an_empty_list_leaves_nobody_out():
    assert not Suppressed()
    assert not Suppressed().is_left_out(BAY, "4711")


@given(st.frozensets(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=4))
def test_what_is_written_is_read_again(subjects):
    assert parse_subjects(subjects_to_json(subjects)) == subjects
    assert parse_pepper(pepper_to_json(PEPPER)) == PEPPER


@pytest.mark.parametrize("receipt", [RECEIPT, replace(RECEIPT, ended_at=None, studio=None, subjects=(), searched=())])
def test_a_receipt_is_read_again(receipt):
    assert parse_receipt(receipt.to_json()) == receipt


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"null", b"\xff", b'{"key": 7}', b'{"receipt_version": 1}', b"[" * 9999]
)
@pytest.mark.parametrize("parse", [parse_subjects, parse_pepper, parse_receipt])
def test_what_is_none_is_refused(parse, data):
    with pytest.raises(ValueError, match=r"."):
        parse(data)


def test_what_a_newer_version_wrote_is_refused():
    for parse, data in ((parse_subjects, subjects_to_json(frozenset())), (parse_receipt, RECEIPT.to_json())):
        with pytest.raises(ValueError, match="version 2 instead of 1"):
            parse(data.replace(b'_version": 1', b'_version": 2'))

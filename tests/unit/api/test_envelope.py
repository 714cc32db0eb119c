"""Envelopes are cut where they were parsed before, and hold the same."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.envelope import EnvelopeReader

LIMIT = 2
_ROWS = ["[]", "[{}]", '[{"count":1}]', '[{"rows":[],"note":"\\"rows\\":["}]', "null"]
_MEMBERS = st.sampled_from(
    ['"total":5', '"total":5', '"total":1', '"column_headers":[{"key":"count"}]', '"column_headers":[{"key":"rows"}]']
    + [f'"{key}":{rows}' for key in ("rows", "rows", "more") for rows in _ROWS]
    + ['"more":{"rows":[{"count":1}]}', '"label":"rows"']
)


@st.composite
def answers_alike(draw: st.DrawFn) -> list[bytes]:
    """Objects that begin alike and go on differently, with keys in any order, missing, or there twice."""
    start = draw(st.lists(_MEMBERS, max_size=3))
    ends = draw(st.lists(st.lists(_MEMBERS, max_size=2), max_size=6))
    return [f"{{{','.join(start + end)}}}".encode() for end in ends]


@given(answers_alike())
def test_what_was_read_before_changes_no_envelope_whose_rows_are_json(answers: list[bytes]):
    reader = EnvelopeReader()
    for body in answers:
        found = reader.read(body, LIMIT)
        if found != EnvelopeReader().read(body, LIMIT):
            assert not _is_json(found.rows)


def test_another_list_is_not_taken_for_rows_that_are_missing():
    reader = EnvelopeReader()
    for more in ("[{}]", '[{"count":1}]'):
        assert reader.read(f'{{"total":5,"rows":null,"more":{more}}}'.encode(), LIMIT).rows == b"null"


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _answer(rows: str, total: int = 5) -> bytes:
    return f'{{"total":{total},"column_headers":[{{"key":"count"}}],"rows":{rows}}}'.encode()


def test_the_second_page_of_a_window_is_cut_and_not_parsed():
    reader = EnvelopeReader()
    first = reader.read(_answer('[{"count":1}]'), LIMIT)
    second = reader.read(_answer('[{"count":no JSON}]'), LIMIT)
    assert second == (5, first.headers, b'[{"count":no JSON}]')


def test_windows_of_one_page_are_not_remembered():
    reader = EnvelopeReader()
    reader.read(_answer('[{"count":1}]', total=LIMIT), LIMIT)
    assert not _is_read(reader, _answer('[{"count":no JSON}]', total=LIMIT))


def test_rows_that_are_cut_off_are_seen_at_once():
    reader = EnvelopeReader()
    reader.read(_answer('[{"count":1},{"count":2}]'), LIMIT)
    assert not _is_read(reader, _answer('[{"count":1},{"count":2')[:-1])


def test_only_so_many_beginnings_are_remembered():
    reader = EnvelopeReader()
    for total in range(10, 1_000):
        reader.read(_answer("[]", total), LIMIT)
    assert _is_read(reader, _answer('[{"count":no JSON}]', 999))
    assert not _is_read(reader, _answer('[{"count":no JSON}]', 10))


def test_a_beginning_of_many_bytes_is_not_remembered():
    reader = EnvelopeReader()
    headings = f'{{"note":"{"x" * 70_000}",'
    reader.read(_answer('[{"count":1}]').replace(b"{", headings.encode(), 1), LIMIT)
    assert not _is_read(reader, _answer('[{"count":no JSON}]').replace(b"{", headings.encode(), 1))


def _is_read(reader: EnvelopeReader, body: bytes) -> bool:
    try:
        reader.read(body, LIMIT)
    except msgspec.DecodeError:
        return False
    return True

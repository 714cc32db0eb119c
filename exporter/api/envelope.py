"""The JSON answer: what stands around its rows, and the rows as they came.

Source: docs/api.md section 2, which documents none of the keys as required.
"""

import re
from functools import lru_cache
from typing import Annotated, NamedTuple

import msgspec

from exporter.core.answer import LONGEST_NAME, MOST_COLUMNS, Header

#: The description of all columns at most, in bytes.
_LONGEST_HEADERS = 1024 * 1024

#: Beginnings that are remembered, more than windows are open at a time, and the longest of them in bytes.
_MOST_BEGINNINGS = 256
_LONGEST_BEGINNING = 64 * 1024

#: A number of rows as text; none has more digits.
_DIGITS = re.compile("[0-9]{1,18}")

_Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]


class _Sorted(msgspec.Struct):
    order: str | None = None
    priority: float | None = None


class _ColumnHeader(msgspec.Struct):
    key: _Name
    label: _Name | None = None
    required: bool | None = None
    holds_customer_id: bool | None = None
    sorted: _Sorted | None = None


_ColumnHeaders = Annotated[list[_ColumnHeader], msgspec.Meta(max_length=MOST_COLUMNS)] | None


class _Raw(msgspec.Struct):
    total: int | float | str | None = None
    column_headers: msgspec.Raw = msgspec.Raw(b"null")
    rows: msgspec.Raw = msgspec.Raw(b"null")


class Envelope(NamedTuple):
    """What an answer holds.

    Attributes:
        total: rows of the whole report; None where the answer does not say.
        headers: see `Page`.
        rows: as they came, "null" where there are none; not looked into.
    """

    total: int | None
    headers: tuple[Header, ...]
    rows: bytes


class TooManyHeadersError(Exception):
    """The description of the columns is longer than that of any report."""


class EnvelopeReader:
    """Reads envelopes, and remembers how those of windows with several pages begin.

    All pages of a window say the same around their rows. So an answer that begins as one did before, whose rows came
    last, is cut there, which takes a tenth of the time that parsing it does.
    """

    def __init__(self) -> None:
        """Nothing remembered."""
        self._beginnings: dict[bytes, tuple[int | None, tuple[Header, ...]]] = {}

    def read(self, body: bytes, limit: int) -> Envelope:
        """The envelope of *body*, a JSON object; where it was cut, nobody knows yet whether its rows are JSON.

        Args:
            body: as it came, in UTF-8.
            limit: rows that were asked for at most.

        Raises:
            msgspec.ValidationError: it is not as documented.
            msgspec.DecodeError, RecursionError: it is no JSON.
            TooManyHeadersError: see there.
        """
        beginning = body[: body.find(b"[", body.find(b'"rows"'))]
        if beginning in self._beginnings and body.endswith((b"}]}", b"[]}")):
            return Envelope(*self._beginnings[beginning], body[len(beginning) : -1])
        envelope = _parse(body)
        worthwhile = (envelope.total or 0) > limit and len(beginning) <= _LONGEST_BEGINNING
        rows_are_last = len(body) == len(beginning) + len(envelope.rows) + 1
        if worthwhile and rows_are_last and _is_before_rows(beginning):
            if len(self._beginnings) >= _MOST_BEGINNINGS:
                self._beginnings.clear()
            self._beginnings[beginning] = envelope.total, envelope.headers
        return envelope


def _is_before_rows(beginning: bytes) -> bool:
    """Whether what follows *beginning* is the value of the rows."""
    try:
        return _parse(beginning + b"true}").rows == b"true"
    except (msgspec.DecodeError, RecursionError):
        return False


def _parse(body: bytes) -> Envelope:
    found = msgspec.json.decode(body, type=_Raw)
    described = bytes(found.column_headers)
    if len(described) > _LONGEST_HEADERS:
        raise TooManyHeadersError
    return Envelope(_total(found.total), _headers(described), bytes(found.rows))


def _total(told: float | str | None) -> int | None:
    """A number of rows, also where it came as text or as a float: a sibling report writes its counts so.

    Source: docs/api.md section 5, "Numbers as text".
    """
    if isinstance(told, str) and _DIGITS.fullmatch(told):
        return int(told)
    if told is None or (isinstance(told, int) and told >= 0):
        return told
    if isinstance(told, float) and told >= 0 and told.is_integer():
        return int(told)
    raise msgspec.ValidationError("Expected a number of rows - at `$.total`")


@lru_cache(maxsize=16)
def _headers(raw: bytes) -> tuple[Header, ...]:
    """The headers in *raw*, which is the same for every page of a report."""
    return tuple(_header(column) for column in msgspec.json.decode(raw, type=_ColumnHeaders) or ())


def _header(column: _ColumnHeader) -> Header:
    ranked = column.sorted or _Sorted()
    return Header(
        key=column.key,
        label=column.label or "",
        required=bool(column.required),
        holds_customer_id=bool(column.holds_customer_id),
        order=ranked.order,
        priority=ranked.priority,
    )

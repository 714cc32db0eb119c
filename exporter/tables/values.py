"""One value of an answer, as its column's type.

Strict: what cannot be kept exactly is refused, never rounded, cut or guessed. JSON and CSV both come through here, so
they agree. Nothing here says which row or column it was, and no message holds a value: it may be personal.
"""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from exporter.core.report import ColumnType

#: What a column stores. A JSON number comes as int or, where it is not written as one, as Decimal, which is exact.
Value = int | str | float | None

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_COMPACT = msgspec.json.Encoder(decimal_format="number")


class Misfit(Exception):  # noqa: N818 - never leaves this folder: a reader adds the place and raises a DataError
    """A value does not fit its column; the message says what it is instead of what."""


def fit(value: object, wanted: ColumnType | None) -> Value:
    """*value* as a column of type *wanted* stores it.

    Args:
        value: decoded JSON, or a CSV field as text.
        wanted: None for a column that the catalogue does not know: any value is kept, as text.

    Raises:
        Misfit: it does not fit.
    """
    return None if value is None else _FITS[wanted](value)


def _any(value: object) -> str:
    return value if isinstance(value, str) else _COMPACT.encode(value).decode()


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Misfit(f"is {_kind(value)} instead of text")


def _int64(value: object) -> int:
    number: int | Decimal
    match value:
        case str() if _INTEGER.fullmatch(value):
            number = int(value)
        case int() | Decimal() if not isinstance(value, bool):
            number = value
        case _:
            raise Misfit(f"is {_kind(value)} instead of an integer")
    if not _INT64_MIN <= number <= _INT64_MAX:
        raise Misfit("is beyond the integers of 64 bits")
    if number != int(number):
        raise Misfit("is a fraction instead of an integer")
    return int(number)


def _float64(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise Misfit(f"is {_kind(value)} instead of a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise Misfit("is text instead of a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Misfit("is beyond the floating-point numbers of 64 bits")
    return number


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "an object")


_KINDS: Mapping[type, str] = {bool: "a boolean", Decimal: "a fraction", str: "text", list: "an array"}
_FITS: Mapping[ColumnType | None, Callable[[object], Value]] = {
    ColumnType.STRING: _string,
    ColumnType.INT64: _int64,
    ColumnType.FLOAT64: _float64,
    None: _any,
}

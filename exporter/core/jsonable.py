"""Values that JSON has no word for: on their way out, and a time on its way back. Pure."""

from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime


def jsonable(value: object) -> object:
    """For `json.dumps(..., default=jsonable)`: dataclasses, days and times; a time is UTC and ends in "Z".

    Raises:
        TypeError: it is none of these.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def parse_moment(text: str) -> datetime:
    """An ISO 8601 time with an offset, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)

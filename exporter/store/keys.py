"""What every store refuses as a key, and when a condition holds."""

from exporter.errors import StoreError
from exporter.store.base import Absent, Condition


def check_key(key: str) -> None:
    """Refuse a key that names nothing, or something outside the sink.

    Keys are made by our own code, so this only keeps a mistake from doing harm.

    Raises:
        StoreError: the key is empty, absolute, or has an empty part, ".", "..", a backslash or a NUL.
    """
    _check_parts(key, key.split("/"))


def check_prefix(prefix: str) -> None:
    """As `check_key`, but the last part may be unfinished or empty.

    Raises:
        StoreError: no key that `check_key` lets through begins like this.
    """
    _check_parts(prefix, prefix.split("/")[:-1])


def _check_parts(key: str, parts: list[str]) -> None:
    if any(part in ("", ".", "..") for part in parts) or "\\" in key or "\0" in key:
        raise StoreError(f'{key!r}: not a key; write parts joined by "/", none empty, ".", "..", with backslash or NUL')


def holds(condition: Condition, etag: str | None) -> bool:
    """Whether *condition* is met by an object with this etag; None where there is no object."""
    match condition:
        case None:
            return True
        case Absent():
            return etag is None
        case _:
            return etag == condition

"""The door to the sink: objects under keys, replaced on condition.

Rules for whoever stands behind it: a reader sees an object's old bytes or its new bytes, whole; a put on condition
takes effect only if the condition held at that moment, also against other processes; keys are relative to the sink's
URL, use "/" and never begin with it; errors are those of `errors.py`, with the key in the message.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Readers(StrEnum):
    """Who may read what is written into a folder."""

    OWNER = "owner"
    GROUP = "group"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows of one object.

    Attributes:
        key: relative to the sink's URL.
        size: bytes.
        etag: opaque; changes whenever the object is replaced.
        modified_at: UTC.
    """

    key: str
    size: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Absent:
    """The condition that there is no object under the key."""


#: A put's condition: none, that there is no object yet, or that the object still has this etag.
Condition = Absent | str | None


class ObjectStore(Protocol):
    """A folder or a bucket's prefix."""

    @property
    def url(self) -> str:
        """The sink as the user wrote it, for messages."""
        ...

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        """The whole object.

        Raises:
            NotFoundError: there is none.
            StoreError: it could not be read.
        """
        ...

    async def tail(self, key: str, size_bytes: int) -> tuple[bytes, ObjectInfo]:
        """The last *size_bytes* of the object, or all of it where it is shorter; `ObjectInfo.size` is the whole.

        Raises:
            NotFoundError: there is none.
            StoreError: it could not be read.
        """
        ...

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        """Write the whole object in one step.

        Raises:
            PreconditionFailedError: *condition* did not hold; nothing was written.
            OutcomeUnknownError: no answer came; it may have been written.
            StoreError: it was not written.
        """
        ...

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """Every object whose key begins with *prefix*, at any depth, sorted by key; empty where there is none."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; no error where there is none."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...

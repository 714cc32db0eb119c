"""The record of one `forget`: what was searched, what was removed, and what could not be searched.

It names nobody: the person is there as the hashes that stand on the list of those who are left out.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from exporter.core.jsonable import jsonable, parse_moment

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of an object.

    Attributes:
        sha256: of its bytes, hex.
        bytes: its size.
        etag: the store's mark; None for one that is about to be put.
    """

    sha256: str
    bytes: int
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """One object that the person was removed from.

    Attributes:
        key: below the sink's URL.
        rows_removed: of the person.
        rows_left: of others.
        before, after: the object then and now.
        replaced_at: UTC.
    """

    key: str
    rows_removed: int
    rows_left: int
    before: Version
    after: Version
    replaced_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What was searched in one place.

    Attributes:
        place: a dataset, or the staging area.
        objects: that were read.
        replaced: those of them that the person was removed from.
        rows_removed: from them.
    """

    place: str
    objects: int = 0
    replaced: int = 0
    rows_removed: int = 0

    def add(self, rows_removed: int) -> "Searched":
        """With one object more."""
        return replace(
            self,
            objects=self.objects + 1,
            replaced=self.replaced + bool(rows_removed),
            rows_removed=self.rows_removed + rows_removed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsearched:
    """Where the person cannot be found, though they may be there."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What came of one `forget`.

    Attributes:
        receipt_id: sortable by time, unique.
        version: of this program.
        studio: whose customer; None: every studio's.
        subjects: the person, as on the list of those who are left out; empty for a dry run.
        started_at, ended_at: UTC; `ended_at` is None until everything was searched.
        searched, unsearched: by place.
        replaced: objects; while `ended_at` is None the last one may not have been put.
    """

    receipt_id: str
    version: str
    studio: str | None
    subjects: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None = None
    searched: tuple[Searched, ...] = ()
    unsearched: tuple[Unsearched, ...] = ()
    replaced: tuple[Replaced, ...] = ()

    @property
    def rows_removed(self) -> int:
        """From published parts and from what is staged."""
        return sum(searched.rows_removed for searched in self.searched)

    def to_json(self) -> bytes:
        """UTF-8, indented for people."""
        document = {"receipt_version": _VERSION, **asdict(self)}
        return (json.dumps(document, indent=1, default=jsonable) + "\n").encode()


def parse_receipt(data: bytes) -> Receipt:
    """What `Receipt.to_json` wrote; ValueError where it is none, or one of another version of this program."""
    try:
        document = json.loads(data)
        version = document.pop("receipt_version")
        if version != _VERSION:
            raise ValueError(f"version {version} instead of {_VERSION}")
        ended_at = document["ended_at"]
        return Receipt(
            **{
                **document,
                "subjects": tuple(document["subjects"]),
                "started_at": parse_moment(document["started_at"]),
                "ended_at": None if ended_at is None else parse_moment(ended_at),
                "searched": tuple(Searched(**place) for place in document["searched"]),
                "unsearched": tuple(Unsearched(**place) for place in document["unsearched"]),
                "replaced": tuple(_parse_replaced(item) for item in document["replaced"]),
            }
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a receipt: {error}") from error


def _parse_replaced(document: dict[str, Any]) -> Replaced:
    return Replaced(
        **{
            **document,
            "before": Version(**document["before"]),
            "after": Version(**document["after"]),
            "replaced_at": parse_moment(document["replaced_at"]),
        }
    )

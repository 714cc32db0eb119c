"""Who is left out of the sink: one person while they are removed, and the list that keeps them out.

Rules kept here: the list holds keyed hashes, so that a copy of it names nobody; its key is the sink's own, so that it
outlives a change of the key that columns are hashed with; what may be left out is told by the value of a column of
customers' ids, whichever column that is.
"""

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from exporter.core.studio import StudioId

#: Whether a studio's rows with this value in a column of customers' ids are to be left out; numbers are in decimal.
LeftOut = Callable[[StudioId, str], bool]

#: Bytes of the key that hashes are made with.
PEPPER_BYTES = 32

_VERSION = 1
_ANY_STUDIO = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One customer of one studio, or of all.

    Attributes:
        values: the id as columns may hold it: in decimal, and as the keyed hash that is configured.
        studio: whose customer; None: every studio's.
    """

    values: frozenset[str] = field(repr=False)
    studio: StudioId | None = None

    def is_left_out(self, studio: StudioId, value: str) -> bool:
        """Whether a row of *studio* with *value* tells of them."""
        return value in self.values and self.studio in (None, studio)

    def subjects(self, pepper: bytes) -> frozenset[str]:
        """How they stand on the list."""
        return frozenset(_subject(pepper, self.studio or _ANY_STUDIO, value) for value in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """The list.

    Attributes:
        pepper: the key of its hashes; empty where nobody was ever removed.
        subjects: HMAC-SHA-256 of studio and value, in hex.
    """

    pepper: bytes = field(default=b"", repr=False)
    subjects: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.subjects)

    def is_left_out(self, studio: StudioId, value: str) -> bool:
        """Whether a row of *studio* with *value* tells of somebody on it."""
        return any(_subject(self.pepper, scope, value) in self.subjects for scope in (studio, _ANY_STUDIO))


def subjects_to_json(subjects: frozenset[str]) -> bytes:
    """The list as it stands in the sink: a line each, in the order of the hashes, which says nothing."""
    lines = ",\n".join(json.dumps(subject) for subject in sorted(subjects))
    return f'{{"suppressed_version": {_VERSION}, "subjects": [\n{lines}\n]}}\n'.encode()


def parse_subjects(data: bytes) -> frozenset[str]:
    """What `subjects_to_json` wrote; ValueError where it is none, or one of another version of this program."""
    document = _object(data, "list of people who are left out")
    version, subjects = document.get("suppressed_version"), document.get("subjects")
    if version != _VERSION:
        raise ValueError(f"version {version} instead of {_VERSION}")
    if not isinstance(subjects, list) or not all(isinstance(subject, str) for subject in subjects):
        raise ValueError("not a list of people who are left out")
    return frozenset(subjects)


def pepper_to_json(pepper: bytes) -> bytes:
    """The key as it stands in the sink."""
    return json.dumps({"key": pepper.hex()}).encode()


def parse_pepper(data: bytes) -> bytes:
    """What `pepper_to_json` wrote; ValueError where it is none."""
    text = _object(data, "key").get("key")
    pepper = bytes.fromhex(text) if isinstance(text, str) else b""
    if len(pepper) != PEPPER_BYTES:
        raise ValueError(f"not a key of {PEPPER_BYTES} bytes")
    return pepper


def _subject(pepper: bytes, scope: str, value: str) -> str:
    # No studio is called "*", and no studio's id has a "|" in it.
    return hmac.digest(pepper, f"{scope}|{value}".encode(), "sha256").hex()


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except RecursionError as error:
        raise ValueError(f"not a {what}") from error
    if not isinstance(document, dict):
        raise ValueError(f"not a {what}")  # noqa: TRY004 - a mistake in what was stored, not in a type
    return document

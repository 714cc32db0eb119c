"""What is wrong with a configuration, in words.

Rules kept here: a problem is one line; it names the key and the value seen; the value of a secret is shown only where
it is a reference, and a table or a list, which may hold secrets, is never shown at all.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from exporter.config.secrets import is_reference
from exporter.core.text import printable

#: Where a value stands: keys, and numbers of list items.
Path = tuple[str | int, ...]

#: Keys whose values are secrets unless they are references.
SECRET_KEYS: Final = frozenset({"token", "hash_key"})

_LONGEST_SHOWN = 80
#: Where a URL may hold a password or a signature: before the last "@", and behind "?".
_HIDDEN_IN_URL = re.compile(r"(?<=[/\\])[^/\\].*@|(?<=\?).*")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: of the key that is wrong.
        text: what is wrong with it; a predicate ("is ... instead of ..."), or a clause after a colon.
    """

    path: Path
    text: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}{self.text if self.text.startswith(':') else f' {self.text}'}"


def dotted(path: Path) -> str:
    """The path as a person would write it, e.g. `studios[2].timezone`; lists count from 0."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return printable(text.removeprefix("."))


def shown(value: object, path: Path = ()) -> str:
    """*value* as it may stand in a message about *path*."""
    may_be_shown = not value or (isinstance(value, str) and is_reference(value))
    match value:
        case dict():
            return "a table"
        case list():
            return "a list" if value else "an empty list"
        case _ if path and path[-1] in SECRET_KEYS and not may_be_shown:
            return "***"
        case str():
            text = printable(_without_credentials(value))
            return f'"{text}"' if len(text) <= _LONGEST_SHOWN else f'"{text[:_LONGEST_SHOWN]}..."'
        case bool():
            return str(value).lower()
        case int() if abs(value) >= 10**_LONGEST_SHOWN:
            return "a number of too many digits"
        case date():
            return value.isoformat()
        case _:
            return str(value)


def instead(path: Path, value: object, allowed: str) -> Problem:
    """The value seen instead of what is allowed."""
    return Problem(path, f"is {shown(value, path)} instead of {allowed}")


def choice(words: Iterable[str]) -> str:
    """The words as a choice: `day, week or month`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def hint(word: str, known: Collection[str], *, prefix: str = "") -> str:
    """The known word nearest to *word* as a question, else all known words; begins with a semicolon."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else f"; known are {', '.join(known)}"


def _without_credentials(text: str) -> str:
    return _HIDDEN_IN_URL.sub(lambda m: "***@" if m[0].endswith("@") else "***", text) if ":" in text else text

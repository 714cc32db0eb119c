"""Text on its way into a message: one line, short, and nothing in it that a terminal or a log might obey."""

from collections.abc import Collection
from itertools import islice

#: Characters of a foreign text that a message shows at most.
_SHOWN_CHARS = 200

#: Characters of it that are looked at: white space is folded first, and there may be megabytes.
_READ_CHARS = 2000


def printable(text: str) -> str:
    """*text* with every character that a terminal might obey escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def excerpt(text: str) -> str:
    """The beginning of *text* on one short printable line."""
    line = printable(" ".join(text[:_READ_CHARS].split()))
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 3] + "..."


def some(names: Collection[str], most: int) -> str:
    """The first *most* of *names*, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(islice(names, most)) + more

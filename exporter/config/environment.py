"""Overrides from the environment: `EXPORTER__SECTION__KEY`, laid over the file without knowing what any key means.

`EXPORTER__STUDIOS__0__TOKEN` is `token` in the first table of `studios`; the number after the last one adds a table.
A value stays `Words` until `shape.py` knows the type that is wanted.
"""

from collections.abc import Mapping

from exporter.config.problems import Path, dotted

PREFIX = "EXPORTER__"


class Words(str):
    """A text whose type is not known yet."""

    __slots__ = ()


def overridden(
    tree: Mapping[str, object], environ: Mapping[str, str]
) -> tuple[dict[str, object], dict[Path, str], list[str]]:
    """Lay the overrides over a copy of *tree*.

    Returns:
        The new tree; the variable that set the value at each path; a line for each variable that
        has no place.
    """
    result: object = dict(tree)
    origins: dict[Path, str] = {}
    faults: list[str] = []
    # A shorter number is a lower one, and a whole comes before its parts.
    for name in sorted(
        (n for n in environ if n.startswith(PREFIX)), key=lambda n: [(len(p), p) for p in n.split("__")]
    ):
        parts = name.removeprefix(PREFIX).lower().split("__")
        path: Path = tuple(int(p) if p.isascii() and p.isdecimal() else p for p in parts)
        try:
            result = _put(result, path, 0, Words(environ[name]))
        except _NoPlaceError as error:
            faults.append(f"{name}: {error}")
        else:
            origins[path] = name
    assert isinstance(result, dict)
    return result, origins, faults


class _NoPlaceError(Exception):
    """Why a value cannot stand where a variable puts it."""


def _put(node: object, path: Path, depth: int, words: Words) -> object:
    """*node*, which stands at the first *depth* parts of *path*, with *words* at the end of the path.

    Raises:
        _NoPlaceError: there is no such place.
    """
    if depth == len(path):
        return words
    part = path[depth]
    if part == "":
        raise _NoPlaceError(f"names no key; write {PREFIX}SECTION__KEY")
    if isinstance(part, int):
        if not isinstance(node, list | None):
            raise _NoPlaceError(f"{dotted(path[:depth]) or 'the configuration'} is no list, so it has no item {part}")
        items = list(node or ())
        if part > len(items):
            raise _NoPlaceError(f"the next item of {dotted(path[:depth])} is number {len(items)}, not {part}")
        items[part : part + 1] = [_put(items[part] if part < len(items) else None, path, depth + 1, words)]
        return items
    if not isinstance(node, dict | None):
        raise _NoPlaceError(f"{dotted(path[:depth])} is no table, so it has no key {part}")
    table = node or {}
    return {**table, part: _put(table.get(part), path, depth + 1, words)}

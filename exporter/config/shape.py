"""From a tree of TOML values to the sections of `settings.py`: keys, types and ranges.

msgspec judges each value by its type. It would stop at the first fault, so the walk over tables and lists is here,
and every fault is told at once.
"""

import tomllib
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from exporter.config.environment import Words
from exporter.config.problems import Path, Problem, choice, dotted, hint, instead, shown
from exporter.config.settings import Section

S = TypeVar("S", bound=Section)

#: What the types that describe themselves are called.
_PLAIN: Final = {bool: "true or false", date: "a date such as 2025-01-31", str: "a string"}


def read_sections(section: type[Section], tree: Mapping[str, object], problems: list[Problem]) -> dict[str, Any]:
    """The values of *section* that are right; what is wrong goes to *problems*."""
    return _values(section, tree, (), problems)


def _values(section: type[Section], table: Mapping[str, object], path: Path, problems: list[Problem]) -> dict[str, Any]:
    kinds = section.kinds(table)
    for key in table:
        if key not in kinds:
            prefix = f"{dotted(path)}." if path else ""
            problems.append(Problem((*path, key), f"is not a known key{hint(key, kinds, prefix=prefix)}"))
    values: dict[str, Any] = {}
    for key, kind in kinds.items():
        if key in table or _is_section(kind):
            values[key] = _value(kind, table.get(key, {}), (*path, key), problems)
        elif key in _required(section):
            problems.append(Problem((*path, key), f"is missing; give {allowed(kind)}"))
    return {key: value for key, value in values.items() if value is not None}


def _table(section: type[S], value: object, path: Path, problems: list[Problem]) -> S | None:
    if not isinstance(value, dict):
        problems.append(Problem(path, f"is {_outline(value)} instead of a table"))
        return None
    before = len(problems)
    values = _values(section, value, path, problems)
    return section.build(values) if len(problems) == before else None


def _value(kind: Any, value: object, path: Path, problems: list[Problem]) -> Any:
    """*value* as *kind*, or None and a problem; no value of TOML is None."""
    if isinstance(value, Words):
        value = _as_toml(kind, value)
    bare = _bare(kind)
    if _is_section(bare):
        return _table(bare, value, path, problems)
    if get_origin(bare) is tuple:
        return _items(kind, value, path, problems)
    converted = _converted(kind, value)
    if converted is None:
        problems.append(instead(path, value, allowed(kind)))
    return converted


def _items(kind: Any, value: object, path: Path, problems: list[Problem]) -> tuple[Any, ...] | None:
    item = get_args(_bare(kind))[0]
    if not isinstance(value, list):
        seen = _outline(value) if _is_section(item) else shown(value, path)
        problems.append(Problem(path, f"is {seen} instead of {allowed(kind)}"))
        return None
    if not value and any(note.min_length for note in _notes(kind)):
        problems.append(instead(path, value, allowed(kind)))
        return None
    before = len(problems)
    items = [_value(item, each, (*path, number), problems) for number, each in enumerate(value)]
    if not _is_section(item):
        problems += [
            Problem((*path, number), f"is {shown(each)} a second time; name it once")
            for number, each in enumerate(items)
            if each is not None and each in items[:number]
        ]
    return tuple(items) if len(problems) == before else None


def _as_toml(kind: Any, words: Words) -> object:
    """What *words* stand for where *kind* is wanted: TOML, a list with commas, or just a string."""
    try:
        document = tomllib.loads(f"value = {words}")
    except (ValueError, RecursionError):
        document = {}
    value = document["value"] if len(document) == 1 else None
    bare = _bare(kind)
    if _is_section(bare):
        return value if isinstance(value, dict) else str(words)
    if get_origin(bare) is not tuple:
        return value if value is not None and _converted(kind, value) is not None else str(words)
    if isinstance(value, list):
        return value
    if _is_section(get_args(bare)[0]):
        return str(words)
    return [Words(piece.strip()) for piece in words.split(",")] if words.strip() else []


def _converted(kind: Any, value: object) -> Any:
    """*value* as *kind*, or None."""
    # msgspec refuses a union of two types that both may be text; one after the other is what we mean.
    for option in _options(kind):
        try:
            return msgspec.convert(value, option)
        except msgspec.ValidationError:
            continue
    return None


def allowed(kind: Any) -> str:
    """What a value of *kind* may be, for a message."""
    described = [note.description for note in _notes(kind) if note.description]
    if described:
        return described[0]
    bare = _bare(kind)
    options = [option for option in _options(bare) if option is not NoneType]
    if options != [bare]:
        return choice([allowed(option) for option in options])
    if get_origin(bare) is Literal:
        words = get_args(bare)
        return choice(words) if words[1:] else f'"{words[0]}"'
    if issubclass(bare, StrEnum):
        return choice([word.value for word in bare])
    return _PLAIN[bare]


def _bare(kind: Any) -> Any:
    """The type without what is annotated to it."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _notes(kind: Any) -> tuple[Meta, ...]:
    """What is annotated to a type."""
    return kind.__metadata__ if get_origin(kind) is Annotated else ()


def _options(kind: Any) -> tuple[Any, ...]:
    """The members of a union, in order; a type that is none is its own only option."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _required(section: type[Section]) -> frozenset[str]:
    return frozenset(field.name for field in msgspec.structs.fields(section) if field.required)


def _outline(value: object) -> str:
    """What stands where a table should; a plain value may be a secret that strayed."""
    return shown(value) if isinstance(value, dict | list) else "a plain value"

"""What a Lambda function is invoked with, checked like a configuration: keys, types, ranges, all mistakes at once.

A key whose value is null counts as absent, since a state machine hands on as null what it has not got.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta

from exporter.config.problems import Problem, instead, shown
from exporter.config.settings import DatasetText, Section, StudioName
from exporter.config.shape import read_sections
from exporter.errors import UsageError

Text = Annotated[str, Meta(min_length=1, description="a string")]

_NUMBER = re.compile("[0-9]{1,5}")

#: What only one command takes; and what it cannot do without.
_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "plan": ("shards", "out"),
    "run": ("shard",),
    "merge": ("plan", "told", "verified"),
}
_NEEDED: Mapping[str, tuple[str, ...]] = {"plan": ("shards", "out"), "merge": ("plan",)}


class ShardEvent(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One shard of a file that `plan` wrote: the file, and the number in it, from 0 on; also written `URL#index`."""

    url: Text
    index: Annotated[int, Meta(ge=0, description="an integer of at least 0")]


class ToldShard(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a state machine knows of a shard; `error` where it was stopped."""

    shard: Annotated[
        str, Meta(pattern="#[0-9]{1,5}$", description="a file and a number, such as s3://bucket/plan.json#0")
    ]
    state: Text
    error: str = ""
    hand_overs: int = 0

    @property
    def index(self) -> int:
        """The shard's number."""
        return int(self.shard.rpartition("#")[2])


class VerifiedEvent(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of `verify`."""

    state: Literal["ok", "failed"]


class Event(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One invocation.

    Attributes:
        command: what to do, in the words of the command line.
        config: a file or `s3://bucket/key`; empty for `$EXPORTER_CONFIG`.
        studios, datasets, start, end, full, rewrite: narrow it, as the flags do.
        shard: narrows it to one shard of a plan; None for none.
        plan: whose shards are to be added up.
        told: what is known of those that were stopped.
        verified: what came of `verify`; None where nobody called it.
        shards, out: how many shards to plan, and the file to write them to.
        deadline_margin_s: how long before the function's time is up a run is handed over, in seconds; a third of the
            time where that is less.
    """

    command: Literal["run", "plan", "verify", "merge"] = "run"
    config: str = ""
    studios: Annotated[tuple[StudioName, ...], Meta(description="a list of strings")] = ()
    datasets: Annotated[tuple[DatasetText, ...], Meta(description="a list of strings")] = ()
    start: date | None = None
    end: date | None = None
    full: bool = False
    rewrite: bool = False
    shard: ShardEvent | None = None
    plan: Text | None = None
    told: Annotated[tuple[ToldShard, ...], Meta(description="a list of objects")] = ()
    verified: VerifiedEvent | None = None
    shards: Annotated[int, Meta(ge=1, le=10_000, description="an integer from 1 to 10000")] | None = None
    out: Text | None = None
    deadline_margin_s: Annotated[float, Meta(gt=0, le=900, description="a number of seconds above 0, at most 900")] = (
        60.0
    )

    @classmethod
    def kinds(cls, table: Mapping[str, object]) -> Mapping[str, Any]:
        """The fields; an object is only looked for where there is one."""
        kinds = {name: kind for name, kind in super().kinds(table).items() if name not in _OBJECTS}
        return kinds | {name: kind for name, kind in _OBJECTS.items() if name in table}


_OBJECTS: Mapping[str, type[Section]] = {"shard": ShardEvent, "verified": VerifiedEvent}


def parse_event(document: object) -> Event:
    """The event, whole and valid.

    Raises:
        UsageError: it is not; a line for each mistake.
    """
    if not isinstance(document, dict):
        raise UsageError(f"event: is {shown(document)} instead of an object")
    table = _without_nulls(document)
    problems: list[Problem] = []
    if isinstance(shard := table.get("shard"), str):
        url, _, index = shard.rpartition("#")
        if url and _NUMBER.fullmatch(index):
            table["shard"] = {"url": url, "index": int(index)}
        else:
            problems.append(
                instead(("shard",), table.pop("shard"), "a file and a number, such as s3://bucket/plan.json#0")
            )
    values = read_sections(Event, table, problems)
    problems += _of_several(table)
    if problems:
        raise UsageError("\n".join(f"event: {problem}" for problem in problems))
    return Event(**values)


def _of_several(table: Mapping[str, object]) -> Iterator[Problem]:
    """What keys say of each other."""
    command = table.get("command", "run")
    needed = _NEEDED.get(str(command), ())
    names = " and ".join(f'"{key}"' for key in needed)
    yield from (Problem((key,), f"is missing; {command} needs {names}") for key in needed if key not in table)
    for owner, keys in _ONLY_FOR.items():
        yield from (
            Problem((key,), f'is only for "command": "{owner}"; leave it out')
            for key in keys
            if key in table and owner != command
        )


def _without_nulls(document: Mapping[Any, object]) -> dict[str, object]:
    return {str(key): value for key, value in document.items() if value is not None}

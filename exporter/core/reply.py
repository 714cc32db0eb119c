"""What a Lambda function answers: values as JSON, never longer than what a state machine hands on. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from exporter.core.jsonable import jsonable
from exporter.core.manifest import RunState, Totals
from exporter.core.summary import RunSummary

#: Bytes of an answer at most, with room for what is put around it. Source: AWS Step Functions quotas, "Maximum input or
#: output size for a task, state, or execution", 256 KiB.
MOST_BYTES = 200_000

#: Items of a list at most: fewer, where that is still too long.
_MOST_ITEMS = (100, 30, 10, 3, 1, 0)

_LONGEST_TEXT = 1000


class State(StrEnum):
    """What became of a run."""

    OK = "ok"  # everything is published
    MORE = "more"  # the time was up: the same event goes on
    PARTIAL = "partial"  # some tasks failed, others did not
    FAILED = "failed"  # whatever was to be fetched failed
    MISSING = "missing"  # of a shard: no run of it is recorded
    DIFFERS = "differs"  # what is published is not what the manifests say


def reply_of_run(summary: RunSummary | None, *, more: bool) -> dict[str, object]:
    """How a run ended, and its summary; there is none where the time was up before it could begin."""
    if summary is None:
        return {"state": State.MORE if more else State.OK}
    return {**asdict(summary), "state": State.MORE if more else state_of(summary.state, summary.totals)}


def state_of(state: RunState, totals: Totals) -> State:
    """What became of a run that is not to be continued."""
    if state is RunState.OK:
        return State.OK
    return State.PARTIAL if totals.published + totals.empty else State.FAILED


def fitting(document: Mapping[str, object]) -> dict[str, Any]:
    """*document* in JSON's types, with long lists cut so that it fits; what is cut is counted in `<key>_left_out`."""
    whole = json.loads(json.dumps(document, default=jsonable))
    for most in _MOST_ITEMS:
        short: dict[str, Any] = _shortened(whole, most)
        if len(json.dumps(short)) <= MOST_BYTES:
            break
    return short


def _shortened(value: Any, most: int) -> Any:
    match value:
        case dict():
            cut = {key: _shortened(item, most) for key, item in value.items()}
            left_out = {
                f"{key}_left_out": len(item) - most
                for key, item in value.items()
                if isinstance(item, list) and len(item) > most
            }
            return cut | left_out
        case list():
            return [_shortened(item, most) for item in value[:most]]
        case str() if len(value) > _LONGEST_TEXT:
            return f"{value[: _LONGEST_TEXT - 3]}..."
        case _:
            return value

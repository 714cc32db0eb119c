"""IAM, as far as this project's policies go: what is allowed, and which statement allows it.

Source: IAM user guide, "Policy evaluation logic": an explicit deny wins, and what nothing allows is denied.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.templates import as_list

Statement = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One request to AWS.

    Attributes:
        action: as policies name it, "s3:GetObject".
        resource: its ARN.
        context: the condition keys that it carries, "s3:prefix".
    """

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)


def is_allowed(call: Call, statements: Sequence[Statement]) -> bool:
    """Whether a role with *statements*, and nothing else, may make the call."""
    matching = [statement["Effect"] for statement in statements if matches(statement, call)]
    return "Allow" in matching and "Deny" not in matching


def matches(statement: Statement, call: Call) -> bool:
    """Whether *statement* speaks of the call."""
    return (
        any(_like(pattern, call.action) for pattern in as_list(statement["Action"]))
        and any(_like(pattern, call.resource) for pattern in as_list(statement["Resource"]))
        and all(_holds(kind, wanted, call) for kind, wanted in statement.get("Condition", {}).items())
    )


def _holds(kind: str, wanted: Mapping[str, str | list[str]], call: Call) -> bool:
    assert kind == "StringLike", f"{kind} is not known here"
    return all(
        key in call.context and any(_like(pattern, call.context[key]) for pattern in as_list(patterns))
        for key, patterns in wanted.items()
    )


def _like(pattern: str, text: str) -> bool:
    regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(regex, text, flags=re.DOTALL) is not None

"""CloudFormation templates as values: read with their short tags, and resolved as far as a test needs.

Resolving knows parameters with their defaults, conditions of `Equals` and `Not`, and names every resource by its
logical id in small letters. Whatever it does not know is an error, so that a test cannot pass by overlooking it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"

ACCOUNT, REGION = "123456789012", "us-east-1"
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "studios",
    "AWS::NoValue": None,
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml comes without types
    """YAML with `!Ref`, `!Sub` and their kin, which become `{"Ref": ...}`, `{"Fn::Sub": ...}`."""


def _short_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", maxsplit=1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_tag)


class Template:
    """One template with values for its parameters."""

    def __init__(self, name: str, **parameters: object) -> None:
        self.text = (DEPLOY / name).read_text()
        self.body: dict[str, Any] = yaml.load(self.text, _Loader)
        self._given = {key: about.get("Default") for key, about in self.body["Parameters"].items()} | parameters

    def resource(self, logical_id: str) -> dict[str, Any]:
        """The properties of one resource, resolved."""
        properties: dict[str, Any] = self.resolve(self.body["Resources"][logical_id]["Properties"])
        return properties

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of *kind*, by logical id."""
        found = self.body["Resources"].items()
        return {key: self.resource(key) for key, resource in found if resource["Type"] == kind}

    def arn(self, logical_id: str) -> str:
        """A resource's name, made up in the form that its kind has."""
        kind = self.body["Resources"][logical_id]["Type"]
        name = logical_id.lower()
        return {
            "AWS::S3::Bucket": f"arn:aws:s3:::{name}",
            "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{name}",
        }.get(kind, f"arn:aws:{kind.split('::')[1].lower()}:{REGION}:{ACCOUNT}:{name}")

    def resolve(self, node: Any) -> Any:
        """*node* without intrinsic functions; what is `AWS::NoValue` is gone."""
        match node:
            case {"Ref": str(name)}:
                return self._ref(name)
            case {"Fn::GetAtt": [name, "Arn"]}:
                return self.arn(name)
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{(!?)([\w:.]+)\}", self._substitute, text)
            case {"Fn::If": [condition, then, otherwise]}:
                return self.resolve(then if self._holds(self.body["Conditions"][condition]) else otherwise)
            case dict() if any(key.startswith("Fn::") for key in node):
                raise AssertionError(f"cannot be resolved here: {node}")
            case dict():
                resolved = {key: self.resolve(value) for key, value in node.items()}
                return {key: value for key, value in resolved.items() if value is not None}
            case list():
                return [value for value in map(self.resolve, node) if value is not None]
            case _:
                return node

    def _ref(self, name: str) -> Any:
        if name in _PSEUDO:
            return _PSEUDO[name]
        return self._given[name] if name in self._given else name.lower()

    def _substitute(self, found: re.Match[str]) -> str:
        literal, name = found.groups()
        if literal:
            return f"${{{name}}}"
        logical_id, _, attribute = name.partition(".")
        return str(self.arn(logical_id) if attribute == "Arn" else self._ref(name))

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        match condition:
            case {"Fn::Not": [inner]}:
                return not self._holds(inner)
            case {"Fn::Equals": [left, right]}:
                return bool(self.resolve(left) == self.resolve(right))
            case _:
                raise AssertionError(f"cannot be decided here: {condition}")


def as_list(value: str | Sequence[str]) -> list[str]:
    """IAM's "one or several"."""
    return [value] if isinstance(value, str) else list(value)

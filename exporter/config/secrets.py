"""Secrets: what they are read from, and a wrapper that never prints one.

A configuration holds references: `env:NAME`, `file:PATH`, `ssm:/path`, `secretsmanager:name-or-arn` with
`#key` behind it where the secret is a JSON object. A file's path may begin with `~`. No message here holds a value, nor
what a library said about one.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from exporter.config.aws import UnreadableError, aws_faults, new_client
from exporter.errors import SecretError

#: What a reference looks like, for messages.
FORMS: Final = "env:NAME, file:PATH, ssm:/path or secretsmanager:name#key"

_REFERENCE = re.compile(r"(?:env:[^\s=]+|file:[^\x00-\x1f\x7f]+|(?:ssm|secretsmanager):[!-~]+)\Z")
_PREFIXES = ("env:", "file:", "ssm:", "secretsmanager:")

#: Parameters that are asked for at once. Source: AWS Systems Manager API reference, GetParameters, "Names".
_PARAMETERS_AT_ONCE = 10

#: Much more than any token; a device or a mistaken path shall not fill the memory.
_MAX_FILE_BYTES = 65_536


class Secret:
    """A text that prints as `***`; equal where the texts are equal."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends or uses it."""
        return self._text

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


def is_reference(text: str) -> bool:
    """Whether *text* begins like a reference, so that it may be shown."""
    return text.startswith(_PREFIXES)


def is_valid_reference(text: str) -> bool:
    """Whether *text* can be resolved at all."""
    return _REFERENCE.match(text) is not None


def resolve(reference: str, environ: Mapping[str, str]) -> Secret:
    """The secret behind one reference.

    Raises:
        SecretError: it leads nowhere, or to something that cannot be a secret.
    """
    return resolve_all({"secret": reference}, environ)[reference]


def resolve_all(references: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, Secret]:
    """The secrets behind all references.

    Args:
        references: by the key of the configuration that holds them; a key is named where its reference fails.
        environ: where `env:` looks.

    Returns:
        By reference. What several references share (a JSON object, a parameter) is fetched once.

    Raises:
        SecretError: one line for each reference that leads nowhere or to something that cannot be a secret.
    """
    aws = _Aws()
    fetchers: dict[str, Callable[[str], str]] = {
        "env": partial(_from_environment, environ),
        "file": _from_file,
        "ssm": aws.parameter,
        "secretsmanager": aws.secret,
    }
    secrets: dict[str, Secret] = {}
    faults: list[str] = []
    wanted = _by_reference(references)
    aws.look_ahead([reference.removeprefix("ssm:") for reference in wanted if reference.startswith("ssm:")])
    for reference, keys in wanted.items():
        try:
            secrets[reference] = _secret(reference, fetchers)
        except UnreadableError as error:
            seen = f"{reference} " if is_reference(reference) else ""
            faults.append(f"{', '.join(keys)}: {seen}{error}")
    if faults:
        raise SecretError("\n".join(faults))
    return secrets


def _secret(reference: str, fetchers: Mapping[str, Callable[[str], str]]) -> Secret:
    if not is_valid_reference(reference):
        raise UnreadableError(f"is no reference; write {FORMS}")
    kind, _, target = reference.partition(":")
    return Secret(_checked(fetchers[kind](target)))


def _by_reference(references: Mapping[str, str]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for key, reference in references.items():
        keys.setdefault(reference, []).append(key)
    return keys


def _checked(text: str) -> str:
    """*text*, which can stand in a header."""
    if not text:
        raise UnreadableError("is empty")
    if not text.isascii():
        raise UnreadableError("holds characters other than ASCII")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise UnreadableError("stands in quotes; give the bare secret")
    if not text.isprintable() or " " in text:
        raise UnreadableError("holds spaces or control characters; give the bare secret, without a word before it")
    return text


def _from_environment(environ: Mapping[str, str], name: str) -> str:
    if name not in environ:
        raise UnreadableError("is not set")
    return environ[name]


def _from_file(path: str) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        if len(data) > _MAX_FILE_BYTES:
            raise UnreadableError("is larger than 64 KiB")
        return data.decode("ascii").rstrip("\r\n")
    except OSError as error:
        raise UnreadableError(f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise UnreadableError("holds characters other than ASCII") from None
    except RuntimeError as error:
        raise UnreadableError("begins with a home folder that there is not; write the whole path") from error


class _Aws:
    """Secrets kept by AWS; each is fetched once, with one client for a service and region."""

    def __init__(self) -> None:
        self._client = cache(new_client)
        self._secret_string = cache(self._fetch_secret_string)
        self._parameters: dict[str, str] = {}

    def look_ahead(self, names: Sequence[str]) -> None:
        """Get many parameters with few calls: AWS answers 40 a second, to all of an account together.

        Source: AWS General Reference, Systems Manager quotas, "Parameter Store throughput".

        What does not come is asked for by itself later, so that each reference has its own reason: what is not there,
        all where somebody may read parameters one by one only, and names with a colon (ARNs, versions, labels), which
        AWS calls otherwise in its answer.
        """
        plain = [name for name in names if ":" not in name]
        if len(plain) <= 1:
            return
        for first in range(0, len(plain), _PARAMETERS_AT_ONCE):
            try:
                found = self._parameters_of(plain[first : first + _PARAMETERS_AT_ONCE])
            except UnreadableError:
                return
            self._parameters |= found

    def _parameters_of(self, names: Sequence[str]) -> dict[str, str]:
        answer = self._ask("ssm", "", lambda client: client.get_parameters(Names=names, WithDecryption=True))
        return {parameter["Name"]: str(parameter["Value"]) for parameter in answer["Parameters"]}

    def parameter(self, name: str) -> str:
        """The decrypted value of a parameter."""
        if name in self._parameters:
            return self._parameters[name]
        answer = self._ask("ssm", name, lambda client: client.get_parameter(Name=name, WithDecryption=True))
        return str(answer["Parameter"]["Value"])

    def secret(self, target: str) -> str:
        """A secret's string, or with `#key` one value of the JSON object in it."""
        name, hash_sign, key = target.partition("#")
        text = self._secret_string(name)
        if not hash_sign and text.startswith("{") and text.endswith("}"):
            raise UnreadableError("is a JSON object; name the key that holds the secret behind it, as in name#key")
        if not hash_sign:
            return text
        try:
            value = json.loads(text)[key]
        except (ValueError, LookupError, TypeError):
            # Not chained: what the parser says may quote the secret.
            raise UnreadableError("is no JSON object with this key") from None
        if not isinstance(value, str):
            raise UnreadableError("has something else than a string under this key")
        return value

    def _fetch_secret_string(self, name: str) -> str:
        answer = self._ask("secretsmanager", name, lambda client: client.get_secret_value(SecretId=name))
        if "SecretString" not in answer:
            raise UnreadableError("is binary instead of a string")
        return str(answer["SecretString"])

    def _ask(self, service: str, name: str, call: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
        # An ARN is asked for in its own region: arn:partition:service:region:...
        arn = name.split(":")
        region = arn[3] if arn[0] == "arn" and arn[3:] else None
        with aws_faults():
            return call(self._client(service, region))

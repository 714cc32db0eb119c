"""The way from `exporter.toml` and the environment to `Settings`; boto3 is imported only for a file on S3.

Order: environment, then file, then default. Everything is checked before anything is returned, and all that is wrong
is told at once, a line for each, in a `ConfigError`.
"""

import pathlib
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from exporter.config.aws import UnreadableError, aws_faults, new_client
from exporter.config.environment import overridden
from exporter.config.problems import Path, Problem
from exporter.config.rules import problems_of
from exporter.config.settings import Api, Privacy, Settings
from exporter.config.shape import read_sections
from exporter.errors import ConfigError

#: Names the file where no flag does.
VARIABLE = "EXPORTER_CONFIG"
DEFAULT_FILE = "exporter.toml"


def load_settings(
    path: str | None, environ: Mapping[str, str], *, read: Callable[[str], bytes] | None = None
) -> Settings:
    """The configuration, whole and valid.

    Args:
        path: a file or `s3://bucket/key`; None means `$EXPORTER_CONFIG`, else `exporter.toml` in the working folder.
        environ: where `EXPORTER_CONFIG` and overrides (`EXPORTER__SECTION__KEY`) are looked for.
        read: gives the bytes behind a path; by default the disk or S3. May raise OSError.

    Raises:
        ConfigError: there is no such file, or what it and the environment say is not valid.
    """
    name = path or environ.get(VARIABLE) or DEFAULT_FILE
    return parse_settings(_text(name, read or _read), environ, name=name)


def parse_settings(text: str, environ: Mapping[str, str], *, name: str = DEFAULT_FILE) -> Settings:
    """The configuration that *text*, the content of the file called *name*, and *environ* make.

    Raises:
        ConfigError: it is not valid.
    """
    try:
        file = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is a bare ValueError
        raise ConfigError(f"{name}: is not TOML: {error}") from error
    tree, origins, faults = overridden(file, environ)
    problems: list[Problem] = []
    sections = read_sections(Settings, tree, problems)
    problems += problems_of(sections)
    lines = faults + [f"{_source(problem.path, file, origins) or name}: {problem}" for problem in problems]
    if lines:
        raise ConfigError("\n".join(lines))
    return _tidied(Settings.build(sections))


def _source(path: Path, file: Mapping[str, object], origins: Mapping[Path, str]) -> str | None:
    """The variable that set what stands at *path*, or else something below it; None where the file did."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    if _holds(file, path):
        return None
    return next((name for place, name in origins.items() if place[: len(path)] == path), None)


def _holds(node: Any, path: Path) -> bool:
    """Whether there is something at *path*."""
    for part in path:
        try:
            node = node[part]
        except (LookupError, TypeError):
            return False
    return True


def _tidied(settings: Settings) -> Settings:
    """With a base URL that a path can be put behind, and without a key that nothing is hashed with."""
    api: Api = msgspec.structs.replace(settings.api, base_url=settings.api.base_url.rstrip("/"))
    privacy = settings.privacy if settings.privacy.hash else Privacy(drop=settings.privacy.drop)
    tidied: Settings = msgspec.structs.replace(settings, api=api, privacy=privacy)
    return tidied


def _text(name: str, read: Callable[[str], bytes]) -> str:
    try:
        # Some editors begin a file with a byte order mark.
        return read(name).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f'{name}: there is no such file; write one with "exporter init", or name one with --config or {VARIABLE}'
        ) from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def _read(name: str) -> bytes:
    return _read_s3(name) if name.startswith("s3://") else pathlib.Path(name).read_bytes()


def _read_s3(url: str) -> bytes:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise ConfigError(f"{url}: names no object; write s3://bucket/key")
    try:
        with aws_faults():
            body: bytes = new_client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except UnreadableError as error:
        raise ConfigError(f"{url}: {error}") from error
    return body

"""The file that `exporter init` writes is valid, complete and truthful."""

import re

import msgspec
import pytest

from exporter.config.load import parse_settings
from exporter.config.secrets import resolve_all
from exporter.config.settings import Api, Privacy, Report, Run, Section, Settings, Sink, StudioSection, Windows
from exporter.config.starter import STARTER
from exporter.config.values import references

#: A default stands behind "#", prose behind "# ".
WITH_DEFAULTS = re.sub(r"^#(?! \S)", "", STARTER, flags=re.MULTILINE)


def test_the_starter_loads_as_it_is():
    settings = parse_settings(STARTER, {})
    assert resolve_all(references(settings), {"TEAMUP_TOKEN": "made-up"})


def test_what_the_starter_calls_a_default_is_one():
    assert WITH_DEFAULTS != STARTER
    assert parse_settings(WITH_DEFAULTS, {}) == parse_settings(STARTER, {})


@pytest.mark.parametrize("section", [Api, Report, Windows, Privacy, StudioSection, Sink, Run, Settings])
def test_the_starter_mentions_every_key(section: type[Section]):
    headers = re.findall(r"^\[+(\w+)\]+", STARTER, flags=re.MULTILINE)
    keys = re.findall(r"^(?:# ?)?(\w+) = ", STARTER, flags=re.MULTILINE)
    wanted = section.kinds({"name": "attendance_strikes.grouped"})
    assert set(wanted) <= set(headers if section is Settings else keys)


def test_no_line_of_the_starter_is_a_default_by_mistake():
    uncommented = [line for line in WITH_DEFAULTS.splitlines() if line and not line.startswith(("#", "["))]
    assert all(re.match(r"\w+ = |  +\"", line) for line in uncommented)


def test_optional_keys_without_a_default_are_shown_as_examples():
    optional = {f.name for f in msgspec.structs.fields(StudioSection) if not f.required and f.default is None}
    assert optional == {"provider_id"}
    assert "# provider_id = " in STARTER

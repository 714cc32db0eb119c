"""README says what is true: the help it shows, the keys, codes, messages and targets that it names."""

import argparse
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter.cli.codes import ExitCode
from exporter.cli.parser import build_parser
from exporter.config.load import parse_settings
from exporter.config.settings import Api, Notify, Privacy, Report, Run, Section, Settings, Sink, StudioSection, Windows
from exporter.core.catalogue import REPORTS
from exporter.tables.schema import EXPORTED_AT, PERIOD_KEY, PERIOD_LABEL, RUN_ID, STUDIO_ID, WINDOW_END, WINDOW_START

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE, _, TROUBLE = README.partition("## Trouble\n")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def parsers():
    (action,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


@pytest.mark.parametrize("command", parsers())
def test_the_help_of_every_command_is_the_real_one(command):
    shown = [block for block in blocks("text") if block.startswith(f"$ exporter {command} --help\n")]
    assert len(shown) == 1
    assert shown[0].split("\n", 1)[1].split() == parsers()[command].format_help().split()


def test_the_configuration_is_valid_and_holds_the_defaults():
    (text,) = blocks("toml")
    shown = parse_settings(text, {})
    required = (
        '[[reports]]\nname = "attendance_strikes.grouped"\n'
        '[windows]\nstart = "2025-01-01"\nend = "2026-01-01"\n'
        '[[studios]]\nid = "harbour-yoga"\ntoken = "env:TEAMUP_TOKEN_HARBOUR"\n'
        'provider_id = 5404319\ntimezone = "Europe/London"\n'
    )
    assert shown == parse_settings(required, {})


@pytest.mark.parametrize("section", [Api, Report, Windows, Privacy, StudioSection, Sink, Run, Notify, Settings])
def test_every_key_is_named(section: type[Section]):
    (text,) = blocks("toml")
    keys = re.findall(r"^(?:# )?(\w+) = ", text, flags=re.MULTILINE)
    tables = re.findall(r"^\[+(\w+)", text, flags=re.MULTILINE)
    assert set(section.kinds({"name": "attendance_strikes.grouped"})) <= {*keys, *tables}


def test_every_exit_code_is_explained():
    table = re.findall(r"^\| (\d+) \| ", README, flags=re.MULTILINE)
    assert [int(code) for code in table] == list(ExitCode)


def test_every_report_and_every_column_of_ours_is_named():
    for name in (*REPORTS, STUDIO_ID, WINDOW_START, WINDOW_END, PERIOD_KEY, PERIOD_LABEL, RUN_ID, EXPORTED_AT):
        assert name in README


def test_every_message_in_trouble_is_one_that_the_program_says():
    # A message may be cut over two lines of source.
    said = re.sub(r'"\s+f?"', "", "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("exporter/**/*.py")))
    messages = re.findall(r"^\| `([^`]+)` \|", TROUBLE, flags=re.MULTILINE)
    assert len(messages) > 5
    for message in messages:
        assert message in said, message


def test_every_target_of_make_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z-]+)", "".join(blocks("text"))))
    assert {"setup", "demo", "test", "check"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_file_that_is_named_is_there():
    for name in re.findall(r"`([\w/]+(?:\.md|\.py|/))`", README):
        assert (ROOT / name).exists(), name


def test_the_query_runs(tmp_path, monkeypatch):
    part = tmp_path / "lake" / "attendance_strikes_grouped" / "month=2025-01" / "part-00000.parquet"
    part.parent.mkdir(parents=True)
    pq.write_table(pa.table({"count": [3, 4]}), part)
    monkeypatch.chdir(tmp_path)
    (query,) = blocks("sql")
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == [("2025-01", 7)]

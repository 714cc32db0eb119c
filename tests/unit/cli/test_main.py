"""Bad input: exit 2, one clear line, nothing requested, nothing written."""

import json
import socket

import pytest

from exporter.cli.main import main
from exporter.config.starter import STARTER
from tests.support.config_text import config_text


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPORTER_CONFIG", raising=False)
    monkeypatch.setenv("TOKEN_HARBOUR", "made-up")
    return tmp_path


@pytest.fixture
def nobody():
    """A base URL where nobody listens, to be asked by nobody."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f'"http://127.0.0.1:{taken.getsockname()[1]}"'


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("api.pages", "1"),
        ("api.timeout", '"soon"'),
        ("api.page_size", "0"),
        ("api.page_size", "101"),
        ("api.requests_per_minute", "0"),
        ("api.base_url", '"ftp://api.example.test"'),
        ("api.base_url", '"http://api.example.test"'),
        ("windows.start", '"2025-02-30"'),
        ("windows.end", '"2024-01-01"'),
        ("reports.0.columns", '["customer_id", "colour", "count"]'),
        ("reports.0.columns", '["customer_id"]'),
        ("reports.0.columns", '["customer_id", "customer.id", "count"]'),
        ("reports.0.status", '["closed"]'),
        ("reports.0.pivot", '"decade"'),
        ("reports.0.dataset", '"../lake"'),
        ("studios.0.id", '"harbour/yoga"'),
        ("studios.0.id", '""'),
        ("studios.0.timezone", '"Europe/Londinium"'),
        ("studios.0.token", '"made-up-token"'),
        ("studios.0.token", '"env:NOT_SET"'),
        ("sink.compression", '"zip"'),
    ],
)
def test_bad_configuration_is_told_in_one_line(folder, nobody, capsys, key, value):
    (folder / "exporter.toml").write_text(config_text({"api.base_url": nobody, key: value}))
    assert main(["run"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "made-up" not in told.err
    assert [path.name for path in folder.iterdir()] == ["exporter.toml"]


def test_single_rows_without_their_id_are_refused(folder, capsys):
    changes = {"reports.0.name": '"attendance_strikes"', "reports.0.columns": '["customer_id", "status"]'}
    (folder / "exporter.toml").write_text(config_text(changes))
    assert main(["run"]) == 2
    assert 'reports[0].columns has no "id"' in capsys.readouterr().err


@pytest.mark.parametrize("command", [["run"], ["run", "--dry-run"], ["plan"], ["status"], ["verify"]])
def test_with_json_a_program_reads_on_stdout_too_why_there_is_no_answer(folder, capsys, command):
    (folder / "exporter.toml").write_text(config_text({"api.page_size": "0", "sink.compression": '"zip"'}))
    assert main([*command, "--json"]) == 2
    told = capsys.readouterr()
    assert json.loads(told.out)["error"].splitlines() == [
        line.removeprefix("exporter: ") for line in told.err.splitlines()
    ]


def test_a_sink_that_cannot_be_written_is_told_before_anything_is_asked(folder, nobody, capsys):
    (folder / "exporter.toml").write_text(config_text({"api.base_url": nobody, "sink.url": '"exporter.toml/lake"'}))
    assert main(["run"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("exporter: sink exporter.toml/lake: ")
    assert told.err.count("\n") == 1


def test_each_of_several_problems_has_its_line(folder, capsys):
    (folder / "exporter.toml").write_text(config_text({"api.page_size": "0", "sink.compression": '"zip"'}))
    assert main(["run"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("exporter: exporter.toml: ") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "exporter.toml: there is no such file"),
        (["plan", "--config", "other.toml"], "other.toml: there is no such file"),
        (["sandbox", "--faults", "flood:1"], '"flood"'),
    ],
)
def test_without_a_configuration_the_way_out_is_told(folder, capsys, arguments, words):
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--studio", "nobody"], '--studio: "nobody" is not configured; configured are harbour-yoga'),
        (["--dataset", "nothing"], '--dataset: "nothing" is not configured'),
        (["--start", "2026-01-01"], "the first day 2026-01-01 is not before the end 2026-01-01"),
    ],
)
def test_what_a_flag_names_must_be_configured(folder, capsys, arguments, words):
    (folder / "exporter.toml").write_text(config_text())
    assert main(["run", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_control_character_does_not_reach_the_terminal(folder, capsys):
    assert main(["plan", "--config", "\x1b[31mred.toml"]) == 2
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "\\x1b[31mred.toml" in told


def test_init_writes_a_file_that_plan_accepts_and_never_writes_over_it(folder, capsys, monkeypatch):
    monkeypatch.setenv("TEAMUP_TOKEN", "made-up")
    assert main(["init"]) == 0
    assert (folder / "exporter.toml").read_text() == STARTER
    assert "exporter doctor\n" in capsys.readouterr().out.replace("    tries sink and credentials", "")
    assert main(["plan"]) == 0
    (folder / "exporter.toml").write_text("mine")
    assert main(["init"]) == 2
    assert (folder / "exporter.toml").read_text() == "mine"


def test_init_where_told_says_how_to_use_it(folder, capsys):
    assert main(["init", "--config", "studios.toml"]) == 0
    assert "exporter run --config studios.toml" in capsys.readouterr().out
    assert main(["init", "--config", "missing/studios.toml"]) == 2
    assert "missing/studios.toml: cannot be written" in capsys.readouterr().err

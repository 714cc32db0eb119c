"""Arguments and help."""

import argparse
import subprocess
import sys
from datetime import date

import pytest

from exporter import __version__
from exporter.cli.main import main
from exporter.cli.parser import DIALECTS, build_parser
from exporter.tables.ddl import Dialect

COMMANDS = ("demo", "init", "doctor", "plan", "run", "status", "verify", "forget", "ddl", "report", "sandbox")


def subparsers():
    (action,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


def flags(parser):
    return [action for action in parser._actions if action.dest != "help"]


def test_every_promised_command_is_there_and_no_other():
    assert tuple(subparsers()) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_ends_with_an_example_that_parses(command):
    parser = subparsers()[command]
    assert parser.description
    example = parser.format_help().strip().splitlines()[-1]
    program, *arguments = example.split()
    assert program == "exporter"
    assert build_parser().parse_args(arguments).command == command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_tells_its_default(command):
    for action in flags(subparsers()[command]):
        assert action.help is not None, action.option_strings
        assert "default" in action.help, action.option_strings


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_imports_nothing_heavy(flag):
    code = (
        "import sys\n"
        "from exporter.cli.main import main\n"
        f"assert main([{flag!r}]) == 0\n"
        "heavy = {'pyarrow', 'boto3', 'aiohttp', 'rich', 'msgspec', 'asyncio', 'tenacity'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"exporter {__version__}\n"


def test_no_command_prints_help_and_is_a_mistake(capsys):
    assert main([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "sandbox" in told.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--start", "2025-1-1"], 'argument --start: is "2025-1-1" instead of a day such as'),
        (["run", "--start", "20250101"], "instead of a day"),
        (["run", "--start", "2025-W01-1"], "instead of a day"),
        (["run", "--end", "2025-02-30"], "instead of a day"),
        (["run", "--end", "0001-01-01"], "instead of a day from 1900-01-01 to 2200-01-01"),
        (["run", "--stud", "harbour-yoga"], "--stud"),
        (["run", "--studio"], "--studio"),
        (["run", "--log-format", "xml"], "'xml'"),
        (["run", "leftover"], "leftover"),
        (["status", "--last", "0"], 'argument --last: is "0" instead of a whole number from 1 to'),
        (["status", "--last", "ten"], 'is "ten" instead of a whole number'),
        (["forget"], "--customer"),
        (["forget", "--customer", "0"], 'argument --customer: is "0" instead of a whole number from 1 on'),
        (["forget", "--customer", "1_000"], "instead of a whole number"),
        (["forget", "--customer", "9223372036854775808"], "instead of a whole number"),
        (["ddl"], "--dialect"),
        (["ddl", "--dialect", "oracle"], "'oracle'"),
        (["sandbox", "--port", "65536"], "from 0 to 65535"),
        (["repor"], "'report'"),
    ],
)
def test_a_mistake_is_one_line_below_the_usage(arguments, words, capsys):
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("usage: ")
    assert words in told.err.splitlines()[-1]


def test_days_are_dates_and_repeated_flags_add_up():
    args = build_parser().parse_args(
        ["run", "--start", "2025-03-01", "--studio", "a", "b", "--studio", "c", "--dataset", "d"]
    )
    assert (args.start, args.end, args.studios, args.datasets) == (date(2025, 3, 1), None, ["a", "b", "c"], ["d"])


def test_one_command_line_leaves_nothing_for_the_next():
    parser = build_parser()
    parser.parse_args(["run", "--studio", "a"])
    assert parser.parse_args(["run"]).studios == []


def test_the_dialects_are_those_that_there_are():
    assert tuple(Dialect) == DIALECTS

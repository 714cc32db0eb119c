"""Arguments and help.

Rules kept here: nothing but the standard library is imported, so that `--help` is quick; a flag's help names its unit
and its default; a command's help ends with an example; no flag may be shortened, so that a new one breaks no script.
"""

import argparse
import re
from collections.abc import Callable
from datetime import date
from functools import partial

from exporter import __version__

#: The same words as `tables.ddl.Dialect`, which would import pyarrow.
DIALECTS = ("athena", "spark", "duckdb")

#: Where `sandbox` listens, so that a configuration written for it stays right.
SANDBOX_PORT = 8700

_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile("[0-9]{1,5}")
_CUSTOMER = re.compile("[1-9][0-9]*")
#: Ids are integers of 64 bits.
_LAST_ID = 2**63 - 1
#: Days outside of these are mistakes of typing, as in the configuration.
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2200, 1, 1)

#: Help has one width, whatever the terminal's: README shows it as it is.
_Formatter = partial(argparse.RawDescriptionHelpFormatter, width=100, max_help_position=26)

_DESCRIPTION = """\
Export TeamUp reports of many studios to Hive-partitioned Parquet, in a folder or on S3.
"""
_EPILOG = """\
exit codes:
  0    everything that was planned is published
  1    some tasks failed, the others are published; run again to retry just those
  2    usage or configuration error; nothing was requested, nothing written
  3    verify found a difference
  130  interrupted; what is whole is kept

example:
  exporter demo
"""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; `command` is None where none was given."""
    parser = argparse.ArgumentParser(
        prog="exporter",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"exporter {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, does: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=does,
            description=f"{does[0].upper()}{does[1:]}.",
            epilog=f"example:\n  {example}\n",
            formatter_class=_Formatter,
            allow_abbrev=False,
        )

    _demo(command("demo", "export made-up studios on this machine and show what came out", "exporter demo"))
    _init(command("init", "write a commented starter configuration", "exporter init --config studios.toml"))
    _doctor(command("doctor", "check configuration, sink, clock and credentials", "exporter doctor"))
    _plan(command("plan", "show what a run would do; asks the API nothing", "exporter plan --studio harbour-yoga"))
    _run(command("run", "export what is not settled yet", "exporter run --start 2025-03-01 --end 2025-06-01"))
    _status(command("status", "show the last runs, or what they found changed", "exporter status --changes"))
    _verify(command("verify", "hold the published data against the manifests", "exporter verify --source"))
    _forget(
        command(
            "forget", "remove a customer from the sink and keep them out", "exporter forget --customer 4711 --dry-run"
        )
    )
    _ddl(command("ddl", "print table definitions", "exporter ddl --dialect athena"))
    _report(command("report", "write a page about the last run and the data", "exporter report --out report.html"))
    _sandbox(
        command("sandbox", "serve a simulated API with made-up studios", "exporter sandbox --faults all:0.2 --rate 600")
    )
    return parser


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sink", metavar="FOLDER", default="./demo-lake", help="where the data goes (default: ./demo-lake)"
    )
    parser.add_argument(
        "--format", choices=("json", "csv"), default="json", help="how pages are asked for (default: json)"
    )
    _add_log_format(parser)


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="PATH",
        default="exporter.toml",
        help="file to write, never over an existing one (default: ./exporter.toml)",
    )


def _doctor(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)


def _plan(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    _add_narrowing(parser)
    parser.add_argument(
        "--shards",
        metavar="N",
        type=_whole(1, 10_000),
        help="cut it into at most N parts, balanced by requests, no credential in two (default: show it whole)",
    )
    parser.add_argument(
        "--out", metavar="URL", help="file to write the shards to, or s3://bucket/key; with --shards (no default)"
    )
    _add_json(parser)


def _run(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    _add_narrowing(parser)
    parser.add_argument(
        "--shard",
        metavar="URL#K",
        type=_shard,
        help="only shard K, from 0 on, of the file that plan --out wrote (default: everything)",
    )
    parser.add_argument(
        "--rewrite", action="store_true", help="replace a dataset that is published at another grain (default: refuse)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan; request and write nothing (default: run it)"
    )
    _add_json(parser)
    _add_log_format(parser)


def _status(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--last",
        metavar="N",
        type=_whole(1, 10_000),
        help="how many runs, newest last (default: 10, with --changes 100)",
    )
    parser.add_argument(
        "--changes",
        action="store_true",
        help="show what had changed in windows that were fetched again, and how long lookback_days must be"
        " (default: show the runs)",
    )
    _add_datasets(parser)
    _add_json(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--source",
        action="store_true",
        help="ask the API for each studio's own totals too (default: read the sink only)",
    )
    _add_studios(parser, "whose totals to ask the API for, with --source (default: all)")
    _add_datasets(parser)
    _add_json(parser)


def _forget(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--customer", metavar="ID", type=_customer, required=True, help="the API's id of the customer (no default)"
    )
    parser.add_argument(
        "--studio", metavar="ID", help="only this studio's customer of that id (default: every studio's)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be removed; change nothing (default: remove it)"
    )
    _add_json(parser)


def _ddl(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--dialect", choices=DIALECTS, required=True, help="whose SQL (no default)")
    _add_datasets(parser)


def _report(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--out", metavar="PATH", help="write the page to this file (default: stdout)")
    _add_datasets(parser)


def _sandbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        metavar="PORT",
        type=_whole(0, 65_535),
        default=SANDBOX_PORT,
        help=f"loopback port, 0 for a free one (default: {SANDBOX_PORT})",
    )
    parser.add_argument(
        "--studios", metavar="N", type=_whole(1, 10_000), default=5, help="how many studios (default: 5)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=1, help="another seed makes other studios (default: 1)"
    )
    parser.add_argument(
        "--rate",
        metavar="N",
        type=_whole(0, 10**9),
        default=250,
        help="requests a minute per token, 0 for no limit (default: 250)",
    )
    parser.add_argument(
        "--latency-ms",
        metavar="MS",
        type=_whole(0, 600_000),
        default=0,
        help="milliseconds that each answer waits (default: 0)",
    )
    parser.add_argument(
        "--faults",
        metavar="PLAN",
        default="",
        help="what goes wrong, as kind:share or kind@request, comma-separated, such as 500:0.05,reset@12;"
        " the kind all stands for everything that passes when sent again (default: nothing)",
    )
    parser.add_argument(
        "--write-config",
        metavar="PATH",
        help="write a configuration that exports these studios, never over an existing file (default: none)",
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="PATH",
        help="configuration file, or s3://bucket/key (default: $EXPORTER_CONFIG, else ./exporter.toml)",
    )


def _add_narrowing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start", metavar="DAY", type=_day, help="first local day, YYYY-MM-DD (default: windows.start)"
    )
    parser.add_argument(
        "--end", metavar="DAY", type=_day, help="first local day not included, YYYY-MM-DD (default: windows.end)"
    )
    _add_studios(parser, "only these studios; may be repeated (default: all)")
    _add_datasets(parser)
    parser.add_argument("--full", action="store_true", help="fetch settled windows again too (default: skip them)")


def _add_studios(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--studio", metavar="ID", dest="studios", nargs="+", action="extend", default=[], help=text)


def _add_datasets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        dest="datasets",
        nargs="+",
        action="extend",
        default=[],
        help="only these datasets; may be repeated (default: all)",
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout (default: text for people)"
    )


def _add_log_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-format",
        choices=("json", "text"),
        help="progress on stderr as JSON objects or as text, one a line (default: a live bar on a terminal, else json)",
    )


def _customer(text: str) -> int:
    if not _CUSTOMER.fullmatch(text) or int(text) > _LAST_ID:
        raise argparse.ArgumentTypeError(f'is "{text}" instead of a whole number from 1 on, in digits')
    return int(text)


def _shard(text: str) -> tuple[str, int]:
    url, _, number = text.rpartition("#")
    if not url or not _NUMBER.fullmatch(number):
        raise argparse.ArgumentTypeError(f'is "{text}" instead of a file and a number, such as plan.json#0')
    return url, int(number)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise argparse.ArgumentTypeError(f'is "{text}" instead of a day such as 2025-03-01')
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise argparse.ArgumentTypeError(f"is {text} instead of a day from {_FIRST_DAY} to {_LAST_DAY}")
    return day


def _whole(low: int, high: int) -> Callable[[str], int]:
    """Reads whole numbers from *low* to *high*."""

    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f'is "{text}" instead of a whole number from {low} to {high}')
        return number

    return whole

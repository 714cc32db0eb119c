"""The way in: arguments are read before anything else is imported, so that help and mistakes are told at once."""

import sys
from collections.abc import Sequence

from exporter.cli import output
from exporter.cli.codes import ExitCode
from exporter.cli.parser import build_parser
from exporter.errors import ExporterError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: without the program's name; None for this process's own.

    Returns:
        The exit code; see `codes.py`.
    """
    parser = build_parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # help, the version, or a mistake that is told already
        return _told(int(stop.code or 0))
    if args.command is None:
        parser.print_help(sys.stderr)
        return ExitCode.USAGE
    try:
        from exporter.cli.dispatch import dispatch  # noqa: PLC0415 - see the module's docstring

        return dispatch(args)
    except KeyboardInterrupt:  # no loop has taken over the signals yet
        return ExitCode.INTERRUPTED


def _told(code: int) -> int:
    """*code*, once what was told has left the process."""
    try:
        output.emit("")
    except ExporterError as error:
        output.tell(f"exporter: {error}")
        return ExitCode.FAILED
    return code

"""From a command's name to its exit code: signals, and the one place where errors become exit codes.

A command is an async function of the arguments and the environment; what only one command needs is imported when that
one is called. The first SIGINT, SIGTERM or SIGHUP asks it to stop, a second one insists.
"""

import asyncio
import json
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Awaitable, Iterator, Mapping
from importlib import import_module
from typing import Protocol, cast

from exporter.cli import output
from exporter.cli.codes import ExitCode
from exporter.cli.progress import complain, log_style
from exporter.errors import ExporterError, UsageError
from exporter.process import loop_factory, tune_memory

#: The modules of the commands that need no configuration, or more than one module; all others are in `commands`.
_MODULES = {"demo": "demo", "init": "init", "report": "report", "sandbox": "sandbox"}

#: Makes a terminal's cursor visible again, should a bar have hidden it.
_SHOW_CURSOR = "\x1b[?25h"


class Command(Protocol):
    """One of the words behind `exporter`."""

    def __call__(self, args: Namespace, environ: Mapping[str, str], /) -> Awaitable[ExitCode]:
        """Do it; results go to stdout."""
        ...


def dispatch(args: Namespace) -> ExitCode:
    """Run the command that *args* name to its end."""
    tune_memory()
    module = import_module(f"exporter.cli.{_MODULES.get(args.command, 'commands')}")
    command = cast(Command, getattr(module, args.command))
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_stoppable(command, args))
    except UsageError as error:
        for line in str(error).splitlines():  # one for each mistake in a configuration
            complain(line, None)
        _answer(error, args)
        return ExitCode.USAGE
    except ExporterError as error:
        complain(str(error), log_style(args.log_format) if "log_format" in args else None)
        _answer(error, args)
        return ExitCode.FAILED


async def _stoppable(command: Command, args: Namespace) -> ExitCode:
    task = asyncio.current_task()
    assert task is not None

    def stop() -> None:
        if task.cancelling():
            _end_at_once()
        task.cancel()

    # The handlers stay until the loop is closed, so that what it still waits for can be cut short too.
    for number in _stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await command(args, os.environ)
    except asyncio.CancelledError:
        return ExitCode.INTERRUPTED


def _stop_signals() -> Iterator[signal.Signals]:
    """What asks a command to stop; a terminal that goes does not, where the command was started under nohup."""
    yield from (signal.SIGINT, signal.SIGTERM)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


def _answer(error: ExporterError, args: Namespace) -> None:
    """Say on stdout too why there is no other answer, where a program reads it."""
    if "json" in args and args.json:
        output.emit(json.dumps({"error": str(error)}, indent=2) + "\n")


def _end_at_once() -> None:
    """The end that a person insists on; what is published or staged is whole at every moment."""
    if output.is_terminal(sys.stderr):
        sys.stderr.write(_SHOW_CURSOR)
        sys.stderr.flush()
    os._exit(ExitCode.INTERRUPTED)

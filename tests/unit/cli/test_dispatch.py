"""Signals: the first asks, the second insists."""

import signal
import subprocess
import sys

import pytest

#: A command that does not want to end.
STUBBORN = """
import asyncio
from argparse import Namespace
from exporter.cli import commands, dispatch

async def stubborn(args, environ):
    print("begun", flush=True)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("asked", flush=True)
        await asyncio.Event().wait()

commands.stubborn = stubborn
raise SystemExit(dispatch.dispatch(Namespace(command="stubborn")))
"""

#: A command that takes the hint, with an interpreter that has no uvloop.
WILLING = STUBBORN.replace("stubborn", "willing").replace(
    'print("asked", flush=True)\n        await asyncio.Event().wait()',
    'print("asked", type(asyncio.get_running_loop()).__module__, flush=True)\n        raise',
)


#: SIGTERM arrives while modules are still being imported.
EARLY = """
import os, signal, sys, types
early = types.ModuleType("exporter.cli.dispatch")
early.dispatch = lambda args: os.kill(os.getpid(), signal.SIGTERM)
sys.modules["exporter.cli.dispatch"] = early
sys.argv = ["exporter", "plan"]
from exporter.__main__ import main
main()
"""


def start(code, *flags):
    return subprocess.Popen([sys.executable, *flags, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_ends_what_the_first_could_not(number):
    heard = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # the tests may run under nohup themselves
    with start(heard + STUBBORN) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(number)
        assert process.wait() == 130


def test_a_terminal_that_goes_ends_nothing_that_was_started_to_outlive_it():
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with start(ignoring + STUBBORN) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130


def test_without_uvloop_the_loop_is_asyncios():
    with start("import sys; sys.modules['uvloop'] = None\n" + WILLING) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline().startswith("asked asyncio")
        assert process.wait() == 130


def test_a_signal_before_the_loop_is_an_interruption_too():
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_at_the_end_nothing_is_searched_for_cycles():
    code = "import atexit, gc, sys\natexit.register(lambda: print(len(gc.get_objects())))\n"
    code += "sys.argv = ['exporter', '--version']\nfrom exporter.__main__ import main\nmain()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 1_000


def test_a_bug_keeps_its_traceback():
    broken = "from argparse import Namespace\nfrom exporter.cli import commands, dispatch\n"
    broken += "async def broken(args, environ):\n    return 1 / 0\n"
    broken += 'commands.broken = broken\ndispatch.dispatch(Namespace(command="broken"))\n'
    done = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr

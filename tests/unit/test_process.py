"""Whether a process still lives, told by the real one of this machine."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from exporter.jobs.resume import Owner
from exporter.process import Here, invocation, this_host, this_process

NOW = datetime(2025, 3, 1, tzinfo=UTC)
ME = Owner(run_id="run-1", began_at=NOW, seen_at=NOW, full=False, host=this_host(), process=this_process())

needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells when a process began")


@pytest.fixture
def child():
    """A process that lives, and a function that says who it is."""
    who = "import exporter.process as p; print(p.this_process(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        owner = replace(ME, process=process.stdout.readline().strip())
        yield process, owner
        process.kill()


def test_this_process_runs():
    assert Here().is_running(ME) is True


def test_another_process_runs_until_it_has_ended(child):
    process, owner = child
    assert Here().is_running(owner) is True
    process.kill()
    process.wait()
    assert Here().is_running(owner) is False


@needs_proc
def test_a_process_that_was_killed_does_not_run_even_before_its_parent_has_noticed(child):
    process, owner = child
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert Here().is_running(owner) is False


@needs_proc
def test_another_process_of_the_same_number_is_another():
    number, _, started = ME.process.partition(" ")
    assert Here().is_running(replace(ME, process=f"{number} {int(started) + 1}")) is False
    assert Here().is_running(replace(ME, process=number)) is False


def test_of_a_process_on_another_machine_nothing_is_known():
    assert Here().is_running(replace(ME, host="another")) is None
    assert Here().is_running(replace(ME, host="")) is None


@pytest.mark.parametrize("process", ["", "x", "x 1"])
def test_of_what_names_no_process_nothing_is_known(process):
    assert Here().is_running(replace(ME, process=process)) is None


def test_an_earlier_invocation_of_this_process_is_over_and_this_one_is_not():
    earlier, here = invocation("stream-1", "1"), invocation("stream-1", "2")
    assert here.is_running(replace(ME, host=earlier.host, process=earlier.process)) is False
    assert here.is_running(replace(ME, host=here.host, process=here.process)) is True


def test_of_an_invocation_in_another_process_that_lives_nothing_is_known_until_that_has_ended(child):
    process, owner = child
    here = invocation("stream-1", "2")
    other = replace(owner, host=here.host, process=f"{owner.process} 1")
    assert here.is_running(other) is None
    process.kill()
    process.wait()
    assert here.is_running(other) is False


@pytest.mark.parametrize(("first", "second"), [("stream-1", "stream-2"), ("", "")])
def test_of_another_environment_nothing_is_known_although_its_processes_have_the_same_numbers(first, second):
    other = invocation(first, "1")
    assert invocation(second, "2").is_running(replace(ME, host=other.host, process=other.process)) is None


def test_who_this_is_stays_the_same():
    assert (this_host(), this_process()) == (ME.host, ME.process)
    assert this_process().split()[0] == str(os.getpid())


def test_processes_of_one_machine_agree_on_its_name():
    shown = subprocess.run(
        [sys.executable, "-c", "import exporter.process as p; print(p.this_host(), p.this_process(), sep='|')"],
        capture_output=True,
        text=True,
        check=True,
    )
    host, process = shown.stdout.strip().split("|")
    assert host == ME.host
    assert process != ME.process


@needs_proc
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_process_of_somebody_else_runs():
    code = """
import os, sys
from datetime import datetime, UTC
from exporter.jobs.resume import Owner
from exporter.process import Here, this_host
os.setuid(65534)
now = datetime.now(UTC)
owner = Owner(run_id="run-1", began_at=now, seen_at=now, full=False, host=this_host(), process=sys.argv[1])
print(Here().is_running(owner))
"""
    shown = subprocess.run([sys.executable, "-c", code, ME.process], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "True"

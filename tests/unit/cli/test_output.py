"""Streams that end early, and files that are there already."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.cli import output
from exporter.errors import ExporterError, UsageError


def test_a_reader_that_goes_away_is_no_error(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as nobody_reads:
        monkeypatch.setattr(sys, "stdout", nobody_reads)
        output.emit("text\n")
        output.emit("more\n")


def test_a_full_disk_is_an_error(monkeypatch):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(ExporterError, match="stdout: cannot be written"):
            output.emit("text\n")


def test_a_full_disk_under_stderr_disturbs_nobody(monkeypatch):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        output.tell("line")


def test_what_the_encoding_cannot_say_is_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    output.emit("caf\N{LATIN SMALL LETTER E WITH ACUTE}\n")
    assert raw.getvalue() == b"caf\\xe9\n"


def test_a_process_without_streams_is_quiet(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    output.emit("text\n")
    output.tell("line")
    assert not output.is_terminal(sys.stdout)


def test_a_closed_pipe_ends_the_program_quietly():
    done = subprocess.run(
        f"{sys.executable} -m exporter --help | true", shell=True, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_help_into_a_full_disk_is_told_in_one_line():
    done = subprocess.run(
        f"{sys.executable} -m exporter --help > /dev/full", shell=True, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "exporter: stdout: cannot be written (No space left on device)\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed_disturb_nobody(tmp_path, closed):
    done = subprocess.run(
        f"{sys.executable} -m exporter status --config missing.toml {closed}",
        cwd=tmp_path,
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""


def test_a_file_that_is_there_is_left_alone(tmp_path):
    path = tmp_path / "exporter.toml"
    output.write_new(str(path), "first")
    with pytest.raises(UsageError, match="is there already"):
        output.write_new(str(path), "second")
    assert path.read_text() == "first"


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        output.write_new(str(tmp_path / "missing" / "exporter.toml"), "text")

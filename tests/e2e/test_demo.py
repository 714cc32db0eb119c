"""`exporter demo`, in a folder where nothing is configured."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter.cli.demo import query
from tests.support.command import Exporter

FOLDER = Path("demo-lake", "attendance_strikes_grouped")


def printed_query(stdout):
    return stdout.rpartition("to try:\n")[2].strip()


def pasted(command, folder):
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)


async def test_demo_exports_verifies_and_shows_and_again_finds_all_settled(tmp_path):
    demo = Exporter(tmp_path)
    first = await demo("demo", "--log-format", "text")
    assert first.code == 0, first.stderr
    assert "5 of 5 totals agree with the API's own\nno difference\n" in first.stdout
    again = await demo("demo", "--log-format", "text")
    assert again.code == 0, again.stderr
    assert "nothing to fetch: all 60 tasks are settled" in again.stdout
    assert "5 of 5 totals agree with the API's own\nno difference\n" in again.stdout
    assert printed_query(first.stdout) == printed_query(again.stdout)

    tried = pasted(printed_query(first.stdout), tmp_path)
    assert (tried.returncode, tried.stderr) == (0, "")
    assert "2025-12" in tried.stdout
    assert "strikes" in tried.stdout


async def test_the_query_needs_no_duckdb(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    demo = await Exporter(tmp_path)("demo", "--format", "csv")
    assert demo.code == 0, demo.stderr
    tried = pasted(query(FOLDER, duckdb=False), tmp_path)
    assert (tried.returncode, tried.stderr) == (0, "")
    assert len(tried.stdout.splitlines()) == 12
    assert "2025-12" in tried.stdout


def test_the_query_names_an_interpreter_of_this_folder_from_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert query(FOLDER, duckdb=True).startswith(".venv/bin/python -c ")
    monkeypatch.setattr(sys, "executable", "/elsewhere/bin/python")
    assert query(FOLDER, duckdb=True).startswith("/elsewhere/bin/python -c ")


async def test_demo_into_s3_is_refused(tmp_path):
    refused = await Exporter(tmp_path)("demo", "--sink", "s3://bucket/lake")
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("duckdb", [True, False])
def test_the_query_survives_a_folder_with_quotes_and_spaces(tmp_path, monkeypatch, duckdb):
    monkeypatch.chdir(tmp_path)
    part = tmp_path / "a 'b' \"c\" $d" / "month=2025-01" / "part-00000.parquet"
    part.parent.mkdir(parents=True)
    pq.write_table(pa.table({"count": [3, 4]}), part)
    tried = pasted(query(part.parent.parent.relative_to(tmp_path), duckdb=duckdb), tmp_path)
    assert (tried.returncode, tried.stderr) == (0, "")
    assert "2025-01" in tried.stdout
    assert "7" in tried.stdout


async def test_demo_over_a_damaged_lake_names_the_difference(tmp_path):
    demo = Exporter(tmp_path)
    assert (await demo("demo", "--log-format", "text")).code == 0
    (tmp_path / FOLDER / "month=2025-07" / "stray.parquet").write_bytes(b"no parquet")
    again = await demo("demo", "--log-format", "text")
    assert again.code == 3
    assert "stray.parquet: is no object of this dataset" in again.stdout

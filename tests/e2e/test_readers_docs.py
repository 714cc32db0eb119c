"""What docs/reading.md shows works as it stands there."""

import re
from pathlib import Path

import duckdb
import pytest
import sqlglot

from exporter.app_choice import Choice
from exporter.store.local import LocalStore
from tests.support.exports import DATASET, bench

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"


def snippets(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)


def snippet(language, words):
    """The one snippet that has *words*."""
    (found,) = [text for text in snippets(language) if words in text]
    return found


@pytest.fixture
async def lake(tmp_path, monkeypatch):
    """Two studios and three months in ./lake."""
    monkeypatch.chdir(tmp_path)
    async with bench(store=LocalStore(tmp_path / "lake")) as b:
        await b.run()
        yield b


async def test_the_duckdb_query_runs_over_a_lake(lake):
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        rows = connection.execute(snippet("sql", "'lake/attendance_strikes_grouped")).fetchall()
    assert [row[:2] for row in rows] == [(f"studio-{n}", f"2025-0{month}") for n in (1, 2) for month in (2, 3)]
    assert sum(row[2] for row in rows) == 600


def test_statements_for_elsewhere_are_of_their_dialect():
    assert len(duckdb.extract_statements(snippet("sql", "CREATE SECRET"))) == 2
    assert sqlglot.parse_one(snippet("sql", "BETWEEN"), dialect="athena").find(sqlglot.exp.Between)


async def test_duckdb_reads_what_pyarrow_opens(lake, capsys):
    exec(compile(snippet("python", "import duckdb"), PAGE, "exec"), {})
    assert "studio-2" in capsys.readouterr().out


async def test_pyarrow_reads_one_month(lake):
    names = {}
    exec(compile(snippet("python", "february = lake"), PAGE, "exec"), names)
    assert sum(names["february"]["count"].to_pylist()) == 300
    assert [len(f.path.split("month=")) for f in names["lake"].get_fragments()] == [2, 2, 2]


async def test_a_run_at_work_can_be_told_from_one_that_is_over(lake):
    names = {}
    exec(compile(snippet("python", "def settled_run"), PAGE, "exec"), names)
    assert names["same"] is True
    (manifest,) = [m async for m in lake.app().history(Choice(), 1)]
    assert names["before"] == manifest.run_id
    await lake.store.put("_staging/20250401T000000Z-00000000/run.json", b"{}")
    assert names["settled_run"](Path("lake"), DATASET) is None


def test_every_snippet_of_python_is_python():
    for text in snippets("python"):
        compile(text, PAGE, "exec")

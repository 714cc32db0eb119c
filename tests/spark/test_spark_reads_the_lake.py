"""Spark reads a lake by its path, and as the table of `ddl`."""

import re
from datetime import date
from pathlib import Path

import pytest

from exporter.app_choice import Choice
from exporter.store.local import LocalStore
from exporter.tables.ddl import Dialect, ddl
from tests.support.exports import DATASET, DEFAULT_COLUMNS, bench, expected, groups, months, published

pytestmark = pytest.mark.spark

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"


@pytest.fixture
async def lake(tmp_path, monkeypatch):
    """Two studios and three months in ./lake."""
    monkeypatch.chdir(tmp_path)
    async with bench(store=LocalStore(tmp_path / "lake")) as b:
        await b.run()
        yield b


def partition_filters(frame):
    """What Spark's plan prunes partitions by."""
    plan = frame._jdf.queryExecution().executedPlan().toString()
    return re.findall(r"PartitionFilters: \[(.*?)\]", plan)


def test_rows_are_the_source_s(spark, lake, tmp_path):
    found = [row.asDict() for row in spark.read.parquet(str(tmp_path / "lake" / DATASET)).collect()]
    rows = [(r["studio_id"], r["window_start"], *(r[name] for name in DEFAULT_COLUMNS)) for r in found]
    assert sorted(rows, key=repr) == expected(lake.world, months())
    assert sum(row["count"] for row in found) == 900


async def test_times_are_the_same_instants(spark, lake, tmp_path):
    frame = spark.read.parquet(str(tmp_path / "lake" / DATASET))
    seconds = {row[0] for row in frame.selectExpr("unix_micros(exported_at)").collect()}
    written = {time.timestamp() for time in (await published(lake.store))["exported_at"].to_pylist()}
    assert {micros / 1_000_000 for micros in seconds} == written


def test_columns_have_their_types_and_manifests_are_no_rows(spark, lake, tmp_path):
    frame = spark.read.parquet(str(tmp_path / "lake" / DATASET))
    types = dict(frame.dtypes)
    assert list(types)[:3] == ["studio_id", "window_start", "window_end"]
    assert types["studio_id"] == types["status"] == types["run_id"] == "string"
    assert types["window_start"] == types["window_end"] == "date"
    assert types["customer_id"] == types["count"] == "bigint"
    assert types["exported_at"] == "timestamp"
    files = frame.inputFiles()
    assert len(files) == 3
    assert all("/month=2025-0" in file for file in files)


def test_months_that_a_query_excludes_are_pruned(spark, lake, tmp_path):
    spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    one_month = spark.read.parquet(str(tmp_path / "lake" / DATASET)).where("month = '2025-02'")
    assert dict(one_month.dtypes)["month"] == "string"
    assert [row[0] for row in one_month.selectExpr("sum(count)").collect()] == [300]
    (filters,) = partition_filters(one_month)
    assert "2025-02" in filters


async def test_the_table_of_ddl_reads_the_same_and_takes_new_months_in(spark, lake, tmp_path):
    (dataset,) = lake.app().datasets
    statements = ddl(dataset, str(tmp_path / "lake"), Dialect.SPARK, "2025-01").strip().rstrip(";").split(";\n")
    for statement in statements:
        spark.sql(statement)
    try:
        totals = "SELECT month, sum(count) FROM attendance_strikes_grouped GROUP BY month ORDER BY month"
        rows = [tuple(row) for row in spark.sql(totals).collect()]
        assert rows == [("2025-01", 300), ("2025-02", 300), ("2025-03", 300)]
        await lake.run(Choice(start=date(2025, 4, 1), end=date(2025, 5, 1)), end=date(2025, 5, 1))
        spark.sql(statements[-1])
        assert spark.sql(totals).collect()[-1].month == "2025-04"
        assert spark.table("attendance_strikes_grouped").count() == len(groups(await published(lake.store)))
    finally:
        spark.sql("DROP TABLE attendance_strikes_grouped")


def test_the_documented_snippet_runs(spark, lake, capsys, tmp_path):
    (snippet,) = re.findall(r"^```python\n(spark\.conf.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    names = {"spark": spark}
    # Spark takes a relative path for one of the folder that it was started in.
    exec(compile(snippet.replace('"lake/', f'"{tmp_path}/lake/'), PAGE, "exec"), names)
    assert "studio-2" in capsys.readouterr().out
    assert names["lake"].count() == len(expected(lake.world, months()))

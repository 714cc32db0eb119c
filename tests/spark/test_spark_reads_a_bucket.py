"""Spark reads over s3a, from SeaweedFS, what `exporter run` put there."""

import re
from urllib.parse import unquote

import pytest

from exporter.tables.ddl import Dialect
from tests.support.exports import DATASET, DEFAULT_COLUMNS
from tests.support.s3_lake import in_order, s3_lake
from tests.support.s3_servers import faulty_proxy

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def lake(tmp_path_factory, s3a):
    if not s3a:
        pytest.skip("Spark's S3 connector is not there; run make test-spark where Maven Central can be reached")
    with s3_lake(tmp_path_factory.mktemp("lake")) as lake:
        yield lake


@pytest.fixture(scope="module")
def bucket(spark, lake):
    """The bucket behind a proxy, so that it can be seen what Spark asks for."""
    with faulty_proxy(lake.server) as proxy:
        hadoop = spark.sparkContext._jsc.hadoopConfiguration()
        for name, value in {
            "fs.s3a.endpoint": proxy.endpoint_url,
            "fs.s3a.endpoint.region": "us-east-1",
            "fs.s3a.access.key": lake.server.access_key,
            "fs.s3a.secret.key": lake.server.secret_key,
            "fs.s3a.path.style.access": "true",
            "fs.s3a.attempts.maximum": "1",
            "fs.s3a.retry.limit": "1",
        }.items():
            hadoop.set(name, value)
        spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        yield proxy


def folder(lake):
    return lake.url.replace("s3://", "s3a://")


def test_every_row_is_the_source_s_and_nothing_else_is_a_row(spark, lake, bucket):
    frame = spark.read.parquet(folder(lake))
    rows = frame.selectExpr("studio_id", "CAST(window_start AS STRING)", *DEFAULT_COLUMNS).collect()
    assert in_order(rows) == lake.rows()


def test_columns_have_their_types_and_times_are_the_same_instants(spark, lake, bucket):
    frame = spark.read.parquet(folder(lake))
    assert dict(frame.dtypes) == {
        **{name: "bigint" if name.endswith("_id") or name == "count" else "string" for name in DEFAULT_COLUMNS},
        **dict.fromkeys(("studio_id", "run_id", "month"), "string"),
        **dict.fromkeys(("window_start", "window_end"), "date"),
        "exported_at": "timestamp",
    }
    assert {row[0] for row in frame.selectExpr("unix_micros(exported_at)").distinct().collect()} == lake.instants


def test_a_month_that_a_query_excludes_is_pruned_by_the_plan_and_not_asked_for(spark, lake, bucket):
    one_month = spark.read.parquet(folder(lake)).where("month = '2025-02'").selectExpr("sum(count)")
    plan = one_month._jdf.queryExecution().executedPlan().toString()
    (filters,) = re.findall(r"PartitionFilters: \[(.*?)\]", plan)
    assert "2025-02" in filters
    bucket.exchanges.clear()
    assert [row[0] for row in one_month.collect()] == [
        sum(strikes for _, month, _, strikes in lake.strikes() if month == "2025-02")
    ]
    asked = {unquote(exchange.path).partition("?")[0] for exchange in bucket.exchanges if exchange.verb != "LIST"}
    assert {re.search("month=([0-9-]+)", path).group(1) for path in asked} == {"2025-02"}


def test_the_table_of_ddl_reads_the_same(spark, lake, bucket):
    for statement in lake.ddl[Dialect.SPARK].strip().rstrip(";").split(";\n"):
        spark.sql(statement)
    try:
        counts = f"SELECT studio_id, month, count(*), sum(count) FROM {DATASET} GROUP BY ALL ORDER BY ALL"
        assert [tuple(row) for row in spark.sql(counts).collect()] == lake.strikes()
    finally:
        spark.sql(f"DROP TABLE {DATASET}")

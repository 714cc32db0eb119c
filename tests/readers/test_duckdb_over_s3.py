"""DuckDB reads over S3, from SeaweedFS, what `exporter run` put there. Run by `make test-readers`."""

import re
from urllib.parse import unquote

import pytest

from exporter.tables.ddl import Dialect
from tests.support.duckdb_over_s3 import PYTHON, query
from tests.support.exports import DATASET, DEFAULT_COLUMNS
from tests.support.s3_lake import in_order, s3_lake
from tests.support.s3_servers import faulty_proxy

pytestmark = pytest.mark.readers


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there; run make test-readers")
    with s3_lake(tmp_path_factory.mktemp("lake")) as lake:
        yield lake


def by_path(lake):
    return (
        f"read_parquet('{lake.parts}', hive_partitioning = true, hive_types = {{'month': VARCHAR}},"
        " union_by_name = true)"
    )


def test_every_row_is_the_source_s_and_nothing_else_is_a_row(lake):
    columns = ", ".join(f'"{name}"' for name in DEFAULT_COLUMNS)
    (rows,) = query(lake.server, f"SELECT studio_id, window_start, {columns} FROM {by_path(lake)}")
    assert in_order(rows) == lake.rows()


def test_counts_and_sums_are_the_source_s_by_path_and_by_the_view_of_ddl(lake):
    counts = "SELECT studio_id, month, count(*), sum(count)::BIGINT FROM {} GROUP BY ALL ORDER BY ALL"
    found = query(
        lake.server,
        counts.format(by_path(lake)),
        counts.format(f"'{lake.url}/**/*.parquet'"),
        lake.ddl[Dialect.DUCKDB],
        counts.format(DATASET),
    )
    for answer in (found[0], found[1], found[3]):
        assert [tuple(row) for row in answer] == lake.strikes()


def test_columns_have_their_types_and_times_are_the_same_instants(lake):
    types, times = query(
        lake.server,
        f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {by_path(lake)})",
        f"SELECT DISTINCT epoch_us(exported_at) FROM {by_path(lake)}",
    )
    ids = {name for name in DEFAULT_COLUMNS if name.endswith("_id")}
    assert dict(types) == {
        **{name: "BIGINT" if name in {*ids, "count"} else "VARCHAR" for name in DEFAULT_COLUMNS},
        **dict.fromkeys(("studio_id", "run_id", "month"), "VARCHAR"),
        **dict.fromkeys(("window_start", "window_end"), "DATE"),
        "exported_at": "TIMESTAMP WITH TIME ZONE",
    }
    assert {moment for (moment,) in times} == lake.instants


def test_a_month_that_a_query_excludes_is_not_asked_for(lake):
    february = f"{by_path(lake).replace(', union_by_name = true', '')} WHERE month = '2025-02'"
    with faulty_proxy(lake.server) as proxy:
        (((total,),),) = query(
            lake.server, f"SELECT sum(count)::BIGINT FROM {february}", endpoint_url=proxy.endpoint_url
        )
    assert total == sum(strikes for _, month, _, strikes in lake.strikes() if month == "2025-02")
    asked = {unquote(exchange.path).partition("?")[0] for exchange in proxy.exchanges if exchange.verb != "LIST"}
    # DuckDB takes the columns from the first part that it finds.
    assert {re.search("month=([0-9-]+)", path).group(1) for path in asked} == {"2025-01", "2025-02"}


def test_the_plan_prunes_months(lake):
    (((_, plan),),) = query(lake.server, f"EXPLAIN SELECT sum(count) FROM {by_path(lake)} WHERE month = '2025-02'")
    assert "Scanning Files: 1/3" in plan

"""Trino, the engine that Athena is built on, reads from SeaweedFS what `exporter run` put there. `make test-trino`."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from exporter.tables.ddl import Dialect
from tests.support.exports import DATASET, DEFAULT_COLUMNS
from tests.support.s3_lake import in_order, s3_lake
from tests.support.s3_servers import faulty_proxy
from tests.support.trino import JAVA, SERVER, trino_server

pytestmark = [pytest.mark.trino, pytest.mark.timeout(400)]

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"

#: Hive's names of types, as Trino calls them.
TYPES = {"string": "varchar", "bigint": "bigint", "date": "date", "timestamp": "timestamp(6)", "double": "double"}


#: What Athena computes months from; Trino computes none, so they are listed.
PROJECTION = {
    "projection.enabled": "true",
    "projection.month.type": "date",
    "projection.month.format": "yyyy-MM",
    "projection.month.range": "2025-01,NOW+1YEARS",
    "projection.month.interval": "1",
    "projection.month.interval.unit": "MONTHS",
}
MONTHS = [f"{year}-{month:02d}" for year in (2025, 2026) for month in range(1, 13)]


def as_trino(athena, *, projected):
    """Athena's statement in Trino's words: both say the same, in another grammar.

    Source: Trino documentation, "Hive connector", table and column properties.
    """
    head, _, tail = athena.partition("PARTITIONED BY")
    (name,) = re.findall(r"CREATE EXTERNAL TABLE `(\w+)`", head)
    columns = [f'"{column}" {TYPES[kind]}' for column, kind in re.findall(r"^  `(\w+)` (\w+)", head, re.MULTILINE)]
    ((partition, kind),) = re.findall(r"`(\w+)` (\w+)\)", tail)
    (location,) = re.findall(r"^LOCATION '(.+)'", tail, re.MULTILINE)
    properties = dict(re.findall(r"^  '(.+)' = '(.+)'", tail, re.MULTILINE))
    template = properties.pop("storage.location.template")
    assert properties == PROJECTION
    table = f"external_location = '{location}', format = 'PARQUET', partitioned_by = ARRAY['{partition}']"
    column = f"{partition} {TYPES[kind]}"
    if projected:
        column += f" WITH (partition_projection_type = 'ENUM', partition_projection_values = ARRAY{MONTHS})"
        table += f", partition_projection_enabled = true, partition_projection_location_template = '{template}'"
    return f"CREATE TABLE {name} ({', '.join(columns)}, {column}) WITH ({table})"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    if not (SERVER / "lib").exists() or not JAVA.exists():
        pytest.skip(f"{SERVER} or {JAVA} is not there; run make test-trino")
    with s3_lake(tmp_path_factory.mktemp("lake")) as lake:
        yield lake


@pytest.fixture(scope="module")
def bucket(lake):
    """The bucket behind a proxy, so that it can be seen what Trino asks for."""
    with faulty_proxy(lake.server) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def server(lake, bucket, tmp_path_factory):
    with trino_server(tmp_path_factory.mktemp("trino"), lake.server, bucket.endpoint_url) as trino:
        yield trino


@pytest.fixture(params=[True, False], ids=["months projected", "months registered"])
def trino(request, server, lake):
    """With the table that `exporter ddl --dialect athena` defines, its months told in both ways that Trino has."""
    server.query(as_trino(lake.ddl[Dialect.ATHENA].strip().rstrip(";"), projected=request.param))
    if not request.param:
        server.query(f"CALL system.sync_partition_metadata('exports', '{DATASET}', 'ADD')")
    yield server
    server.query(f"DROP TABLE {DATASET}")


def test_every_row_is_the_source_s_and_nothing_else_is_a_row(trino, lake):
    columns = ", ".join(f'"{name}"' for name in DEFAULT_COLUMNS)
    assert in_order(trino.query(f"SELECT studio_id, window_start, {columns} FROM {DATASET}")) == lake.rows()


def test_counts_and_sums_are_the_source_s(trino, lake):
    counts = f'SELECT studio_id, month, count(*), sum("count") FROM {DATASET} GROUP BY 1, 2 ORDER BY 1, 2'
    assert [tuple(row) for row in trino.query(counts)] == lake.strikes()


def test_times_are_the_same_instants_in_utc(trino, lake):
    found = {datetime.fromisoformat(text) for (text,) in trino.query(f"SELECT DISTINCT exported_at FROM {DATASET}")}
    began = datetime(1970, 1, 1)  # noqa: DTZ001 - Hive's timestamp has no zone; that it means UTC is what is tested
    assert {(moment - began) // timedelta(microseconds=1) for moment in found} == lake.instants


def test_a_month_that_a_query_excludes_is_pruned_by_the_plan_and_not_asked_for(trino, lake, bucket):
    one_month = f"SELECT sum(\"count\") FROM {DATASET} WHERE month = '2025-02'"
    (((plan),),) = trino.query(f"EXPLAIN {one_month}")
    assert re.search(r"month:string:PARTITION_KEY\s+:: \[\[2025-02\]\]", plan), plan
    bucket.exchanges.clear()
    assert trino.query(one_month) == [[sum(strikes for _, month, _, strikes in lake.strikes() if month == "2025-02")]]
    asked = {unquote(exchange.path) for exchange in bucket.exchanges if "/metastore" not in exchange.path}
    assert {month for path in asked for month in re.findall("month=([0-9-]+)", path)} == {"2025-02"}


def test_the_documented_statements_register_every_month(server, lake):
    (snippet,) = re.findall(r"^```sql\n(CREATE TABLE .*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    for statement in snippet.replace(f"s3://bucket/prefix/{DATASET}", lake.url).strip().rstrip(";").split(";\n"):
        server.query(statement)
    groups = server.query(f"SELECT studio_id, month, count(*) FROM {DATASET} GROUP BY 1, 2 ORDER BY 1, 2")
    server.query(f"DROP TABLE {DATASET}")
    assert [tuple(row) for row in groups] == [row[:3] for row in lake.strikes()]

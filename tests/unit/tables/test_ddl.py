from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import sqlglot
from sqlglot import exp

from exporter.core.partition import manifest_key, partition_of, segment_key
from exporter.core.report import ColumnType
from exporter.errors import UsageError
from exporter.tables.ddl import Dialect, ddl
from exporter.tables.parquet import encode_part
from tests.support.parts import STRIKES, dataset, january, ledger, part, task

#: Everything that means something to a shell, a glob or a literal.
AWKWARD = "it's a [very] odd*lake?"


def write(folder: Path, key: str, data: bytes) -> None:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def lake(tmp_path):
    """Two months, the second with a column more; staged rows and manifests beside them."""
    folder = tmp_path / AWKWARD
    january_task, empty_task = task("cove", january(1, 31)), task("dune", january(31, 31))
    first = part([(january_task, {"status": "open", "count": n}) for n in range(3)])
    second = part([(january_task, {"zone": "a", "count": 10})], extras=[pa.field("zone", pa.string())])
    key = partition_of(STRIKES.name, january_task[1]).key
    write(folder, key, encode_part(first, ledger(january_task), "zstd"))
    write(folder, key.replace("2025-01", "2025-02"), encode_part(second, ledger(january_task), "snappy"))
    write(folder, key.replace("2025-01", "2025-03"), encode_part(part([]), ledger(empty_task), "none"))
    write(folder, manifest_key(STRIKES.name, "run"), b"{}")
    write(folder, segment_key("run", 1), b"half")
    # What the folder's name would match if its characters were taken for wildcards.
    write(tmp_path / "it's a v oddXlake!", key, encode_part(first, ledger(january_task), "zstd"))
    return folder


def duckdb_rows(folder, query, of=STRIKES):
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute(ddl(of, str(folder), Dialect.DUCKDB, "2025-01"))
        return connection.execute(query).fetchall()


def test_duckdb_reads_every_published_row_and_nothing_else(lake):
    rows = duckdb_rows(lake, "SELECT month, count(*), sum(count) FROM strikes GROUP BY month ORDER BY month")
    assert rows == [("2025-01", 3, 3), ("2025-02", 1, 10)]


def test_duckdb_gives_every_column_its_type(lake):
    assert duckdb_rows(lake, "SELECT column_name, column_type FROM (DESCRIBE strikes)") == [
        ("studio_id", "VARCHAR"),
        ("window_start", "DATE"),
        ("window_end", "DATE"),
        ("status", "VARCHAR"),
        ("customer_id", "BIGINT"),
        ("count", "BIGINT"),
        ("run_id", "VARCHAR"),
        ("exported_at", "TIMESTAMP WITH TIME ZONE"),
        ("zone", "VARCHAR"),
        ("month", "VARCHAR"),
    ]


def test_duckdb_reads_null_where_a_month_lacks_a_column(lake):
    rows = duckdb_rows(lake, "SELECT DISTINCT month, zone FROM strikes ORDER BY month")
    assert rows == [("2025-01", None), ("2025-02", "a")]


def test_duckdb_s_view_may_be_made_again(lake):
    twice = ddl(STRIKES, str(lake), Dialect.DUCKDB, "2025-01") * 2
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute(twice)
        assert connection.execute("SELECT count(*) FROM strikes").fetchall() == [(4,)]


def test_arrow_reads_every_published_row_and_nothing_else(lake):
    found = ds.dataset(lake / STRIKES.name, format="parquet", partitioning="hive").to_table()
    assert sorted(zip(found["month"].to_pylist(), found["count"].to_pylist(), strict=True)) == [
        ("2025-01", 0),
        ("2025-01", 1),
        ("2025-01", 2),
        ("2025-02", 10),
    ]


def athena(of=STRIKES, location="s3://lake/exports", **options):
    return sqlglot.parse_one(ddl(of, location, Dialect.ATHENA, "2024-11", **options), dialect="athena")


def columns_of(statement):
    return [(c.name, c.kind.this.name) for c in statement.this.find_all(exp.ColumnDef)]


def properties_of(statement):
    return {p.name: p.args["value"].name for p in statement.find_all(exp.Property) if type(p) is exp.Property}


def test_athena_s_columns_are_the_part_s():
    everything = dataset("id", "status", "penalty_charge_amount_decimal", report="attendance_strikes")
    extras = [("zone", ColumnType.STRING), ("score", ColumnType.FLOAT64)]
    assert columns_of(athena(everything, extras=extras)) == [
        ("studio_id", "TEXT"),
        ("window_start", "DATE"),
        ("window_end", "DATE"),
        ("id", "BIGINT"),
        ("status", "TEXT"),
        ("penalty_charge_amount_decimal", "DOUBLE"),
        ("zone", "TEXT"),
        ("score", "DOUBLE"),
        ("run_id", "TEXT"),
        ("exported_at", "TIMESTAMP"),
    ]


def test_athena_computes_months_instead_of_asking_for_them():
    statement = athena(location="s3://lake/exports/")
    assert statement.find(exp.LocationProperty).this.name == "s3://lake/exports/strikes/"
    assert statement.find(exp.FileFormatProperty).this.name == "PARQUET"
    assert [c.name for c in statement.find(exp.PartitionedByProperty).find_all(exp.ColumnDef)] == ["month"]
    assert properties_of(statement) == {
        "projection.enabled": "true",
        "projection.month.type": "date",
        "projection.month.format": "yyyy-MM",
        "projection.month.range": "2024-11,NOW+1YEARS",
        "projection.month.interval": "1",
        "projection.month.interval.unit": "MONTHS",
        "storage.location.template": "s3://lake/exports/strikes/month=${month}/",
    }


def test_quotes_and_backslashes_in_a_location_stay_part_of_it():
    statement = athena(location="s3://lake/it's a \\ 'lake'")
    assert statement.find(exp.LocationProperty).this.name == "s3://lake/it's a \\ 'lake'/strikes/"


def test_a_table_is_named_as_athena_and_spark_allow():
    named = dataset(name="late-cancels 2025")
    for dialect in Dialect:
        assert "late_cancels_2025" in ddl(named, "s3://lake", dialect, "2025-01").splitlines()[0]


@pytest.mark.parametrize("location", ["./lake", "/srv/lake", "file:///srv/lake"])
def test_athena_is_refused_for_a_folder(location):
    with pytest.raises(UsageError, match=r"Athena reads only S3; use --dialect duckdb or spark"):
        ddl(STRIKES, location, Dialect.ATHENA, "2025-01")


def test_spark_declares_the_month_as_text_and_registers_the_months():
    create, repair = ddl(STRIKES, "/srv/lake", Dialect.SPARK, "2025-01").split(";\n")[:2]
    statement = sqlglot.parse_one(create, dialect="spark")
    assert columns_of(statement)[-1] == ("month", "TEXT")
    assert statement.find(exp.LocationProperty).this.name == "/srv/lake/strikes"
    assert repair == "MSCK REPAIR TABLE `strikes`"


def test_spark_reads_s3_under_its_own_scheme():
    assert "LOCATION 's3a://lake/exports/strikes'" in ddl(STRIKES, "s3://lake/exports", Dialect.SPARK, "2025-01")

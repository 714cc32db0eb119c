"""Table definitions over a dataset, one dialect a function.

Rules kept here: names and locations are quoted, never pasted; `month` is text everywhere, since engines left to guess
take it for a date; names that begin with an underscore (`_manifests`, `_staging`) are in no table.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import assert_never

import pyarrow as pa

from exporter.core.report import ColumnType, Dataset
from exporter.errors import UsageError
from exporter.tables.schema import ARROW_TYPES, part_schema


class Dialect(StrEnum):
    """Whose SQL a table definition is written in."""

    ATHENA = "athena"
    SPARK = "spark"
    DUCKDB = "duckdb"


#: The partition column: in the path, not in the objects.
_MONTH = "month"

#: Hive's names of a part's types; Athena and Spark share them.
_HIVE_TYPES = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp",
}

#: How far past today Athena looks for months: windows may reach into the future, and every month costs a listing.
_PROJECTED_TO = "NOW+1YEARS"


def ddl(
    dataset: Dataset,
    location: str,
    dialect: Dialect,
    first_month: str,
    extras: Sequence[tuple[str, ColumnType]] = (),
) -> str:
    """The statements that make *dataset* a table, each ended by a semicolon and a new line.

    The table has the dataset's name, with an underscore for each character that Athena and Spark refuse in one.
    A table that is there already is an error in Athena and Spark, not silently left with other columns: drop it first,
    which drops no data. DuckDB's view is replaced.

    Args:
        dataset: what lies under `<location>/<dataset>/month=YYYY-MM/`.
        location: the sink's URL or absolute folder.
        dialect: for whom.
        first_month: the earliest partition that there is or will be, "2025-01".
        extras: columns that came without being asked for.

    Raises:
        UsageError: the sink is one that the dialect's engine cannot read.
    """
    table = re.sub(r"\W", "_", dataset.name, flags=re.ASCII)
    folder = f"{location.rstrip('/')}/{dataset.name}"
    schema = part_schema(dataset, [pa.field(name, ARROW_TYPES[kind]) for name, kind in extras])
    match dialect:
        case Dialect.ATHENA:
            return _athena(table, folder, schema, first_month)
        case Dialect.SPARK:
            return _spark(table, folder, schema)
        case Dialect.DUCKDB:
            return _duckdb(table, folder)
        case _:
            assert_never(dialect)


def _athena(table: str, folder: str, schema: pa.Schema, first_month: str) -> str:
    """Partition projection: months are computed from the query, so a new one needs no statement and no crawler.

    Source: Athena user guide, "Set up partition projection" and "Supported types for partition projection".
    """
    if not folder.startswith("s3://"):
        raise UsageError(
            f'ddl --dialect athena: the dataset lies in "{folder}" instead of s3://bucket/prefix, and Athena reads'
            " only S3; use --dialect duckdb or spark"
        )
    properties = {
        "projection.enabled": "true",
        f"projection.{_MONTH}.type": "date",
        f"projection.{_MONTH}.format": "yyyy-MM",
        f"projection.{_MONTH}.range": f"{first_month},{_PROJECTED_TO}",
        f"projection.{_MONTH}.interval": "1",
        f"projection.{_MONTH}.interval.unit": "MONTHS",
        "storage.location.template": f"{folder}/{_MONTH}=${{{_MONTH}}}/",
    }
    listed = _lines(f"{_hive_string(name)} = {_hive_string(value)}" for name, value in properties.items())
    return (
        f"CREATE EXTERNAL TABLE {_backticked(table)} (\n{_hive_columns(schema)}\n)\n"
        f"PARTITIONED BY ({_backticked(_MONTH)} string)\n"
        "STORED AS PARQUET\n"
        f"LOCATION {_hive_string(f'{folder}/')}\n"
        f"TBLPROPERTIES (\n{listed}\n);\n"
    )


def _spark(table: str, folder: str, schema: pa.Schema) -> str:
    """A Parquet table whose `month` is declared: Spark would infer a date from the path.

    The second statement registers the months that are there; it is repeated when a run published a new one.
    """
    # Spark's own S3 connector answers to s3a:// only, and the vendors' Sparks know that name too.
    folder = f"s3a://{folder.removeprefix('s3://')}" if folder.startswith("s3://") else folder
    return (
        f"CREATE TABLE {_backticked(table)} (\n{_hive_columns(schema)},\n  {_backticked(_MONTH)} string\n)\n"
        "USING PARQUET\n"
        f"PARTITIONED BY ({_backticked(_MONTH)})\n"
        f"LOCATION {_hive_string(folder)};\n"
        f"MSCK REPAIR TABLE {_backticked(table)};\n"
    )


def _duckdb(table: str, folder: str) -> str:
    """A view: it sees new months by itself. Making it needs at least one part, from which DuckDB takes the columns."""
    glob = f"{_unglobbed(folder)}/{_MONTH}=*/part-*.parquet".replace("'", "''")
    return (
        f'CREATE OR REPLACE VIEW "{table}" AS\n'
        f"SELECT * FROM read_parquet(\n  '{glob}',\n"
        f"  hive_partitioning = true, hive_types = {{'{_MONTH}': VARCHAR}}, union_by_name = true\n);\n"
    )


def _hive_columns(schema: pa.Schema) -> str:
    return _lines(f"{_backticked(field.name)} {_HIVE_TYPES[field.type]}" for field in schema)


def _lines(items: Iterable[str]) -> str:
    return ",\n".join(f"  {item}" for item in items)


def _backticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _hive_string(text: str) -> str:
    """A literal of Hive and Spark, which escape by backslash."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _unglobbed(path: str) -> str:
    """*path* with DuckDB's wildcards standing for themselves."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)

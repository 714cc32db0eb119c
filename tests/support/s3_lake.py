"""A lake that `exporter run` put into SeaweedFS, a real S3 server, and what an engine that reads it must find there."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from exporter.sandbox.studios import World
from exporter.store.s3 import S3Store
from exporter.tables.ddl import Dialect
from tests.support.command import Exporter
from tests.support.exports import (
    DATASET,
    DEFAULT_COLUMNS,
    config_for,
    expected,
    months,
    published,
    small_world,
    tokens_of,
)
from tests.support.s3_servers import S3Server, seaweedfs_server

PREFIX = "exports/nightly"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Lake:
    """Two studios and three months in a bucket, with manifests and leases beside them.

    Attributes:
        server: a SeaweedFS.
        world: what the API knows.
        ddl: what `exporter ddl` prints, by dialect.
        instants: microseconds since 1970, UTC, at which rows were fetched, as pyarrow reads them.
    """

    server: S3Server
    world: World
    ddl: Mapping[Dialect, str]
    instants: frozenset[int]

    @property
    def url(self) -> str:
        """Of the dataset."""
        return f"s3://{self.server.bucket}/{PREFIX}/{DATASET}"

    @property
    def parts(self) -> str:
        """The pattern that every part's URL fits, and nothing else in the bucket."""
        return f"{self.url}/month=*/part-*.parquet"

    def rows(self) -> list[tuple[object, ...]]:
        """Studio, first day as text, and the report's columns of each row of the source, as `in_order` sorts them."""
        found = expected(self.world, months(), DEFAULT_COLUMNS)
        return in_order([(studio, str(start), *values) for studio, start, *values in found])

    def strikes(self) -> list[tuple[str, str, int, int]]:
        """Studio, month, groups and strikes of the source, sorted."""
        return strikes_by_month(self.world, months())


def in_order(rows: Sequence[Sequence[object]]) -> list[tuple[object, ...]]:
    """*rows* as tuples, in an order that does not ask whether their values can be compared."""
    return sorted((tuple(row) for row in rows), key=repr)


def strikes_by_month(world: World, windows: Sequence[tuple[date, date]]) -> list[tuple[str, str, int, int]]:
    """Studio, month, groups and strikes of the source, sorted."""
    groups, strikes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in expected(world, windows, DEFAULT_COLUMNS):
        key = (str(row[0]), str(row[1])[:7])
        groups[key] += 1
        strikes[key] += int(str(row[-1]))
    return sorted((*key, groups[key], strikes[key]) for key in groups)


@contextmanager
def s3_lake(folder: Path) -> Iterator[S3Lake]:
    """Start the server, run the program, and stop the server at the end; *folder* takes all that is written."""
    world = small_world()
    with seaweedfs_server(folder) as server:
        yield asyncio.run(_exported(server, world, folder))


async def _exported(server: S3Server, world: World, folder: Path) -> S3Lake:
    async with serve(world, SandboxOptions(rate=None)) as sandbox:
        text = config_for(sandbox.base_url, world, sink=f"s3://{server.bucket}/{PREFIX}")
        (folder / "exporter.toml").write_text(f'{text}endpoint_url = "{server.endpoint_url}"\n')
        program = Exporter(folder, server.environment | tokens_of(world))
        ran = await program("run")
        assert ran.code == 0, ran.stderr
        printed = {dialect: await program("ddl", "--dialect", dialect) for dialect in Dialect}
    with server.client() as client:
        store = S3Store(server.bucket, PREFIX, client=client)
        fetched_at = (await published(store))["exported_at"].cast(pa.int64())
        await store.close()
    return S3Lake(
        server=server,
        world=world,
        ddl={dialect: ended.stdout for dialect, ended in printed.items()},
        instants=frozenset(fetched_at.to_pylist()),
    )

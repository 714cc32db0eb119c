"""A lake on S3 is read by its URL, with nothing to be downloaded first."""

from urllib.parse import urlsplit

import duckdb
import pyarrow.dataset as ds
import pytest

from exporter.store.s3 import S3Store
from tests.support.exports import DATASET, bench
from tests.support.s3_servers import moto_server

pytestmark = pytest.mark.xdist_group("s3")


@pytest.fixture
async def lake(tmp_path, monkeypatch):
    """Two studios and three months in a bucket, as pyarrow sees them."""
    with moto_server(tmp_path) as server, server.client() as client:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        store = S3Store(server.bucket, "exports/a lake", client=client)
        async with bench(store=store) as b:
            await b.run()
        await store.close()
        url = f"s3://{server.bucket}/exports/a%20lake/{DATASET}?scheme=http&region=us-east-1"
        yield ds.dataset(f"{url}&endpoint_override={urlsplit(server.endpoint_url).netloc}", partitioning="hive")


async def test_pyarrow_and_duckdb_read_a_bucket(lake):
    february = lake.to_table(columns=["count"], filter=ds.field("month") == "2025-02")
    assert sum(february["count"].to_pylist()) == 300
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.register("lake", lake)
        rows = connection.execute("SELECT studio_id, sum(count)::BIGINT FROM lake GROUP BY ALL ORDER BY ALL").fetchall()
    assert rows == [("studio-1", 450), ("studio-2", 450)]

"""The Glue table of deploy/template.yaml, registered with a Glue API, fits what is published and what `ddl` prints."""

import io
import re

import boto3
import pyarrow.parquet as pq
import pytest

from exporter.store.s3 import S3Store
from exporter.tables.ddl import Dialect, ddl
from tests.support.exports import DATASET, bench
from tests.support.s3_servers import moto_server
from tests.support.templates import Template

pytestmark = pytest.mark.xdist_group("s3")

#: Hive's names of the types that Arrow reads in a part.
HIVE = {"string": "string", "int64": "bigint", "date32[day]": "date", "timestamp[us, tz=UTC]": "timestamp"}


async def test_the_registered_table_the_published_columns_and_the_printed_definition_are_one(tmp_path, monkeypatch):
    template = Template("template.yaml")
    database, table = template.resource("Database"), template.resource("StrikesTable")
    with moto_server(tmp_path) as server, server.client() as client:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        glue = boto3.client("glue", endpoint_url=server.endpoint_url)
        glue.create_database(DatabaseInput=database["DatabaseInput"])
        glue.create_table(DatabaseName=database["DatabaseInput"]["Name"], TableInput=table["TableInput"])
        registered = glue.get_table(DatabaseName=database["DatabaseInput"]["Name"], Name=table["TableInput"]["Name"])[
            "Table"
        ]
        glue.close()

        store = S3Store(server.bucket, "lake", client=client)
        async with bench(store=store) as b:
            await b.run()
            (dataset,) = b.app().datasets
        data, _ = await store.get(f"{DATASET}/month=2025-01/part-00000.parquet")
        await store.close()

    storage = registered["StorageDescriptor"]
    columns = [(column["Name"], column["Type"]) for column in storage["Columns"]]
    assert columns == [(field.name, HIVE[str(field.type)]) for field in pq.read_schema(io.BytesIO(data))]

    printed = ddl(dataset, storage["Location"].removesuffix(f"/{DATASET}/"), Dialect.ATHENA, "2025-01")
    before, _, after = printed.partition("PARTITIONED BY")
    assert columns == re.findall(r"^  `(\w+)` (\w+)", before, re.MULTILINE)
    keys = [(key["Name"], key["Type"]) for key in registered["PartitionKeys"]]
    assert keys == re.findall(r"`(\w+)` (\w+)\)", after) == [("month", "string")]
    properties = dict(re.findall(r"^  '(.+)' = '(.+)'", after, re.MULTILINE))
    assert registered["Parameters"] == {"EXTERNAL": "TRUE", **properties}
    assert registered["TableType"] == "EXTERNAL_TABLE"
    # An object of the lake is where the projected location says.
    template_of = properties["storage.location.template"]
    assert template_of.replace("${month}", "2025-01") == f"{storage['Location']}month=2025-01/"
    assert storage["SerdeInfo"]["SerializationLibrary"].endswith("ParquetHiveSerDe")

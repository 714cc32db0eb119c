"""What narrow queries read over S3 from a lake as it is published, and from one file for each task.

The store is SeaweedFS, and a proxy in front of it counts. Each query is asked by an engine that has read nothing
before, and every layout must give the same answer. Bytes are those of the answers' bodies. Spark is asked where
`make test-spark` has put it.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pyarrow.parquet as pq

from bench import made_up_lake as lake
from bench.spark_over_s3 import S3A
from exporter.tables.parquet import LEDGER_KEY
from tests.support import duckdb_over_s3
from tests.support.s3_servers import faulty_proxy, seaweedfs_server


class Layout(NamedTuple):
    """Where rows lie, and the column by which a studio is known without a look into a file, if there is one."""

    name: str
    folder: str
    below: str
    studio: str = "studio_id"

    def key(self, month, studio):
        return f"{self.folder}/{self.below}".format(month=month, studio=studio)


PUBLISHED = Layout("published", "published", "month={month}/part-00000.parquet")
BY_MONTH = Layout("a file a task", "tasks", "month={month}/{studio}.parquet")
BY_STUDIO = Layout("a file a task, folders by studio", "studios", "studio={studio}/month={month}/0.parquet", "studio")
COLUMNS = ", ".join(name for name in lake.part_schema(lake.DATASET).names if name != "exported_at")

#: Has no goal: no layout spares a reader what it asks for.
EVERYTHING = "one month, every column"

#: What is asked.
QUERIES = {
    "one studio, all months": (
        "SELECT month, status, sum(count) FROM {lake} WHERE {studio} AND {months} GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    "one customer, all months": (
        "SELECT month, offering_type_name, sum(count) FROM {lake} WHERE customer_id = {customer} AND {months}"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    "one month": "SELECT studio_id, sum(count) FROM {lake} WHERE month = '2024-02' GROUP BY 1 ORDER BY 1",
    EVERYTHING: f"SELECT {COLUMNS} FROM {{lake}} WHERE month = '2024-02' ORDER BY ALL",
}


def by_duckdb(server, endpoint_url, layout, statement):
    """The answer of DuckDB."""
    pattern = f"s3://{server.bucket}/{layout.key('*', '*')}"
    source = f"read_parquet('{pattern}', hive_partitioning = true, hive_types = {{'month': VARCHAR}})"
    return duckdb_over_s3.query(server, statement.format(lake=source), endpoint_url=endpoint_url)[0]


#: Where Spark's connector fetches what is asked of it, neither whole objects nor what lies between. As docs/reading.md.
ONLY_RANGES = {
    "spark.hadoop.fs.s3a.input.stream.type": "classic",
    "spark.hadoop.fs.s3a.readahead.range": "4K",
    "spark.hadoop.fs.s3a.vectored.read.min.seek.size": "4K",
}


def by_spark(server, endpoint_url, layout, statement, settings=MappingProxyType({})):
    """The answer of Spark."""
    asked = {
        "endpoint_url": endpoint_url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "path": f"s3a://{server.bucket}/{layout.folder}",
        "statement": statement.format(lake="lake"),
        "settings": dict(settings),
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.spark_over_s3"],
        input=json.dumps(asked),
        env=os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"Spark failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


class Engine(NamedTuple):
    """Who is asked, how, of which layouts, and up to which month: Spark opens thousands of files in minutes."""

    name: str
    ask: Callable[..., list]
    layouts: tuple[Layout, ...] = (PUBLISHED, BY_MONTH, BY_STUDIO)
    last_month: str = "9999-12"


def engines():
    """Those that are here."""
    yield Engine("DuckDB", by_duckdb)
    if find_spec("pyspark") and any(S3A.glob("hadoop-aws-*.jar")):
        spark = Engine(f"Spark {version('pyspark')}, four months", by_spark, (PUBLISHED, BY_MONTH), "2024-04")
        yield spark
        yield spark._replace(name=f"{spark.name}, only ranges", ask=partial(by_spark, settings=ONLY_RANGES))


def fill(server, months):
    """Put the rows in every layout; the published objects."""
    with server.client() as client, ThreadPoolExecutor(16) as threads:
        parts = {PUBLISHED.key(month[0].month, ""): lake.published(month) for month in months}
        waiting = list(parts.items())
        for task in (task for month in months for task in month):
            data = lake.one_file(task)
            waiting += [(layout.key(task.month, task.studio), data) for layout in (BY_MONTH, BY_STUDIO)]
        list(threads.map(lambda item: client.put_object(Bucket=server.bucket, Key=item[0], Body=item[1]), waiting))
    return list(parts.values())


def compare(engine, server, name, **values):
    """Lines of the table."""
    first = None
    for layout in engine.layouts:
        studio = f"{layout.studio} = '{values['studio']}'"
        statement = QUERIES[name].replace("{studio}", studio).replace("{customer}", str(values["customer"]))
        statement = statement.replace("{months}", f"month <= '{engine.last_month}'")
        with faulty_proxy(server) as proxy:
            answer = engine.ask(server, proxy.endpoint_url, layout, statement)
        requests = Counter(exchange.verb for exchange in proxy.exchanges)
        size = sum(exchange.answer_bytes for exchange in proxy.exchanges)
        shown = " + ".join(f"{requests[verb]:,} {verb}" for verb in ("LIST", "HEAD", "GET") if requests[verb])
        first = first or (answer, requests.total(), size)
        if answer != first[0]:
            sys.exit(f"{engine.name}, {name}: {layout.name} gives another answer")
        ratios = "" if layout is PUBLISHED else f"{requests.total() / first[1]:.1f} | {size / first[2]:.1f}"
        goal = "10" if layout is BY_MONTH and name != EVERYTHING else ""
        print(f"| {engine.name} | {name} | {layout.name} | {shown} | {size / 1000:,.0f} | {ratios or ' | '} | {goal} |")
        sys.stdout.flush()


def anatomy(data):
    """What an object consists of, in words."""
    footer = pq.read_metadata(io.BytesIO(data))
    ledger = len(footer.metadata[LEDGER_KEY.encode()])
    return (
        f"{len(data) / 1000:,.0f} kB in {footer.num_row_groups} row groups, of which the footer takes"
        f" {footer.serialized_size / 1000:.1f} kB, and of that the ledger {ledger / 1000:.1f} kB"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studios", type=int, default=200)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--rows", type=int, default=278, help="of each studio and month (default 278)")
    options = parser.parse_args()
    if not duckdb_over_s3.PYTHON.exists():
        sys.exit(f"{duckdb_over_s3.PYTHON}: is not there; run make bench-readers")
    months = list(lake.tasks(options.studios, options.months, options.rows))
    studio = months[0][options.studios // 2].studio
    customer = lake.somebody(months, studio)
    with tempfile.TemporaryDirectory() as folder, seaweedfs_server(Path(folder)) as server:
        part = fill(server, months)[0]
        total = options.studios * options.months * options.rows
        print(f"{options.studios} studios x {options.months} months, {total:,} rows, on SeaweedFS.")
        print(f"A part has {anatomy(part)}.\n")
        print("| engine | query | layout | requests | kB | times the requests | times the bytes | goal, times |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for engine in engines():
            for name in QUERIES:
                compare(engine, server, name, studio=studio, customer=customer)


if __name__ == "__main__":
    main()

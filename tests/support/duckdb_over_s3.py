"""DuckDB with its S3 extension: another version than the tests' own, so in a process and an environment of its own."""

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.s3_servers import S3Server

ROOT = Path(__file__).parents[2]

#: Made by `make test-readers`.
PYTHON = ROOT / ".venv-readers" / "bin" / "python"


def query(server: S3Server, *statements: str, endpoint_url: str = "") -> list[list[list[Any]]]:
    """The rows of each statement, by one connection that has read nothing before.

    Args:
        server: whose credentials are used.
        statements: one after the other.
        endpoint_url: of a proxy in front of *server*; empty for the server itself.
    """
    asked = {
        "endpoint": urlsplit(endpoint_url or server.endpoint_url).netloc,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "statements": statements,
    }
    done = subprocess.run(
        [PYTHON, ROOT / "tests" / "readers" / "duckdb_over_s3.py"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise AssertionError(f"DuckDB failed: {done.stderr[-2000:]}")
    answers: list[list[list[Any]]] = json.loads(done.stdout)
    return answers

"""DuckDB in an environment of its own: statements in, rows out, both as JSON.

Run by `.venv-readers`, whose DuckDB is the one that its extension `httpfs` was built for, so that nothing is
downloaded. Reads one object from its input: `endpoint` (host and port), `access_key`, `secret_key` and `statements`.
Prints a list with the rows of each statement; what JSON has no word for is text.
"""

import json
import sys
from pathlib import Path

import duckdb
import duckdb_extension_httpfs


def main() -> None:
    asked = json.load(sys.stdin)
    (extension,) = Path(duckdb_extension_httpfs.__path__[0]).rglob("httpfs.duckdb_extension")
    config = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    with duckdb.connect(config=config) as connection:
        connection.execute(f"LOAD '{extension}'")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{asked['access_key']}', SECRET '{asked['secret_key']}',"
            f" ENDPOINT '{asked['endpoint']}', REGION 'us-east-1', URL_STYLE 'path', USE_SSL false)"
        )
        answers = [connection.execute(statement).fetchall() for statement in asked["statements"]]
    json.dump(answers, sys.stdout, default=str)


if __name__ == "__main__":
    main()

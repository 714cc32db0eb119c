"""One Spark for all tests of this folder: it takes some ten seconds to start."""

import os
import shutil
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def s3a():
    """The jars of Spark's S3 connector, put there by `make test-spark` where Maven Central can be reached."""
    return sorted((Path(__file__).parents[2] / ".s3a").glob("*.jar"))


@pytest.fixture(scope="session")
def spark(tmp_path_factory, s3a):
    """A session in this process, with two threads and nothing outside this machine."""
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed; run make test-spark")
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        pytest.fail("Spark needs Java 17 or newer: install it, or set JAVA_HOME")
    folder = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.chdir(folder)  # for what Spark writes where it stands
        session = (
            sql.SparkSession.builder.master("local[1]")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
            .config("spark.ui.enabled", "false")
            .config("spark.jars", ",".join(map(str, s3a)))
            .getOrCreate()
        )
        yield session
        session.stop()

"""One Spark, one query: a JSON object on its input, the rows as JSON on its output.

Needs pyspark and its S3 connector (`make test-spark`). The object has `endpoint_url`, `access_key`, `secret_key`,
`path` (of the lake), `statement`, which calls it "lake", and `settings` of its own.
"""

import json
import os
import sys
from pathlib import Path

S3A = Path(__file__).parent.parent / ".s3a"


def main():
    from pyspark.sql import SparkSession  # noqa: PLC0415 - is started only where it is there

    asked = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Java says of itself
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.jars": ",".join(map(str, S3A.glob("*.jar"))),
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.ui.enabled": "false",
        "spark.hadoop.fs.s3a.access.key": asked["access_key"],
        "spark.hadoop.fs.s3a.secret.key": asked["secret_key"],
        "spark.hadoop.fs.s3a.endpoint": asked["endpoint_url"],
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in (settings | asked["settings"]).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.read.parquet(asked["path"]).createOrReplaceTempView("lake")
    json.dump([list(row) for row in spark.sql(asked["statement"]).collect()], answers, default=str)
    answers.close()
    spark.stop()


if __name__ == "__main__":
    main()

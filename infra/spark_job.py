r"""A Spark job over what the pipeline has landed: each row once, and what was rejected.

    spark-submit infra/spark_job.py --rows s3://bucket/lake/orders/parquet \
        --dead-letters s3://bucket/dead-letters --out s3://bucket/once/orders

It needs Spark alone, and nothing of this project. Give URIs in the form that your Spark has for S3:
`s3://` on EMR and Glue, `s3a://` elsewhere.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql

# Where a unit came from: a row has it, and so has a dead letter.
IDENTITY = ("_source", "_sequence_number", "_sub_sequence_number", "_document")
_LETTER = (
    "stage string, reason string, message string, path string, dataset string, source string, "
    "sequence_number string, sub_sequence_number bigint, document int, element bigint, "
    "arrived_at string"
)


def landed(spark: SparkSession, place: str) -> DataFrame:
    """Return the rows below `{output}/{dataset}/parquet`; a field that older files lack is null."""
    return spark.read.option("mergeSchema", "true").parquet(place)


def each_once(rows: DataFrame) -> DataFrame:
    """Return each document's row once: where Lambda cut a batch differently, it is stored twice."""
    return rows.dropDuplicates(list(IDENTITY))


def dead_letters(spark: SparkSession, place: str) -> DataFrame:
    """Return the dead letters of all datasets, without their payloads, each once.

    Those that were sent again, below `_redriven/`, are not among them: Spark passes over them.
    """
    reader = spark.read.schema(_LETTER).option("recursiveFileLookup", "true")
    letters = reader.option("pathGlobFilter", "*.jsonl.gz").json(place)
    return letters.where("reason IS NOT NULL").dropDuplicates(
        ["source", "sequence_number", "sub_sequence_number", "document", "element", "stage"]
    )


def report(rows: DataFrame | None, letters: DataFrame | None) -> dict[str, Any]:
    """Count: rows as stored and once, and dead letters by dataset and reason."""
    found: dict[str, Any] = {}
    if rows is not None:
        stored, once = rows.count(), each_once(rows).count()
        found |= {"rows": once, "stored_twice": stored - once}
    if letters is not None:
        groups = letters.groupBy("dataset", "reason").agg(sql.count("*").alias("letters"))
        ordered = sorted(groups.collect(), key=lambda row: (row["dataset"] or "", row["reason"]))
        found["dead_letters"] = [row.asDict() for row in ordered]
    return found


def main(arguments: Sequence[str] | None = None, spark: SparkSession | None = None) -> int:
    """Read, count, and write the rows where `--out` says; print one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", metavar="URI", help="{output}/{dataset}/parquet")
    parser.add_argument("--dead-letters", metavar="URI", help="where dead letters are")
    parser.add_argument(
        "--out", metavar="URI", help="write each row once, as Parquet; a new folder"
    )
    options = parser.parse_args(arguments)
    if not (options.rows or options.dead_letters):
        parser.error("name what to read: --rows, --dead-letters, or both.")
    if options.out and not options.rows:
        parser.error("--out writes rows: name them with --rows.")
    session = spark or SparkSession.builder.appName("pipeline").getOrCreate()
    rows = landed(session, options.rows) if options.rows else None
    letters = dead_letters(session, options.dead_letters) if options.dead_letters else None
    found = report(rows, letters)
    if options.out and rows is not None:
        each_once(rows).write.mode("errorifexists").parquet(options.out)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

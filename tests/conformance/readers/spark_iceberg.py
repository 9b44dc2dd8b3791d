"""Spark with Iceberg, told what to run: a line of SQL in, a line of JSON out.

`spark_iceberg.py WAREHOUSE`: the tables below it are those of the catalog `ours`, as a Hadoop
catalog finds them. Iceberg's jar comes from a package of Snowflake's on PyPI, which leaves out the
JSON library that the jar has under a name of its own; Spark's own is given that name.
"""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pyspark
from pyspark.sql import SparkSession

JACKSON = b"com/fasterxml/jackson"
SHADED = b"org/apache/iceberg/shaded/" + JACKSON
_JARS = ("core", "databind", "annotations")
_TEXT = 1
_SIZES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4,
          19: 2, 20: 2}  # fmt: skip
"""Of the entries of a class file's table of constants, by their tags; a text has its own."""


def main(warehouse: str) -> None:
    """Run each line, and answer with its rows, or with what was raised."""
    with tempfile.TemporaryDirectory() as folder:
        session = _session(warehouse, Path(folder))
        for line in sys.stdin:
            try:
                rows = [list(row) for row in session.sql(json.loads(line)).collect()]
                answer: dict[str, Any] = {"rows": rows}
            except Exception as error:  # noqa: BLE001 - whatever Spark raises is the answer
                answer = {"error": str(error)[:2_000]}
            sys.stdout.write(json.dumps(answer, default=str) + "\n")
            sys.stdout.flush()


def _session(warehouse: str, folder: Path) -> SparkSession:
    settings = {
        "spark.jars": f"{_iceberg_jar()},{_shaded_jackson(folder)}",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.ours": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.ours.type": "hadoop",
        "spark.sql.catalog.ours.warehouse": warehouse,
        "spark.sql.catalog.ours.cache-enabled": "false",
        "spark.sql.warehouse.dir": str(folder / "spark"),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.log.level": "OFF",
    }
    builder = SparkSession.builder.master("local[1]").appName("lake")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _iceberg_jar() -> str:
    found = importlib.util.find_spec("snowpark_connect_deps_iceberg")
    assert found is not None
    assert found.origin is not None
    (jar,) = Path(found.origin).parent.glob("jars/iceberg-spark-runtime-3.5_2.12-*.jar")
    return str(jar)


def _shaded_jackson(folder: Path) -> Path:
    """Write Spark's own Jackson under the name that Iceberg calls it by."""
    made = folder / "jackson.jar"
    jars = Path(pyspark.__file__).parent / "jars"
    with zipfile.ZipFile(made, "w") as target:
        for name in _JARS:
            (jar,) = jars.glob(f"jackson-{name}-2*.jar")
            with zipfile.ZipFile(jar) as source:
                for entry in source.namelist():
                    if entry.startswith(JACKSON.decode()) and entry.endswith(".class"):
                        renamed = entry.replace(JACKSON.decode(), SHADED.decode())
                        target.writestr(renamed, _renamed(source.read(entry)))
    return made


def _renamed(code: bytes) -> bytes:
    """Return a class file with another name for Jackson in the texts of its constants."""
    count = struct.unpack_from(">H", code, 8)[0]
    parts, position, number = [code[:10]], 10, 1
    while number < count:
        tag = code[position]
        if tag == _TEXT:
            (length,) = struct.unpack_from(">H", code, position + 1)
            text = code[position + 3 : position + 3 + length]
            text = text.replace(JACKSON, SHADED)
            text = text.replace(JACKSON.replace(b"/", b"."), SHADED.replace(b"/", b"."))
            parts.append(struct.pack(">BH", _TEXT, len(text)) + text)
            position += 3 + length
        else:
            parts.append(code[position : position + 1 + _SIZES[tag]])
            position += 1 + _SIZES[tag]
        number += 2 if tag in (5, 6) else 1  # long and double count twice
    return b"".join([*parts, code[position:]])


if __name__ == "__main__":
    main(sys.argv[1])

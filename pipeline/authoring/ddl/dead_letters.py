"""The dead letters themselves as a table: of every dataset, and of what no dataset took.

A dead letter is a line of gzipped JSON under `{dataset or unrouted}/date=…/hour=…/`. The first of
these directories has no `name=`, so Athena's partitions are projected: their values are known. What
was sent again lies under `_redriven/`, which none of these tables looks at.
"""

from collections.abc import Callable, Iterable
from datetime import date

from pipeline.authoring.ddl import hive
from pipeline.authoring.ddl.dialect import (
    ansi,
    ansi_text,
    backticked,
    comment,
    escaped_text,
    glob_free,
    joined,
    listed,
    local_path,
    named,
)
from pipeline.authoring.ddl.projection import REGISTERED
from pipeline.authoring.ddl.spark import place as spark_place
from pipeline.core.dataset import UNROUTED
from pipeline.core.letter_lines import MEMBERS

NAME = "dead_letters"
_TEXT = f"{NAME}_text"
_DUCKDB = {"string": "VARCHAR", "int": "INTEGER", "bigint": "BIGINT", "strings": "VARCHAR[]"}
_HIVE = {"string": "string", "int": "int", "bigint": "bigint", "strings": "array<string>"}
# What a delivery again does not change.
_IDENTITY = ("source", "sequence_number", "sub_sequence_number", "document", "stage")
_LARGEST_LINE = 64 * 2**20  # a record of 10 MiB, as base64 or with its escapes
_NOTE = (
    "What was rejected, of all datasets. Payloads that are not text are base64, see "
    "payload_encoding. What was sent again is not among them."
)
_SERDE = "org.openx.data.jsonserde.JsonSerDe"
_STORAGE = hive.Storage(
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    _SERDE,
    {"ignore.malformed.json": "false"},
    {"classification": "json"},
    f"ROW FORMAT SERDE {escaped_text(_SERDE)}\n"
    "WITH SERDEPROPERTIES (\n  'ignore.malformed.json' = 'false'\n)\n"
    "STORED AS TEXTFILE",
)


def duckdb(location: str) -> str:
    """Write DuckDB's views."""
    columns = ", ".join(
        f"{ansi_text(name)}: {ansi_text(_DUCKDB[kind])}" for name, kind in MEMBERS.items()
    )
    arguments = [
        ansi_text(f"{glob_free(local_path(location))}/*/date=*/hour=*/*.jsonl.gz"),
        "format = 'newline_delimited'",
        "compression = 'gzip'",
        f"maximum_object_size = {_LARGEST_LINE}",
        f"columns = {{{columns}}}",
        "hive_partitioning = true",
        "hive_types = {'date': DATE, 'hour': INTEGER}",
    ]
    selected = _selected(ansi, "CAST({} AS TIMESTAMPTZ)", ("date", "hour"))
    return joined(
        comment(_NOTE, "There must be at least one file."),
        f"CREATE OR REPLACE VIEW {NAME} AS\nSELECT\n{listed(selected)}",
        f"FROM read_json(\n{listed(arguments)}\n);\n",
        _once(ansi, ("date", "hour"), "CREATE OR REPLACE VIEW"),
    )


def spark(location: str) -> str:
    """Write Spark's temporary views."""
    create = "CREATE OR REPLACE TEMPORARY VIEW"
    declared = [f"{backticked(name)} {_HIVE[kind].upper()}" for name, kind in MEMBERS.items()]
    options = {
        "path": escaped_text(spark_place(location)),
        "recursiveFileLookup": "'true'",
        "pathGlobFilter": "'*.jsonl.gz'",
        "mode": "'FAILFAST'",
    }
    return joined(
        comment(_NOTE),
        f"{create} {_TEXT} (\n{listed(declared)}\n)",
        f"USING json OPTIONS (\n{listed(f'{key} {value}' for key, value in options.items())}\n);\n",
        f"{create} {NAME} AS\nSELECT",
        listed(_selected(backticked, "CAST({} AS TIMESTAMP)", ())),
        f"FROM {_TEXT};\n",
        _once(backticked, (), create),
    )


def table(location: str, datasets: Iterable[str], since: date | None) -> hive.Table:
    """Return Athena's table, whose partitions Athena lists itself, or a function registers."""
    columns = [(name, _HIVE[kind]) for name, kind in MEMBERS.items()]
    place, datasets = f"{location}/", sorted(datasets)
    keys = [("folder", "string"), ("date", "date"), ("hour", "int")]
    parameters, notes = _STORAGE.parameters, [_NOTE, REGISTERED]
    if since is not None:
        parameters = parameters | _listing(location, datasets, since)
        notes = [
            _NOTE,
            f"The folder is the dataset, or {UNROUTED}: declare the table again for a new dataset.",
            f"What arrived before {since} is not seen: see --since.",
        ]
    is_registered = since is None
    return hive.Table(
        _TEXT, columns, columns, keys, place, _STORAGE, parameters, notes, is_registered
    )


def _listing(location: str, datasets: list[str], since: date) -> dict[str, str]:
    """Return the properties by which Athena lists the partitions itself."""
    return {
        "projection.enabled": "true",
        "projection.folder.type": "enum",
        "projection.folder.values": ",".join([*datasets, UNROUTED]),
        "projection.date.type": "date",
        "projection.date.format": "yyyy-MM-dd",
        "projection.date.range": f"{since.isoformat()},NOW+1DAYS",
        "projection.date.interval": "1",
        "projection.date.interval.unit": "DAYS",
        "projection.hour.type": "integer",
        "projection.hour.range": "0,23",
        "projection.hour.digits": "2",
        "storage.location.template": f"{location}/${{folder}}/date=${{date}}/hour=${{hour}}/",
    }


def athena(location: str, datasets: Iterable[str], since: date | None) -> str:
    """Write Athena's table, and the views over it."""
    keys = ("folder", "date", "hour")
    cast = "CAST(from_iso8601_timestamp_nanos({}) AS timestamp(6))"
    return joined(
        hive.create_table(table(location, datasets, since)),
        f"\nCREATE OR REPLACE VIEW {ansi(NAME)} AS\nSELECT",
        listed(_selected(ansi, cast, keys)),
        f"FROM {ansi(_TEXT)};\n",
        _once(ansi, keys, "CREATE OR REPLACE VIEW"),
    )


def _selected(quote: Callable[[str], str], cast: str, keys: Iterable[str]) -> list[str]:
    """Select every column, the time as one."""
    return [
        named(cast.format(quote(name)) if name == "arrived_at" else quote(name), quote(name))
        for name in [*MEMBERS, *keys]
    ]


def _once(quote: Callable[[str], str], keys: Iterable[str], create: str) -> str:
    columns = [*MEMBERS, *keys]
    identity = ", ".join(map(quote, [*_IDENTITY, *keys]))
    return joined(
        comment("Each rejected unit once, however often Lambda delivered it."),
        f"{create} {quote(NAME + '_once')} AS\nSELECT\n{listed(map(quote, columns))}",
        "FROM (",
        f"  SELECT *, row_number() OVER (PARTITION BY {identity}",
        f"    ORDER BY {quote('arrived_at')}) AS {quote('_copy')}",
        f"  FROM {quote(NAME)}",
        f") AS {quote('numbered')}\nWHERE {quote('_copy')} = 1;",
    )

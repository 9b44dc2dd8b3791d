"""The tables and the questions as views, for Athena and DuckDB.

DuckDB reads the files themselves: censuses from the footers of Parquet. Athena reads no footer;
there the censuses are those of the ledger segments that a lake's commits leave, and its views stand
on the tables that `pipeline ddl` declares.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pipeline.audit.questions import QUESTIONS, query
from pipeline.authoring.ddl import dead_letters, hive
from pipeline.authoring.ddl.dialect import (
    ansi,
    ansi_text,
    backticked,
    comment,
    escaped_text,
    glob_free,
    local_path,
)
from pipeline.core.census import CENSUS, OTHERS
from pipeline.core.census_table import LEDGER
from pipeline.core.dataset import UNROUTED
from pipeline.core.errors import SettingsError
from pipeline.core.layout import ARCHIVE

Dialect = Literal["athena", "duckdb"]
_NOTE = (
    "Three questions: audit_doubled has each document that one batch stored more than once; "
    "audit_short has each batch whose census has more documents than there are; audit_hours has "
    "what is there by shard and hour of arrival. CSV is not asked."
)
_ROWS = r"""
SELECT {name} AS dataset, 'parquet' AS format, _source AS source,
    _sequence_number AS sequence_number, _sub_sequence_number AS sub_sequence_number,
    _document AS document, _arrived_at AS arrived_at,
    regexp_extract({path}, '([^/]+-[0-9a-f]{32})(?:-[0-9]+)?\.[a-z.]+$', 1) AS batch
FROM {files}
"""
_TABLE_ROWS = """
SELECT {name} AS dataset, 'parquet' AS format, _source AS source,
    _sequence_number AS sequence_number, _sub_sequence_number AS sub_sequence_number,
    _document AS document, {arrived_at} AS arrived_at, {batch} AS batch
FROM {table}
"""
# What was deleted on purpose is not missing.
_FORGOTTEN_ROWS = """
SELECT {name}, 'parquet', _source, _sequence_number, _sub_sequence_number, _document,
    CAST(NULL AS {timestamp}), {batch}
FROM {table}
"""
_LETTERS = f"""
SELECT coalesce(dataset, '{UNROUTED}') AS dataset, source, sequence_number, sub_sequence_number,
    document, {{arrived_at}} AS arrived_at,
    CASE WHEN stage = 'aggregate' AND reason <> 'kpl_key_index' THEN 1
        WHEN stage IN ('aggregate', 'payload') THEN 2 ELSE 3 END AS unit_size,
    {{archived}} AS archived
FROM {{files}}
"""  # noqa: S608 - of constants
_ATHENA_CLAIMS = f"""
SELECT digest, part, source, first_sequence_number, last_sequence_number, arrived_from,
    said.name AS dataset, said.documents AS documents,
    CASE WHEN said.name = dataset THEN drop_count ELSE 0 END AS drops
FROM audit_ledger CROSS JOIN UNNEST(documents) AS said (name, documents)
WHERE said.name <> '{OTHERS}'
"""  # noqa: S608 - of constants
# Of what a lake has committed, the objects are gone, and with them their footers.
_DUCKDB_LEDGER = f"""
SELECT digest, part, source, first_sequence_number, last_sequence_number, arrived_from,
    said.key, said.value, CASE WHEN said.key = dataset THEN drop_count ELSE 0 END
FROM (
    SELECT *, unnest(map_entries(documents)) AS said FROM read_parquet({{segments}})
) WHERE said.key <> '{OTHERS}'
"""  # noqa: S608 - of constants
_NAMED_CLAIMS = """
SELECT * FROM ({claims}) AS named (digest, part, source, first_sequence_number,
    last_sequence_number, arrived_from, dataset, documents, drops)
"""
_ARRIVALS = {
    "athena": "CAST(_arrived_at AT TIME ZONE 'UTC' AS timestamp(6))",
    "duckdb": "_arrived_at",
}
_DUCKDB_LETTERS = """read_json(
    {pattern}, format = 'newline_delimited', compression = 'gzip', filename = true,
    hive_partitioning = false, maximum_object_size = 67108864, columns = {
        stage: 'VARCHAR', reason: 'VARCHAR', dataset: 'VARCHAR', source: 'VARCHAR',
        sequence_number: 'VARCHAR', sub_sequence_number: 'BIGINT', document: 'INTEGER',
        arrived_at: 'VARCHAR'
    })"""
# What only dead letters say of their batch is in the header of a gzip file, out of SQL's reach.
_DUCKDB_CLAIMS = f"""
SELECT census ->> 'digest' AS digest, CAST(census ->> 'part' AS BIGINT) AS part,
    census ->> 'source' AS source, census ->> 'first' AS first_sequence_number,
    census ->> 'last' AS last_sequence_number,
    make_timestamptz(CAST(census -> 'arrived' ->> 0 AS BIGINT)) AS arrived_from,
    dataset, CAST(census -> 'documents' ->> dataset AS BIGINT) AS documents,
    CASE WHEN dataset = census ->> 'dataset' THEN CAST(census ->> 'drops' AS BIGINT)
        ELSE 0 END AS drops
FROM (
    SELECT census, unnest(json_keys(census -> 'documents')) AS dataset
    FROM (
        SELECT CAST(decode(value) AS JSON) AS census FROM (
            {{footers}}
        ) WHERE decode(key) = '{CENSUS}'
    )
)
"""  # noqa: S608 - of constants
_FORGOTTEN = "_forgotten"
_ARCHIVED = "dead_letters_redriven_text"
_LEDGER = "audit_ledger"
_INSTANTS = {"athena": "TIMESTAMP(6)", "duckdb": "TIMESTAMPTZ"}
# What a ledger segment holds, as Hive spells it; see `pipeline.core.census_table`.
LEDGER_COLUMNS = {
    "object": "string", "source": "string", "first_sequence_number": "string",
    "last_sequence_number": "string", "part": "bigint", "record_count": "bigint",
    "digest": "string", "arrived_from": "timestamp", "arrived_to": "timestamp",
    "documents": "map<string,bigint>", "dataset": "string", "version": "bigint",
    "row_count": "bigint", "reject_count": "bigint", "drop_count": "bigint",
    "object_count": "bigint",
}  # fmt: skip


def audit_views(
    datasets: Sequence[str],
    output: str,
    dead_letter_root: str,
    dialect: Dialect,
    tables: Sequence[str] = (),
) -> str:
    """Write the views over the Parquet of these datasets and over their dead letters.

    `output` and `dead_letter_root` are URIs. `tables` are those of `pipeline lake` that Athena has,
    each as database.table, `orders_forgotten` among them where rows were forgotten. Raises
    `SettingsError`.
    """
    if not datasets:
        message = "None of the datasets is written as Parquet, which the views read."
        raise SettingsError(message)
    if dialect == "athena" and not (
        output.startswith("s3:") and dead_letter_root.startswith("s3:")
    ):
        message = "Athena reads S3 alone: output and dead letters must be s3://bucket/prefix."
        raise SettingsError(message)
    _check_tables(datasets, tables)
    views = (
        _duckdb(datasets, output, dead_letter_root, tables)
        if dialect == "duckdb"
        else _athena(datasets, output, dead_letter_root, tables)
    )
    asked = [_view(name, query(name, timestamp=_INSTANTS[dialect])) for name in QUESTIONS]
    return "\n\n".join([*views, *asked])


def _check_tables(datasets: Sequence[str], tables: Sequence[str]) -> None:
    """Raise `SettingsError` for a table that is not one of a dataset."""
    for table in tables:
        database, _, name = table.rpartition(".")
        if not database or name.removesuffix(_FORGOTTEN) not in datasets:
            message = (
                f"{table!r} is not a table of a dataset; write database.dataset, such as "
                f"lake.{datasets[0]}, or lake.{datasets[0]}{_FORGOTTEN}."
            )
            raise SettingsError(message)


def _athena(
    datasets: Sequence[str], output: str, dead_letter_root: str, tables: Sequence[str]
) -> list[str]:
    rows = [(ansi_text(name), '"$path"', ansi(name)) for name in datasets]
    instant = "CAST(from_iso8601_timestamp_nanos(arrived_at) AS timestamp(6))"
    waiting = _letters("arrived_at", "false", dead_letters.NAME)
    archived = _letters(instant, "true", _ARCHIVED)
    return [
        comment(
            _NOTE,
            "It stands on the tables of `pipeline ddl` and `pipeline ddl --dead-letters`. Censuses "
            "are those of ledger segments: without a lake, audit_short is empty, and `pipeline "
            "audit` asks the files. With one, name its tables by --table: their rows have left the "
            "landing.",
        ),
        _redriven(f"{dead_letter_root}/{ARCHIVE[:-1]}"),
        _ledger(f"{output}/{LEDGER}"),
        _view("audit_rows", _with_tables(_rows(rows), tables, "athena")),
        _view("audit_letters", f"{waiting}\nUNION ALL\n{archived}"),
        _view("audit_claims", _ATHENA_CLAIMS),
    ]


def _with_tables(rows: str, tables: Sequence[str], dialect: Dialect) -> str:
    parts = [rows, *(_table_rows(table, dialect) for table in tables)]
    return "\nUNION ALL\n".join(filter(None, parts))


def _table_rows(table: str, dialect: Dialect) -> str:
    """Select the rows of a table of the lake, in which each identity must be there once."""
    database, _, name = table.rpartition(".")
    text = _FORGOTTEN_ROWS if name.endswith(_FORGOTTEN) else _TABLE_ROWS
    text = text.strip().replace("{name}", ansi_text(name.removesuffix(_FORGOTTEN)))
    text = text.replace("{batch}", ansi_text(f"the table {name}"))
    text = text.replace("{arrived_at}", _ARRIVALS[dialect])
    text = text.replace("{timestamp}", _INSTANTS[dialect])
    return text.replace("{table}", f"{ansi(database)}.{ansi(name)}")


def _redriven(location: str) -> str:
    """Declare the dead letters that were sent again."""
    table = replace(
        dead_letters.table(location, [], None),
        name=_ARCHIVED,
        keys=[],
        notes=["Dead letters that were sent again."],
        registered=False,
    )
    return hive.create_table(table)


def _ledger(location: str) -> str:
    columns = ",\n".join(f"  {backticked(name)} {kind}" for name, kind in LEDGER_COLUMNS.items())
    return (
        f"{comment('What batches said of themselves, as a lake has read them.')}\n"
        f"CREATE EXTERNAL TABLE {backticked(_LEDGER)} (\n{columns}\n)\nSTORED AS PARQUET\n"
        f"LOCATION {escaped_text(location)};"
    )


def _duckdb(
    datasets: Sequence[str], output: str, dead_letter_root: str, tables: Sequence[str]
) -> list[str]:
    root = glob_free(local_path(output))
    committed = {table.rpartition(".")[2].removesuffix(_FORGOTTEN) for table in tables}
    landing = [name for name in datasets if name not in committed]
    patterns = [ansi_text(f"{root}/{name}/parquet/**/*.parquet") for name in landing]
    rows = [
        (ansi_text(name), "filename", f"read_parquet({pattern}, filename = true)")
        for name, pattern in zip(landing, patterns, strict=True)
    ]
    letters = ansi_text(f"{glob_free(local_path(dead_letter_root))}/**/date=*/hour=*/*.jsonl.gz")
    note = (
        "There must be at least one file of each dataset without a table, of each ledger, and of "
        "dead letters. Of a dataset with a table, what has landed since the last commit is not "
        "asked."
    )
    return [
        comment(_NOTE, note),
        "SET TimeZone = 'UTC';",
        _view("audit_rows", _with_tables(_rows(rows), tables, "duckdb")),
        _view(
            "audit_letters",
            _letters(
                "CAST(arrived_at AS TIMESTAMPTZ)",
                f"filename LIKE '%/{ARCHIVE}%'",
                _DUCKDB_LETTERS.replace("{pattern}", letters),
            ),
        ),
        _view("audit_claims", _duckdb_claims(patterns, root, sorted(committed))),
    ]


def _duckdb_claims(patterns: Sequence[str], root: str, committed: Sequence[str]) -> str:
    """Select what batches said of themselves: in footers, and in ledgers where there is a table."""
    footers = "\n            UNION ALL ".join(
        f"SELECT key, value FROM parquet_kv_metadata({pattern})"  # noqa: S608 - quoted
        for pattern in patterns
    )
    parts = [_DUCKDB_CLAIMS.replace("{footers}", footers)] if patterns else []
    for name in committed:
        segments = ansi_text(f"{root}/{LEDGER}{name}/*.parquet")
        named = _DUCKDB_LEDGER.replace("{segments}", segments)
        parts.append(named if parts else _NAMED_CLAIMS.replace("{claims}", named.strip()))
    return "\nUNION ALL\n".join(part.strip() for part in parts)


def _view(name: str, text: str) -> str:
    return f"CREATE OR REPLACE VIEW {name} AS\n{text.strip()};"


def _rows(tables: Sequence[tuple[str, str, str]]) -> str:
    """Select the rows of tables: each one's name, where its path is, and what to read."""
    return "\nUNION ALL\n".join(
        _ROWS.strip().replace("{name}", name).replace("{path}", path).replace("{files}", files)
        for name, path, files in tables
    )


def _letters(arrived_at: str, archived: str, files: str) -> str:
    text = _LETTERS.strip().replace("{arrived_at}", arrived_at)
    return text.replace("{archived}", archived).replace("{files}", files)

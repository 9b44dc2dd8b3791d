"""A table as other engines declare it, and the statements by which they look after it.

Where the table is in Glue, or in another catalog, an engine finds it there, as it is now. Where its
catalog is a file, an engine is shown the metadata of one version, and has to be shown the next one.
"""

from collections.abc import Callable
from typing import Final, Literal, get_args

import msgspec

Engine = Literal["athena", "duckdb", "snowflake", "spark", "trino"]
ENGINES: Final[tuple[Engine, ...]] = get_args(Engine)
_ONE_VERSION: Final = (
    "This catalog is a file that the engine does not read, so it is shown one version: print this "
    "again after a commit."
)
_YOUNG: Final = "Keep what is younger than three days: a commit's files are there before it is."


class Declared(msgspec.Struct, frozen=True):
    """A table: where it is, and where it is registered; `kind` is that of its catalog's URI."""

    kind: str
    address: str
    namespace: str
    name: str
    location: str
    metadata: str

    @property
    def is_found(self) -> bool:
        """Whether engines find the table in its catalog."""
        return self.kind in ("glue", "rest")


def declaration(table: Declared, engine: Engine) -> str:
    """Write what an engine needs to read a table and look after it; `<…>` is to be filled in."""
    return "\n".join([_WRITERS[engine](table), *_maintenance(table, engine)])


def _athena(table: Declared) -> str:
    if table.kind != "glue":
        return _comment(
            "Athena reads tables of Glue alone: commit with --catalog glue:DATABASE, and a "
            "warehouse on S3."
        )
    note = _comment("It is in Glue, where Athena finds it: nothing is to be declared.")
    name = f'"{table.namespace}"."{table.name}"'
    return f"{note}\n{_first(name)}"


def _duckdb(table: Declared) -> str:
    view = f'CREATE OR REPLACE VIEW "{table.name}" AS'
    load = "INSTALL iceberg;\nLOAD iceberg;"
    credentials = "CREATE OR REPLACE SECRET lake (TYPE s3, PROVIDER credential_chain);\n"
    if not table.is_found:
        credentials *= table.metadata.startswith("s3")
        scan = f"{_all(f'iceberg_scan({_text(table.metadata)})')};"
        return f"{_comment(_ONE_VERSION)}\n{load}\n{credentials}{view}\n{scan}"
    attach = (
        "ATTACH '<account>' AS lake (TYPE iceberg, ENDPOINT_TYPE glue);"
        if table.kind == "glue"
        else f"ATTACH '<warehouse>' AS lake (TYPE iceberg, ENDPOINT {_text(table.address)});"
    )
    name = f'lake."{table.namespace}"."{table.name}"'
    found = f"{_all(name)};"
    return f"{load}\n{credentials}{attach}\n{view}\n{found}"


def _snowflake(table: Declared) -> str:
    volume = (
        "CREATE EXTERNAL VOLUME IF NOT EXISTS pipeline_lake\n"
        "  STORAGE_LOCATIONS = ((\n"
        "    NAME = 'lake' STORAGE_PROVIDER = 'S3'\n"
        f"    STORAGE_BASE_URL = {_text(table.location + '/')}\n"
        "    STORAGE_AWS_ROLE_ARN = '<role>'))\n"
        "  ALLOW_WRITES = FALSE;"
    )
    create = f"CREATE ICEBERG TABLE IF NOT EXISTS {table.name}\n  EXTERNAL_VOLUME = 'pipeline_lake'"
    if table.kind == "glue":
        catalog = (
            "CREATE CATALOG INTEGRATION IF NOT EXISTS pipeline_glue\n"
            "  CATALOG_SOURCE = GLUE TABLE_FORMAT = ICEBERG ENABLED = TRUE\n"
            f"  CATALOG_NAMESPACE = {_text(table.namespace)}\n"
            "  GLUE_AWS_ROLE_ARN = '<role>' GLUE_CATALOG_ID = '<account>' GLUE_REGION = '<region>';"
        )
        found = f"  CATALOG = 'pipeline_glue' CATALOG_TABLE_NAME = {_text(table.name)};"
        again = _comment("It shows a commit after a refresh, by hand or by AUTO_REFRESH.")
        refresh = f"{again}\nALTER ICEBERG TABLE {table.name} REFRESH;"
        return f"{volume}\n{catalog}\n{create}\n{found}\n{refresh}"
    if not table.location.startswith("s3"):
        return _comment("Snowflake reads S3: have the table's warehouse there.")
    catalog = (
        "CREATE CATALOG INTEGRATION IF NOT EXISTS pipeline_files\n"
        "  CATALOG_SOURCE = OBJECT_STORE TABLE_FORMAT = ICEBERG ENABLED = TRUE;"
    )
    path = _text(table.metadata.removeprefix(f"{table.location}/"))
    found = f"  CATALOG = 'pipeline_files' METADATA_FILE_PATH = {path};"
    refresh = f"ALTER ICEBERG TABLE {table.name} REFRESH {path};"
    return f"{_comment(_ONE_VERSION)}\n{volume}\n{catalog}\n{create}\n{found}\n{refresh}"


def _spark(table: Declared) -> str:
    if not table.is_found:
        return (
            f"-- Start Spark with Iceberg's runtime.\n{_comment(_ONE_VERSION)}\n"
            f"CREATE OR REPLACE TEMPORARY VIEW `{table.name}` USING iceberg\n"
            f"OPTIONS (path {_text(table.metadata)});"
        )
    settings = {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.ours": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.ours.type": table.kind,
    }
    if table.kind == "rest":
        settings["spark.sql.catalog.ours.uri"] = table.address
    lines = "\n".join(f"--   --conf {name}={value}" for name, value in settings.items())
    select = _first(_spark_name(table))
    return f"-- Start Spark with Iceberg's runtime, and\n{lines}\n{select}"


def _trino(table: Declared) -> str:
    kind = {"glue": "glue", "rest": "rest"}.get(table.kind, "<the kind of Trino's own catalog>")
    more = f"\n--   iceberg.rest-catalog.uri={table.address}" * (table.kind == "rest")
    register = "\n--   iceberg.register-table-procedure.enabled=true" * (not table.is_found)
    head = (
        "-- etc/catalog/iceberg.properties:\n--   connector.name=iceberg\n"
        f"--   iceberg.catalog.type={kind}{more}{register}\n--   fs.native-s3.enabled=true"
    )
    select = _first(_trino_name(table))
    if table.is_found:
        return f"{head}\n{select}"
    call = (
        f"CALL iceberg.system.register_table(schema_name => '{table.namespace}', "
        f"table_name => '{table.name}', table_location => {_text(table.location)}, "
        f"metadata_file_name => {_text(table.metadata.rpartition('/')[2])});"
    )
    return f"{head}\n{_comment(_ONE_VERSION)}\n{call}\n{select}"


_WRITERS: Final[dict[Engine, Callable[[Declared], str]]] = {
    "athena": _athena, "duckdb": _duckdb, "snowflake": _snowflake, "spark": _spark, "trino": _trino
}  # fmt: skip


def _maintenance(table: Declared, engine: Engine) -> list[str]:
    """Return statements that make large files of small ones, and expire snapshots."""
    if engine not in ("athena", "spark", "trino") or not table.is_found:
        return []
    if engine == "athena" and table.kind != "glue":
        return []
    name = f"{table.namespace}.{table.name}"
    statements = {
        "athena": [
            f'OPTIMIZE "{table.namespace}"."{table.name}" REWRITE DATA USING BIN_PACK;',
            f'VACUUM "{table.namespace}"."{table.name}";',
        ],
        "spark": [
            f"CALL ours.system.rewrite_data_files(table => '{name}');",
            f"CALL ours.system.rewrite_manifests('{name}');",
            (
                f"CALL ours.system.expire_snapshots(table => '{name}', "
                "older_than => current_timestamp() - INTERVAL 5 DAYS);"
            ),
        ],
        "trino": [
            f"ALTER TABLE {_trino_name(table)} EXECUTE optimize(file_size_threshold => '32MB');",
            (
                f"ALTER TABLE {_trino_name(table)} EXECUTE "
                "expire_snapshots(retention_threshold => '7d');"
            ),
        ],
    }[engine]
    return [_comment(f"To look after it, beside the committer. {_YOUNG}"), *statements]


def _spark_name(table: Declared) -> str:
    return f"ours.`{table.namespace}`.`{table.name}`"


def _trino_name(table: Declared) -> str:
    return f'iceberg."{table.namespace}"."{table.name}"'


def _all(source: str) -> str:
    return f"SELECT * FROM {source}"  # noqa: S608 - printed for others to run


def _first(source: str) -> str:
    return f"{_all(source)} LIMIT 10;"


def _comment(text: str) -> str:
    return f"-- {text}"


def _text(value: str) -> str:
    quoted = value.replace("'", "''")
    return f"'{quoted}'"

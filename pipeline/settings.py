"""The settings of a running pipeline, from environment variables, checked all at once."""

import re
from collections.abc import Mapping

import msgspec

from pipeline.bucket_settings import NO_DEMANDS, S3Settings, read_s3_settings
from pipeline.core.errors import SettingsError
from pipeline.core.records import Fuse, Limits

_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/.*)?|file:///.*", re.DOTALL)
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")
_SECRET = re.compile(r"(?:secretsmanager|ssm|file|env):[^\s]+")
_URL = re.compile(r"https?://[^\s]+")
_LARGEST = 2**40
_DEEPEST = 256  # msgspec's own recursion ends not far beyond
_LONGEST_DIRECTORY = 255  # what file systems accept
_LONGEST_KEY = 1_024  # what S3 accepts
_MINUTES_OF_A_DAY = 1_440
_SHORTEST_KEY = 512  # below it, no partition would fit beside the file's name

# Each of the `Limits`: its variable, its smallest and its largest value.
LIMITS = {
    "unpacked_bytes": ("PIPELINE_MAX_UNPACKED_BYTES", 1, _LARGEST),
    "documents": ("PIPELINE_MAX_DOCUMENTS", 1, _LARGEST),
    "document_bytes": ("PIPELINE_MAX_DOCUMENT_BYTES", 1, _LARGEST),
    "depth": ("PIPELINE_MAX_DEPTH", 1, _DEEPEST),
    "partition_bytes": ("PIPELINE_MAX_PARTITION_BYTES", 1, _LONGEST_DIRECTORY),
    "key_bytes": ("PIPELINE_MAX_KEY_BYTES", _SHORTEST_KEY, _LONGEST_KEY),
    "record_bytes": ("PIPELINE_MAX_RECORD_BYTES", 1, _LARGEST),
    "record_documents": ("PIPELINE_MAX_RECORD_DOCUMENTS", 1, _LARGEST),
    "part_bytes": ("PIPELINE_PART_BYTES", 1, _LARGEST),
    "part_documents": ("PIPELINE_PART_DOCUMENTS", 1, _LARGEST),
    "part_values": ("PIPELINE_PART_VALUES", 1, _LARGEST),
    "open_partitions": ("PIPELINE_OPEN_PARTITIONS", 1, _LARGEST),
}


class Settings(msgspec.Struct, frozen=True):
    """What an operator decides. `response_reserve` is in seconds."""

    output: str
    dead_letters: str
    schemas: str
    limits: Limits = Limits()
    response_reserve: float = 1.5
    metrics_namespace: str = "Pipeline"
    fast_paths: bool = True
    s3: S3Settings = NO_DEMANDS
    privacy_key: str | None = None
    fuse: Fuse | None = None
    registry_credentials: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings. Raises `SettingsError` that names every fault, a line each."""
        faults: list[str] = []
        output = _uri(environment, "PIPELINE_OUTPUT", faults)
        dead_letters = _uri(environment, "PIPELINE_DEAD_LETTERS", faults)
        if output and dead_letters and _overlap(output, dead_letters):
            faults.append(
                f"PIPELINE_OUTPUT ({output}) and PIPELINE_DEAD_LETTERS ({dead_letters}) lie one "
                "inside the other; readers of the tables would find dead letters."
            )
        schemas = _schemas(environment, (output, dead_letters), faults)
        limits = {
            name: _number(environment, *where, getattr(Limits(), name), faults)
            for name, where in LIMITS.items()
        }
        reserve = _number(environment, "PIPELINE_RESPONSE_RESERVE_MS", 0, 60_000, 1_500, faults)
        older = _switch(environment, "PIPELINE_COLUMNAR", "on", faults)  # its older name
        fast_paths = _switch(environment, "PIPELINE_FAST_PATHS", older, faults)
        privacy_key = _secret(environment, "PIPELINE_PRIVACY_KEY", faults)
        percent = _number(environment, "PIPELINE_FUSE_PERCENT", 0, 99, 0, faults)
        count = _number(environment, "PIPELINE_FUSE_COUNT", 1, _LARGEST, Fuse(0).count, faults)
        s3 = read_s3_settings(environment, faults)
        if faults:
            raise SettingsError("\n".join(faults))
        namespace = environment.get("PIPELINE_METRICS_NAMESPACE") or "Pipeline"
        credentials = environment.get("PIPELINE_REGISTRY_CREDENTIALS", "")
        return cls(
            output,
            dead_letters,
            schemas,
            Limits(**limits),
            reserve / 1_000,
            namespace,
            fast_paths == "on",
            s3,
            privacy_key,
            Fuse(percent, count) if percent else None,
            credentials,
        )


class CommitSettings(msgspec.Struct, frozen=True):
    """What the committer needs: where rows land, the datasets, and the catalog of the tables."""

    output: str
    schemas: str
    catalog: str | None = None
    warehouse: str | None = None
    metrics_namespace: str = "Pipeline"
    s3: S3Settings = NO_DEMANDS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "CommitSettings":
        """Read the settings. Raises `SettingsError` that names every fault, a line each."""
        faults: list[str] = []
        output = _uri(environment, "PIPELINE_OUTPUT", faults)
        schemas = _schemas(environment, (output,), faults)
        catalog = environment.get("PIPELINE_LAKE") or None
        if catalog is None and output.startswith("s3:"):
            faults.append(
                "PIPELINE_LAKE is not set; give the catalog of the tables: glue:DATABASE, "
                "rest:https://…?namespace=NAME or sqlite:///directory/catalog.db."
            )
        s3 = read_s3_settings(environment, faults)
        if faults:
            raise SettingsError("\n".join(faults))
        namespace = environment.get("PIPELINE_METRICS_NAMESPACE") or "Pipeline"
        warehouse = environment.get("PIPELINE_LAKE_WAREHOUSE") or None
        return cls(output, schemas, catalog, warehouse, namespace, s3)


class AlertSettings(msgspec.Struct, frozen=True):
    """What the alert handler needs; only the topic is required."""

    topic: str
    dashboard: str | None = None
    dead_letters: str | None = None
    log_group: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "AlertSettings":
        """Read the settings. Raises `SettingsError` that names every fault, a line each."""
        faults: list[str] = []
        topic = environment.get("PIPELINE_ALERT_TOPIC", "")
        if not _TOPIC.fullmatch(topic):
            given = f"is {topic!r}" if topic else "is not set"
            faults.append(f"PIPELINE_ALERT_TOPIC {given}; give the ARN of an SNS topic.")
        dashboard = environment.get("PIPELINE_DASHBOARD_URL") or None
        if dashboard and not _URL.fullmatch(dashboard):
            faults.append(f"PIPELINE_DASHBOARD_URL is {dashboard!r}; give an http(s) URL.")
        dead_letters = environment.get("PIPELINE_DEAD_LETTERS") or None
        if dead_letters:
            dead_letters = _uri(environment, "PIPELINE_DEAD_LETTERS", faults)
        if faults:
            raise SettingsError("\n".join(faults))
        return cls(topic, dashboard, dead_letters, environment.get("PIPELINE_LOG_GROUP") or None)


class TableSettings(msgspec.Struct, frozen=True):
    """What the handler that registers partitions needs. `minutes` is how often it is invoked."""

    database: str
    output: str
    dead_letters: str
    schemas: str
    minutes: int = 5
    s3: S3Settings = NO_DEMANDS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "TableSettings":
        """Read the settings. Raises `SettingsError` that names every fault, a line each."""
        faults: list[str] = []
        database = environment.get("PIPELINE_GLUE_DATABASE", "")
        if not database:
            faults.append("PIPELINE_GLUE_DATABASE is not set; give the tables' database in Glue.")
        output = _uri_on_s3(environment, "PIPELINE_OUTPUT", faults)
        dead_letters = _uri_on_s3(environment, "PIPELINE_DEAD_LETTERS", faults)
        schemas = _schemas(environment, (output, dead_letters), faults)
        minutes = _number(environment, "PIPELINE_TABLES_MINUTES", 1, _MINUTES_OF_A_DAY, 5, faults)
        s3 = read_s3_settings(environment, faults)
        if faults:
            raise SettingsError("\n".join(faults))
        return cls(database, output, dead_letters, schemas, minutes, s3)


def _uri(environment: Mapping[str, str], name: str, faults: list[str]) -> str:
    value = environment.get(name, "")
    if not value:
        faults.append(f"{name} is not set; give s3://bucket/prefix or file:///directory.")
    elif not _URI.fullmatch(value):
        faults.append(f"{name} is {value!r}; give s3://bucket/prefix or file:///directory.")
    return value.rstrip("/")


def _uri_on_s3(environment: Mapping[str, str], name: str, faults: list[str]) -> str:
    place = _uri(environment, name, faults)
    if place.startswith("file:"):
        faults.append(f"{name} is {place!r}; Glue's tables are on S3: give s3://bucket/prefix.")
    return place


def _schemas(environment: Mapping[str, str], stored: tuple[str, ...], faults: list[str]) -> str:
    """Read where the datasets are: a directory, or a prefix on S3 that nothing is stored in."""
    place = environment.get("PIPELINE_SCHEMAS", "")
    if not place:
        faults.append("PIPELINE_SCHEMAS is not set; give the directory of the datasets.")
    elif place.startswith("s3:"):
        if not _URI.fullmatch(place):
            faults.append(
                f"PIPELINE_SCHEMAS is {place!r}; give a directory, or s3://bucket/prefix."
            )
        place = place.rstrip("/")
        faults.extend(
            f"PIPELINE_SCHEMAS ({place}) and what is stored ({other}) lie one inside the other; "
            "give the schemas a prefix of their own."
            for other in stored
            if other and _overlap(place, other)
        )
    return place


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _switch(environment: Mapping[str, str], name: str, default: str, faults: list[str]) -> str:
    value = environment.get(name) or default
    if value not in {"on", "off"}:
        faults.append(f'{name} is {value!r}; give "on" or "off".')
        return default
    return value


def privacy_key_of(environment: Mapping[str, str]) -> str | None:
    """Read where the key of private fields is. Raises `SettingsError`."""
    faults: list[str] = []
    place = _secret(environment, "PIPELINE_PRIVACY_KEY", faults)
    if faults:
        raise SettingsError("\n".join(faults))
    return place


def _secret(environment: Mapping[str, str], name: str, faults: list[str]) -> str | None:
    """Read where a secret is. Its value is not quoted: it may be the secret itself."""
    place = environment.get(name, "")
    if place and not _SECRET.fullmatch(place):
        faults.append(
            f"{name} does not name a place; give secretsmanager:NAME-OR-ARN, ssm:NAME, file:PATH "
            "or env:NAME, and not the key itself."
        )
    return place or None


def _number(
    environment: Mapping[str, str],
    name: str,
    smallest: int,
    largest: int,
    default: int,
    faults: list[str],
) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,13}", text) or not smallest <= int(text) <= largest:
        faults.append(f"{name} is {text!r}; give a whole number from {smallest} to {largest}.")
        return default
    return int(text)

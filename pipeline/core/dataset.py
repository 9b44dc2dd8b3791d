"""Texts of `schemas/<dataset>/` to a `Dataset`: types, row decoder, rules, partitions, formats."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec
import pyarrow as pa

from pipeline.core.csv_options import PLAIN, CsvOptions, UnusableCsv, read_csv_options
from pipeline.core.documents.arrow_builder import columns_of
from pipeline.core.documents.columnar import ColumnarReader
from pipeline.core.documents.field_rules import check_fields
from pipeline.core.documents.folding import Folding, find_clash
from pipeline.core.documents.jsonpath import ValuePath, Violations
from pipeline.core.documents.row_decoder import RowDecoder
from pipeline.core.documents.unknown import Census
from pipeline.core.errors import DatasetError
from pipeline.core.formats import FORMATS, Format
from pipeline.core.lake_settings import (
    FORGOTTEN_TABLE,
    LakeSettings,
    UnusableLake,
    read_lake_settings,
)
from pipeline.core.matching import (
    Match,
    Matching,
    UnusableMatch,
    overlapping,
    read_matching,
)
from pipeline.core.member_path import written
from pipeline.core.partitioning import (
    PartitionColumn,
    UnusablePartition,
    read_partition_column,
)
from pipeline.core.schema.avro import read_schema
from pipeline.core.schema.privacy import (
    PrivateFields,
    UnusablePrivacy,
    find_private,
    private_fields,
    stored_record,
)
from pipeline.core.schema.reading import Reading, UnusablePath, reading_of
from pipeline.core.schema.types import (
    NO_DEFAULT,
    Array,
    Field,
    Map,
    Record,
    Type,
    record_of,
)

UNROUTED = "unrouted"
IDENTITY = (
    pa.field("_source", pa.string(), nullable=False),
    pa.field("_sequence_number", pa.string(), nullable=False),
    pa.field("_sub_sequence_number", pa.int64(), nullable=False),
    pa.field("_document", pa.int32(), nullable=False),
)
ARRIVED_AT = pa.field("_arrived_at", pa.timestamp("us", tz="UTC"), nullable=False)
REST = pa.field("_rest", pa.string())
"""JSON of the members that no field reads, of datasets that keep them."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DURATION = re.compile(r"([+-]?[0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST_WINDOW = 1_000_000 * _SECONDS["d"]  # whose microseconds Arrow can count
_KEYS = {
    "partition_by", "formats", "unknown_fields", "keys", "event_time", "event_time_window", "match",
    "csv", "lake", "dead_letter_private",
}  # fmt: skip


Withheld = Literal["encrypt", "digest"]
"""What becomes of the original of a dead letter that does not show all of it."""


class Dataset(msgspec.Struct, frozen=True):
    """One table: how its documents are read, checked, partitioned and written.

    `window` is the event time's allowed distance from arrival in microseconds. Without a `reader`
    the row path, `decoder`, reads alone, to the same end; so it does with chunks of fewer than
    `fewest_by_columns` documents, for which the columnar path's start, 0.7 ms, takes longer.
    `remarks` are what `pipeline check` says of the schema, which is used all the same. By the
    `census` unknown members are found; None where they are rejected. With `folding`, keys are read
    in any case of their letters. With a `lake`, its rows are committed to a table.

    `record` is what documents are read as, and `read` has its columns. `stored` and `schema` are
    what is stored: the same, unless some fields are `private`. Then `withheld` says what becomes of
    what a dead letter of it does not show.
    """

    name: str
    version: int
    fingerprint: str
    record: Record
    stored: Record
    reading: Reading
    decoder: RowDecoder
    reader: ColumnarReader | None
    read: pa.Schema
    schema: pa.Schema
    partition_by: tuple[PartitionColumn, ...]
    formats: tuple[Format, ...]
    match: Matching | None
    event_time: str | None
    window: tuple[int, int] | None
    census: Census | None
    folding: Folding | None
    fewest_by_columns: int = 200
    remarks: tuple[str, ...] = ()
    csv: CsvOptions = PLAIN
    lake: LakeSettings | None = None
    private: PrivateFields | None = None
    withheld: Withheld = "encrypt"

    @property
    def id(self) -> tuple[str, int]:
        """Name and schema version, as a dead letter carries them."""
        return self.name, self.version

    def suffix_of(self, as_format: Format) -> str:
        """Return what the names of this dataset's files end in, without the dot before it."""
        compression = self.csv.suffix if as_format is Format.CSV else ""
        return f"{as_format.suffix}{compression}"

    def by_rows(self) -> "Dataset":
        """Return this dataset without the columnar path."""
        return msgspec.structs.replace(self, reader=None)

    def by_columns(self) -> "Dataset":
        """Return this dataset with the columnar path for chunks of any size."""
        return msgspec.structs.replace(self, fewest_by_columns=0)


def parse_dataset(name: str, schemas: Mapping[int, str], config_text: str) -> Dataset:
    """Make the dataset of one folder; the schema of the highest version is current.

    Raises `DatasetError` naming file and field for whatever cannot be used.
    """
    if not _NAME.fullmatch(name) or name == UNROUTED:
        message = (
            f"schemas/{name}: a dataset's name is a lower-case letter, then up to 62 lower-case "
            f"letters, digits and _, and not {UNROUTED!r}."
        )
        raise DatasetError(message)
    if not schemas:
        message = f"schemas/{name}: there is no schema; put the first one into 1.avsc."
        raise DatasetError(message)
    return _Folder(name, max(schemas), config_text).dataset(schemas[max(schemas)])


def check_together(datasets: Iterable[Dataset]) -> tuple[Dataset, ...]:
    """Hold the datasets of one stream against each other; raises `DatasetError`."""
    datasets = tuple(sorted(datasets, key=lambda dataset: dataset.name))
    if not datasets:
        message = "There are no datasets: make schemas/<dataset>/1.avsc and dataset.toml."
        raise DatasetError(message)
    without = [dataset.name for dataset in datasets if dataset.match is None]
    if len(without) > 1:
        message = f"Datasets {without[0]} and {without[1]} both lack [match]; one at most may."
        raise DatasetError(message)
    matchings = {each.name: each.match for each in datasets if each.match is not None}
    for name, other in overlapping(matchings):
        message = f"Datasets {name} and {other} match the same documents ({matchings[name]})."
        if matchings[name] != matchings[other]:
            message = (
                f"Datasets {name} and {other} could match the same document: [match] must look at "
                f"the same field in all datasets, for different values; now {name}: "
                f"{matchings[name]}, and {other}: {matchings[other]}."
            )
        raise DatasetError(message)
    _check_table_names([dataset.name for dataset in datasets if dataset.lake is not None])
    return datasets


def _check_table_names(names: Sequence[str]) -> None:
    """Raise `DatasetError` where a table would be another one's list of what was forgotten."""
    for name in names:
        other = f"{name}{FORGOTTEN_TABLE}"
        if other in names:
            message = (
                f"Datasets {name} and {other} have [lake], and a table {other} has the identities "
                f"of the rows that `pipeline lake forget` deleted from {name}. Give {other} "
                "another name."
            )
            raise DatasetError(message)


class _Config:
    """Reads dataset.toml, as far as it can be understood without the schema."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        try:
            self._settings = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            message = f"{path} is not TOML: {error}."
            raise DatasetError(message) from None
        unknown = sorted(set(self._settings) - _KEYS)
        if unknown:
            known = ", ".join(sorted(_KEYS))
            raise self.refuse(f"unknown setting {unknown[0]!r}; there are {known}.")

    def get(self, name: str, default: Any = None) -> Any:
        return self._settings.get(name, default)

    def refuse(self, why: str) -> DatasetError:
        return DatasetError(f"{self.path}: {why}")

    def unknown_fields(self) -> Literal["ignore", "keep", "reject"]:
        value = self.get("unknown_fields", "ignore")
        if value not in ("ignore", "keep", "reject"):
            raise self.refuse('unknown_fields is "ignore", "keep" or "reject".')
        return cast('Literal["ignore", "keep", "reject"]', value)

    def folds_keys(self) -> bool:
        value = self.get("keys", "exact")
        if value not in ("exact", "case-insensitive"):
            raise self.refuse('keys is "exact" or "case-insensitive".')
        return bool(value == "case-insensitive")

    def formats(self) -> tuple[Format, ...]:
        given = self.get("formats", [Format.PARQUET])
        known = list(FORMATS)
        if not isinstance(given, list) or not given or any(name not in known for name in given):
            raise self.refuse(f"formats is a list of {' and '.join(map(_quoted, known))}.")
        return tuple(FORMATS[name] for name in dict.fromkeys(given))

    def window(self, event_time: str | None) -> tuple[int, int] | None:
        given = self.get("event_time_window")
        if given is None:
            return None
        if event_time is None:
            raise self.refuse("event_time_window needs event_time.")
        if not isinstance(given, list) or len(given) != 2:  # noqa: PLR2004 - from and to
            raise self.refuse('event_time_window is two durations, as in ["-7d", "+1d"].')
        low, high = (self.micros(text) for text in given)
        if low > high:
            raise self.refuse("event_time_window ends before it begins.")
        return low, high

    def micros(self, text: Any) -> int:
        match = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if not match:
            raise self.refuse(f'{text!r} is not a duration such as "-7d" or "+12h" (s, m, h, d).')
        seconds = int(match[1]) * _SECONDS[match[2]]
        if abs(seconds) > _LONGEST_WINDOW:
            raise self.refuse(f"{text!r} is longer than a million days, and so not a limit.")
        return seconds * 1_000_000

    def withheld(self, *, is_private: bool) -> Withheld:
        given = self.get("dead_letter_private")
        if given is not None and not is_private:
            raise self.refuse(
                'dead_letter_private is for a dataset with private fields; mark them by "privacy".'
            )
        if given not in (None, "encrypt", "digest"):
            raise self.refuse('dead_letter_private is "encrypt" or "digest".')
        return cast("Withheld", given or "encrypt")

    def csv(self) -> CsvOptions:
        given = self.get("csv")
        if given is None:
            return PLAIN
        if Format.CSV not in self.formats():
            raise self.refuse('[csv] is for a dataset with the format "csv"; add it to formats.')
        try:
            return read_csv_options(given)
        except UnusableCsv as error:
            raise self.refuse(str(error)) from None

    def match(self) -> Matching | None:
        given = self.get("match")
        if given is None:
            return None
        try:
            return read_matching(given)
        except UnusableMatch as error:
            raise self.refuse(str(error)) from None


class _Folder:
    """Reads one folder's texts, and holds the configuration against the schema."""

    def __init__(self, name: str, version: int, config_text: str) -> None:
        self.name = name
        self.version = version
        self.avsc = f"schemas/{name}/{version}.avsc"
        self.config = _Config(f"schemas/{name}/dataset.toml", config_text)

    def dataset(self, schema_text: str) -> Dataset:
        unknown_fields = self.config.unknown_fields()
        keeps, rejects = unknown_fields == "keep", unknown_fields == "reject"
        record, fingerprint, remarks = read_schema(
            schema_text, self.avsc, rejects_unknown_fields=rejects
        )
        self.check_names(record, keeps=keeps)
        self.check_defaults(record, "")
        event_time, match = self.event_time(record), self.config.match()
        reading = self.reading(record)
        self.check_match(reading.record, match, rejects=rejects)
        beside = _beside(reading.record, match)
        census = None if rejects else Census(reading.record, beside, keeps=keeps)
        stored, private = self.stored(record), private_fields(record)
        # Identity first: CSV is read by position, and a field added at the end moves nothing.
        own = (*IDENTITY, ARRIVED_AT, *[REST] * keeps)
        schema = pa.schema([*own, *(field.arrow_field for field in stored.fields)])
        return Dataset(
            name=self.name,
            version=self.version,
            fingerprint=fingerprint,
            record=record,
            stored=stored,
            reading=reading,
            decoder=RowDecoder(reading.record),
            reader=ColumnarReader(reading.record, census),
            read=schema
            if private is None
            else pa.schema([*own, *(field.arrow_field for field in record.fields)]),
            schema=schema,
            partition_by=self.partition_by(record),
            formats=self.config.formats(),
            match=match,
            event_time=event_time,
            window=self.config.window(event_time),
            remarks=remarks,
            csv=self.config.csv(),
            census=census,
            folding=self.folding(reading.record) if self.config.folds_keys() else None,
            lake=self.lake(record),
            private=private,
            withheld=self.config.withheld(is_private=private is not None),
        )

    def stored(self, record: Record) -> Record:
        """Return what is stored of a record, some of whose fields may be private."""
        try:
            return stored_record(record)
        except UnusablePrivacy as error:
            message = f"{self.avsc}: {error}"
            raise DatasetError(message) from None

    def check_public(self, setting: str, path: str | None, record: Record) -> None:
        """Refuse to make a path, or a time, of a private field."""
        private = None if path is None else find_private(path, record)
        if private is not None:
            raise self.config.refuse(
                f"{setting}: {private} of {self.avsc} is private; paths of objects, and when a "
                "document is rejected, would tell its values. Choose another field."
            )

    def reading(self, record: Record) -> Reading:
        try:
            return reading_of(record)
        except UnusablePath as error:
            message = f"{self.avsc}, field {error.field}: {error}"
            raise DatasetError(message) from None

    def check_match(self, record: Record, match: Matching | None, *, rejects: bool) -> None:
        for condition in match.conditions if match is not None else ():
            is_read = _is_read(record, condition)
            if rejects and not is_read:
                raise self.config.refuse(
                    f'unknown_fields = "reject" would reject every document: no field reads '
                    f"{condition.name}, by which [match] chooses them; add one to the schema."
                )
            if isinstance(condition.key, str) and "." in condition.key and not is_read:
                raise self.config.refuse(
                    f"[match] field {condition.key!r} has a dot, and no field of {self.avsc} reads "
                    f"such a key: write {_quoted(written(condition.path))} for the member within "
                    f"others, or $[{_quoted(condition.key)}] for a key with a dot in its name."
                )

    def check_names(self, record: Record, *, keeps: bool) -> None:
        reserved = {field.name for field in (*IDENTITY, ARRIVED_AT)}
        for field in record.fields:
            if field.name.lower() in reserved:
                message = f"{self.avsc}: field {field.name} has the name of an identity column."
                raise DatasetError(message)
            if keeps and field.name.lower() == REST.name:
                message = (
                    f"{self.avsc}: field {field.name} has the name of the column in which "
                    'unknown_fields = "keep" keeps unknown members; rename it and give its key by '
                    '"jsonName".'
                )
                raise DatasetError(message)

    def folding(self, record: Record) -> Folding:
        """Return how keys are read in any case; no two of one record may differ in it alone."""
        clash = find_clash(record)
        if clash is not None:
            raise self.config.refuse(
                f'keys = "case-insensitive": the keys {clash[0]!r} and {clash[1]!r} of '
                f"{self.avsc} differ in case alone."
            )
        return Folding(record)

    def check_defaults(self, record: Record, above: str) -> None:
        """Convert and judge every default once, and refuse those whose rows would be rejected."""
        for field in record.fields:
            self.check_defaults_in(field.type, f"{above}{field.name}")
            if field.default is NO_DEFAULT:
                continue
            alone = record_of((field,), rejects_unknown_fields=False)
            violations = Violations()
            columns = columns_of(alone, [alone.json_type()], ValuePath(), violations)
            check_fields(alone.fields, columns, violations)
            for violation in violations.by_row.values():
                message = (
                    f"{self.avsc}, field {above}{field.name}: its default: {violation.message}"
                )
                raise DatasetError(message)

    def check_defaults_in(self, kind: Type, path: str) -> None:
        """Check the defaults of fields that lie deeper in a type."""
        match kind:
            case Record() as record:
                self.check_defaults(record, f"{path}.")
            case Array(item=inner):
                self.check_defaults_in(inner.type, f"{path}[]")
            case Map(value=inner):
                self.check_defaults_in(inner.type, f"{path}{{}}")
            case _:
                pass

    def partition_by(self, record: Record) -> tuple[PartitionColumn, ...]:
        given = self.config.get("partition_by", [])
        if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
            raise self.config.refuse("partition_by is a list of strings.")
        try:
            columns = tuple(read_partition_column(item, record, self.avsc) for item in given)
        except UnusablePartition as error:
            raise self.config.refuse(str(error)) from None
        names = [column.name.lower() for column in columns]
        for column in columns:
            self.check_public("partition_by", column.field, record)
            if names.count(column.name.lower()) > 1:
                raise self.config.refuse(f"two partition columns are named {column.name!r}.")
            for field in record.fields:
                if field.name.lower() == column.name.lower():
                    raise self.config.refuse(
                        f"the partition column {column.name!r} has the name of a field of "
                        f"{self.avsc}. Give that field another name, and its JSON key by "
                        f'"jsonName": "{field.key}".'
                    )
        return columns

    def lake(self, record: Record) -> LakeSettings | None:
        given = self.config.get("lake")
        if given is None:
            return None
        if Format.PARQUET not in self.config.formats():
            raise self.config.refuse(
                '[lake]: a table is made of Parquet files; add "parquet" to formats.'
            )
        try:
            settings = read_lake_settings(given, record, self.partition_by(record), self.avsc)
        except UnusableLake as error:
            raise self.config.refuse(str(error)) from None
        for partition in settings.partition_by:
            self.check_public("[lake] partition_by", partition.field, record)
        return settings

    def field(self, name: str, record: Record) -> Field:
        for field in record.fields:
            if field.name == name:
                return field
        raise self.config.refuse(f"{name!r} is not a top-level field of {self.avsc}.")

    def event_time(self, record: Record) -> str | None:
        name = self.config.get("event_time")
        if name is None:
            return None
        if not isinstance(name, str) or self.field(name, record).type.arrow != ARRIVED_AT.type:
            raise self.config.refuse("event_time must be a timestamp field with a time zone.")
        self.check_public("event_time", name, record)
        return name


def _is_read(record: Record, match: Match) -> bool:
    """Whether a field reads the member that [match] looks at."""
    above: Type = record
    for key in (match.key,) if match.key in _keys(record) else match.path:
        if not isinstance(above, Record) or key not in _keys(above):
            return False
        above = next(field.type for field in above.fields if key in field.keys)
    return True


def _keys(record: Record) -> set[str]:
    return {key for field in record.fields for key in field.keys}


def _beside(record: Record, match: Matching | None) -> dict[str, pa.DataType]:
    """Return the keys that are read, but by no field, as which type: those of [match].

    Of a condition with one value, this is that of all rows, and so is not lost.
    """
    types = {bool: pa.bool_(), int: pa.int64(), str: pa.string()}
    return {
        condition.path[0]: types[type(condition.value)]
        for condition in (match.conditions if match is not None else ())
        if len(condition.path) == 1
        and not condition.others
        and condition.path[0] not in _keys(record)
    }


def _quoted(name: str) -> str:
    return f'"{name}"'

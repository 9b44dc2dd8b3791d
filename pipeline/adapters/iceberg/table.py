"""A dataset's table: what it holds, what is looked up in it, and how rows are appended."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.exceptions import (
    NoSuchTableError,
    ResolveError,
    TableAlreadyExistsError,
    ValidationError,
)
from pyiceberg.expressions import (
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    LessThanOrEqual,
)
from pyiceberg.io.pyarrow import (
    UnsupportedPyArrowTypeException,
    _pyarrow_to_schema_without_ids,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import assign_fresh_schema_ids
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.transforms import parse_transform
from pyiceberg.typedef import Record

from pipeline.adapters.iceberg.catalogs import Conflict, LakeCatalog, catalog_errors
from pipeline.adapters.iceberg.checked_append import (
    COMMIT,
    RANGES,
    SEQUENCE,
    CheckedAppend,
    last_number,
)
from pipeline.adapters.iceberg.checked_rewrite import CheckedRewrite
from pipeline.adapters.iceberg.file_io import TableIO
from pipeline.adapters.iceberg.transaction import RememberingTransaction
from pipeline.core.dataset import ARRIVED_AT
from pipeline.core.errors import StoreRefused
from pipeline.core.lake.identities import NAMES, sequence_numbers
from pipeline.core.lake.partitions import Values
from pipeline.core.lake.schemas import DoesNotFit, fitted, small_types
from pipeline.core.lake.spans import Ranges, Span, is_shard
from pipeline.core.lake_settings import LakePartition, LakeSettings

FORGOTTEN: Final = "pipeline.forgotten"
"""The table's property that says that there is a table of identities which must not come back."""
__all__ = ["DataFile", "LakeTable", "TableFile", "create_table", "evolve_table", "load_table"]

_IMPOSSIBLE = (
    UnsupportedPyArrowTypeException,
    ValidationError,
    ResolveError,
    ValueError,
    TypeError,
)
"""What pyiceberg raises for columns that Iceberg lacks, or changes that it does not make."""
_LONGEST_NAME: Final = 255  # bytes, of a directory
_LONGEST_PATH: Final = 600  # of the 1,024 that a key in S3 has
_KINESIS_NUMBER = re.compile(r"[1-9][0-9]{55}")
ARRIVALS: Final = (*NAMES, ARRIVED_AT.name)
TARGET_BYTES: Final = 256 * 2**20
_FIRST_PARTITION_ID: Final = 1_000
_PROPERTIES: Final = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.target-file-size-bytes": str(TARGET_BYTES),
    # Bounds of 16 of a sequence number's 56 digits would prune no file.
    "write.metadata.metrics.column._source": "full",
    "write.metadata.metrics.column._sequence_number": "full",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
}


class TableFile(msgspec.Struct, frozen=True):
    """A data file of a table, with what pyiceberg knows of it."""

    path: str
    partition: Values
    rows: int
    bytes: int
    file: DataFile
    is_fixed: bool
    """Whether it cannot be rewritten here: of another partitioning, or with rows deleted apart."""


class LakeTable:
    """One version of a table, as it was loaded: what is checked against it is committed onto it."""

    def __init__(self, catalog: LakeCatalog, table: Table) -> None:
        """Look at a table that pyiceberg has loaded."""
        self._catalog = catalog
        self._table = table
        self.where = f"the table {'.'.join(table.name()[-2:])}"
        # Nobody's files but this run's, or already there: both are read by the same door.
        self.io: TableIO = table.io  # type: ignore[assignment]  # what the catalog was told to use
        self.schema = small_types(schema_to_pyarrow(table.schema(), include_field_ids=True))

    @property
    def location(self) -> str:
        """Where its files are."""
        return self._table.location()

    @property
    def metadata_location(self) -> str:
        """Where its current metadata is, which readers without a catalog are given."""
        return self._table.metadata_location

    @property
    def snapshot(self) -> Snapshot | None:
        """Its current snapshot, if it has one."""
        return self._table.current_snapshot()

    @property
    def table(self) -> Table:
        """The table as pyiceberg has it."""
        return self._table

    # ------------------------------------------------------------------------- what it holds

    def ranges(self) -> Ranges:
        """Return what is known of the table's rows: nothing, if somebody else may have added some.

        Each snapshot has a number. From the one on of which the ranges are known, all have to be
        there to be looked at: one that was expired may have added anything.
        """
        metadata, properties = self._table.metadata, self._table.properties
        known = properties.get(SEQUENCE, "")
        if not known.isdecimal():
            return Ranges({})
        since = {
            snapshot.sequence_number: snapshot
            for snapshot in metadata.snapshots
            if (snapshot.sequence_number or 0) > int(known)
        }
        if len(since) < last_number(metadata) - int(known):
            return Ranges({})
        if not all(map(_adds_nothing_unknown, since.values())):
            return Ranges({})
        return Ranges.read(properties.get(RANGES))

    def range_of(self, source: str) -> Span | None:
        """Return a range that has all of a source's rows in the table; None if it has none.

        From the bounds that are known of a file, if they can be trusted; else from its rows.
        """
        if self.snapshot is None:
            return None
        column = self._table.schema().find_field("_sequence_number").field_id
        numbers = list[int]()
        with catalog_errors("read", self.where):
            for task in self._table.scan(row_filter=_filter(source, None)).plan_files():
                bounds = _numbers_within(task.file, column) if is_shard(source) else None
                if bounds is None:
                    for rows in self._in_file(task.file.file_path, source, None):
                        numbers += sequence_numbers(rows)
                        numbers = [min(numbers), max(numbers)]
                else:
                    numbers += bounds
        return Span(source, min(numbers), max(numbers)) if numbers else None

    def identities(self, source: str, span: Span | None = None) -> Iterator[pa.Table]:
        """Yield the identities of a source's rows, a row group at a time; those of `span` if given.

        There may be more of them: rows that a reader does not see any more, as somebody deleted
        them in a file of its own.
        """
        if self.snapshot is None:
            return
        bounds = _text_bounds(span)
        wanted = _filter(source, bounds)
        with catalog_errors("read", self.where):
            for task in self._table.scan(row_filter=wanted).plan_files():
                yield from self._in_file(task.file.file_path, source, bounds)

    def _in_file(
        self, path: str, source: str, bounds: tuple[str, str] | None
    ) -> Iterator[pa.Table]:
        for rows in self.row_groups(path, NAMES):
            chosen = pc.equal(rows["_source"], source)
            if bounds is not None:
                at_least = pc.greater_equal(rows["_sequence_number"], bounds[0])
                at_most = pc.less_equal(rows["_sequence_number"], bounds[1])
                chosen = pc.and_(chosen, pc.and_(at_least, at_most))
            found = rows.filter(chosen)
            if found.num_rows:
                yield found

    def arrivals(self) -> Iterator[pa.Table]:
        """Yield identity and arrival of all rows, a row group at a time; see `identities`."""
        for file in self.files():
            yield from self.row_groups(file.path, ARRIVALS)

    def row_groups(self, path: str, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield a file, a row group at a time; of some columns, those that it has."""
        with (
            catalog_errors("read", self.where),
            self.io.files(path).open(path) as body,
            pq.ParquetFile(body) as parquet,
        ):
            there = parquet.schema_arrow.names
            chosen = None if names is None else [name for name in names if name in there]
            for number in range(parquet.metadata.num_row_groups):
                yield parquet.read_row_group(number, columns=chosen)

    def files(self) -> list[TableFile]:
        """Return the data files of the current snapshot."""
        with catalog_errors("read", self.where):
            tasks = list(self._table.scan().plan_files())
        return [
            TableFile(
                task.file.file_path,
                tuple(task.file.partition[number] for number in range(len(task.file.partition))),
                task.file.record_count,
                task.file.file_size_in_bytes,
                task.file,
                bool(task.delete_files) or task.file.spec_id != self._table.spec().spec_id,
            )
            for task in tasks
        ]

    # ------------------------------------------------------------------------- what is added

    @property
    def partition_by(self) -> tuple[LakePartition, ...]:
        """How the table is partitioned, whatever dataset.toml says by now."""
        schema, found = self._table.schema(), list[LakePartition]()
        for field in self._table.spec().fields:
            name, column = str(field.transform), schema.find_column_name(field.source_id)
            if name not in ("year", "month", "day", "hour", "identity") or column is None:
                message = (
                    f"{self.where} is partitioned by {name}({column}), which cannot be written; "
                    "change its partition spec to day, month, year or hour, or to fields."
                )
                raise StoreRefused(message)
            found.append(LakePartition(name, column))  # type: ignore[arg-type]  # one of these
        return tuple(found)

    def new_file(self, name: str, partition: Values) -> str:
        """Return the URI of a new data file."""
        key: Any = _Partition(self._table, partition) if partition else None
        if key is not None and not _is_short(key.to_path()):
            # Where a file is says nothing: its manifest has its partition.
            key = None
        return self._table.location_provider().new_data_location(name, key)

    def data_file(
        self, path: str, partition: Values, size: int, metadata: pq.FileMetaData
    ) -> DataFile:
        """Describe a file of `size` bytes that is written."""
        schema = self._table.schema()
        statistics = data_file_statistics_from_parquet_metadata(
            metadata,
            compute_statistics_plan(schema, self._table.properties),
            parquet_path_to_id_mapping(schema),
        )
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=path,
            file_format=FileFormat.PARQUET,
            partition=Record(*partition),
            file_size_in_bytes=size,
            sort_order_id=None,
            spec_id=self._table.spec().spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )

    def append(
        self,
        files: Sequence[DataFile],
        commit: str,
        spans: Sequence[Span],
        found: Sequence[Span],
    ) -> None:
        """Commit data files onto what this is, or onto what added none of their rows.

        In `found` are the ranges of those of the spans' sources of which this has rows. Raises
        `Conflict` where their rows may have been added meanwhile.
        """
        with catalog_errors("commit to", self.where):
            transaction = RememberingTransaction(self._table)
            with CheckedAppend(transaction, commit, self.ranges(), spans, found) as append:
                for file in files:
                    append.append_data_file(file)
            transaction.commit_transaction()

    def replace(self, old: Sequence[TableFile], new: Sequence[DataFile]) -> None:
        """Commit files in the place of others. Raises `Conflict` where one of those is gone."""
        with catalog_errors("commit to", self.where):
            transaction = RememberingTransaction(self._table)
            with CheckedRewrite(transaction, [each.file for each in old], new):
                pass
            transaction.commit_transaction()

    def check_columns(self, wanted: pa.Schema, rows: pa.Schema) -> None:
        """Raise `DoesNotFit` unless the table can be given these columns, and then have such rows.

        Nothing is changed.
        """
        try:
            update = self._table.transaction().update_schema()
            update.union_by_name(_pyarrow_to_schema_without_ids(wanted))
            changed = schema_to_pyarrow(update._apply(), include_field_ids=True)  # noqa: SLF001 - not committed
        except _IMPOSSIBLE as error:
            message = f"the table cannot have such columns ({error})"
            raise DoesNotFit(message) from None
        fitted(rows.empty_table(), small_types(changed))

    def set_property(self, name: str, value: str) -> None:
        """Set a property, in a commit of its own."""
        with catalog_errors("change", self.where), self._table.transaction() as transaction:
            transaction.set_properties({name: value})

    def referenced(self) -> set[str]:
        """Return the files that a snapshot which is not expired needs, and the metadata."""
        metadata = self._table.metadata
        found = {
            self._table.metadata_location,
            *(one.metadata_file for one in metadata.metadata_log),
        }
        found |= {each.statistics_path for each in metadata.statistics}
        found |= {each.statistics_path for each in metadata.partition_statistics}
        with catalog_errors("read", self.where):
            for snapshot in metadata.snapshots:
                found.add(snapshot.manifest_list)
                for manifest in snapshot.manifests(self.io):
                    if manifest.manifest_path not in found:
                        found.add(manifest.manifest_path)
                        entries = manifest.fetch_manifest_entry(self.io, discard_deleted=True)
                        found |= {entry.data_file.file_path for entry in entries}
        return found

    def expire(self, most: int, keep: int) -> None:
        """Expire the oldest snapshots, but for `keep`, where there are more than `most`.

        Each is in the metadata that every commit reads and writes. Tags and branches stay. Raises
        `Conflict` where somebody else changed the table meanwhile.
        """
        metadata = self._table.metadata
        if len(metadata.snapshots) <= most:
            return
        named = {ref.snapshot_id for ref in metadata.refs.values()}
        oldest = sorted(metadata.snapshots, key=lambda one: one.sequence_number or 0)[:-keep]
        numbers = [one.snapshot_id for one in oldest if one.snapshot_id not in named]
        with catalog_errors("expire snapshots of", self.where):
            try:
                self._table.maintenance.expire_snapshots().by_ids(numbers).commit()
            except ValueError:
                message = "Somebody else has expired them."
                raise Conflict(message) from None

    @property
    def has_forgotten(self) -> bool:
        """Whether rows were ever deleted from it on purpose."""
        return FORGOTTEN in self._table.properties


def _adds_nothing_unknown(snapshot: Snapshot) -> bool:
    """Tell whether a snapshot is a commit of ours, or adds no row."""
    summary = snapshot.summary
    if summary is None:
        return False
    return COMMIT in summary.additional_properties or summary.operation is not Operation.APPEND


def _numbers_within(file: DataFile, column: int) -> tuple[int, int] | None:
    """Return the least and greatest sequence number that a file may have, by its statistics.

    None if these may be cut off, as other writers do after 16 characters. Of a shard all numbers
    are of one length, so that the order of texts is that of numbers.
    """
    bounds = (file.lower_bounds or {}).get(column), (file.upper_bounds or {}).get(column)
    if bounds[0] is None or bounds[1] is None:
        return None
    texts = [bound.decode("utf-8", "replace") for bound in bounds if bound is not None]
    if not all(map(_KINESIS_NUMBER.fullmatch, texts)):
        return None
    return int(texts[0]), int(texts[1])


def _filter(source: str, bounds: tuple[str, str] | None) -> BooleanExpression:
    """Return what lets files be passed over that have no such rows."""
    # pyiceberg's types know these expressions only as they are read from JSON.
    equal: Any = EqualTo
    at_least: Any = GreaterThanOrEqual
    at_most: Any = LessThanOrEqual
    wanted: BooleanExpression = equal("_source", source)
    if bounds is None:
        return wanted
    first, last = at_least("_sequence_number", bounds[0]), at_most("_sequence_number", bounds[1])
    return And(wanted, And(first, last))


class _Partition:
    """A partition whose values are transformed already, as a location provider asks for it."""

    def __init__(self, table: Table, values: Values) -> None:
        self.partition = Record(*values)
        self._table = table

    def to_path(self) -> str:
        return self._table.spec().partition_to_path(self.partition, self._table.schema())


def _is_short(path: str) -> bool:
    """Tell whether directories and S3 take the path of a partition."""
    parts = path.encode().split(b"/")
    return len(path.encode()) <= _LONGEST_PATH and max(map(len, parts)) <= _LONGEST_NAME


def _text_bounds(span: Span | None) -> tuple[str, str] | None:
    """Return a span's bounds as texts; None where texts are in another order than numbers."""
    if span is None or len(str(span.first)) != len(str(span.last)):
        return None
    return str(span.first), str(span.last)


def load_table(catalog: LakeCatalog, name: str) -> LakeTable | None:
    """Load a dataset's table; None if there is none yet."""
    with catalog_errors("load", f"the table {catalog.namespace}.{name}"):
        try:
            return LakeTable(catalog, catalog.catalog.load_table(catalog.identifier(name)))
        except NoSuchTableError:
            return None


def create_table(
    catalog: LakeCatalog, name: str, schema: pa.Schema, settings: LakeSettings
) -> LakeTable:
    """Make a dataset's table, or load the one that somebody else made just now."""
    fresh = assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(schema))
    fields = [
        PartitionField(
            fresh.find_field(each.field).field_id,
            _FIRST_PARTITION_ID + number,
            parse_transform(each.transform),
            each.name,
        )
        for number, each in enumerate(settings.partition_by)
    ]
    identifier = catalog.identifier(name)
    with catalog_errors("create", f"the table {catalog.namespace}.{name}"):
        catalog.catalog.create_namespace_if_not_exists(catalog.namespace)
        try:
            table = catalog.catalog.create_table(
                identifier, fresh, partition_spec=PartitionSpec(*fields), properties=_PROPERTIES
            )
        except TableAlreadyExistsError:
            table = catalog.catalog.load_table(identifier)
    return LakeTable(catalog, table)


def evolve_table(lake: LakeTable, schema: pa.Schema) -> None:
    """Add to a table the columns of `schema` that it lacks, and widen types; a commit of its own.

    Raises `Conflict` where somebody else changed it meanwhile.
    """
    with catalog_errors("change the columns of", lake.where), lake.table.update_schema() as update:
        update.union_by_name(_pyarrow_to_schema_without_ids(schema))


def local_metadata(path: Path) -> tuple[int, pq.FileMetaData]:
    """Return the size and the metadata of a Parquet file on this machine."""
    return path.stat().st_size, pq.read_metadata(path)

"""What the stores hold, object by object, to tables of a DuckDB that is on disk.

Of a row or a dead letter only its identity is kept, and its arrival. Few objects are in memory at a
time; what many of them sum up to is DuckDB's to keep within its bounds, in files of its own.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipeline.adapters.aws.kinesis import Kinesis
from pipeline.adapters.store import ObjectStore
from pipeline.audit.dropped import IsDropped, nothing_is
from pipeline.core.census import Census, of_gzip, of_parquet
from pipeline.core.census_table import LEDGER, SCHEMA, census_table
from pipeline.core.dataset import ARRIVED_AT, IDENTITY, UNROUTED
from pipeline.core.deadletter import DeadLetter, decode_dead_letters
from pipeline.core.errors import DeadLetterError, EventError, ObjectMissing
from pipeline.core.events import read_failed_batch
from pipeline.core.formats import Format
from pipeline.core.layout import ARCHIVE
from pipeline.core.records import StreamRecord
from pipeline.redrive import redrivable

if TYPE_CHECKING:
    import duckdb

_About = TypeVar("_About")
_AT_ONCE = 8  # objects that are read
_ROWS = re.compile(
    rf"([a-z][a-z0-9_]*)/({'|'.join(Format)})/(?:.*/)?([^/]+)\.(?:parquet|csv|csv\.gz)", re.DOTALL
)
_SEGMENT = re.compile(rf"{LEDGER}([a-z][a-z0-9_]*)/[^/]+\.parquet")
BATCH = re.compile(r"(.*-[0-9a-f]{32})-[0-9]+")
_MOST_WAITING = 2_000  # objects
_MOST_ROWS_WAITING = 100_000
_INSTANT = pa.timestamp("us", "UTC")
_IDENTITY = [
    ("source", pa.string()),
    ("sequence_number", pa.string()),
    ("sub_sequence_number", pa.int64()),
    ("document", pa.int64()),
]
_TABLES = {
    "audit_rows": pa.schema(
        [
            ("dataset", pa.string()),
            ("format", pa.string()),
            *_IDENTITY,
            ("arrived_at", _INSTANT),
            ("batch", pa.string()),
        ]
    ),
    "audit_letters": pa.schema(
        [
            ("dataset", pa.string()),
            *_IDENTITY,
            ("arrived_at", _INSTANT),
            ("unit_size", pa.int32()),
            ("archived", pa.bool_()),
        ]
    ),
    "audit_censuses": SCHEMA,
    "audit_objects": pa.schema(
        [
            ("key", pa.string()),
            ("dataset", pa.string()),
            ("format", pa.string()),
            ("digest", pa.string()),
            ("said", pa.int64()),
            ("found", pa.int64()),
        ]
    ),
    "audit_failed": pa.schema(
        [("key", pa.string()), ("source", pa.string()), ("sequence_number", pa.string())]
    ),
    "audit_stream": pa.schema(
        [("source", pa.string()), ("sequence_number", pa.string()), ("arrived_at", _INSTANT)]
    ),
}
"""What is gathered, by table."""
_FROM_CENSUSES = """
CREATE VIEW audit_claims AS
SELECT digest, part, source, first_sequence_number, last_sequence_number, arrived_from,
    said.key AS dataset, said.value AS documents,
    CASE WHEN said.key = of_dataset THEN drop_count ELSE 0 END AS drops
FROM (SELECT *, dataset AS of_dataset, unnest(map_entries(documents)) AS said FROM audit_censuses)
WHERE said.key <> '*'
"""


@dataclass(slots=True)
class Gathered:
    """What was read: the tables are in `database`; objects without a census are counted.

    `with_ledger` are the datasets of which a lake has committed something.
    """

    database: "duckdb.DuckDBPyConnection"
    unreadable: list[str] = field(default_factory=list)
    without_census: int = 0
    objects: int = 0
    with_ledger: set[str] = field(default_factory=set)
    _rows_waiting: int = 0
    _waiting: dict[str, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for name, schema in _TABLES.items():
            self._declare(name, schema)
        self.database.execute(_FROM_CENSUSES)

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows to one of the tables, at the latest when `flush` is called."""
        waiting = self._waiting[table]
        waiting.append(rows)
        self._rows_waiting += rows.num_rows
        if len(waiting) >= _MOST_WAITING or self._rows_waiting >= _MOST_ROWS_WAITING:
            self.flush()

    def flush(self) -> None:
        """Hand all that was added to the database: not each object's rows alone."""
        for table, waiting in self._waiting.items():
            self._insert(table, pa.concat_tables(waiting))
        self._waiting.clear()
        self._rows_waiting = 0

    def _insert(self, table: str, rows: pa.Table) -> None:
        self.database.register("added", rows)
        names = ", ".join(rows.schema.names)
        self.database.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM added")  # noqa: S608 - our names
        self.database.unregister("added")

    def add_rows(self, dataset: str, as_format: str, batch: str, identities: pa.Table) -> None:
        """Add rows by the columns that each has: its identity, and when it arrived.

        For a table in which each identity must be there once, `batch` is the table. Of rows that
        were deleted on purpose only the identity is known.
        """
        count = identities.num_rows
        if ARRIVED_AT.name not in identities.schema.names:
            identities = identities.append_column(ARRIVED_AT, pa.nulls(count, ARRIVED_AT.type))
        columns = [
            pa.repeat(pa.scalar(dataset), count),
            pa.repeat(pa.scalar(as_format), count),
            *(identities.column(name) for name in _COLUMNS),
            pa.repeat(pa.scalar(batch), count),
        ]
        schema = _TABLES["audit_rows"]
        cast = [column.cast(kind) for column, kind in zip(columns, schema.types, strict=True)]
        self.add("audit_rows", pa.Table.from_arrays(cast, schema=schema))

    def add_records(self, table: str, records: Sequence[dict[str, Any]]) -> None:
        """Add what is given row by row."""
        if records:
            self.add(table, pa.Table.from_pylist(list(records), _TABLES[table]))

    def note_census(self, key: str, census: Census | None) -> None:
        """Add the census of an object, or count that it has none."""
        self.objects += 1
        if census is None:
            self.without_census += 1
        else:
            self.add("audit_censuses", census_table([(key, census)]))

    def _declare(self, name: str, schema: pa.Schema) -> None:
        self.database.register("empty", schema.empty_table())
        self.database.execute(f"CREATE TABLE {name} AS FROM empty")
        self.database.unregister("empty")


_COLUMNS = [*(one.name for one in IDENTITY), ARRIVED_AT.name]


def gather(
    database: "duckdb.DuckDBPyConnection", output: ObjectStore, dead_letters: ObjectStore
) -> Gathered:
    """Read everything that two stores hold; what cannot be read is said in `unreadable`.

    In this order, as a redrive stores rows, then the archive, and then takes the dead letters away:
    what is on its way from one to the other is seen in one of them.
    """
    found = Gathered(database)
    for key, body, is_batch in _fetched(dead_letters, redrivable(dead_letters).items()):
        gather_one = _gather_failed if is_batch else _gather_letters
        gather_one(found, key, body, f"{dead_letters.uri}/{key}")
    archived = ((key, None) for key in dead_letters.list(ARCHIVE) if key.endswith(".jsonl.gz"))
    for key, body, _ in _fetched(dead_letters, archived):
        _gather_letters(found, key, body, f"{dead_letters.uri}/{key}", archived=True)
    rows = ((key, _ROWS.fullmatch(key)) for key in output.list())
    wanted = ((key, match) for key, match in rows if match or _SEGMENT.fullmatch(key))
    for key, body, match in _fetched(output, wanted):
        if match:
            _gather_rows(found, key, body, output.uri, match)
        else:
            _gather_segment(found, key, body, f"{output.uri}/{key}")
    return found


def _fetched(
    store: ObjectStore, keys: Iterable[tuple[str, _About]]
) -> Iterator[tuple[str, bytes, _About]]:
    """Yield objects with what is known of them, read some ahead; one that is gone is passed over.

    It was deleted meanwhile, by a redrive or a committer that has its content elsewhere now.
    """

    def fetch(item: tuple[str, _About]) -> tuple[str, bytes | None, _About]:
        try:
            return item[0], store.get(item[0]), item[1]
        except ObjectMissing:
            return item[0], None, item[1]

    every = iter(keys)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        while some := list(islice(every, _AT_ONCE)):
            for key, body, about in threads.map(fetch, some):
                if body is not None:
                    yield key, body, about


def gather_stream(
    found: Gathered,
    kinesis: Kinesis,
    since: float | None,
    until: int,
    is_dropped: IsDropped = nothing_is,
) -> int:
    """Read which records a stream holds that leave something, and return how many.

    `since` is in seconds since 1970; what arrived after `until`, in microseconds, is left out, as
    it may be on its way.
    """
    arn, count = kinesis.describe_stream_summary().arn, 0
    for shard in kinesis.list_shards():
        source = f"{arn}/{shard.shard_id}"
        for records in _records(kinesis, shard.shard_id, since, until):
            count += add_stream_records(found, source, records, is_dropped)
    return count


def add_stream_records(
    found: Gathered, source: str, records: Iterable[StreamRecord], is_dropped: IsDropped
) -> int:
    """Add a shard's records that leave something, and return how many."""
    kept = [
        {
            "source": source,
            "sequence_number": record.sequence_number,
            "arrived_at": record.arrived_at,
        }
        for record in records
        if not is_dropped(source, record)
    ]
    found.add_records("audit_stream", kept)
    return len(kept)


def _records(
    kinesis: Kinesis, shard: str, since: float | None, until: int
) -> Iterator[list[StreamRecord]]:
    """Yield what a shard holds, up to its tip or `until`."""
    iterator: str | None = (
        kinesis.get_shard_iterator(shard, "TRIM_HORIZON")
        if since is None
        else kinesis.get_shard_iterator(shard, "AT_TIMESTAMP", since)
    )
    while iterator is not None:
        received = kinesis.get_records(iterator)
        settled = [record for record in received.records if record.arrived_at <= until]
        yield settled
        if len(settled) < len(received.records) or (not received.records and not received.behind):
            return
        iterator = received.next_iterator


def _gather_rows(found: Gathered, key: str, body: bytes, uri: str, match: re.Match[str]) -> None:
    dataset, as_format, name = match.groups()
    batch = BATCH.fullmatch(name)
    try:
        if as_format == Format.PARQUET:
            identities, census, said = _of_parquet(body)
        else:
            identities, census, said = _of_csv(body, key), None, None
    except (pa.ArrowException, KeyError, OSError, ValueError):
        found.unreadable.append(
            f"{uri}/{key} cannot be read as {as_format} with the columns of an identity; "
            "restore it, or deliver its batch again."
        )
        return
    found.add_rows(dataset, as_format, batch[1] if batch else name, identities)
    if as_format == Format.PARQUET:
        found.note_census(key, census)
    found.add_records(
        "audit_objects",
        [
            {
                "key": key,
                "dataset": dataset,
                "format": as_format,
                "digest": census.digest if census else None,
                "said": said,
                "found": identities.num_rows,
            }
        ],
    )


def _gather_segment(found: Gathered, key: str, body: bytes, where: str) -> None:
    """Take the censuses of a commit's ledger segment."""
    # The table is asked for whatever its segments say.
    found.with_ledger.add(key.removeprefix(LEDGER).partition("/")[0])
    try:
        segment = pq.ParquetFile(pa.BufferReader(body)).read(use_threads=False)
        found.add("audit_censuses", segment.select(SCHEMA.names).cast(SCHEMA))
    except (pa.ArrowException, KeyError, OSError, ValueError):
        found.unreadable.append(
            f"{where} is not a segment of the ledger, or not a whole one: whether rows are missing "
            "of what its commit read, only --stream can tell. Restore it from the bucket's "
            "versions."
        )


def _of_parquet(body: bytes) -> tuple[pa.Table, Census | None, int | None]:
    file = pq.ParquetFile(pa.BufferReader(body))
    metadata = file.metadata.metadata or {}
    said = metadata.get(b"pipeline.rows")
    # Without Arrow's threads: they sometimes abort a process that ends while they do.
    identities = file.read(columns=_COLUMNS, use_threads=False).select(_COLUMNS)
    return identities, of_parquet(metadata), None if said is None else int(said)


def _of_csv(body: bytes, key: str) -> pa.Table:
    """Read the identity's columns of a CSV file, whatever its other columns hold."""
    source = pa.BufferReader(body)
    stream = pa.CompressedInputStream(source, "gzip") if key.endswith(".gz") else source
    text = pa.string()
    table = pa_csv.read_csv(
        stream,
        pa_csv.ReadOptions(use_threads=False),
        pa_csv.ParseOptions(newlines_in_values=True),
        pa_csv.ConvertOptions(
            include_columns=_COLUMNS,
            column_types=dict(
                zip(_COLUMNS, (text, text, pa.int64(), pa.int64(), _INSTANT), strict=True)
            ),
        ),
    )
    return table.select(_COLUMNS)


def _gather_letters(
    found: Gathered, key: str, body: bytes, where: str, *, archived: bool = False
) -> None:
    try:
        letters = decode_dead_letters(body, where)
    except DeadLetterError as error:
        found.unreadable.append(str(error))
        return
    census = of_gzip(body)
    if census or not archived:
        found.note_census(key, census)
    found.add_records("audit_letters", [_letter(letter, archived=archived) for letter in letters])


def _letter(letter: DeadLetter, *, archived: bool) -> dict[str, Any]:
    return {
        "dataset": letter.dataset or UNROUTED,
        "source": letter.source,
        "sequence_number": letter.sequence_number,
        "sub_sequence_number": letter.sub_sequence_number,
        "document": letter.document,
        "arrived_at": letter.arrived_at,
        "unit_size": len(letter.unit),
        "archived": archived,
    }


def _gather_failed(found: Gathered, key: str, body: bytes, where: str) -> None:
    try:
        batch = read_failed_batch(body, where)
    except EventError as error:
        found.unreadable.append(str(error))
        return
    found.add_records(
        "audit_failed",
        [
            {"key": key, "source": batch.source, "sequence_number": record.sequence_number}
            for record in batch.records
        ],
    )

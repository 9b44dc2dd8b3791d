"""The handler `commit`, and runs of the committer in a directory: lines of the failure table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contents import ENTRY, reached
from lake_simulation.reader import IcebergReader
from support import Stored, as_json, dataset, deliver, kinesis_event

import pipeline
from pipeline import handlers
from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.memory import MemoryStore
from pipeline.core.dataset import Dataset
from pipeline.core.errors import SettingsError
from pipeline.lake.commit import CommitLimits
from pipeline.lake.places import Lake, open_lake

FIELDS = ({"name": "n", "type": "int"}, {"name": "at", "type": "string"})
CONFIG = 'partition_by = ["date()"]\nformats = ["parquet"]\n[lake]\n'


@pytest.fixture
def landing(tmp_path: Path) -> Stored:
    store: Any = DirectoryStore(tmp_path / "out")  # deliver asks for no more than a store
    return Stored(output=store, dead_letters=MemoryStore())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return open_lake((tmp_path / "out").as_uri())


def things(*more: dict[str, Any], config: str = CONFIG) -> Dataset:
    return dataset(*FIELDS, *more, config=config, name="things")


def send(landing: Stored, first: int, last: int, made: Dataset | None = None, **more: Any) -> None:
    """Deliver the records `first` to `last`, the last one left out."""
    records = [as_json({"n": number, "at": "x", **more}) for number in range(first, last)]
    deliver(kinesis_event(records, start=first), [made or things()], landing)


def rows(lake: Lake, *columns: str) -> list[Any]:
    """Return what the table has, read by another reader than pyiceberg."""
    table = lake.catalog.catalog.load_table(lake.catalog.identifier("things"))
    reader = IcebergReader(lambda uri: Path(uri.removeprefix("file://")).read_bytes())
    snapshot = reader.current(table.metadata_location)
    assert snapshot is not None
    return sorted(reader.rows(snapshot, list(columns or ("n",))))


def numbers(last: int) -> list[tuple[int]]:
    return [(number,) for number in range(last)]


def landed(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "out" / "things").rglob("*.parquet"))


def test_what_has_landed_is_in_the_table_once_and_gone_from_the_landing(
    landing: Stored, lake: Lake, tmp_path: Path
) -> None:
    send(landing, 0, 10)
    send(landing, 5, 15)
    outcome = lake.committer(things()).run()
    assert (outcome.rows, outcome.duplicates, outcome.objects) == (15, 5, 2)
    assert rows(lake) == numbers(15)
    assert landed(tmp_path) == []


def test_what_comes_again_later_is_not_there_twice(landing: Stored, lake: Lake) -> None:
    send(landing, 0, 10)
    lake.committer(things()).run()
    send(landing, 3, 12)
    outcome = lake.committer(things()).run()
    assert (outcome.rows, outcome.duplicates) == (2, 7)
    assert rows(lake) == numbers(12)


def test_a_table_that_lost_its_property_is_looked_at(landing: Stored, lake: Lake) -> None:
    send(landing, 0, 10)
    lake.committer(things()).run()
    table = lake.catalog.catalog.load_table(lake.catalog.identifier("things"))
    with table.transaction() as transaction:
        transaction.remove_properties("pipeline.ranges")
    send(landing, 0, 12)
    assert lake.committer(things()).run().rows == 2
    assert rows(lake) == numbers(12)


def test_old_snapshots_are_expired_but_those_with_a_tag(landing: Stored, lake: Lake) -> None:
    limits, tagged = CommitLimits(most_snapshots=4, kept_snapshots=2), 0
    for number in range(6):
        send(landing, number, number + 1)
        lake.committer(things(), limits).run()
        table = lake.catalog.catalog.load_table(lake.catalog.identifier("things"))
        if number == 0:
            first = table.current_snapshot()
            assert first is not None
            tagged = first.snapshot_id
            table.manage_snapshots().create_tag(tagged, "first").commit()
    assert tagged in {one.snapshot_id for one in table.snapshots()}
    assert len(table.snapshots()) <= 4
    assert rows(lake) == numbers(6)


def test_a_newer_schema_gives_the_table_its_columns_first(landing: Stored, lake: Lake) -> None:
    send(landing, 0, 2)
    lake.committer(things()).run()
    newer = things({"name": "more", "type": ["null", "string"]})
    send(landing, 2, 4, newer, more="y")
    send(landing, 4, 5)
    lake.committer(things()).run()
    assert rows(lake, "n", "at", "more")[1:4] == [(1, "x", None), (2, "x", "y"), (3, "x", "y")]
    assert len(rows(lake)) == 5


def test_an_int_that_becomes_a_long_is_widened(landing: Stored, lake: Lake) -> None:
    send(landing, 0, 2)
    lake.committer(things()).run()
    wider = dataset({"name": "n", "type": "long"}, FIELDS[1], config=CONFIG, name="things")
    records = [as_json({"n": 2**40, "at": "x"})]
    deliver(kinesis_event(records, start=7), [wider], landing)
    lake.committer(wider).run()
    assert rows(lake) == [(0,), (1,), (2**40,)]


def test_an_object_whose_rows_are_outside_of_its_span_is_set_aside(
    landing: Stored, lake: Lake, tmp_path: Path
) -> None:
    send(landing, 0, 2)
    (path,) = landed(tmp_path)
    table = pq.ParquetFile(path).read()
    texts = pa.array(["1", "2"])
    position = table.schema.get_field_index("_sequence_number")
    pq.write_table(table.set_column(position, table.schema.field(position), texts), path)
    send(landing, 2, 4)
    outcome = lake.committer(things()).run()
    (refused,) = outcome.refused
    assert refused.why.startswith("it has sequence numbers outside of 4959033827149025")
    assert outcome.rows == 2
    assert landed(tmp_path) == [path]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"PAR1", "it is not a whole Parquet file (ArrowInvalid)"),
        (b"", "it is not a whole Parquet file (ArrowInvalid)"),
    ],
)
def test_a_broken_object_is_set_aside(
    landing: Stored, lake: Lake, tmp_path: Path, body: bytes, why: str
) -> None:
    send(landing, 0, 2)
    (path,) = landed(tmp_path)
    path.write_bytes(body)
    assert [each.why for each in lake.committer(things()).run().refused] == [why]


def texts(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


_BYTES = pa.array([b"\xff", b"\xfe"], pa.binary())
NO_TEXT = pa.Array.from_buffers(pa.string(), 2, _BYTES.buffers())


@pytest.mark.parametrize(
    ("column", "values", "why"),
    [
        ("_sequence_number", texts("1", "x"), "a sequence number is not a number"),
        ("_sequence_number", texts("1", None), "it has rows without _sequence_number"),
        ("_sequence_number", texts("0123", "123"), "a sequence number is not a number, or is not "),
        ("_source", texts("them", "them"), "it has rows of another source than arn:aws:kinesis:"),
        ("_source", NO_TEXT, "it is not a whole Parquet file (ArrowInvalid)"),
        ("at", NO_TEXT, "it is not a whole Parquet file (ArrowInvalid)"),
        ("_document", None, "it has no column _document"),
        ("_document", pa.array([0, None], pa.int32()), "it has rows without _document"),
        ("_document", pa.array([0, 1], pa.int64()), "its column _document is int64, and not int32"),
        ("_arrived_at", None, "it has no column _arrived_at"),
        ("_arrived_at", texts("x", "y"), "its column _arrived_at is string, and not timestamp"),
        ("n", texts("1", "2"), "the table's column n is int32, and its own string"),
        ("more", pa.array([1, 2], pa.timestamp("ns")), "the table has no column more"),
        ("more", pa.array([1, 2], pa.decimal256(50, 2)), "the table has no column more"),
        ("more", pa.array([2**63, 1], pa.uint64()), "the table has no column more"),
        ("more", pa.nulls(2), "the table has no column more"),
    ],
)
def test_an_object_that_no_table_can_have_is_set_aside(
    landing: Stored,
    lake: Lake,
    tmp_path: Path,
    column: str,
    values: pa.Array | None,
    why: str,
) -> None:
    send(landing, 0, 2)
    (path,) = landed(tmp_path)
    table = pq.ParquetFile(path).read()
    position = table.schema.get_field_index(column)
    changed = table if position < 0 else table.remove_column(position)
    if values is not None:
        changed = changed.add_column(0, column, values)
    pq.write_table(changed, path)
    (refused,) = lake.committer(things()).run().refused
    assert refused.why.startswith(why)
    assert landed(tmp_path) == [path]


def test_an_object_that_was_renamed_is_set_aside(
    landing: Stored, lake: Lake, tmp_path: Path
) -> None:
    send(landing, 0, 2)
    (path,) = landed(tmp_path)
    path.rename(path.with_name(f"shard-1-2-2-{'0' * 32}.parquet"))
    assert [each.why for each in lake.committer(things()).run().refused] == [
        "its name and its metadata have different sequence numbers; it was renamed"
    ]


def test_a_landing_object_that_was_written_again_meanwhile_stays(
    landing: Stored, lake: Lake, tmp_path: Path
) -> None:
    send(landing, 0, 3)
    (path,) = landed(tmp_path)
    (version,) = lake.landing.versions("things/")
    newer = path.read_bytes()
    path.unlink()
    path.write_bytes(newer)
    assert not lake.landing.remove(version)
    assert lake.landing.read(version) is None
    assert landed(tmp_path) == [path]
    (now,) = lake.landing.versions("things/")
    assert lake.landing.remove(now)
    assert not lake.landing.remove(now)


def test_the_ledger_says_what_a_commit_has_read(
    landing: Stored, lake: Lake, tmp_path: Path
) -> None:
    send(landing, 0, 3)
    lake.committer(things()).run()
    (segment,) = (tmp_path / "out" / "_lake" / "ledger" / "things").glob("*.parquet")
    (entry,) = pq.ParquetFile(segment).read().to_pylist()
    assert (entry["dataset"], entry["row_count"], entry["version"]) == ("things", 3, 1)
    assert entry["object"].startswith("things/parquet/")


def test_the_handler_commits_and_reports(
    landing: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "schemas" / "things"
    folder.mkdir(parents=True)
    (folder / "1.avsc").write_text(
        json.dumps({"type": "record", "name": "Thing", "fields": list(FIELDS)})
    )
    (folder / "dataset.toml").write_text(CONFIG)
    monkeypatch.setenv("PIPELINE_OUTPUT", (tmp_path / "out").as_uri())
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(folder.parent))
    send(landing, 0, 5)
    send(landing, 3, 5)
    response = handlers.commit({}, None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (metrics,) = (line for line in lines if "_aws" in line)
    # Two stacks in one account have datasets of one name, and each its own output.
    assert metrics["Output"] == (tmp_path / "out").as_uri()
    assert metrics["Dataset"] == "things"
    assert (metrics["LakeRows"], metrics["LakeDuplicates"]) == (5, 2)
    assert (metrics["LakeConflicts"], metrics["LakeObjectsRefused"]) == (0, 0)
    assert metrics["LakeLagSeconds"] >= 0
    assert response["datasets"]["things"]["LakeRows"] == 5


def test_a_lake_on_s3_without_a_catalog_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_OUTPUT", "s3://bucket/lake")
    monkeypatch.setenv("PIPELINE_SCHEMAS", "schemas")
    monkeypatch.delenv("PIPELINE_LAKE", raising=False)
    with pytest.raises(SettingsError, match="PIPELINE_LAKE is not set; give the catalog"):
        handlers.commit({}, None)


def test_the_artifact_of_the_stream_has_nothing_of_the_committer() -> None:
    found = reached(Path(pipeline.__file__).parent, ENTRY)
    assert not [
        name for name in found.modules if "lake" in name.split(".")[1:] or "iceberg" in name
    ]
    assert not [name for name in found.names if name.startswith("pyiceberg")]

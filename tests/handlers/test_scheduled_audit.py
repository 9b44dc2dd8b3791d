"""The hourly audit: a table is held against what its ledger says, by Arrow alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from support import Stored, as_json, dataset, deliver, kinesis_event

from pipeline import handlers
from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.iceberg.table import load_table
from pipeline.adapters.memory import MemoryStore
from pipeline.core.dataset import Dataset
from pipeline.core.errors import ConfigurationError
from pipeline.lake.audit import Audited, audit_table
from pipeline.lake.forget import forget
from pipeline.lake.places import Lake, open_lake
from pipeline.lake.rewrite import rewrite

FIELDS = ({"name": "n", "type": "int"},)
CONFIG = 'partition_by = ["date()"]\nformats = ["parquet"]\n[lake]\n'


@pytest.fixture
def landing(tmp_path: Path) -> Stored:
    store: Any = DirectoryStore(tmp_path / "out")  # deliver asks for no more than a store
    return Stored(output=store, dead_letters=MemoryStore())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return open_lake((tmp_path / "out").as_uri())


def things() -> Dataset:
    return dataset(*FIELDS, config=CONFIG, name="things")


def send(landing: Stored, first: int, last: int) -> None:
    """Deliver the records `first` to `last`, the last one left out; the document of 7 is broken."""
    records = [b"{" if number == 7 else as_json({"n": number}) for number in range(first, last)]
    deliver(kinesis_event(records, start=first), [things()], landing)


def audited(lake: Lake, since: float = 0, until: float = 2**40) -> Audited:
    return audit_table(lake, things(), since, until)


def lose(lake: Lake, *numbers: int) -> None:
    """Delete rows as others do, without a word."""
    table = load_table(lake.catalog, "things")
    assert table is not None

    def others(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.invert(pc.is_in(rows["n"], pa.array(numbers, pa.int32()))))

    rewrite(table, table.files(), others)


def test_a_table_that_has_all_is_whole(landing: Stored, lake: Lake) -> None:
    assert audited(lake) == Audited()
    for first, last in [(0, 10), (5, 12), (0, 4), (20, 30)]:
        send(landing, first, last)
        lake.committer(things()).run()
    # The third brought nothing new, and so no segment.
    assert audited(lake) == Audited(batches=3)


def test_rows_that_somebody_deleted_are_missing_once(landing: Stored, lake: Lake) -> None:
    for first, last in [(0, 10), (5, 12), (20, 30)]:
        send(landing, first, last)
        lake.committer(things()).run()
    lose(lake, 8, 9, 21)
    found = audited(lake)
    # 8 and 9 are of two batches.
    assert [(each.claim.rows, each.found) for each in found.short] == [(9, 7), (6, 4), (10, 9)]
    assert found.missing == 3


def test_rows_that_were_forgotten_are_not_missing(landing: Stored, lake: Lake) -> None:
    send(landing, 0, 10)
    lake.committer(things()).run()
    assert forget(lake.catalog, "things", lambda rows: rows.filter(pc.less(rows["n"], 3))) == 3
    assert audited(lake) == Audited(batches=1)


def test_what_is_still_landing_is_not_asked_for(landing: Stored, lake: Lake) -> None:
    send(landing, 0, 10)
    send(landing, 20, 30)
    lake.committer(things()).run()
    lose(lake, 2, 22)
    send(landing, 25, 27)
    found = audited(lake)
    assert (found.batches, found.missing) == (1, 1)
    lake.committer(things()).run()
    assert audited(lake).missing == 2


def test_only_what_was_committed_in_that_time_is_asked_for(landing: Stored, lake: Lake) -> None:
    send(landing, 0, 10)
    lake.committer(things()).run()
    lose(lake, 2)
    later = time.time() + 3_600
    assert audited(lake, since=later) == audited(lake, until=1) == Audited()


def test_a_table_that_was_emptied_lacks_everything(landing: Stored, lake: Lake) -> None:
    send(landing, 10, 20)
    lake.committer(things()).run()
    lose(lake, *range(20))
    assert audited(lake).missing == 10


def test_a_damaged_segment_is_named(landing: Stored, lake: Lake, tmp_path: Path) -> None:
    send(landing, 0, 10)
    lake.committer(things()).run()
    (segment,) = (tmp_path / "out" / "_lake" / "ledger" / "things").glob("*.parquet")
    segment.write_bytes(segment.read_bytes()[:-5])
    assert audited(lake) == Audited(unreadable=[segment.as_uri()])


def test_there_may_be_no_time_for_it(landing: Stored, lake: Lake) -> None:
    send(landing, 0, 10)
    lake.committer(things()).run()
    found = audit_table(lake, things(), 0, 2**40, is_time_over=lambda: True)
    assert found == Audited(finished=False)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "schemas" / "things"
    folder.mkdir(parents=True)
    schema = {"type": "record", "name": "Thing", "fields": list(FIELDS)}
    (folder / "1.avsc").write_text(json.dumps(schema))
    (folder / "dataset.toml").write_text(CONFIG)
    monkeypatch.setenv("PIPELINE_OUTPUT", (tmp_path / "out").as_uri())
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(folder.parent))
    monkeypatch.delenv("PIPELINE_LAKE", raising=False)


@pytest.mark.usefixtures("configured")
def test_the_handler_says_what_is_missing_and_commits_nothing(
    landing: Stored, lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    send(landing, 0, 10)
    lake.committer(things()).run()
    lose(lake, 2, 3)
    send(landing, 40, 50)
    assert handlers.commit({"audit_hours": 2}, None)["datasets"] == {
        "things": {"LakeRowsMissing": 0}
    }
    (segment,) = (tmp_path / "out" / "_lake" / "ledger" / "things").glob("*.parquet")
    an_hour_ago = time.time() - 3_600
    os.utime(segment, (an_hour_ago, an_hour_ago))
    capsys.readouterr()
    assert handlers.commit({"audit_hours": 2}, None)["datasets"] == {
        "things": {"LakeRowsMissing": 2}
    }
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = (line for line in lines if "message" in line)
    assert line["level"] == "ERROR"
    assert line["message"].startswith("2 of 9 rows are missing in the table of things: the batch ")
    assert line["message"].endswith(" had so many. `pipeline audit` says where to get them back.")
    assert len(list((tmp_path / "out" / "things").rglob("*.parquet"))) == 1


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("hours", [0, -1, True, "2", float("nan"), 10**9])
def test_hours_that_are_none_are_told(hours: Any) -> None:
    with pytest.raises(ConfigurationError, match="audit_hours of the event is not a number"):
        handlers.commit({"audit_hours": hours}, None)

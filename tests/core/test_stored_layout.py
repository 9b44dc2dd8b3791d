"""What would make readers miss stored rows is refused, by what was recorded and by what is found."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from support import as_json, dataset, deliver, kinesis_event

from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.schemas import read_dataset
from pipeline.adapters.stored_rows import check_stored_rows
from pipeline.cli import main
from pipeline.core.errors import DatasetError, StoreRefused
from pipeline.core.stored_layout import check_recorded, layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.core.dataset import Dataset

FIELDS: list[dict[str, Any]] = [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "channel", "type": "string"},
]
DOCUMENT = as_json({"at": "2026-11-22T09:30:00Z", "channel": "a/b"})
REMEDY = (
    "Readers of the table would miss the one or the other, or refuse both. Leave it as it was, or "
    "give the new layout a dataset of its own: a folder of another name."
)


def things(config: str) -> Dataset:
    return dataset(*FIELDS, config=config)


# The settings that rows are stored with, and other ones.
OTHERS = [
    ('partition_by = ["date(at)"]', 'partition_by = ["date(at)", "channel"]'),
    ('partition_by = ["date(at)", "channel"]', 'partition_by = ["channel", "date(at)"]'),
    ('partition_by = ["date(at)"]', 'partition_by = ["date()"]'),
    ('partition_by = ["date(at)"]', "partition_by = [\"date(at, 'Europe/Berlin')\"]"),
    ('partition_by = ["date(at)"]', ""),
    ("", 'partition_by = ["hour()"]'),
    ('formats = ["parquet", "csv"]', 'formats = ["parquet"]'),
    ('formats = ["parquet"]', 'formats = ["csv"]'),
]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *OTHERS,
        ('formats = ["parquet"]', 'formats = ["parquet", "csv"]'),
        ('formats = ["csv"]', 'formats = ["csv"]\nunknown_fields = "keep"'),
    ],
)
def test_other_settings_than_were_recorded_stop_the_start(before: str, after: str) -> None:
    recorded = layout_of(things(before)).text()
    check_recorded(things(before), recorded)
    with pytest.raises(DatasetError, match="rows are stored already with") as error:
        check_recorded(things(after), recorded)
    assert REMEDY in str(error.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("partition_by = [\"date(at, 'UTC')\"]", 'partition_by = ["date( at ,\\"UTC\\")"]'),
        ('formats = ["parquet", "csv"]', 'formats = ["csv", "parquet"]'),
        ('event_time = "at"', 'event_time = "at"\nevent_time_window = ["-1d", "+1d"]'),
        ("", 'unknown_fields = "keep"'),
    ],
)
def test_what_moves_no_row_and_no_column_may_change(before: str, after: str) -> None:
    after = after.replace('\\"', "'")
    check_recorded(things(after), layout_of(things(before)).text())


def test_the_sentence_names_both_and_the_ways_out() -> None:
    before, after = OTHERS[0]
    with pytest.raises(DatasetError) as error:
        check_recorded(things(after), layout_of(things(before)).text())
    assert str(error.value) == (
        'schemas/things/dataset.toml: partition_by = ["date(at)", "channel"], and rows are stored '
        f'already with partition_by = ["date(at)"], says layout.toml beside it. {REMEDY} If no rows '
        "are stored, or they were moved away, delete layout.toml, and record it anew by `pipeline "
        "check --write`."
    )


@pytest.mark.parametrize("text", ["]", 'formats = ["csv"]', 'partition_by = 1\nformats = ["csv"]'])
def test_a_record_that_cannot_be_read_stops_the_start(text: str) -> None:
    with pytest.raises(DatasetError, match=r"schemas/things/layout\.toml is not what `pipeline"):
        check_recorded(things(""), text)


# ------------------------------------------------------------------------- by what is stored


def stored(root: Path, made: Dataset) -> DirectoryStore:
    store = DirectoryStore(root)
    for key, body in deliver(kinesis_event([DOCUMENT]), [made]).output.objects.items():
        store.put(key, body)
    return store


@pytest.mark.parametrize(("before", "after"), OTHERS)
def test_rows_that_lie_otherwise_stop_the_start(before: str, after: str, tmp_path: Path) -> None:
    store = stored(tmp_path, things(before))
    check_stored_rows(store, [things(before)])
    with pytest.raises(DatasetError) as error:
        check_stored_rows(store, [things(after)])
    assert f"{tmp_path.as_uri()}/things/" in str(error.value)


def test_files_say_by_what_they_are_partitioned() -> None:
    made = things('partition_by = ["date( at )", "channel"]')
    [body] = deliver(kinesis_event([DOCUMENT]), [made]).output.objects.values()
    metadata = pq.read_metadata(io.BytesIO(body)).metadata
    assert metadata[b"pipeline.partition_by"] == b'["date(at)", "channel"]'


def test_files_that_do_not_say_it_are_judged_by_their_path(tmp_path: Path) -> None:
    made = things('partition_by = ["date(at)"]')
    store = stored(tmp_path, made)
    [path] = tmp_path.rglob("*.parquet")
    pq.write_table(pq.read_table(path, partitioning=None).replace_schema_metadata({}), path)
    check_stored_rows(store, [made])
    with pytest.raises(DatasetError, match="partition_by makes no directories"):
        check_stored_rows(store, [things("")])


class Closed(DirectoryStore):
    """A store that may only be written to."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Refuse."""
        message = f"No one lists {prefix}."
        raise StoreRefused(message)


def test_a_store_that_may_not_be_listed_is_left_alone(tmp_path: Path) -> None:
    stored(tmp_path, things(OTHERS[0][0]))
    check_stored_rows(Closed(tmp_path), [things(OTHERS[0][1])])


# ----------------------------------------------------------------------------- the commands


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "schemas" / "things"
    folder.mkdir(parents=True)
    fields = as_json({"type": "record", "name": "Thing", "fields": FIELDS})
    (folder / "1.avsc").write_bytes(fields)
    (folder / "dataset.toml").write_text('partition_by = ["date(at)"]\n')
    return folder


def test_check_records_a_layout_and_refuses_another(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(folder.parent)]) == 0
    assert "layout      not recorded" in capsys.readouterr().out
    assert main(["check", str(folder.parent), "--write"]) == 0
    assert "layout      recorded" in capsys.readouterr().out
    written = (folder / "layout.toml").read_text()
    assert 'partition_by = ["date(at)"]\nformats = ["parquet"]\n' in written
    (folder / "dataset.toml").write_text('partition_by = ["date(at)", "channel"]\n')
    assert main(["check", str(folder.parent), "--write", "--quiet"]) == 1
    assert "FAULT  schemas/things/dataset.toml: partition_by = " in capsys.readouterr().out
    assert (folder / "layout.toml").read_text() == written
    with pytest.raises(DatasetError, match="rows are stored already with"):
        read_dataset(folder)


def test_convert_refuses_to_store_rows_beside_others_that_lie_otherwise(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "a.ndjson", tmp_path / "lake"
    file.write_bytes(DOCUMENT)
    arguments = ["convert", str(file), "--schemas", str(folder.parent), "--out", str(out)]
    assert main(arguments) == 0
    (folder / "dataset.toml").write_text('partition_by = ["date(at)", "channel"]\n')
    assert main(arguments) == 1
    assert "date=…/by_channel=…" in capsys.readouterr().err
    assert len(list(out.rglob("*.parquet"))) == 1

"""Law 13: no object replaces another one, however batches are cut and whatever a store tells apart."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake import files
from mixed_names import mixed_names
from support import Stored, as_json, dataset, deliver, kinesis_event

from pipeline.adapters.directory import DirectoryStore
from pipeline.core.errors import ConservationError
from pipeline.core.layout import ObjectKeys

BY_TEXT = dataset(
    {"name": "text", "type": ["null", "string"]},
    config='partition_by = ["text"]\nformats = ["parquet", "csv"]',
)
TEXTS = st.sampled_from(
    ["Google", "google", "\u00e9", "e\u0301", "\u00c9", "a", "a.", "ss", "\u00df"]
)
RECORDS = st.lists(
    TEXTS.map(lambda text: as_json({"text": text})) | st.just(b"["), min_size=1, max_size=6
)
_folders = itertools.count()


def identities(stored: Stored) -> set[Any]:
    rows = {(row["_source"], row["_sequence_number"]) for row in stored.rows}
    return rows | {(letter["source"], letter["sequence_number"]) for letter in stored.letters}


@given(RECORDS, st.data())
def test_no_part_of_a_batch_replaces_anything_of_another_part(
    records: list[bytes], data: st.DataObject
) -> None:
    """Batches of one shard, with holes of every kind, in any order: all that was stored is there."""
    event = kinesis_event(records)
    stored, expected = Stored(), set[Any]()
    subsets = st.lists(
        st.sampled_from(event["Records"]), min_size=1, unique_by=lambda item: item["eventID"]
    )
    for chosen in data.draw(st.lists(subsets, max_size=5)):
        ordered = [item for item in event["Records"] if item in chosen]
        deliver({"Records": ordered}, [BY_TEXT], stored)
        expected |= {
            (f"{item['eventSourceARN']}/{item['eventID'].partition(':')[0]}",
             item["kinesis"]["sequenceNumber"]) for item in ordered
        }  # fmt: skip
        assert identities(stored) == expected


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(RECORDS)
def test_a_directory_that_mixes_names_up_has_all_that_any_other_has(
    tmp_path: Path, records: list[bytes]
) -> None:
    """Object by object: as many, with the same bytes, and again after a replay."""
    anywhere = deliver(kinesis_event(records), [BY_TEXT])
    root = tmp_path / str(next(_folders))
    root.mkdir()
    with mixed_names(root):
        lake, dead = DirectoryStore(root / "lake"), DirectoryStore(root / "dead")
        into = Stored(lake, dead)  # type: ignore[arg-type]  # it is only written to
        for _ in range(2):
            deliver(kinesis_event(records), [BY_TEXT], into)
    found = {name.rpartition("/")[2]: body for name, body in files(root).items()}
    assert found == {
        key.rpartition("/")[2]: body
        for store in (anywhere.output, anywhere.dead_letters)
        for key in store.list()
        for body in [store.get(key)]
    }


def test_streams_and_shards_that_differ_in_case_share_nothing() -> None:
    stored = Stored()
    for number, shard in enumerate(("shardId-a", "shardId-A", "shardid-a")):
        deliver(kinesis_event([as_json({"text": str(number)})], shard=shard), [BY_TEXT], stored)
        deliver(kinesis_event([b"["], shard=shard), [BY_TEXT], stored)
    assert len(stored.rows) == 3
    assert len(stored.letters) == 3
    assert (
        len({key.casefold() for key in (*stored.output.list(), *stored.dead_letters.list())}) == 9
    )


@pytest.mark.parametrize("formats", ['["parquet"]', '["csv"]', '["parquet", "csv"]'])
def test_more_partitions_than_a_batch_has_records_have_a_name_each(formats: str) -> None:
    texts = [f"{letter}{number}" for number in range(100) for letter in "aA"]
    lines = b"\n".join(as_json({"text": text}) for text in texts)
    made = dataset(
        {"name": "text", "type": "string"}, config=f'partition_by = ["text"]\nformats = {formats}'
    )
    keys = list(deliver(kinesis_event([lines]), [made]).output.list())
    assert len({key.casefold().rpartition("/")[2] for key in keys}) == len(keys)
    assert len(keys) == len(texts) * (formats.count(",") + 1)


def test_two_partitions_of_a_batch_that_would_be_one_object_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The balance counts objects that exist: two writes of one name are one object, and a loss."""
    event = kinesis_event([as_json({"text": text}) for text in ("Google", "google")])
    assert len(deliver(event, [BY_TEXT]).rows) == 2
    monkeypatch.setattr(ObjectKeys, "_file_name", lambda *_: "planted")
    with pytest.raises(ConservationError, match="Two different objects would be stored as one"):
        deliver(event, [BY_TEXT])

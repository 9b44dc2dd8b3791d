"""The fuse: a batch of which too much is refused waits, and nothing of it is acknowledged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ARN, ROOT, Context, as_json, kinesis_event, order

from pipeline import handlers
from pipeline.core.errors import SettingsError
from pipeline.core.records import Fuse
from pipeline.settings import Settings

GOOD, BAD = as_json(order()), as_json(order(total="x"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where rows and dead letters go; the fuse blows past half, and ten."""
    monkeypatch.setenv("PIPELINE_OUTPUT", (tmp_path / "rows").as_uri())
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", (tmp_path / "letters").as_uri())
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(ROOT / "schemas"))
    monkeypatch.setenv("PIPELINE_FUSE_PERCENT", "50")
    monkeypatch.setenv("PIPELINE_FUSE_COUNT", "10")
    yield tmp_path
    handlers.forget()


def invoke(documents: list[bytes]) -> Any:
    return handlers.kinesis(kinesis_event(documents, arn=ARN), Context(60.0))


def letters(place: Path) -> list[Path]:
    return list((place / "letters").rglob("*.gz"))


def log_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[0])
    return found


def test_past_its_share_and_its_number_the_batch_waits_whole(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = invoke([*[BAD] * 11, *[GOOD] * 10])
    (failure,) = answer["batchItemFailures"]
    line = log_of(capsys)
    assert failure["itemIdentifier"] == line["first"]
    assert letters(place) == []
    assert (line["outcome"], line["level"], line["BatchFailed"]) == ("fuse_blown", "ERROR", 1)
    assert line["message"] == (
        "11 of 21 documents of this batch are refused, most of them (11) of dataset orders for "
        "bad_format at $.total. That is more than PIPELINE_FUSE_PERCENT (50) lets become dead letters, "
        "so the batch waits and is delivered again: deploy the schema that fits, or set it to 0 to "
        "have dead letters."
    )


@pytest.mark.parametrize(
    "documents",
    [[*[BAD] * 11, *[GOOD] * 11], [BAD] * 10, [GOOD] * 30],
    ids=["no more than the share", "no more than the number", "good"],
)
def test_up_to_its_share_or_its_number_bad_data_fails_no_batch(
    documents: list[bytes], place: Path
) -> None:
    assert invoke(documents) == {"batchItemFailures": []}
    assert bool(letters(place)) == (BAD in documents)


def test_what_did_not_open_and_what_has_no_dataset_counts(place: Path) -> None:
    assert invoke([*[b"{"] * 6, *[b'{"type": "nobody"}'] * 6, *[GOOD] * 11])["batchItemFailures"]


def test_once_the_fuse_is_off_the_batch_that_waited_becomes_dead_letters(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As somebody decides who has looked; the rows of the earlier tries are the same objects."""
    documents = [*[BAD] * 20, GOOD]
    assert invoke(documents)["batchItemFailures"]
    before = sorted((place / "rows").rglob("*.parquet"))
    monkeypatch.setenv("PIPELINE_FUSE_PERCENT", "0")
    assert invoke(documents) == {"batchItemFailures": []}
    assert sorted((place / "rows").rglob("*.parquet"))[: len(before)] == before
    assert len(letters(place)) == 1


def test_the_fuse_is_off_by_default_and_takes_a_share() -> None:
    environment = {
        "PIPELINE_OUTPUT": "s3://rows/lake",
        "PIPELINE_DEAD_LETTERS": "s3://letters/x",
        "PIPELINE_SCHEMAS": "schemas",
    }
    assert Settings.from_environment(environment).fuse is None
    given = Settings.from_environment(environment | {"PIPELINE_FUSE_PERCENT": "5"})
    assert given.fuse == Fuse(5, 100)
    for wrong in ("100", "-1", "1.5", "all"):
        with pytest.raises(SettingsError, match=r"PIPELINE_FUSE_PERCENT is .*from 0 to 99"):
            Settings.from_environment(environment | {"PIPELINE_FUSE_PERCENT": wrong})

"""`pipeline dead-letters`: what is in the dead letters, counted and shown."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lake import THINGS, files, letters, write_dataset
from support import dataset, deliver, kinesis_event

from pipeline.cli import main
from pipeline.core.deadletter import decode_dead_letters
from pipeline.core.errors import DeadLetterError
from pipeline.core.integers import INT64, integers, zeros
from pipeline.core.letter_lines import encode_dead_letters
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Batch, Provenance, Reject, StreamRecord, Violation
from pipeline.core.schema.values import timestamp

DAYS = ("2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z")
SCHEMA = {
    **THINGS,
    "fields": [
        *THINGS["fields"],
        {"name": "list", "default": [], "type": {"type": "array", "items": {
            "type": "record", "name": "Item", "fields": [{"name": "price", "type": "int"}]}}},
    ],
}  # fmt: skip
DOCUMENTS = [
    b'{"kind": "thing", "n": 100}',
    b'{"kind": "thing", "n": 101}',
    b'{"kind": "thing", "n": 1, "list": [{"price": 1}, {"price": "x"}]}',
    b'{"kind": "thing", "n": 1, "list": [{"price": "y"}]}',
    b'{"kind": "other"}',
    b"\xff\xfe",
    b'{"kind": "thing", "n": 1}',
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the dead letters of the documents, which arrived on each of two days."""
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
    config = '[match]\nfield = "kind"\nequals = "thing"'
    write_dataset(tmp_path / "schemas" / "things", SCHEMA, config)
    for number, day in enumerate(DAYS):
        file = tmp_path / f"{number}.ndjson"
        file.write_bytes(b"\n".join(DOCUMENTS))
        chosen = ["--schemas", str(tmp_path / "schemas"), "--out", str(tmp_path / "lake")]
        assert main(["convert", str(file), "--arrived-at", day, *chosen]) == 0
    return tmp_path / "lake-dead-letters"


def told(
    capsys: pytest.CaptureFixture[str], place: object, *options: str
) -> tuple[dict[str, Any], str]:
    """Return what the command says as JSON, and what it says as text."""
    capsys.readouterr()
    assert main(["dead-letters", str(place), "--json", *options]) == 0
    as_json = json.loads(capsys.readouterr().out)
    assert main(["dead-letters", str(place), *options]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return as_json, out


def counts(report: dict[str, Any]) -> dict[tuple[str, ...], int]:
    return {(c["dataset"], c["reason"], c["path"], c["day"]): c["count"] for c in report["counts"]}


def test_they_are_counted_by_dataset_reason_path_and_day(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two items of an array are one place; midnight in UTC parts the days."""
    as_json, out = told(capsys, place)
    each = {
        ("things", "above_maximum", "$.n"): 2,
        ("things", "wrong_type", "$.list[].price"): 2,
        ("unrouted", "no_dataset", "$"): 1,
        ("unrouted", "other_format", "$"): 1,
    }
    expected = {(*group, day[:10]): count for group, count in each.items() for day in DAYS}
    found = counts(as_json)
    assert found == expected
    assert as_json["total"] == len(letters(place)) == 12
    lines = [tuple(line.split()) for line in out.splitlines()]
    assert lines[0] == ("12", "dead", "letters", "in", str(place))
    assert {(*group, str(count)) for group, count in expected.items()} <= set(lines)


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        (["--dataset", "things"], {"above_maximum": 4, "wrong_type": 4}),
        (["--dataset", "unrouted"], {"no_dataset": 2, "other_format": 2}),
        (["--reason", "wrong_type"], {"wrong_type": 4}),
        (["--reason", "other_format", "--dataset", "things"], {}),
        (
            ["--since", "2026-11-23T00:00:00Z", "--dataset", "things"],
            {"above_maximum": 2, "wrong_type": 2},
        ),
        (["--since", "2026-11-22T23:59:59Z", "--reason", "no_dataset"], {"no_dataset": 2}),
        (["--since", "2026-11-23T00:00:00.000001Z"], {}),
        (["--since", "999999w", "--reason", "no_dataset"], {"no_dataset": 2}),
    ],
)
def test_filters_leave_the_rest_out_of_counts_and_samples(
    options: list[str],
    reasons: dict[str, int],
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    as_json, out = told(capsys, place, *options, "--samples", "100")
    found = Counter[str]()
    for count in as_json["counts"]:
        found[count["reason"]] += count["count"]
    assert found == reasons
    assert Counter(sample["reason"] for sample in as_json["samples"]) == reasons
    assert out.startswith(f"{sum(reasons.values())} dead letters in ")


def test_files_of_hours_before_since_are_not_read(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (earlier,) = place.glob("things/date=2026-11-22/hour=23/*.gz")
    earlier.write_bytes(b"not gzip at all")
    as_json, _ = told(capsys, place, "--since", "2026-11-23T00:00:00Z")
    assert as_json["total"] == 6
    assert main(["dead-letters", str(place), "--since", "2026-11-22T23:30:00Z"]) == 1


def test_a_dataset_that_has_none_is_told_with_those_that_have(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    lake = ["--schemas", str(place.parent / "schemas"), "--out", str(place.parent / "lake")]
    for command, options in (("dead-letters", []), ("redrive", lake)):
        assert main([command, str(place), "--dataset", "thing", *options]) == 0
        assert capsys.readouterr().err == (
            "pipeline: no dead letters are of dataset 'thing'; there are some of things.\n"
        )
    assert main(["dead-letters", str(place), "--dataset", "orders"]) == 0
    assert "there are some of things, unrouted." in capsys.readouterr().err


@pytest.mark.parametrize("text", ["yesterday", "1", "h", "1.5h", "-1h", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_told(
    text: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dead-letters", str(place), f"--since={text}"]) == 1
    assert capsys.readouterr().err.startswith(f"pipeline: --since {text}: ")


@pytest.mark.parametrize("number", [0, 1, 3, 100])
def test_as_many_samples_are_shown_as_asked_for(
    number: int, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_json, out = told(capsys, place, "--samples", str(number))
    stored = letters(place)
    assert len(as_json["samples"]) == min(number, 12)
    assert all(sample in stored for sample in as_json["samples"])
    assert out.count(", sequence number ") == min(number, 12)


def test_a_sample_tells_its_place_and_its_payload_shortened(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = told(capsys, place, "--reason", "above_maximum", "--samples", "1")
    source = re.escape(f"{tmp_path}/0.ndjson?") + "[0-9]+-[0-9a-f]{32}"
    assert re.search(f"{source}, sequence number 0, sub-sequence number 0, document 0\n", out)
    assert f"  {DOCUMENTS[0].decode()}\n" in out
    (file, *_) = place.glob("things/*/*/*.gz")
    (letter, *_) = gzip.decompress(file.read_bytes()).splitlines()
    file.write_bytes(
        gzip.compress(json.dumps({**json.loads(letter), "payload": "x" * 201}).encode())
    )
    _, out = told(capsys, place, "--dataset", "things", "--samples", "1")
    assert f"  {'x' * 200}…\n" in out


def test_a_sample_cannot_steer_the_terminal(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A payload is a stranger's: no line of its own, no escape sequence."""
    (file, *_) = place.glob("things/*/*/*.gz")
    (letter, *_) = gzip.decompress(file.read_bytes()).splitlines()
    payload = "a\x1b[2J\r\nb\x9b\x07é"
    file.write_bytes(gzip.compress(json.dumps({**json.loads(letter), "payload": payload}).encode()))
    as_json, out = told(capsys, place, "--dataset", "things", "--samples", "1")
    assert as_json["samples"][0]["payload"] == payload
    assert "  a\\x1b[2J\\r\\nb\\x9b\\x07é\n" in out


def test_a_uri_is_a_place_as_well_as_a_path(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, place.as_uri())[0] == told(capsys, place)[0]


def test_reading_changes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(place)
    told(capsys, place)
    assert files(place) == before


def test_failed_batches_are_counted_and_other_files_are_not_looked_at(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "aws" / "lambda" / "x").mkdir(parents=True)
    (place / "aws" / "lambda" / "x" / "1").write_text("{}")
    (place / "README").write_text("not a dead letter")
    (place / "things" / ".abc.partial").write_text("half")
    as_json, out = told(capsys, place)
    assert (as_json["total"], as_json["failed_batches"]) == (12, 1)
    assert "1 failed batches of Lambda's" in out


def test_an_empty_place_holds_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json, out = told(capsys, tmp_path)
    assert as_json == {"total": 0, "failed_batches": 0, "counts": [], "samples": []}
    assert out == f"0 dead letters in {tmp_path}\n"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"plain", "is not a gzip file of dead letters"),
        (gzip.compress(b"x" * 1_000)[:-9], "is not a gzip file of dead letters"),
        (gzip.compress(b'{"secret": 1}\n'), ", line 1 is not a dead letter: its stage is missing"),
        (gzip.compress(b"secret\n"), ", line 1 is not a dead letter: it is not a JSON object"),
    ],
)
def test_a_file_that_is_none_of_ours_is_named_and_not_quoted(
    body: bytes, why: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file, *_) = sorted(place.glob("things/*/*/*.gz"))
    file.write_bytes(body)
    capsys.readouterr()
    assert main(["dead-letters", str(place)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("8 dead letters in ")  # those of the other files
    assert err.startswith(f"pipeline: {place.as_uri()}/{file.relative_to(place)}")
    assert why in err
    assert err.count("\n") == 1
    assert "secret" not in err


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("payload", 5), ("source", None), ("sequence_number", 5), ("sequence_number", "-5"),
        ("sequence_number", "٣"), ("sequence_number", "5\n"), ("document", 2**40), ("path", None),
        ("message", None), ("reason", None), ("payload_encoding", "x"), ("stage", "secret"),
        ("arrived_at", "2026-11-23T09:30:00"), ("sub_sequence_number", -1),
    ],
)  # fmt: skip
def test_an_edited_letter_is_named_by_file_line_and_field(field: str, value: object) -> None:
    with pytest.raises(DeadLetterError, match=f"here, line 2 is not a dead letter: its {field} "):
        decode_dead_letters(edited(**{field: value}), "here")


def test_base64_that_is_none_is_named() -> None:
    with pytest.raises(DeadLetterError, match="line 2 is not a dead letter: its payload "):
        decode_dead_letters(edited(payload_encoding="base64", payload="QU*JD"), "here")


def edited(**changes: object) -> bytes:
    """Return a file of two letters, of which the second one was changed."""
    batch = Batch("s/0", "0", (StreamRecord("5", None, 0, b"x"),))
    provenance = Provenance(batch, integers([0]), zeros(1, INT64), zeros(1), [None])
    reject = Reject(provenance, 0, RejectStage.ROUTE, Violation(Reason.NO_DATASET, "None."), b"x")
    line = gzip.decompress(encode_dead_letters([reject]))
    return gzip.compress(line + json.dumps(json.loads(line) | changes).encode())


@pytest.mark.parametrize("year", ["0001", "0900", "9999"])
def test_a_letter_of_any_year_can_be_read_back(year: str) -> None:
    (letter,) = decode_dead_letters(edited(), "here")[:1]
    micros = timestamp(f"{year}-01-01T00:00:00.000001Z")
    (again,) = decode_dead_letters(written(micros), "here")
    assert again.arrived_at == micros
    assert letter.payload == again.payload


def written(micros: int) -> bytes:
    """Return a file of one letter that arrived then."""
    batch = Batch("s/0", "0", (StreamRecord("5", None, micros, b"x"),))
    provenance = Provenance(batch, integers([0]), zeros(1, INT64), zeros(1), [None])
    reject = Reject(provenance, 0, RejectStage.ROUTE, Violation(Reason.NO_DATASET, "None."), b"x")
    return encode_dead_letters([reject])


def test_the_former_name_of_the_command_is_an_alias(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["rejects", str(place)]) == 0
    said = capsys.readouterr()
    assert main(["dead-letters", str(place)]) == 0
    assert capsys.readouterr() == said
    assert said.out.startswith("12 dead letters in ")


@pytest.mark.parametrize("command", ["dead-letters", "redrive"])
def test_a_reason_that_is_none_is_told_with_those_near_it(
    command: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, str(place), "--reason", "wrong_typ"])
    assert ended.value.code == 2
    assert "'wrong_typ' is not a reason; did you mean wrong_type?" in capsys.readouterr().err


def test_a_partition_key_that_is_half_a_character_fails_no_batch() -> None:
    """JSON can say it, UTF-8 cannot."""
    made = dataset({"name": "a", "type": "int"})
    stored = deliver(kinesis_event([b"x"], partition_key="\ud800"), [made])
    (letter,) = stored.letters
    assert letter["partition_key"] == "?"

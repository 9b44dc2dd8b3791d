"""Private fields on the command line: what is told, what is shown, and to whom."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from privacy import MARK, SECRET, pipeline_of, send
from support import Stored, dataset

from pipeline.adapters.schemas import read_stream
from pipeline.adapters.writer_schemas import open_decoder
from pipeline.cli import main

EMAIL: dict[str, Any] = {"name": "email", "type": "string", "privacy": "hash"}
ID: dict[str, Any] = {"name": "id", "type": "long"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPELINE_PRIVACY_KEY", "env:MINE")
    monkeypatch.setenv("MINE", SECRET)
    return tmp_path


def write(place: Path, *versions: list[dict[str, Any]], config: str = "") -> None:
    folder = place / "schemas" / "people"
    folder.mkdir(parents=True, exist_ok=True)
    for number, fields in enumerate(versions, 1):
        schema = {"type": "record", "name": "Person", "fields": fields}
        (folder / f"{number}.avsc").write_text(json.dumps(schema))
    (folder / "dataset.toml").write_text(config)


def convert(place: Path, *documents: str) -> None:
    (place / "in.ndjson").write_text("\n".join(documents))
    assert main(["convert", "in.ndjson", "--out", "out"]) == 0


def everything(place: Path) -> bytes:
    """Return all that is stored, unpacked."""
    found = b""
    for folder in ("out", "out-dead-letters"):
        for file in sorted((place / folder).rglob("*")):
            body = file.read_bytes() if file.is_file() else b""
            found += gzip.decompress(body) if file.suffix == ".gz" else body
    return found


def test_what_converts_is_private_and_originals_are_for_who_has_the_key(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(place, [ID, EMAIL], config='formats = ["csv"]')
    convert(
        place,
        f'{{"id":1,"email":"{MARK}"}}',
        f'{{"id":"x","email":"{MARK}"}}',
        f'{{"email":"{MARK}',
    )
    assert MARK.encode() not in everything(place)
    capsys.readouterr()
    assert main(["rejects", "out-dead-letters"]) == 0
    shown = capsys.readouterr().out
    assert MARK not in shown
    assert "private: $.email; sealed with the key 'default', see --decrypt" in shown
    assert "private: all of it; sealed with the key 'default', see --decrypt" in shown
    assert main(["rejects", "out-dead-letters", "--decrypt"]) == 0
    shown = capsys.readouterr().out
    assert f'{{"id":"x","email":"{MARK}"}}' in shown
    assert f'{{"email":"{MARK}' in shown
    assert "private:" not in shown


def test_a_redrive_brings_back_what_was_sealed(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, [ID, EMAIL], config='formats = ["csv"]')
    convert(place, f'{{"id":"x","email":"{MARK}"}}')
    write(place, [{"name": "id", "type": "string"}, EMAIL], config='formats = ["csv"]')
    (place / "schemas" / "people" / "2.avsc").unlink(missing_ok=True)
    redrive = ["redrive", "out-dead-letters", "--out", "out"]
    monkeypatch.setenv("MINE", "another key, of thirty-two characters")
    assert main(redrive) == 1
    assert "does not open with the key 'default'" in capsys.readouterr().err
    monkeypatch.setenv("MINE", SECRET)
    assert main(redrive) == 0
    assert "1 documents sent again = 1 rows + 0 that still fail" in capsys.readouterr().out
    stored = everything(place)
    assert MARK.encode() not in stored
    import hmac

    assert hmac.new(SECRET.encode(), MARK.encode(), "sha256").hexdigest().encode() in stored


def test_a_redrive_says_what_cannot_be_sent_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(place, [ID, EMAIL], config='dead_letter_private = "digest"')
    convert(place, f'{{"id":"x","email":"{MARK}"}}', '{"id":"x"}')
    capsys.readouterr()
    assert main(["rejects", "out-dead-letters"]) == 0
    assert "private: $.email; no original is kept" in capsys.readouterr().out
    assert main(["redrive", "out-dead-letters", "--out", "out"]) == 0
    assert capsys.readouterr().out.startswith(
        "1 dead letters cannot be sent again: private members of them were replaced, and "
        'dead_letter_private = "digest" keeps no original; have their producers send these '
        "documents again.\n1 documents sent again = 0 rows + 1 that still fail; 0 were not asked for\n"
    )


def test_without_the_key_originals_stay_sealed(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, [ID, EMAIL])
    convert(place, f'{{"id":"x","email":"{MARK}"}}')
    capsys.readouterr()
    monkeypatch.delenv("PIPELINE_PRIVACY_KEY")
    assert main(["rejects", "out-dead-letters", "--decrypt"]) == 1
    assert capsys.readouterr().err == (
        "pipeline: --decrypt needs the key: set PIPELINE_PRIVACY_KEY to where it is.\n"
    )
    # The field is not private any more, and so nothing else asks for the key.
    write(place, [ID, {"name": "email", "type": "string"}])
    assert main(["redrive", "out-dead-letters", "--out", "out"]) == 1
    assert capsys.readouterr().err.endswith(
        "The originals of dead letters are sealed; set PIPELINE_PRIVACY_KEY to where their key is, "
        "as the function has it.\n"
    )


def test_check_needs_no_key_and_shows_what_is_private(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIPELINE_PRIVACY_KEY")
    line = {
        "type": "record",
        "name": "L",
        "fields": [ID, {"name": "who", "type": "string", "privacy": "drop"}],
    }
    write(place, [ID, EMAIL, {"name": "lines", "type": {"type": "array", "items": line}}])
    folder = place / "schemas" / "people"
    (folder / "good.ndjson").write_text('{"id":1,"email":"a","lines":[]}\n')
    bad = {
        "reason": "wrong_type",
        "path": "$.email",
        "document": {"id": 1, "email": {MARK: 1}, "lines": []},
    }
    (folder / "bad.ndjson").write_text(json.dumps(bad))
    assert main(["check", "schemas"]) == 0
    shown = capsys.readouterr().out
    assert "  private     email (hash), lines[].who (drop)\n" in shown
    assert re.search(r"^ +email +string +private: hash +email$", shown, re.MULTILINE)
    assert "    lines[].who" not in shown
    assert MARK not in shown


PLAIN = {"name": "email", "type": "string"}


@pytest.mark.parametrize(
    ("before", "after", "config", "remark", "fault"),
    [
        (PLAIN, EMAIL, "", "REMARK  schemas/people/2.avsc after 1.avsc: field email is private now (hash), and rows, dead letters and _rest of before have its values as they were: rewrite or delete what is stored, see docs/privacy.md.", None),
        (PLAIN, EMAIL | {"privacy": "drop"}, "", "REMARK  schemas/people/2.avsc after 1.avsc: field email is private now (drop), ", None),
        (PLAIN, EMAIL | {"privacy": "drop"}, 'formats = ["csv"]', "field email is private now (drop), ", "FAULT  schemas/people/2.avsc after 1.avsc: field email is dropped and moves columns of the CSV files; mask it instead."),
        (EMAIL, PLAIN, "", "field email is not private any more: from now on its values are stored as they are. Was that meant? Rows of before have none of them (hash).", None),
        (EMAIL, EMAIL | {"privacy": "mask"}, "", "field email was private as hash and is as mask: ", None),
        ({"name": "email", "type": "long"}, EMAIL | {"type": "long"}, "", "field email is private now (hash), ", "FAULT  schemas/people/2.avsc after 1.avsc: field email was long and is token."),
    ],
)  # fmt: skip
def test_check_tells_of_fields_that_become_private(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    before: dict[str, Any],
    after: dict[str, Any],
    config: str,
    remark: str,
    fault: str | None,
) -> None:
    write(place, [ID, before], [ID, after], config=config)
    assert main(["check", "schemas", "--quiet"]) == (fault is not None)
    shown = capsys.readouterr().out
    assert remark in shown
    assert (fault or "FAULT") in shown if fault else "FAULT" not in shown


def test_help_and_tables_are_of_what_is_stored(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(place, [ID, EMAIL | {"type": "long"}, {"name": "x", "type": "string", "privacy": "drop"}])
    assert main(["ddl", "people", "--location", "out", "--dialect", "duckdb"]) == 0
    shown = capsys.readouterr().out
    assert 'NULL::VARCHAR AS "email"' in shown
    assert '"x"' not in shown


def test_check_remarks_on_a_field_that_is_named_as_a_private_one(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = {"type": "record", "name": "R", "fields": [{"name": "E_Mail", "type": "string"}, EMAIL]}
    write(place, [EMAIL, {"name": "inside", "type": {"type": "array", "items": inner}}])
    assert main(["check", "schemas", "--quiet"]) == 0
    (remark,) = re.findall("^REMARK.*", capsys.readouterr().out, re.MULTILINE)
    assert remark == (
        "REMARK  schemas/people/1.avsc, field inside[].E_Mail has the key of inside[].email, which "
        "is private, and is stored as it is; give it a privacy, too, unless that is meant."
    )


def test_a_sealed_original_is_shown_decoded_where_the_stream_is_not_json(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(place, [ID, EMAIL])
    (place / "schemas" / "stream.toml").write_text(
        '[payload]\nformat = "avro"\nframing = "none"\nschemas = "_w"\nschema = "1.avsc"\n'
    )
    (place / "schemas" / "_w").mkdir()
    fields = [{"name": "id", "type": "string"}, {"name": "email", "type": "string"}]
    schema = {"type": "record", "name": "Person", "fields": fields}
    (place / "schemas" / "_w" / "1.avsc").write_text(json.dumps(schema))
    body = b"\x04no" + bytes([2 * len(MARK)]) + MARK.encode()
    stream = read_stream(place / "schemas")
    stored = Stored()
    pipeline = pipeline_of(stored, [dataset(ID, EMAIL, name="people")])
    decoder = open_decoder(stream.payload, place / "schemas")
    send(msgspec.structs.replace(pipeline, decoder=decoder), body)
    for key, letters in stored.dead_letters.objects.items():
        (place / "dead" / key).parent.mkdir(parents=True, exist_ok=True)
        (place / "dead" / key).write_bytes(letters)
    show = ["rejects", "dead", "--schemas", "schemas"]
    assert main(show) == 0
    assert MARK not in capsys.readouterr().out
    assert main([*show, "--decrypt"]) == 0
    assert f'{{"id":"no","email":"{MARK}"}}' in capsys.readouterr().out

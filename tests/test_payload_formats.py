"""Streams whose payloads are not JSON, from the event to objects and back."""

from __future__ import annotations

import io
import json
import uuid
import zlib
from typing import TYPE_CHECKING, Any

import fastavro
import msgspec
import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st
from support import FAST_PATHS, PLAIN, Stored, as_json, dataset, kinesis_event, letter_payload

from pipeline.adapters.schemas import read_stream
from pipeline.adapters.writer_schemas import open_decoder
from pipeline.attempt import Attempt, envelope_of
from pipeline.cli import main
from pipeline.core.errors import DatasetError
from pipeline.core.events import read_kinesis_event
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.redrive import redrivable, redrive_letters

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.records import Limits
    from pipeline.core.report import Report

THING = {
    "type": "record",
    "name": "Thing",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "extra", "type": {"type": "array", "items": "null"}},
    ],
}
THINGS = dataset({"name": "id", "type": "int"}, {"name": "name", "type": ["null", "string"]})
VERSION = uuid.UUID("0b6f5a60-8f0c-4bd5-9bb5-8d1f8ac1f9a3")
CONFLUENT = '[payload]\nformat = "avro"\nframing = "confluent"\nschemas = "_writers"\n'
GLUE = CONFLUENT.replace("confluent", "glue")
BARE = CONFLUENT.replace("confluent", "none") + 'schema = "7.avsc"\n'


def avro(value: Any, schema: Any = THING) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), value)
    return buffer.getvalue()


def thing(number: Any, name: str | None = "a") -> bytes:
    return avro({"id": number, "name": name, "extra": []})


def confluent(body: bytes, schema: int = 7) -> bytes:
    return b"\0" + schema.to_bytes(4) + body


def glue(body: bytes, version: uuid.UUID = VERSION, *, packed: bool = False) -> bytes:
    return (
        b"\3"
        + (b"\5" if packed else b"\0")
        + version.bytes
        + (zlib.compress(body) if packed else body)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "_writers").mkdir()
    for name in ("7", str(VERSION)):
        (tmp_path / "_writers" / f"{name}.avsc").write_text(json.dumps(THING))
    return tmp_path


def add_dataset(folder: Path) -> None:
    (folder / "things").mkdir()
    schema = {"type": "record", "name": "Thing", "fields": [{"name": "id", "type": "long"}]}
    (folder / "things" / "1.avsc").write_text(json.dumps(schema))
    (folder / "things" / "dataset.toml").write_text('formats = ["csv"]\n')


def pipeline_of(folder: Path, stored: Stored, limits: Limits = PLAIN) -> Pipeline:
    stream = read_stream(folder)
    return Pipeline(
        Router([THINGS]),
        limits,
        stored.output,
        stored.dead_letters,
        FAST_PATHS,
        envelope=envelope_of(stream, limits),
        decoder=open_decoder(stream.payload, folder),
    )


def send(
    folder: Path, settings: str, *records: bytes, into: Stored | None = None, limits: Limits = PLAIN
) -> tuple[Stored, Report]:
    (folder / "stream.toml").write_text(settings)
    stored = into or Stored()
    batch = read_kinesis_event(kinesis_event(records), fast=FAST_PATHS)
    return stored, Attempt.untimed(pipeline_of(folder, stored, limits)).process(batch)


def redrive(folder: Path, stored: Stored) -> None:
    for key in redrivable(stored.dead_letters):
        pipeline = pipeline_of(folder, stored)
        redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)


def shown(stored: Stored) -> list[tuple[Any, ...]]:
    return [
        (row["_sequence_number"][-1], row["_sub_sequence_number"], row["_document"], row["id"])
        for row in stored.rows
    ]


def letters(stored: Stored) -> list[tuple[Any, ...]]:
    return [
        (letter["stage"], letter["reason"], letter.get("payload_format"), letter_payload(letter))
        for letter in stored.letters
    ]


@pytest.mark.parametrize(
    ("settings", "payload"),
    [
        (CONFLUENT, confluent(thing(5))),
        (GLUE, glue(thing(5))),
        (GLUE, glue(thing(5), packed=True)),
        (BARE, thing(5)),
    ],
)
def test_avro_becomes_a_row(folder: Path, settings: str, payload: bytes) -> None:
    stored, report = send(folder, settings, payload)
    assert shown(stored) == [("8", 0, 0, 5)]
    assert stored.rows[0]["name"] == "a"
    assert (report.total("documents"), report.total("rows"), report.rejects) == (1, 1, 0)


def test_user_records_of_an_aggregate_are_decoded_each(folder: Path) -> None:
    packed = aggregate(UserRecord("k", confluent(thing(n))) for n in (1, 2**40, 3))
    stored, _ = send(folder, CONFLUENT, packed)
    assert shown(stored) == [("8", 0, 0, 1), ("8", 2, 0, 3)]
    assert letters(stored) == [("convert", "out_of_range", "avro", confluent(thing(2**40)))]


def test_a_dead_letter_holds_what_was_sent_and_is_decoded_when_it_is_sent_again(
    folder: Path,
) -> None:
    stored, _ = send(folder, CONFLUENT, confluent(thing(1)), confluent(thing(2**40)))
    assert letters(stored) == [("convert", "out_of_range", "avro", confluent(thing(2**40)))]
    redrive(folder, stored)
    assert shown(stored) == [("8", 0, 0, 1)]
    (key,) = redrivable(stored.dead_letters)
    # What a wider reader takes is a row at the place that it always had.
    wide = dataset({"name": "id", "type": "long"}, {"name": "name", "type": ["null", "string"]})
    pipeline = pipeline_of(folder, stored)
    wider = type(pipeline)(
        Router([wide]),
        PLAIN,
        stored.output,
        stored.dead_letters,
        FAST_PATHS,
        decoder=pipeline.decoder,
    )
    redrive_letters(stored.dead_letters, key, wider, lambda _: True, dry_run=False)
    assert [row["id"] for row in stored.rows] == [1, 2**40]
    assert [row["_document"] for row in stored.rows] == [0, 0]
    assert not redrivable(stored.dead_letters)


BAD = [
    (CONFLUENT, b"\0\0", "bad_header",
     "The payload has 2 bytes; Confluent's header alone has 5. Compare framing in stream.toml with what the producer sends."),
    (CONFLUENT, b'{"id": 1}', "bad_header",
     "The payload begins with byte 0x7b; Confluent's header begins with 0x00. Compare framing in stream.toml with what the producer sends."),
    (CONFLUENT, confluent(thing(1), 8), "unknown_schema",
     "The payload was written with schema 8, which is not known; register it, or give its file, and send the dead letter again."),
    (CONFLUENT, confluent(thing(1)[:-1]), "bad_avro",
     "The payload is not Avro of the schema that it names: it ends in the middle of a value."),
    (CONFLUENT, confluent(thing(1) + b"x"), "bad_avro",
     "The payload is not Avro of the schema that it names: it goes on behind the value, at byte 5 of the value."),
    (CONFLUENT, b"", "empty_record", "The record is empty."),
    (GLUE, glue(thing(1))[:17], "bad_header",
     "The payload has 17 bytes; Glue's header alone has 18. Compare framing in stream.toml with what the producer sends."),
    (GLUE, b"\3\1" + glue(thing(1))[2:], "bad_header",
     "The payload has the byte 0x01 for its compression; Glue has 0x00 (none) and 0x05 (zlib). Compare framing in stream.toml with what the producer sends."),
    (GLUE, glue(thing(1), packed=True)[:-2], "corrupt_compression",
     "What stands behind Glue's header cannot be unpacked as zlib: it ends before its end."),
    (GLUE, glue(thing(1), uuid.UUID(int=3)), "unknown_schema",
     "The payload was written with schema 00000000-0000-0000-0000-000000000003, which is not known; register it, or give its file, and send the dead letter again."),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "payload", "reason", "message"), BAD)
def test_what_cannot_be_decoded_is_a_dead_letter(
    folder: Path, settings: str, payload: bytes, reason: str, message: str
) -> None:
    good = glue(thing(1)) if settings == GLUE else confluent(thing(1))
    stored, report = send(folder, settings, good, payload)
    assert letters(stored) == [("payload", reason, None, payload)]
    assert stored.letters[0]["message"] == message
    assert (report.total("rows"), report.rejects) == (1, 1)
    redrive(folder, stored)
    assert letters(stored)[-1] == ("payload", reason, None, payload)


def test_a_schema_that_is_given_later_makes_rows_of_dead_letters(folder: Path) -> None:
    stored, _ = send(folder, CONFLUENT, confluent(thing(4), 8))
    (folder / "_writers" / "8.avsc").write_text(json.dumps(THING))
    redrive(folder, stored)
    assert shown(stored) == [("8", 0, 0, 4)]
    assert not redrivable(stored.dead_letters)


def test_dead_letters_from_before_the_settings_are_decoded(folder: Path) -> None:
    stored, _ = send(folder, "", confluent(thing(4)))
    assert letters(stored) == [("payload", "registry_data", None, confluent(thing(4)))]
    (folder / "stream.toml").write_text(CONFLUENT)
    redrive(folder, stored)
    assert shown(stored) == [("8", 0, 0, 4)]


CHANGE = {
    "type": "record",
    "name": "Change",
    "fields": [{"name": "op", "type": "string"}, {"name": "after", "type": ["null", THING]}],
}
LIFT = '[[envelope]]\nwhen = { "$.op" = "d" }\ndrop = "deleted"\n[[envelope]]\nlift = "$.after"\n'


def test_envelopes_are_opened_in_what_was_decoded(folder: Path) -> None:
    (folder / "_writers" / "9.avsc").write_text(json.dumps(CHANGE))
    after: dict[str, Any] = {"id": 1, "name": None, "extra": []}
    changes = [
        {"op": "c", "after": after},
        {"op": "d", "after": None},
        {"op": "c", "after": None},
        {"op": "c", "after": after | {"id": 2**40}},
    ]
    payloads = [confluent(avro(change, CHANGE), 9) for change in changes]
    stored, report = send(folder, LIFT + CONFLUENT, *payloads)
    assert shown(stored) == [("8", 0, 0, 1)]
    assert report.drops == {"deleted": 1}
    assert letters(stored) == [
        ("envelope", "envelope_mismatch", "avro", payloads[2]),
        # An element is what came out of its envelope, which may hold others.
        ("convert", "out_of_range", None, b'{"id":1099511627776,"name":null,"extra":[]}'),
    ]
    redrive(folder, stored)
    assert shown(stored) == [("8", 0, 0, 1)]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_whatever_is_sent_is_a_row_or_a_dead_letter_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "_writers").mkdir()
    (folder / "_writers" / "7.avsc").write_text(json.dumps(THING))
    stored, report = send(folder, BARE, *bodies)
    assert report.total("rows") + report.rejects == len(bodies)
    kept = {letter["sequence_number"]: letter_payload(letter) for letter in stored.letters}
    rows = {row["_sequence_number"] for row in stored.rows}
    assert kept.keys().isdisjoint(rows)
    numbers = sorted([*kept, *rows])
    assert all(kept.get(number, body) == body for number, body in zip(numbers, bodies, strict=True))


def test_small_payloads_that_become_much_are_bounded_together(folder: Path) -> None:
    flood = avro({"id": 1, "name": None, "extra": [None] * 1_000})
    packed = aggregate([UserRecord("k", confluent(flood))] * 10)
    limits = type(PLAIN)(record_bytes=12_000)
    stored, _ = send(folder, CONFLUENT, packed, limits=limits)
    assert len(stored.rows) == 2
    assert {letter["reason"] for letter in stored.letters} == {"unpacked_too_large"}
    assert stored.letters[0]["message"] == (
        "With this payload, the documents of its stream record have more than 12000 bytes; send "
        "them in several stream records."
    )


PROTOBUF = """
[payload]
format = "protobuf"
framing = "none"
schemas = "_writers"
schema = "things.desc"
message = "shop.Thing"
"""


def descriptors() -> bytes:
    file = descriptor_pb2.FileDescriptorProto(name="things.proto", package="shop", syntax="proto3")
    thing = file.message_type.add(name="Thing")
    thing.field.add(name="id", number=1, type=3, label=1)
    thing.field.add(name="name", number=2, type=9, label=1)
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def test_protobuf_becomes_rows_and_its_dead_letters_hold_what_was_sent(folder: Path) -> None:
    (folder / "_writers" / "things.desc").write_bytes(descriptors())
    for name in ("7", VERSION):
        (folder / "_writers" / f"{name}.desc").write_bytes(descriptors())
    good, large, broken = b"\x08\x05\x12\x01a", b"\x08\x80\x80\x80\x80\x80\x20", b"\x08\x80"
    framed = PROTOBUF.replace("none", "confluent").partition("schema =")[0]
    glues = framed.replace("confluent", "glue")
    for settings, frame in (
        (PROTOBUF, lambda body: body),
        (framed, lambda body: b"\0\0\0\0\7\0" + body),
        (glues, lambda body: glue(b"\0" + body)),
        (glues, lambda body: glue(b"\0" + body, packed=True)),
    ):
        payloads = [frame(body) for body in (good, large, broken)]
        stored, _ = send(folder, settings, *payloads)
        assert shown(stored) == [("8", 0, 0, 5)]
        assert letters(stored) == [
            ("convert", "out_of_range", "protobuf", payloads[1]),
            ("payload", "bad_protobuf", None, payloads[2]),
        ]
        redrive(folder, stored)
        assert letters(stored)[-2:] == letters(stored)[:2]


FAULTS = [
    (PROTOBUF.replace('"none"', '"glue"').partition("schema =")[0] + 'registry = "glue"', "registry: Glue's holds the texts of .proto files, and payloads are read by what protoc makes of these: leave out registry, and put <id>.desc of each version into schemas."),
    (PROTOBUF.replace("shop.Thing", "shop-thing"), 'message is the full name of a message, as in "shop.Order".'),
    (BARE + 'message = "a"', 'message goes with format "protobuf" and framing "none".'),
    ("payload = 1", "stream.toml, payload: it is written as a table, [payload]."),
    ("[payload]\nformats = 1", "stream.toml, payload: unknown setting 'formats'; there are format, framing, schemas, schema, message, registry."),
    ("[payload]", 'stream.toml, payload: format is "avro" or "protobuf".'),
    ("[payload]", 'stream.toml, payload: framing is "confluent", "glue" or "none".'),
    (CONFLUENT.replace("_writers", "writers"), 'it begins with _, as in "_writers", so that it is not taken for a dataset.'),
    (CONFLUENT.replace('"none"', "1").replace("confluent", "none"), "give schema, the name of a file in that folder."),
    (CONFLUENT + 'schema = "a"', "schema means nothing beside this framing: the header names the schema."),
    (BARE.replace("7.avsc", "../7.avsc"), 'schema is the name of a file in that folder, as in "orders.avsc".'),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "fault"), FAULTS)
def test_a_fault_of_the_settings_is_a_sentence(folder: Path, settings: str, fault: str) -> None:
    (folder / "stream.toml").write_text(settings)
    with pytest.raises(DatasetError) as error:
        read_stream(folder)
    assert fault in str(error.value)


def test_schemas_that_cannot_be_used_stop_the_start(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "stream.toml").write_text(CONFLUENT)
    (folder / "_writers" / "1.avsc").write_text("{}")
    (folder / "_writers" / "2.avsc").write_bytes(b"\xff")
    assert main(["check", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert f"FAULT  {folder}/_writers/1.avsc is not an Avro schema: " in printed
    assert f"FAULT  {folder}/_writers/2.avsc is not UTF-8 (byte 0)." in printed
    (folder / "stream.toml").write_text(CONFLUENT.replace("_writers", "_nowhere"))
    assert main(["check", str(folder)]) == 1
    assert "_nowhere is not a directory; [payload]" in capsys.readouterr().out


def test_check_says_what_payloads_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "stream.toml").write_text(CONFLUENT)
    add_dataset(folder)
    assert main(["check", str(folder)]) == 0
    assert (
        "stream.toml: payloads are avro, behind the 5 bytes of Confluent's header; their schemas: "
        "the file <id>.avsc in _writers\n" in capsys.readouterr().out
    )


def test_dead_letters_are_shown_decoded(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, _ = send(folder, CONFLUENT, confluent(thing(2**40)))
    for key, body in stored.dead_letters.objects.items():
        path = tmp_path / "dead" / key
        path.parent.mkdir(parents=True)
        path.write_bytes(body)
    assert main(["rejects", str(tmp_path / "dead")]) == 0
    assert "  AAAAAAeAgICA" in capsys.readouterr().out
    assert main(["rejects", str(tmp_path / "dead"), "--schemas", str(folder)]) == 0
    assert '  {"id":1099511627776,"name":"a","extra":[]}\n' in capsys.readouterr().out


def test_a_file_is_json_all_the_same(folder: Path) -> None:
    (folder / "stream.toml").write_text(CONFLUENT)
    add_dataset(folder)
    (folder / "good.ndjson").write_bytes(as_json({"id": 5}) + b"\n")
    output, dead = f"{folder}/out", f"{folder}/dead"
    command = ["convert", "--schemas", str(folder), "--out", output, "--dead-letters", dead]
    assert main([*command, str(folder / "good.ndjson")]) == 0


@pytest.mark.parametrize(
    ("body", "version", "reason"),
    [
        (zlib.compress(bytes(2**21))[:-1], VERSION, "corrupt_compression"),
        (zlib.compress(bytes(2**21))[:-4] + bytes(4), VERSION, "corrupt_compression"),
        (zlib.compress(bytes(2**21)), uuid.UUID(int=1), "unknown_schema"),
        (zlib.compress(bytes(2**21)), VERSION, "bad_avro"),
    ],
)
def test_what_was_unpacked_for_nothing_counts(
    folder: Path, body: bytes, version: uuid.UUID, reason: str
) -> None:
    """2 MiB each, of the 8 MiB that a stream record may hold: some 4 or 5, and no more."""
    payload = b"\3\5" + version.bytes + body
    packed = aggregate(UserRecord("k", payload) for _ in range(10))
    limits = msgspec.structs.replace(PLAIN, record_bytes=2**23)
    stored, _ = send(folder, GLUE, packed, limits=limits)
    reasons = [letter["reason"] for letter in stored.letters]
    looked_at = reasons.count(reason)
    assert 3 <= looked_at <= 5
    assert reasons == [reason] * looked_at + ["unpacked_too_large"] * (10 - looked_at)

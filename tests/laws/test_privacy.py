"""Private fields are private everywhere: law 15."""

from __future__ import annotations

import base64
import gzip
import hmac
import io
import json
import zlib
from typing import TYPE_CHECKING, Any

import fastavro
import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import event, given, settings
from hypothesis import strategies as st
from privacy import (
    FIELDS,
    KEYS,
    MARK,
    PEOPLE,
    SECRET,
    datasets,
    leaks,
    pipeline_of,
    record,
    send,
)
from support import Stored, as_json, dataset

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.writer_schemas import open_decoder
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.protection.keys import read_keys
from pipeline.core.stream import parse_stream
from pipeline.redrive import redrivable, redrive_letters

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.strategies import DrawFn

    from pipeline.flow import Pipeline


def person(**changes: Any) -> dict[str, Any]:
    """Return a good document, with the marker in every private field."""
    return {
        "type": "person",
        "id": 1,
        "email": f"{MARK}@x",
        "@name": MARK,
        "phone": MARK,
        "level": "low",
        "card": {"number": MARK},
        "tags": {MARK: MARK},
        "lines": [{"sku": "a", "who": MARK}, {"sku": "b", "who": None}],
        "places": {"home": {"street": MARK, "n": 1}},
    } | changes


CHANGES: list[dict[str, Any]] = [
    {},
    {"id": "no integer"},
    {"id": None},
    {"email": MARK},  # breaks its pattern
    {"email": f"{MARK}@" + "x" * 60},
    {"email": {"inner": MARK}},
    {"email": [MARK, {"deep": [MARK]}]},
    {"level": MARK},
    {"card": MARK},
    {"card": {"number": 1, "unknown": MARK, MARK: MARK}},
    {"card": {"number": MARK, "unknown": {"deep": MARK}}},
    {"tags": {MARK: 1}},
    {"lines": [{"sku": 1, "who": MARK}]},
    {"lines": {"who": MARK}},
    {"lines": [{"sku": "a", "who": {"x": MARK}}, {"sku": "b", "Who": MARK}]},
    {"places": {"home": {"street": MARK, "n": "no"}, "work": {"street": MARK}}},
    {"E-Mail": MARK, "PHONE": [MARK], "name": {"x": MARK}},
    {"mail": f"{MARK}@alias", "id": 2},
    {"unknown": {"email": MARK, "list": [{"who": MARK}, {"card_": [MARK]}]}},
    {"note": json.dumps(json.dumps({"email": MARK}))},
    {"id": "no", "note": [json.dumps({"x": json.dumps([{"E-Mail": MARK}])})]},
    {"id": "no", "note": f'\ufeffcalled with {{"email": "{MARK}"}}'},
    {"type": "another", "email": MARK},
    {"type": 7},
]


@st.composite
def documents(draw: DrawFn) -> bytes:
    """Draw a document with private values: good, bad, or broken."""
    text = as_json(person(**draw(st.sampled_from(CHANGES))))
    form = draw(
        st.sampled_from(
            ["as it is", "escaped", "repeated", "pretty", "cut", "junk", "bare", "bytes"]
        )
    )
    event(form)
    match form:
        case "escaped":
            letters = "".join(f"\\u{ord(char):04x}" for char in MARK)
            return text.replace(MARK.encode(), letters.encode()).replace(
                b'"email"', b'"\\u0065mail"'
            )
        case "repeated":
            return text[:-1] + f',"email":"{MARK}2","email":"{MARK}3@","@name":1}}'.encode()
        case "pretty":
            return json.dumps(json.loads(text), indent=draw(st.integers(0, 3))).encode()
        case "cut":
            return text[: draw(st.integers(1, len(text) - 1))]
        case "junk":
            place = draw(st.integers(0, len(text)))
            junk = draw(
                st.sampled_from([b"\n", b'"', b"}", b"{", b"\\", b",", b"\xff", b"\0", b"]"])
            )
            return text[:place] + junk + text[place:]
        case "bare":
            return draw(
                st.sampled_from([f'"{MARK}"', f'["{MARK}"]', MARK, f"{{{MARK}", "[{}]"])
            ).encode()
        case "bytes":
            return bytes(draw(st.sampled_from([b"PAR1", b"\xff\xfe", b"\x80\x01"]))) + MARK.encode()
        case _:
            return text


FORMS = ["lines", "one", "gzip", "broken gzip", "aggregate", "envelope"]


@st.composite
def payloads(draw: DrawFn, forms: int = len(FORMS)) -> bytes:
    """Draw what a stream record holds: documents, compressed, aggregated, in envelopes or not."""
    texts = draw(st.lists(documents(), min_size=1, max_size=4))
    form = draw(st.sampled_from(FORMS[:forms]))
    match form:
        case "lines":
            return b"\n".join(texts)
        case "gzip":
            return gzip.compress(b"\n".join(texts), mtime=0)
        case "broken gzip":
            return gzip.compress(b"\n".join(texts), mtime=0, compresslevel=0)[:-6]
        case "aggregate":
            whole = aggregate([UserRecord(MARK, text) for text in texts])
            return draw(st.sampled_from([whole, whole[:-3], whole[:40] + b"?" + whole[41:]]))
        case "envelope":
            inside = [text.decode(errors="replace") for text in texts]
            events = [{"message": text, "email": MARK} for text in inside]
            return as_json({"logEvents": events, "owner": "me", "email": MARK})
        case _:
            return texts[0]


RULES = """
[[envelope]]
when = { "$.logEvents" = { present = true } }
each = "$.logEvents"
keep = ["$.email"]

[[envelope]]
when = { "$.message" = { present = true } }
parse = "$.message"
"""


@settings(max_examples=150, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from(["encrypt", "digest"]), st.booleans())
def test_private_values_are_in_no_object_and_no_message(
    data: st.DataObject, by_rows: bool, how: str, enveloped: bool
) -> None:
    # Without its rules, an envelope is a document like others, and a text in it is a text.
    drawn = payloads() if enveloped else payloads(len(FORMS) - 1)
    records = data.draw(st.lists(drawn, min_size=1, max_size=4))
    stored = Stored()
    pipeline = pipeline_of(
        stored, datasets(how), rules=RULES if enveloped else None, by_rows=by_rows
    )
    log = send(pipeline, *records)
    assert leaks(stored, log) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(payloads(), min_size=1, max_size=4), st.booleans())
def test_both_paths_and_a_second_delivery_store_the_same(
    records: list[bytes], enveloped: bool
) -> None:
    rules = RULES if enveloped else None
    first, again, by_rows = Stored(), Stored(), Stored()
    send(pipeline_of(first, datasets(), rules=rules), *records)
    send(pipeline_of(again, datasets(), rules=rules), *records)
    send(pipeline_of(by_rows, datasets(), rules=rules, by_rows=True), *records)
    assert first.objects == again.objects
    assert first.verdicts == by_rows.verdicts


@settings(max_examples=60, deadline=None)
@given(st.lists(payloads(), min_size=1, max_size=4))
def test_a_redrive_with_the_key_sends_every_original(records: list[bytes]) -> None:
    """What is sent again fails again, with the same reason: so it was the whole original."""
    stored = Stored()
    pipeline = pipeline_of(stored, datasets(), rules=RULES)
    send(pipeline, *records)
    before, rows = stored.letters, stored.rows
    for key in redrivable(stored.dead_letters):
        outcome = redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)
        assert outcome is not None
        assert outcome.withheld == 0
    assert (stored.letters, stored.rows) == (before, rows)
    assert leaks(stored, "") == []


def token(text: str) -> str:
    """Return the token of a text, by another way than the pipeline's."""
    return hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()


def test_rows_and_dead_letters_have_the_same_tokens() -> None:
    stored = Stored()
    good, bad = person(), person(id="no")
    send(pipeline_of(stored, datasets()), as_json(good), as_json(bad))
    (row,), (letter,) = stored.rows, stored.letters
    shown = json.loads(letter["payload"])
    assert row["email"] == shown["email"] == token(f"{MARK}@x")
    assert row["card"] == shown["card"] == token(f'{{"number":"{MARK}"}}')
    assert row["lines"][0]["who"] == shown["lines"][0]["who"] == token(MARK)
    assert row["lines"][1]["who"] is None
    assert shown["lines"][1]["who"] is None
    assert (row["name"], shown["@name"], row["level"], shown["phone"]) == ("***",) * 4
    assert "phone" not in row
    assert row["places"] == [("home", {"n": 1})]
    assert shown["places"] == {"home": {"street": "***", "n": 1}}
    assert letter["redacted"] == [
        "$.email",
        '$["@name"]',
        "$.phone",
        "$.level",
        "$.card",
        "$.tags",
        "$.lines[].who",
        "$.places.home.street",
    ]
    assert letter["private_key"] == "default"
    assert letter["partition_key"] == f"hmac:{token(MARK)}"


def test_without_the_original_a_dead_letter_stays_where_it_is() -> None:
    stored = Stored()
    pipeline = pipeline_of(stored, datasets("digest"))
    send(pipeline, as_json(person(id="no")))
    (letter,) = stored.letters
    assert "sealed" not in letter
    assert len(letter["digest"]) == 64
    (key,) = redrivable(stored.dead_letters)
    outcome = redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)
    assert outcome is not None
    assert (outcome.withheld, outcome.waiting, outcome.reports) == (1, 0, ())
    assert stored.letters == [letter]


def test_a_key_is_rotated_by_its_name() -> None:
    stored = Stored()
    send(pipeline_of(stored, datasets(), keys=KEYS), as_json(person(id="no")))
    both = read_keys(json.dumps({"current": "new", "new": "n" * 32, "default": SECRET}), "it")
    again = pipeline_of(stored, datasets(), keys=both)
    (key,) = redrivable(stored.dead_letters)
    redrive_letters(stored.dead_letters, key, again, lambda _: True, dry_run=False)
    (letter,) = stored.letters
    assert letter["private_key"] == "new"
    alone = pipeline_of(stored, datasets(), keys=KEYS)
    with pytest.raises(
        Exception, match="sealed with the key 'new', and the secret has 'default' only"
    ):
        redrive_letters(stored.dead_letters, key, alone, lambda _: True, dry_run=False)


def test_nothing_that_is_sealed_opens_in_another_dead_letter() -> None:
    stored = Stored()
    pipeline = pipeline_of(stored, datasets())
    send(pipeline, as_json(person(id="no")))
    (key,) = redrivable(stored.dead_letters)
    body = gzip.decompress(stored.dead_letters.get(key))
    stored.dead_letters.put(key, gzip.compress(body.replace(b'"document":0', b'"document":1')))
    with pytest.raises(Exception, match="does not open with the key 'default'"):
        redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)


def test_datasets_without_private_fields_keep_what_they_had() -> None:
    """A stream with no private field stores the same objects, with a key and without."""
    stored, without = Stored(), Stored()
    others = datasets()[1:]
    records = [b'{"x": "no"}', b'{"x": 1, "email": "a"}', b"{"]
    send(pipeline_of(stored, others), *records, partition_key="a")
    plain = pipeline_of(without, others)
    send(
        type(plain)(plain.router, plain.limits, plain.output, plain.dead_letters),
        *records,
        partition_key="a",
    )
    assert stored.objects == without.objects


@pytest.mark.parametrize("how", ["encrypt", "digest"])
def test_a_redrive_that_is_stopped_anywhere_tells_nothing_and_loses_nothing(how: str) -> None:
    """Stopped at each write in turn, then run again to its end, over a dataset that was mended."""
    bad = [as_json(person(id=f"no {number}")) for number in range(3)]
    mended = [
        dataset(
            *(each | {"type": "string"} if each["name"] == "id" else each for each in FIELDS),
            config=f'dead_letter_private = "{how}"\n{PEOPLE}',
            name="people",
        )
    ]
    expected, stop = 3 if how == "encrypt" else 0, 0
    while True:
        stop += 1
        stored = Stored()
        send(pipeline_of(stored, datasets(how)), *bad, as_json({"type": "person", "id": []}))
        stored.dead_letters = store = _Stops(stored.dead_letters, stop)
        (key,) = redrivable(store)
        pipeline = pipeline_of(stored, mended)
        try:
            redrive_letters(store, key, pipeline, lambda _: True, dry_run=False)
        except KeyboardInterrupt:
            store.left = -1
            for again in redrivable(store):
                redrive_letters(store, again, pipeline, lambda _: True, dry_run=False)
        else:
            break
        assert len({row["id"] for row in stored.rows}) == len(stored.rows) == expected
        assert leaks(stored, "") == []
    assert stop > 2


class _Stops(MemoryStore):
    """A store whose n-th write stops the program, before it is done."""

    def __init__(self, before: MemoryStore, left: int) -> None:
        super().__init__()
        self.objects.update(before.objects)
        self.left = left

    def put(self, key: str, body: bytes) -> None:
        self._count()
        super().put(key, body)

    def delete(self, key: str) -> None:
        self._count()
        super().delete(key)

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_an_original_opens_as_the_page_says_by_anyone_who_has_the_key() -> None:
    stored = Stored()
    document = as_json(person(id="no"))
    send(pipeline_of(stored, datasets()), document, partition_key="their key")
    (letter,) = stored.letters
    secret = hmac.new(
        SECRET.encode(), b"kinesis-s3-pipeline: sealed originals of dead letters", "sha512"
    )
    place = [
        letter[name] for name in ("source", "sequence_number", "sub_sequence_number", "document")
    ]
    opened = AESSIV(secret.digest()).decrypt(base64.b64decode(letter["sealed"]), [as_json(place)])
    head, payload = zlib.decompress(opened).split(b"\n", 1)
    assert json.loads(head) == {"partition_key": "their key"}
    assert payload == document


# --------------------------------------------------------------------- payloads that are not JSON

WRITER = {
    "type": "record",
    "name": "Person",
    "fields": [
        {"name": "type", "type": "string"},
        {"name": "id", "type": ["long", "string", "null"]},
        {"name": "email", "type": ["null", "string", "bytes"]},
        {"name": "tags", "type": ["null", {"type": "map", "values": "string"}]},
        {"name": "note", "type": ["null", "string", {"type": "map", "values": "string"}]},
    ],
}
IN_AVRO = '[payload]\nformat = "avro"\nframing = "none"\nschemas = "_w"\nschema = "1.avsc"\n'
NOTES = [None, "", json.dumps({"email": MARK}), {"email": MARK}]


def avro(schema: Any, value: Any) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), value)
    return buffer.getvalue()


@st.composite
def people_in_avro(draw: DrawFn) -> bytes:
    """Draw a person as Avro, good, bad or cut."""
    person = {
        "type": draw(st.sampled_from(["person", "another"])),
        "id": draw(st.sampled_from([1, "no", None])),
        "email": draw(st.sampled_from([f"{MARK}@", MARK, MARK.encode(), None])),
        "tags": draw(st.sampled_from([None, {MARK: MARK}])),
        "note": draw(st.sampled_from(NOTES)),
    }
    body = avro(WRITER, person)
    return body[: draw(st.sampled_from([len(body), len(body), len(body) - 1]))]


def in_avro(folder: Path, pipeline: Pipeline, schema: Any) -> Pipeline:
    """Return a pipeline for payloads of a schema."""
    (folder / "_w").mkdir(exist_ok=True)
    (folder / "_w" / "1.avsc").write_text(json.dumps(schema))
    payload = parse_stream(IN_AVRO, "stream.toml").payload
    return msgspec.structs.replace(pipeline, decoder=open_decoder(payload, folder))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(people_in_avro(), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from(["encrypt", "digest"]),
    st.booleans(),
)
def test_private_values_of_avro_are_nowhere_either(
    tmp_path_factory: pytest.TempPathFactory,
    bodies: list[bytes],
    by_rows: bool,
    how: str,
    aggregated: bool,
) -> None:
    stored, folder = Stored(), tmp_path_factory.mktemp("s")
    pipeline = in_avro(folder, pipeline_of(stored, datasets(how), by_rows=by_rows), WRITER)
    records = [aggregate([UserRecord(MARK, body) for body in bodies])] if aggregated else bodies
    log = send(pipeline, *records)
    assert len(stored.rows) + len(stored.letters) == len(bodies)
    before = stored.verdicts
    for key in redrivable(stored.dead_letters):
        redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)
    assert (stored.verdicts, leaks(stored, log)) == (before, [])


def test_avro_whose_bytes_happen_to_be_json_is_withheld_too(tmp_path: Path) -> None:
    fields = [{"name": "id", "type": "long"}, {"name": "email", "type": "string"}]
    body = avro(record("Person", *fields), {"id": -62, "email": f'{MARK}":1 }}'})
    assert json.loads(body) == {MARK: 1}
    stored, how = Stored(), {"privacy": "hash"}
    for minimum in (0, -99):
        made = [dataset(fields[0] | {"minimum": minimum}, fields[1] | how, name="people")]
        pipeline = in_avro(tmp_path, pipeline_of(stored, made), record("Person", *fields))
        if not minimum:
            log = send(pipeline, body)
            assert leaks(stored, log) == []
            assert stored.letters[0]["redacted"] == ["$"]
    (key,) = redrivable(stored.dead_letters)
    redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)
    (row,) = stored.rows
    assert (row["id"], row["email"], row["_document"]) == (-62, token(f'{MARK}":1 }}'), 0)

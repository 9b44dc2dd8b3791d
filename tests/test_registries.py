"""Streams whose writers' schemas are in a registry; the makers' own serializers write the payloads."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws_schema_registry import DataAndSchema, SchemaRegistryClient
from aws_schema_registry.avro import AvroSchema as GlueAvro
from aws_schema_registry.serde import KafkaSerializer
from confluent_kafka.schema_registry import Schema, SchemaReference
from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fake_registry import FakeRegistry, running_registry
from google.protobuf import duration_pb2, json_format, struct_pb2, timestamp_pb2
from moto import mock_aws
from support import FAST_PATHS, PLAIN, Stored, dataset, kinesis_event, letter_payload

from pipeline.adapters.registry import ConfluentRegistry
from pipeline.adapters.schemas import read_stream
from pipeline.adapters.telemetry import Telemetry
from pipeline.adapters.writer_schemas import RegisteredSchemas, open_decoder
from pipeline.core.binary.decoder import Asked, Decoder
from pipeline.core.errors import DatasetError, RegistryRefused, RegistryUnavailable
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.payload_format import Format, read_payload_format
from pipeline.core.records import Limits, Violation
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.handlers import respond
from pipeline.producer.checks import Check
from pipeline.producer.outcomes import DocumentRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

THING = {
    "type": "record",
    "name": "shop.Thing",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "placed", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}  # fmt: skip
VALUE = {
    "id": 7,
    "total": Decimal("12.50"),
    "placed": datetime(2026, 11, 27, 9, 30, tzinfo=UTC),
    "note": None,
}
THINGS = dataset(*THING["fields"])  # type: ignore[arg-type]
DOCUMENT = {"id": 7, "total": 12.5, "placed": "2026-11-27T09:30:00.000Z", "note": None}


class Context:
    aws_request_id = "r"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with running_registry() as running:
        yield running


def no_pause(_: float) -> None:
    """Wait for nothing."""


def confluent_payload(registry: FakeRegistry, value: Any = VALUE, schema: Any = None) -> bytes:
    """Let Confluent's own serializer register the schema, and write a value with it."""
    with ConfluentClient({"url": registry.url}) as client:
        serialize = AvroSerializer(client, schema or json.dumps(THING))
        payload = serialize(value, SerializationContext("things", MessageField.VALUE))
    assert isinstance(payload, bytes)
    return payload


def schemas_of(registry: FakeRegistry, cache: Path, **settings: Any) -> RegisteredSchemas:
    client = ConfluentRegistry(registry.url, pause=no_pause)
    return RegisteredSchemas(client, Format.AVRO, cache=cache, **settings)


def decoder_of(schemas: RegisteredSchemas) -> Decoder:
    payload_format, faults = read_payload_format(
        {"format": "avro", "framing": "confluent", "registry": "http://localhost"}, "stream.toml"
    )
    assert payload_format is not None, faults
    return Decoder(payload_format, schemas.find)


def decoded(decoder: Decoder, payload: bytes) -> Any:
    found, _ = decoder.decode(payload, Limits(), 2**20, Asked())
    return found if isinstance(found, Violation) else json.loads(found)


def deliver(decoder: Decoder, *payloads: bytes) -> tuple[Stored, Any]:
    stored = Stored()
    pipeline = Pipeline(
        Router([THINGS]), PLAIN, stored.output, stored.dead_letters, FAST_PATHS, decoder=decoder
    )
    lines = list[str]()
    telemetry = Telemetry(lines.append, lambda: 0.0)
    return stored, respond(kinesis_event(payloads), Context(), pipeline, 1.0, telemetry)


def test_confluents_own_payload_is_a_row_and_its_schema_is_fetched_once(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    payload = confluent_payload(registry)
    registry.requests.clear()
    decoder = decoder_of(schemas_of(registry, tmp_path / "cache"))
    stored, response = deliver(decoder, payload, payload)
    assert response == {"batchItemFailures": []}
    assert [(row["id"], row["total"], row["placed"]) for row in stored.rows] == [
        (VALUE["id"], VALUE["total"], VALUE["placed"])
    ] * 2
    assert registry.requests == ["GET /schemas/ids/1"]
    # The next process has it on disk, also where the registry is down by then.
    registry.failing = [(503, b"")] * 9
    assert decoded(decoder_of(schemas_of(registry, tmp_path / "cache")), payload) == DOCUMENT


def test_schemas_that_others_refer_to_are_fetched_with_them(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.register("thing", {"schema": json.dumps(THING)})
    pair = {
        "type": "record",
        "name": "shop.Pair",
        "fields": [{"name": "one", "type": "shop.Thing"}, {"name": "two", "type": "Thing"}],
    }
    schema = Schema(json.dumps(pair), "AVRO", [SchemaReference("shop.Thing", "thing", 1)])
    payload = confluent_payload(registry, {"one": VALUE, "two": VALUE}, schema)
    decoder = decoder_of(schemas_of(registry, tmp_path))
    assert decoded(decoder, payload) == {"one": DOCUMENT, "two": DOCUMENT}


@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        ((503, b""), "The schema registry answered 503 to URL/schemas/ids/1; it has too much to do, or fails. The batch is tried again."),
        ((429, b"{}"), "The schema registry answered 429 to URL/schemas/ids/1; it has too much to do, or fails. The batch is tried again."),
        ((500, b'{"error_code": 50001, "message": "x"}'), "The schema registry answered 500 to URL/schemas/ids/1; it has too much to do, or fails. The batch is tried again."),
        ((404, b"<html>"), "The schema registry answered 404 to URL/schemas/ids/1; see that registry in stream.toml is the URL of a schema registry."),
        ((401, b"{}"), "The schema registry answered 401 to URL/schemas/ids/1; give PIPELINE_REGISTRY_CREDENTIALS of one who may read schemas."),
        ((302, b""), "The schema registry answered 302 to URL/schemas/ids/1; see that registry in stream.toml is the URL of a schema registry."),
        ((200, b'{"schema": "{}", "references": [{"subject": "a"}]}'), "The schema registry answered to URL/schemas/ids/1 with references that have no subject and version; see that registry in stream.toml is the URL of a schema registry."),
        ((200, b'{"schema": "{}", "references": 5}'), "The schema registry answered to URL/schemas/ids/1 with references that have no subject and version; see that registry in stream.toml is the URL of a schema registry."),
        ((200, b"[1]"), "The schema registry answered 200 to URL/schemas/ids/1; see that registry in stream.toml is the URL of a schema registry."),
    ],
)  # fmt: skip
def test_a_registry_that_does_not_answer_has_the_batch_come_again(
    registry: FakeRegistry, tmp_path: Path, failing: tuple[int, bytes], sentence: str
) -> None:
    payload = confluent_payload(registry)
    registry.failing = [failing] * 3
    schemas = schemas_of(registry, tmp_path)
    stored, response = deliver(decoder_of(schemas), payload)
    first = kinesis_event([payload])["Records"][0]["kinesis"]["sequenceNumber"]
    assert response == {"batchItemFailures": [{"itemIdentifier": first}]}
    assert not stored.objects
    registry.failing = [failing] * 3
    with pytest.raises((RegistryUnavailable, RegistryRefused)) as error:
        schemas.find("1")
    assert str(error.value) == sentence.replace("URL/", f"{registry.url}/")
    registry.failing = []
    stored, response = deliver(decoder_of(schemas), payload)
    assert response == {"batchItemFailures": []}
    assert len(stored.rows) == 1


def test_a_registry_whose_answer_takes_for_ever_is_unavailable(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part comes within the time-out, and they never end."""
    registry.register("things", {"schema": json.dumps(THING)})
    monkeypatch.setattr("pipeline.adapters.registry._LONGEST_RESPONSE", -1.0)
    with pytest.raises(RegistryUnavailable) as error:
        schemas_of(registry, tmp_path).find("1")
    assert str(error.value) == (
        f"Could not ask the schema registry, {registry.url}/schemas/ids/1: its answer comes too "
        "slowly."
    )


@pytest.mark.parametrize("id_", [2**31, 2**32 - 1])
def test_an_id_that_no_registry_can_have_is_a_dead_letter_and_does_not_stop_the_shard(
    registry: FakeRegistry, tmp_path: Path, id_: int
) -> None:
    """Confluent's answers to it as to any path that it does not have."""
    good = confluent_payload(registry)
    bad = b"\0" + id_.to_bytes(4) + good[5:]
    stored, response = deliver(decoder_of(schemas_of(registry, tmp_path)), good, bad)
    assert response == {"batchItemFailures": []}
    assert [letter["reason"] for letter in stored.letters] == ["unknown_schema"]
    assert letter_payload(stored.letters[0]) == bad
    assert len(stored.rows) == 1
    assert f"GET /schemas/ids/{id_}" not in registry.requests


def test_a_producer_checks_its_payloads_by_the_registry(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = confluent_payload(registry)
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "1.avsc").write_text(json.dumps(THING))
    (tmp_path / "things" / "dataset.toml").write_text('formats = ["parquet"]\n')
    settings = f'[payload]\nformat = "avro"\nframing = "confluent"\nregistry = "{registry.url}"\n'
    (tmp_path / "stream.toml").write_text(settings)
    registry.authorization = "Basic YTpi"
    monkeypatch.setenv("PIPELINE_REGISTRY_CREDENTIALS", "a:b")
    check = Check(tmp_path)
    check(payload, "key")
    with pytest.raises(DocumentRefused, match="bad_avro"):
        check(payload[:-1], "key")


def test_a_registry_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    with running_registry() as registry:
        schemas = schemas_of(registry, tmp_path)
    with pytest.raises(RegistryUnavailable, match="see that it runs, and can be reached from here"):
        schemas.find("1")


def test_a_short_failure_is_tried_again_at_once(registry: FakeRegistry, tmp_path: Path) -> None:
    payload = confluent_payload(registry)
    registry.failing = [(503, b""), (503, b"")]
    assert decoded(decoder_of(schemas_of(registry, tmp_path)), payload) == DOCUMENT


def test_an_id_that_the_registry_does_not_know_is_a_dead_letter_until_it_does(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    payload = b"\0\0\0\0\1" + confluent_payload(registry)[5:]
    known = registry.by_id.pop(1)
    clock = [0.0]
    schemas = schemas_of(registry, tmp_path, clock=lambda: clock[0])
    decoder = decoder_of(schemas)
    registry.requests.clear()
    stored, response = deliver(decoder, payload, payload)
    assert response == {"batchItemFailures": []}
    assert [letter["reason"] for letter in stored.letters] == ["unknown_schema"] * 2
    assert letter_payload(stored.letters[0]) == payload
    assert registry.requests == ["GET /schemas/ids/1"]
    registry.by_id[1] = known
    assert isinstance(decoded(decoder, payload), Violation)
    clock[0] += 31
    assert decoded(decoder, payload) == DOCUMENT


def test_of_ids_that_nobody_knows_only_so_many_are_asked_for(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    """Else one stream record of garbage would keep a registry, and its shard, busy for hours."""
    payload = confluent_payload(registry)
    registry.requests.clear()
    garbage = [b"\0" + number.to_bytes(4) + payload[5:] for number in range(1_000, 1_150)]
    packed = aggregate(UserRecord("k", each) for each in [payload, *garbage, payload, garbage[0]])
    stored, _ = deliver(decoder_of(schemas_of(registry, tmp_path)), packed, payload)
    assert len(registry.requests) == 101
    assert len(stored.rows) == 3
    messages = [letter["message"] for letter in stored.letters]
    assert {letter["reason"] for letter in stored.letters} == {"unknown_schema"}
    assert messages[99].startswith("The payload was written with schema 1099, which is not known;")
    assert messages[100] == (
        "Before this payload, its stream record names 100 schemas that are not known, so schema "
        "1100 is not asked for; send the dead letter again."
    )
    assert messages[150] == messages[0]


def test_schemas_that_refer_to_each_other_are_fetched_once(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    refers = [{"name": name, "subject": name, "version": 1} for name in ("a", "b")]
    registry.register("a", {"schema": '"long"', "references": refers[1:]})
    registry.register("b", {"schema": '"int"', "references": refers[:1]})
    registry.requests.clear()
    found = schemas_of(registry, tmp_path).find("1")
    assert found is not None
    assert len(registry.requests) == 3


def test_references_that_are_not_a_registrys_are_refused(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    for references in ([1], [{"subject": "a"}], [{"subject": "a", "version": "x"}], 7):
        registry.by_id[1] = {"schema": '"long"', "references": references}
        with pytest.raises(RegistryRefused, match="references that have no subject and version"):
            schemas_of(registry, tmp_path).find("1")


def test_a_schema_that_cannot_be_used_is_a_dead_letter(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.register("a", {"schema": "{}", "schemaType": "JSON"})
    registry.register("b", {"schema": '{"type": "record"}'})
    decoder = decoder_of(schemas_of(registry, tmp_path))
    first, second = (decoded(decoder, b"\0\0\0\0" + bytes([id_]) + b"x") for id_ in (1, 2))
    assert first.reason == second.reason == "unusable_schema"
    assert first.message == (
        "The payload was written with schema 1, which is JSON in the registry; stream.toml says avro."
    )
    assert second.message.startswith("Schema 2 is not an Avro schema: ")


def test_credentials_go_along(registry: FakeRegistry) -> None:
    id_ = registry.register("a", {"schema": '"long"'})
    for credentials, header in (("a:b", "Basic YTpi"), ("Bearer t", "Bearer t")):
        registry.authorization = header
        found = ConfluentRegistry(registry.url, credentials, pause=no_pause).fetch(str(id_))
        assert found is not None
        assert found.text == '"long"'
    with pytest.raises(RegistryRefused):
        ConfluentRegistry(registry.url, "a:c", pause=no_pause).fetch(str(id_))


def test_memory_and_disk_are_bounded(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.adapters.writer_schemas._MOST_BYTES", 1_000)
    schemas = schemas_of(registry, tmp_path / "cache")
    for number in range(30):
        fixed = {"type": "fixed", "name": f"F{number}", "size": 1, "doc": "d" * 100}
        id_ = registry.register("a", {"schema": json.dumps(fixed)})
        assert schemas.find(str(id_)) is not None
    assert 0 < schemas._size <= 1_000
    assert 0 < sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) <= 1_000
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(b"broken")
    assert schemas_of(registry, tmp_path / "cache").find("1") is not None


FAULTS = [
    ({"framing": "confluent", "registry": "registry.example"}, "registry is the URL of a schema registry, without a password"),
    ({"framing": "confluent", "registry": "https://u:p@registry.example"}, "that is for PIPELINE_REGISTRY_CREDENTIALS."),
    ({"framing": "glue", "registry": "https://r"}, 'registry is "glue", or with a region "glue:eu-west-1".'),
    ({"framing": "none", "registry": "glue", "schemas": "_w", "schema": "a"}, "registry means nothing beside this framing"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "fault"), FAULTS)
def test_a_fault_of_the_settings_is_a_sentence(settings: dict[str, str], fault: str) -> None:
    _, faults = read_payload_format({"format": "avro"} | settings, "stream.toml")
    assert len(faults) == 1
    assert fault in faults[0]


def test_confluents_own_payload_of_protobuf_is_decoded(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    message = struct_pb2.Value(string_value="x")
    stamp = timestamp_pb2.Timestamp(seconds=1)
    wanted = []
    with ConfluentClient({"url": registry.url}) as client:
        for each in (message, stamp, duration_pb2.Duration(seconds=3)):
            serialize = ProtobufSerializer(type(each), client, {"use.deprecated.format": False})
            context = SerializationContext("things", MessageField.VALUE)
            wanted.append((serialize(each, context), json_format.MessageToDict(each)))
    table = {"format": "protobuf", "framing": "confluent", "registry": registry.url}
    payload_format, faults = read_payload_format(table, "stream.toml")
    assert payload_format is not None, faults
    decoder = open_decoder(payload_format, tmp_path)
    assert decoder is not None
    registry.requests.clear()
    for payload, expected in wanted:
        assert payload is not None
        assert decoded(decoder, payload) == expected
    assert all(request.endswith("?format=serialized") for request in registry.requests)
    assert decoded(decoder, wanted[0][0][:5] + b"\x7f").reason == "bad_protobuf"


# ---------------------------------------------------------------------------------------- Glue


@pytest.fixture
def glue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("glue", region_name="eu-central-1")
        client.create_registry(RegistryName="shop")
        client.create_schema(
            RegistryId={"RegistryName": "shop"},
            SchemaName="things-value",
            DataFormat="AVRO",
            Compatibility="NONE",
            SchemaDefinition=json.dumps(THING),
        )
        yield client


def glue_decoder(folder: Path, registry: str = "glue") -> Decoder:
    settings = f'[payload]\nformat = "avro"\nframing = "glue"\nregistry = "{registry}"\n'
    (folder / "stream.toml").write_text(settings)
    decoder = open_decoder(read_stream(folder).payload, folder)
    assert decoder is not None
    return decoder


def test_the_payload_of_awss_own_serializer_is_a_row(glue: Any, tmp_path: Path) -> None:
    client = SchemaRegistryClient(glue, registry_name="shop")
    serialize = KafkaSerializer(client)
    payload = serialize.serialize("things", DataAndSchema(VALUE, GlueAvro(json.dumps(THING))))
    stored, response = deliver(glue_decoder(tmp_path, "glue:eu-central-1"), payload)
    assert response == {"batchItemFailures": []}
    assert [(row["id"], row["total"]) for row in stored.rows] == [(7, Decimal("12.50"))]


def test_a_version_that_glue_does_not_know_is_a_dead_letter(glue: Any, tmp_path: Path) -> None:
    assert glue is not None
    payload = b"\3\0" + uuid.uuid4().bytes + b"x"
    stored, response = deliver(glue_decoder(tmp_path), payload)
    assert response == {"batchItemFailures": []}
    assert [letter["reason"] for letter in stored.letters] == ["unknown_schema"]


def test_a_secret_holds_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = (
        '[payload]\nformat = "avro"\nframing = "confluent"\nregistry = "http://127.0.0.1:1"\n'
    )
    (tmp_path / "stream.toml").write_text(settings)
    payload_format = read_stream(tmp_path).payload
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-central-1")
        seen = list[str]()

        def opened(url: str, credentials: str, *, serialized: bool) -> ConfluentRegistry:
            assert not serialized
            seen.append(credentials)
            return ConfluentRegistry(url)

        monkeypatch.setattr("pipeline.adapters.writer_schemas.ConfluentRegistry", opened)
        for text in ("a:b", '{"username": "a", "password": "b"}', '{"token": "t"}'):
            arn = client.create_secret(Name=f"s{len(seen)}", SecretString=text)["ARN"]
            assert open_decoder(payload_format, tmp_path, arn) is not None
        assert seen == ["a:b", "a:b", "Bearer t"]
        arn = client.create_secret(Name="x", SecretString="{}")["ARN"]
        with pytest.raises(DatasetError, match="is not user:password, Bearer TOKEN, or JSON"):
            open_decoder(payload_format, tmp_path, arn)

"""Protobuf to JSON; protobuf's own library writes what is read here, and has a JSON of its own."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.binary.proto import ProtobufSchema
from pipeline.core.errors import DatasetError
from pipeline.core.payload_format import Header
from pipeline.core.records import Violation

F = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "double": F.TYPE_DOUBLE, "int64": F.TYPE_INT64, "uint64": F.TYPE_UINT64, "int32": F.TYPE_INT32,
    "fixed64": F.TYPE_FIXED64, "bool": F.TYPE_BOOL, "string": F.TYPE_STRING, "bytes": F.TYPE_BYTES,
    "sint64": F.TYPE_SINT64, "float": F.TYPE_FLOAT,
}  # fmt: skip
INTEGERS = ("int64", "uint64", "fixed64", "sint64")


def shop() -> descriptor_pb2.FileDescriptorProto:
    """Return a file `shop.proto` with two messages, of which the second holds itself and maps."""
    file = descriptor_pb2.FileDescriptorProto(name="shop.proto", package="shop", syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"])
    file.message_type.add(name="First").field.add(
        name="only", number=1, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL
    )
    thing = file.message_type.add(name="Thing")
    for number, (name, kind) in enumerate(SCALARS.items(), 1):
        thing.field.add(name=f"a_{name}", number=number, type=kind, label=F.LABEL_OPTIONAL)
        thing.field.add(name=f"many_{name}", number=100 + number, type=kind, label=F.LABEL_REPEATED)
    for name, number, message in (
        ("inner", 50, ".shop.Thing"),
        ("placed", 51, ".google.protobuf.Timestamp"),
        ("wrapped", 52, ".google.protobuf.Int64Value"),
    ):
        thing.field.add(
            name=name, number=number, type=F.TYPE_MESSAGE, type_name=message, label=F.LABEL_OPTIONAL
        )
    colour = thing.enum_type.add(name="Colour")
    colour.value.add(name="RED", number=0)
    colour.value.add(name="BLUE", number=1)
    thing.field.add(
        name="colour", number=53, type=F.TYPE_ENUM, type_name=".shop.Thing.Colour", label=F.LABEL_OPTIONAL
    )  # fmt: skip
    add_counts(thing, 54, "shop")
    return file


def add_counts(thing: descriptor_pb2.DescriptorProto, number: int, package: str) -> None:
    """Add the map `counts`, of numbers by text."""
    entry = thing.nested_type.add(name="CountsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=F.TYPE_INT64, label=F.LABEL_OPTIONAL)
    type_name = f".{package}.Thing.CountsEntry"
    thing.field.add(
        name="counts", number=number, type=F.TYPE_MESSAGE, type_name=type_name, label=F.LABEL_REPEATED
    )  # fmt: skip


def descriptors(file: descriptor_pb2.FileDescriptorProto) -> bytes:
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def thing_class() -> type[Any]:
    pool = descriptor_pool.DescriptorPool()
    for module in (timestamp_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(shop().SerializeToString())
    found: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Thing"))
    return found


Thing = thing_class()
SET = descriptors(shop())


def schema(*, message: str = "shop.Thing", indexed: bool = False) -> ProtobufSchema:
    header = Header.CONFLUENT if indexed else Header.NONE
    return ProtobufSchema(SET, "s.desc", message=message, header=header)


def to_json(data: bytes, most: int = 2**20, depth: int = 256, *, indexed: bool = False) -> Any:
    found, spent = schema(message="" if indexed else "shop.Thing", indexed=indexed).to_json(
        data, most, depth
    )
    assert 0 <= spent <= most
    return found


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "double": st.floats(allow_nan=False), "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1), "int32": st.integers(-(2**31), 2**31 - 1),
    "fixed64": st.integers(0, 2**64 - 1), "bool": st.booleans(), "string": st.text(),
    "bytes": st.binary(), "sint64": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
}  # fmt: skip
FIELDS = (
    {f"a_{name}": values for name, values in VALUES.items()}
    | {f"many_{name}": st.lists(values, max_size=3) for name, values in VALUES.items()}
    | {"colour": st.integers(0, 5), "counts": st.dictionaries(st.text(), st.integers(0, 2**63 - 1), max_size=3)}
    | {"placed": st.fixed_dictionaries({"seconds": st.integers(0, 2**33)})}
    | {"wrapped": st.fixed_dictionaries({"value": st.integers(-(2**63), 2**63 - 1)})}
)  # fmt: skip
THINGS = st.recursive(
    st.fixed_dictionaries({}, optional=FIELDS),
    lambda inner: st.builds(lambda one, two: one | {"inner": two}, inner, inner),
    max_leaves=4,
)


def as_numbers(value: Any, name: str = "") -> Any:
    """Return protobuf's own JSON with its texts of integers as numbers."""
    if isinstance(value, dict):
        return {
            key: as_numbers(inner, "int64" if name == "counts" else key)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [as_numbers(item, name) for item in value]
    is_integer = name == "wrapped" or name.endswith(INTEGERS)
    return int(value) if is_integer and isinstance(value, str) else value


@given(THINGS)
def test_what_protobuf_writes_is_read_as_its_own_json_but_for_integers(fields: Any) -> None:
    message = Thing(**fields)
    found = json.loads(to_json(message.SerializeToString()))
    own = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    expected = as_numbers(own)
    for side in (found, expected):
        # protobuf's own JSON rounds a float to the digits of one; the value is the same in it.
        strip_floats(side)
    assert found == expected


def strip_floats(value: Any) -> None:
    """Replace what stands for floats of 32 bits by their value."""
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        strip_floats(inner)
        if name == "a_float":
            value[name] = as_float(inner)
        elif name == "many_float":
            value[name] = list(map(as_float, inner))


def as_float(value: Any) -> Any:
    return Thing(a_float=float(value)).a_float


@given(st.binary(max_size=200))
def test_whatever_comes_is_json_or_a_violation(data: bytes) -> None:
    for indexed in (False, True):
        found = to_json(data, indexed=indexed)
        if isinstance(found, bytes):
            json.loads(found)
        else:
            assert isinstance(found, Violation)
            assert found.reason in {"bad_protobuf", "too_deep"}


def test_indexes_name_the_message() -> None:
    first = b"\n\1x"
    assert to_json(b"\0" + first, indexed=True) == b'{"only":"x"}'
    assert (
        json.loads(to_json(b"\2\2" + Thing(a_int64=5).SerializeToString(), indexed=True))["a_int64"]
        == 5
    )
    for broken in (b"", b"\2", b"\2\4", b"\1", b"\xff\xff\xff\xff\xff\xff", b"\x80"):
        found = to_json(broken, indexed=True)
        assert isinstance(found, Violation)
        assert found.reason == "bad_protobuf"
        assert (
            "its index names a message" in found.message
            or "the index of its message is broken" in found.message
            or "the indexes of its" in found.message
        )


NESTED = {"A": {"B": {"C": {"J": {"K": {}}, "X": {"D": {"F": {"M": {}}, "G": {}}, "L": {}}}}, "I": {}, "X": {}}, "N": {}, "O": {"A": {}}}  # fmt: skip
GLUES = [
    "A", "A.B", "A.B.C", "A.B.C.J", "A.B.C.J.K", "A.B.C.X", "A.B.C.X.D", "A.B.C.X.D.F",
    "A.B.C.X.D.F.M", "A.B.C.X.D.G", "A.B.C.X.L", "A.I", "A.X", "N", "O", "O.A",
]  # fmt: skip
"""As AWS's own tests of its serializer say for messages that nest so."""


def test_glues_index_is_the_place_among_all_messages_by_their_names() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="nested.proto", package="p", syntax="proto3")

    def add(messages: Any, inside: dict[str, Any], path: str) -> None:
        for name, inner in reversed(inside.items()):
            message = messages.add(name=name)
            message.field.add(
                name=f"is_{path}{name}".replace(".", "_"), number=1, type=F.TYPE_BOOL, label=F.LABEL_OPTIONAL
            )  # fmt: skip
            add(message.nested_type, inner, f"{path}{name}.")

    add(file.message_type, NESTED, "")
    found = ProtobufSchema(descriptors(file), "s.desc", header=Header.GLUE)
    for index, name in enumerate(GLUES):
        document, _ = found.to_json(bytes([index, 8, 1]), 2**20, 256)
        assert document == b'{"is_%b":true}' % name.replace(".", "_").encode()
    for broken, problem in (
        (b"\x10", "its index names a message that the schema does not have"),
        (b"", "the index of its message is broken"),
        (b"\x80", "the index of its message is broken"),
    ):
        violation, _ = found.to_json(broken, 2**20, 256)
        assert isinstance(violation, Violation)
        assert violation.message == (
            f"The payload is not Protobuf of the schema that it names: {problem}."
        )
    # The message that a map is made of counts: First, Thing, Thing.CountsEntry.
    of_maps = ProtobufSchema(SET, "s.desc", header=Header.GLUE)
    assert of_maps.to_json(b"\x00\n\1x", 100, 9)[0] == b'{"only":"x"}'
    assert of_maps.to_json(b"\x02\n\1x", 100, 9)[0] == b'{"key":"x","value":0}'


def older() -> descriptor_pb2.FileDescriptorProto:
    """Return a file in the syntax of protobuf 2, with a text, a map by texts, and an Any."""
    file = descriptor_pb2.FileDescriptorProto(name="old.proto", package="old", syntax="proto2")
    file.dependency.append("google/protobuf/any.proto")
    thing = file.message_type.add(name="Thing")
    thing.field.add(name="text", number=1, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL)
    thing.field.add(
        name="any", number=2, type=F.TYPE_MESSAGE, type_name=".google.protobuf.Any", label=F.LABEL_OPTIONAL
    )  # fmt: skip
    add_counts(thing, 3, "old")
    return file


def test_a_text_that_is_not_utf_8_is_not_taken_for_bytes() -> None:
    """The older syntax lets it pass."""
    old = ProtobufSchema(descriptors(older()), "s.desc")
    for data in (b"\n\1\xff", b"\x1a\5\n\1\xff\x10\1"):
        found, _ = old.to_json(data, 100, 9)
        assert isinstance(found, Violation)
        assert found.message == (
            "The payload is not Protobuf of the schema that it names: a string is not UTF-8."
        )
    assert old.to_json(b"\n\2\xc3\xa9", 100, 9)[0] == '{"text":"é","counts":{}}'.encode()


def test_an_any_holds_types_of_the_schema_or_of_protobuf() -> None:
    old = ProtobufSchema(descriptors(older()), "s.desc")

    def holding(url: str, value: bytes) -> bytes:
        found = any_pb2.Any(type_url=f"type.googleapis.com/{url}", value=value)
        inner = found.SerializeToString()
        return b"\x12" + bytes([len(inner)]) + inner

    for url, value, expected in (
        ("old.Thing", b"\n\1x", {"text": "x"}),
        ("google.protobuf.Timestamp", b"\x08\1", {"value": "1970-01-01T00:00:01Z"}),
    ):
        found, _ = old.to_json(holding(url, value), 1_000, 9)
        assert isinstance(found, bytes)
        assert json.loads(found)["any"] == {"@type": f"type.googleapis.com/{url}"} | expected
    unknown, _ = old.to_json(holding("old.Other", b""), 1_000, 9)
    assert isinstance(unknown, Violation)
    assert unknown.message == (
        "The payload is not Protobuf of the schema that it names: a google.protobuf.Any has no "
        "value in JSON, as what it holds cannot be read by these descriptors."
    )


def test_hostile_messages_are_bounded() -> None:
    deep = b""
    for _ in range(60):
        deep = Thing(inner=Thing.FromString(deep)).SerializeToString()
    assert to_json(deep, depth=50).reason == "too_deep"
    very_deep = b"\x92\x03\xff\x7f" * 10_000
    assert to_json(very_deep).reason == "bad_protobuf"
    empty = Thing(many_bool=[False] * 1_000)
    found = to_json(empty.SerializeToString(), most=500)
    assert found.reason == "document_too_large"
    assert found.message == "The payload has, or becomes as JSON, more than 500 bytes."


@pytest.mark.parametrize(
    ("files", "message", "problem"),
    [
        (b"\xff\xff", "", "DecodeError"),
        (b"", "", "it holds no file"),
        (SET, "", "shop.proto has 2 messages, so message has to say which is meant"),
        (SET, "shop.Other", "KeyError"),
        (base64.b64encode(SET), "", "DecodeError"),
    ],
)
def test_descriptors_that_cannot_be_used_are_told(files: bytes, message: str, problem: str) -> None:
    with pytest.raises(DatasetError) as error:
        ProtobufSchema(files, "s.desc", message=message)
    assert (
        str(error.value) == f"s.desc is not a set of descriptors as protoc makes them: {problem}."
    )


def test_a_message_that_is_longer_than_its_document_may_be_is_not_even_parsed() -> None:
    """In memory each two bytes of it may be a message of a kilobyte."""
    empty = Thing(many_string=[""] * 300).SerializeToString()
    assert to_json(empty, most=len(empty) - 1).reason == "document_too_large"
    unknown = b"\xf8\x7f\0" * 100  # a field that the schema does not have
    assert to_json(unknown, most=299).reason == "document_too_large"

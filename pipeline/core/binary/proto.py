"""Protobuf's messages to exact JSON, by the descriptors that they were written with.

Names are those of the .proto file. What JSON has no type for is written as datasets read it:

    int64, uint64, fixed64       a number, digit for digit; not protobuf's text
    bytes                        base64
    enum                         its name; a number that has none, as a number
    NaN, Infinity                the text "NaN", "Infinity", "-Infinity"
    map                          an object
    google.protobuf.Timestamp    2026-11-27T09:30:00.250Z
    its wrappers                 the value alone
    its Duration, Struct, Any …  as protobuf's own JSON has them

A field that can say that it is not there is left out if it is not; any other has its default.
"""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import pybase64
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import DecodeError, Message

from pipeline.core.errors import DatasetError
from pipeline.core.payload_format import Header
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation

_MORE, _BITS = 0x80, 0x7F
_MOST_INDEXES = 16
_WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_SPECIAL = "google.protobuf."


class _Broken(Exception):
    """The bytes are not such a message; the text says why, and quotes nothing of them."""


class _TooMuch(Exception):
    """The message would become more than it may."""


class _TooDeep(Exception):
    """The message nests deeper than it may."""


class ProtobufSchema:
    """The descriptors of a file and of those it imports, ready to read with."""

    def __init__(
        self, files: bytes, where: str, *, message: str = "", header: Header = Header.NONE
    ) -> None:
        """Take a `FileDescriptorSet` whose last file is the one that is meant.

        Behind a header, what stands before each value says which message of the file it is. Else it
        is the `message`, by its full name, or the file's only one. Raises `DatasetError`.
        """
        self._defaults: dict[str, Defaults] = {}
        try:
            file = _loaded(files)
            self._header = header
            self._top = list(file.message_types_by_name.values())
            self._sorted = _sorted(self._top) if header is Header.GLUE else []
            self._class = _class_of(_named(file, message)) if header is Header.NONE else None
        except (DecodeError, TypeError, KeyError, ValueError) as error:
            # The library's own texts are long, and quote descriptors.
            problem = error if isinstance(error, _Unusable) else type(error).__name__
            fault = f"{where} is not a set of descriptors as protoc makes them: {problem}."
            raise DatasetError(fault) from None

    def to_json(self, data: bytes, most: int, depth: int) -> tuple[bytes | Violation, int]:
        """Return a value as JSON, or what is wrong, and how much of `most` was spent on it."""
        walker = _Walker(most, self._defaults)
        found: bytes | Violation
        try:
            found = msgspec.json.encode(walker.members(self._parsed(data, most), depth))
            walker.spend(max(0, len(found) - walker.spent))
        except (_Broken, DecodeError) as error:
            problem = str(error) if isinstance(error, _Broken) else "it cannot be parsed"
            message = f"The payload is not Protobuf of the schema that it names: {problem}."
            found = Violation(Reason.BAD_PROTOBUF, message)
        except _TooMuch:
            message = f"The payload has, or becomes as JSON, more than {most} bytes."
            found = Violation(Reason.DOCUMENT_TOO_LARGE, message)
        except _TooDeep:
            found = Violation(Reason.TOO_DEEP, f"The value nests deeper than {depth} levels.")
        return found, min(most, walker.spent)

    def _parsed(self, data: bytes, most: int) -> Message:
        # In memory, two bytes of it may be a message of a kilobyte.
        if len(data) > most:
            raise _TooMuch
        if self._class is not None:
            return self._class.FromString(data)
        descriptor: Any = None
        if self._header is Header.GLUE:
            index, start = _varint(data, 0)
            descriptor = _at(self._sorted, index)
        else:
            indexes, start = _read_indexes(data)
            inside: Sequence[Descriptor] = self._top
            for index in indexes:
                descriptor = _at(inside, index)
                inside = descriptor.nested_types
        return _class_of(descriptor).FromString(data[start:])


def set_of(files: Sequence[str], where: str) -> bytes:
    """Return the set of files that are each given as base64. Raises `DatasetError`."""
    found = descriptor_pb2.FileDescriptorSet()
    try:
        for text in files:
            found.file.add().ParseFromString(pybase64.b64decode(text, validate=True))
    except (DecodeError, ValueError):
        fault = (
            f"{where} is not base64 of the descriptors that a registry has, as Confluent's does."
        )
        raise DatasetError(fault) from None
    return found.SerializeToString()


class _Unusable(ValueError):
    """Why descriptors cannot be used, as the end of a sentence."""


def _loaded(files: bytes) -> FileDescriptor:
    """Return the last file of a set, with what it imports in a pool of its own."""
    pool, found = descriptor_pool.DescriptorPool(), descriptor_pb2.FileDescriptorSet()
    found.ParseFromString(files)
    names = {file.name for file in found.file}
    if not names:
        message = "it holds no file"
        raise _Unusable(message)
    for file in found.file:
        for imported in file.dependency:
            _add_well_known(pool, imported, names)
        pool.Add(file)
    return pool.FindFileByName(found.file[-1].name)


def _add_well_known(pool: descriptor_pool.DescriptorPool, name: str, names: set[str]) -> None:
    """Add a file that comes with protobuf, where a set was made without its imports."""
    if name in names or not name.startswith("google/protobuf/"):
        return
    names.add(name)
    module = name.rpartition("/")[2].removesuffix(".proto")
    try:
        imported = __import__(f"google.protobuf.{module}_pb2", fromlist=["DESCRIPTOR"])
    except ImportError:
        return
    file = descriptor_pb2.FileDescriptorProto()
    imported.DESCRIPTOR.CopyToProto(file)
    for inner in file.dependency:
        _add_well_known(pool, inner, names)
    pool.Add(file)


def _named(file: FileDescriptor, message: str) -> Descriptor:
    if message:
        return file.pool.FindMessageTypeByName(message)
    found = list(file.message_types_by_name.values())
    if len(found) != 1:
        fault = f"{file.name} has {len(found)} messages, so message has to say which is meant"
        raise _Unusable(fault)
    return found[0]


def _sorted(top: Sequence[Descriptor]) -> list[Descriptor]:
    """Return all messages of a file, by their full names: Glue's index is the place among these.

    Those that maps are made of count, too. A file's imports do not.
    """
    found = list(top)
    for message in found:  # which grows by what is inside
        found += message.nested_types
    return sorted(found, key=attrgetter("full_name"))


def _at(messages: Sequence[Descriptor], index: int) -> Descriptor:
    if not 0 <= index < len(messages):
        message = "its index names a message that the schema does not have"
        raise _Broken(message)
    return messages[index]


def _class_of(descriptor: Descriptor) -> type[Message]:
    found: type[Message] = message_factory.GetMessageClass(descriptor)
    return found


def _read_indexes(data: bytes) -> tuple[list[int], int]:
    """Read which message of a file follows: a count, and as many indexes; 0 alone is the first."""
    count, start = _signed(data, 0)
    if not 0 <= count <= _MOST_INDEXES:
        message = "the indexes of its message are broken"
        raise _Broken(message)
    indexes = list[int]()
    for _ in range(count):
        index, start = _signed(data, start)
        indexes.append(index)
    return indexes or [0], start


def _signed(data: bytes, start: int) -> tuple[int, int]:
    """Read a number that is written as protobuf's sint32."""
    number, end = _varint(data, start)
    return (number >> 1) ^ -(number & 1), end


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Read a number that is written as protobuf's uint32."""
    number, shift = 0, 0
    for offset in range(start, min(len(data), start + 5)):
        number |= (data[offset] & _BITS) << shift
        if not data[offset] & _MORE:
            return number, offset + 1
        shift += 7
    message = "the index of its message is broken"
    raise _Broken(message)


# ------------------------------------------------------------------------------- messages to JSON


Defaults = tuple[dict[str, Any], int, dict[str, int]]
"""Of the fields of a message that have no presence, and how much at least they are in JSON; and
the places of all fields, in the order of the schema."""


class _Walker:
    """Turns a message into what JSON has, and counts how much at least that becomes."""

    def __init__(self, most: int, defaults: dict[str, Defaults]) -> None:
        """Go up to `most`, and keep the defaults of each message of the schema."""
        self._most = most
        self._defaults = defaults
        self.spent = 0

    def spend(self, count: int) -> None:
        self.spent += count
        if self.spent > self._most:
            raise _TooMuch

    def members(self, message: Message, depth: int) -> Any:
        """Return a message's fields by their names; of a well-known type, its value."""
        if depth <= 0:
            raise _TooDeep
        self.spend(2)
        name = message.DESCRIPTOR.full_name
        if name in _WRAPPERS:
            field = message.DESCRIPTOR.fields[0]
            return self._value(field, getattr(message, field.name), depth)
        if name.startswith(_SPECIAL):
            return self._well_known(message)
        defaults, cost, places = self._defaults_of(message)
        self.spend(cost)
        members = dict(defaults)
        for field, value in message.ListFields():
            if field.is_extension:
                continue
            if field.name not in defaults:
                self.spend(len(field.name) + 4)
            members[field.name] = self._field(field, value, depth)
        if len(members) == len(defaults):
            return members
        return {name: members[name] for name in sorted(members, key=places.__getitem__)}

    def _defaults_of(self, message: Message) -> Defaults:
        """Return what the fields are that cannot say that they are not there, and what it costs.

        A message of no bytes may have hundreds of fields: none is looked at for each.
        """
        descriptor: Any = message.DESCRIPTOR
        found = self._defaults.get(descriptor.full_name)
        if found is None:
            fields = [field for field in descriptor.fields if not field.has_presence]
            values = {field.name: _default_of(field) for field in fields}
            cost = sum(len(field.name) + 4 + (not field.is_repeated) for field in fields)
            places = {field.name: place for place, field in enumerate(descriptor.fields)}
            found = self._defaults[descriptor.full_name] = values, cost, places
        return found

    def _well_known(self, message: Message) -> Any:
        self.spend(message.ByteSize())
        # What an Any holds is of the schema's own types, or comes with protobuf.
        pools: tuple[Any, ...] = (message.DESCRIPTOR.file.pool, descriptor_pool.Default())
        for pool in pools:
            with contextlib.suppress(json_format.Error, ValueError, TypeError):
                return json_format.MessageToDict(
                    message, preserving_proto_field_name=True, descriptor_pool=pool
                )
        fault = f"a {message.DESCRIPTOR.full_name} has no value in JSON"
        if message.DESCRIPTOR.full_name == f"{_SPECIAL}Any":
            fault = f"{fault}, as what it holds cannot be read by these descriptors"
        raise _Broken(fault)

    def _field(self, field: Any, value: Any, depth: int) -> Any:
        if not field.is_repeated:
            return self._value(field, value, depth)
        if depth <= 1:
            raise _TooDeep
        self.spend(2 * len(value))
        if not _is_map(field):
            return [self._value(field, item, depth - 1) for item in value]
        inner = field.message_type.fields_by_name["value"]
        found = dict[str, Any]()
        for key in value:
            name = str(key).lower() if isinstance(key, bool) else str(_text(key))
            self.spend(len(name))
            found[name] = self._value(inner, value[key], depth - 1)
        return found

    def _value(self, field: Any, value: Any, depth: int) -> Any:
        if field.message_type is not None:
            return self.members(value, depth - 1)
        convert = _CONVERSIONS.get(field.type)
        found = _text(value) if convert is None else convert(field, value)
        self.spend(len(found) if isinstance(found, str) else 1)
        return found


def _default_of(field: Any) -> Any:
    """Return what JSON has for a field without a value."""
    if field.is_repeated:
        return {} if _is_map(field) else []
    convert = _CONVERSIONS.get(field.type)
    return field.default_value if convert is None else convert(field, field.default_value)


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _text(value: Any) -> Any:
    """Return a value that is not of bytes; protobuf's older syntax lets a text be of any."""
    if isinstance(value, bytes):
        message = "a string is not UTF-8"
        raise _Broken(message)
    return value


def _finite(_: FieldDescriptor, value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _base64(_: FieldDescriptor, value: bytes) -> str:
    return pybase64.b64encode_as_string(value)


def _symbol(field: FieldDescriptor, value: int) -> str | int:
    known = field.enum_type.values_by_number.get(value) if field.enum_type else None
    return value if known is None else known.name


_CONVERSIONS: Mapping[int, Callable[[FieldDescriptor, Any], Any]] = {
    FieldDescriptor.TYPE_FLOAT: _finite,
    FieldDescriptor.TYPE_DOUBLE: _finite,
    FieldDescriptor.TYPE_BYTES: _base64,
    FieldDescriptor.TYPE_ENUM: _symbol,
}

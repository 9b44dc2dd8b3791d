"""The schemas that payloads were written with: of a folder, and of a registry.

In the folder that [payload] of stream.toml names, each is a file named by its id: 17.avsc for
Confluent, 0b6f5a60-….avsc for Glue. All are read at the start, so that what cannot be used is told
there. What the folder does not have is asked of the registry, if there is one, once for each id: it
stays in memory, and in Lambda on disk, for the next process there.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from pipeline.adapters.registry import ConfluentRegistry, Registered
from pipeline.core.binary.avro import AvroSchema
from pipeline.core.binary.decoder import Decoder, WriterSchema
from pipeline.core.errors import DatasetError
from pipeline.core.payload_format import SUFFIX, Format, Header, PayloadFormat
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation

_MOST_BYTES = 16 * 2**20
"""Of schemas' texts that are kept in memory, and again on disk."""
_REMEMBERED = 30.0
"""Seconds for which an id is unknown without asking again; it may be registered by then."""
_MOST_UNKNOWN = 10_000


class Registry(Protocol):
    """A schema registry. What it cannot do is a `StoreError`: it is outside, as stores are."""

    url: str

    def fetch(self, name: str) -> Registered | None:
        """Return the schema of an id; None where the registry says that there is none."""


def open_decoder(
    payload_format: PayloadFormat | None, folder: Path, credentials: str = ""
) -> Decoder | None:
    """Return what decodes a stream's payloads, where they are not JSON.

    `folder` is that of stream.toml, `credentials` the registry's. Raises `DatasetError` with every
    fault of the schemas.
    """
    if payload_format is None:
        return None
    files = _read(folder / payload_format.schemas, payload_format) if payload_format.schemas else {}
    if not payload_format.registry:
        return Decoder(payload_format, files.get)
    registry = _open_registry(payload_format, credentials)
    return Decoder(payload_format, RegisteredSchemas(registry, payload_format.format, files).find)


def _open_registry(payload_format: PayloadFormat, credentials: str) -> Registry:
    if payload_format.header is Header.GLUE:
        from pipeline.adapters.aws.glue_registry import GlueRegistry  # noqa: PLC0415 - boto3

        return GlueRegistry(payload_format.registry.partition(":")[2] or None)
    serialized = payload_format.format is Format.PROTOBUF
    return ConfluentRegistry(payload_format.registry, _clear(credentials), serialized=serialized)


def _clear(credentials: str) -> str:
    """Return credentials, those in a secret as its text says: plain, or as JSON."""
    if not credentials.startswith("arn:"):
        return credentials
    from pipeline.adapters.aws.secrets import read_secret  # noqa: PLC0415 - boto3

    text = read_secret(credentials)
    try:
        secret = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    match secret:
        case {"token": str(token)}:
            return f"Bearer {token}"
        case {"username": str(user), "password": str(password)}:
            return f"{user}:{password}"
    message = (
        f"The secret {credentials} is not user:password, Bearer TOKEN, or JSON with username and "
        "password, or with token."
    )
    raise DatasetError(message)


class RegisteredSchemas:
    """Schemas of a registry, and before them those of files."""

    def __init__(
        self,
        registry: Registry,
        format_: Format,
        files: Mapping[str, WriterSchema] | None = None,
        *,
        cache: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep what was fetched in the folder `cache`; by default in one where Lambda runs this."""
        self._registry = registry
        self._format = format_
        self._files = files or {}
        self._disk = _Disk(cache or _cache_of(registry.url))
        self._clock = clock
        self._known = OrderedDict[str, tuple[WriterSchema | Violation, int]]()
        self._size = 0
        self._unknown = OrderedDict[str, float]()

    def find(self, name: str) -> WriterSchema | Violation | None:
        """Return a schema by its id. Raises `StoreError` where the registry cannot be asked."""
        schema = self._files.get(name)
        if schema is not None:
            return schema
        known = self._known.get(name)
        if known is not None:
            self._known.move_to_end(name)
            return known[0]
        if self._unknown.get(name, 0.0) > self._clock():
            return None
        registered = self._disk.read(name)
        if registered is None:
            registered = self._registry.fetch(name)
            if registered is None:
                self._note_unknown(name)
                return None
            self._disk.write(name, registered)
        return self._keep(name, registered)

    def _note_unknown(self, name: str) -> None:
        self._unknown[name] = self._clock() + _REMEMBERED
        if len(self._unknown) > _MOST_UNKNOWN:
            self._unknown.popitem(last=False)

    def _keep(self, name: str, registered: Registered) -> WriterSchema | Violation:
        """Keep a schema in memory, and let go of those that were not used for longest."""
        compiled = _compiled(name, registered, self._format)
        size = len(registered.text) + sum(map(len, registered.references))
        self._known[name] = compiled, size
        self._size += size
        while self._size > _MOST_BYTES and len(self._known) > 1:
            _, (_, gone) = self._known.popitem(last=False)
            self._size -= gone
        return compiled


def _compiled(name: str, registered: Registered, format_: Format) -> WriterSchema | Violation:
    if registered.format.lower() != format_:
        return Violation(
            Reason.UNUSABLE_SCHEMA,
            f"The payload was written with schema {name}, which is {registered.format} in the "
            f"registry; stream.toml says {format_}.",
        )
    where = f"Schema {name}"
    try:
        if format_ is Format.PROTOBUF:
            return _descriptors(registered, where)
        return AvroSchema(registered.text, where, registered.references)
    except DatasetError as error:
        return Violation(Reason.UNUSABLE_SCHEMA, f"{error} The payload was written with it.")


def _descriptors(registered: Registered, where: str) -> WriterSchema:
    """Read the descriptors of a schema and those it refers to, each base64 as a registry has it."""
    from pipeline.core.binary.proto import ProtobufSchema, set_of  # noqa: PLC0415 - 20 ms

    files = set_of([*registered.references, registered.text], where)
    return ProtobufSchema(files, where, header=Header.CONFLUENT)


class _Disk:
    """Schemas in files, of so many bytes together. No fault of a disk ever matters."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, name: str) -> Registered | None:
        if self._folder is None:
            return None
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return _registered.decode((self._folder / f"{name}.json").read_bytes())
        return None

    def write(self, name: str, registered: Registered) -> None:
        if self._folder is None:
            return
        body = msgspec.json.encode(registered)
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            size = sum(path.stat().st_size for path in self._folder.glob("*.json"))
            if size + len(body) <= _MOST_BYTES:
                written = self._folder / f"{name}.{os.getpid()}"
                written.write_bytes(body)
                written.replace(self._folder / f"{name}.json")


_registered = msgspec.json.Decoder(Registered)


def _cache_of(url: str) -> Path | None:
    """Return the folder of a registry, in Lambda, whose disk is the function's own.

    Elsewhere it would outlive a registry, which may come back with other schemas by the same ids.
    """
    if "AWS_LAMBDA_RUNTIME_API" not in os.environ:
        return None
    return Path(tempfile.gettempdir()) / "schemas" / hashlib.sha256(url.encode()).hexdigest()[:16]


def _read_schema(path: Path, payload_format: PayloadFormat) -> WriterSchema:
    if payload_format.format is Format.AVRO:
        return AvroSchema(path.read_text("utf-8"), str(path))
    from pipeline.core.binary.proto import ProtobufSchema  # noqa: PLC0415 - 20 ms

    message, header = payload_format.message, payload_format.header
    return ProtobufSchema(path.read_bytes(), str(path), message=message, header=header)


def _read(folder: Path, payload_format: PayloadFormat) -> Mapping[str, WriterSchema]:
    """Read the schemas of a folder by their ids; the one without a header has the id ""."""
    if not folder.is_dir():
        message = f"{folder} is not a directory; [payload] of stream.toml names it for schemas."
        raise DatasetError(message)
    suffix = SUFFIX[payload_format.format]
    files = {path.name.removesuffix(suffix): path for path in sorted(folder.glob(f"*{suffix}"))}
    if payload_format.header is Header.NONE:
        files = {"": folder / payload_format.schema}
    schemas, faults = dict[str, WriterSchema](), list[str]()
    for name, path in files.items():
        try:
            schemas[name] = _read_schema(path, payload_format)
        except DatasetError as error:
            faults.append(str(error))
        except UnicodeDecodeError as error:
            faults.append(f"{path} is not UTF-8 (byte {error.start}).")
        except OSError as error:
            faults.append(f"{path} cannot be read: {error.strerror}.")
    if faults:
        raise DatasetError("\n".join(faults))
    return schemas

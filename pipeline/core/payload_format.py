"""`[payload]` of stream.toml: what a stream's payloads are, where they are not JSON.

[payload]
format = "avro"            # what they hold, or "protobuf"
framing = "confluent"      # what stands before it: "confluent", "glue" or "none"
schemas = "_writers"       # the writers' schemas: a folder of <id>.avsc beside stream.toml
schema = "orders.avsc"     # without a header: the one of them that all are written with
message = "shop.Order"     # of Protobuf without a header: which message of that file
registry = "https://…"     # or "glue": where those are that the folder does not have
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

_SETTINGS = ("format", "framing", "schemas", "schema", "message", "registry")
_FOLDER = re.compile(r"_[A-Za-z0-9._-]{1,62}")
_URL = re.compile(r"https?://[^\s/@?#]+(?:/[^\s?#@]*)?")
_GLUE = re.compile(r"glue(?::[a-z]{2}(?:-[a-z]+)+-[0-9])?")
_MESSAGE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Format(StrEnum):
    """What a payload holds."""

    AVRO = "avro"
    PROTOBUF = "protobuf"


class Header(StrEnum):
    """What stands before it, and names the schema that it was written with."""

    CONFLUENT = "confluent"
    GLUE = "glue"
    NONE = "none"


SUFFIX = {Format.AVRO: ".avsc", Format.PROTOBUF: ".desc"}
"""How the names of the files end that hold schemas of a format."""


class PayloadFormat(msgspec.Struct, frozen=True):
    """What the payloads of a stream are. `schemas` is a folder, `schema` one file in it.

    `registry` is the URL of one with Confluent's API, or `glue`, perhaps with a colon and region.
    """

    format: Format
    header: Header
    schemas: str = ""
    schema: str = ""
    registry: str = ""
    message: str = ""

    def __str__(self) -> str:
        written = self.schema or f"the file <id>{SUFFIX[self.format]}"
        before = {
            Header.CONFLUENT: "behind the 5 bytes of Confluent's header",
            Header.GLUE: "behind the 18 bytes of Glue's header",
            Header.NONE: "without a header",
        }[self.header]
        places = [f"{written} in {self.schemas}"] * bool(self.schemas)
        places += [f"by id from {self.registry}"] * bool(self.registry)
        return f"payloads are {self.format}, {before}; their schemas: {', else '.join(places)}"


def read_payload_format(given: Any, where: str) -> tuple[PayloadFormat | None, list[str]]:
    """Read the table; return it, if it has no fault, and every fault, as sentences."""
    where = f"{where}, payload"
    if not isinstance(given, dict):
        return None, [f"{where}: it is written as a table, [payload]."]
    faults = [
        f"{where}: unknown setting {name!r}; there are {', '.join(_SETTINGS)}."
        for name in sorted(set(given) - set(_SETTINGS))
    ]
    faults += [f"{where}: {fault}" for fault in _faults(given)]
    if faults:
        return None, faults
    format_, header = Format(given["format"]), Header(given["framing"])
    places = (given.get(name, "") for name in ("schemas", "schema", "registry", "message"))
    return PayloadFormat(format_, header, *places), []


def _faults(given: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with the settings that there are, each by itself and together."""
    faults = list[str]()
    for name, allowed in (("format", Format), ("framing", Header)):
        if given.get(name) not in list(allowed):
            faults.append(f"{name} is {_or(list(allowed))}.")
    faults += [*_faults_of_registry(given), *_faults_of_protobuf(given)]
    has_folder = "schemas" in given or "registry" not in given or given.get("framing") == "none"
    if has_folder and not _matches(_FOLDER, given.get("schemas")):
        faults.append(
            "schemas is the name of a folder beside stream.toml that holds the writers' schemas; "
            'it begins with _, as in "_writers", so that it is not taken for a dataset.'
        )
    schema, has_header = given.get("schema"), given.get("framing") != Header.NONE
    if schema is None and not has_header:
        faults.append(
            'with framing "none" nothing in a payload names its schema: give schema, the name of '
            "a file in that folder."
        )
    elif schema is not None and has_header:
        faults.append("schema means nothing beside this framing: the header names the schema.")
    elif schema is not None and not _matches(_FILE, schema):
        faults.append('schema is the name of a file in that folder, as in "orders.avsc".')
    return faults


def _faults_of_registry(given: Mapping[str, Any]) -> list[str]:
    registry = given.get("registry")
    if registry is None:
        return []
    match given.get("framing"):
        case Header.NONE:
            return ["registry means nothing beside this framing: nothing names a schema in it."]
        case Header.GLUE if not _matches(_GLUE, registry):
            return ['with framing "glue", registry is "glue", or with a region "glue:eu-west-1".']
        case Header.CONFLUENT if not _matches(_URL, registry):
            fault = (
                'with framing "confluent", registry is the URL of a schema registry, without a '
                "password: that is for PIPELINE_REGISTRY_CREDENTIALS."
            )
            return [fault]
    return []


def _faults_of_protobuf(given: Mapping[str, Any]) -> list[str]:
    faults = list[str]()
    is_protobuf, header = given.get("format") == Format.PROTOBUF, given.get("framing")
    if is_protobuf and header == Header.GLUE and "registry" in given:
        faults.append(
            "registry: Glue's holds the texts of .proto files, and payloads are read by what "
            "protoc makes of these: leave out registry, and put <id>.desc of each version into "
            "schemas."
        )
    if "message" in given and not (is_protobuf and header == Header.NONE):
        faults.append('message goes with format "protobuf" and framing "none".')
    elif "message" in given and not _matches(_MESSAGE, given["message"]):
        faults.append('message is the full name of a message, as in "shop.Order".')
    return faults


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _or(names: list[Any]) -> str:
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"

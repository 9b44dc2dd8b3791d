"""A schema registry with Confluent's API: `GET /schemas/ids/{id}`, and the schemas it refers to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import msgspec
import urllib3

from pipeline.backoff import backoff
from pipeline.core.errors import RegistryRefused, RegistryUnavailable

_TRIES: Final = 3
_LARGEST_RESPONSE: Final = 4 * 2**20
_LARGEST_ID: Final = 2**31 - 1
_LONGEST_RESPONSE: Final = 10.0  # seconds for one, however slowly it comes
_A_PART: Final = 2**16
_MOST_REFERENCES: Final = 100
_SCHEMA_NOT_FOUND: Final = 40_403
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _OK = 401, 403, 429, 200
_ACCEPT: Final = "application/vnd.schemaregistry.v1+json, application/json"


class Registered(msgspec.Struct, frozen=True):
    """A schema as a registry has it; `references` are texts that it and each other build on."""

    text: str
    format: str
    references: tuple[str, ...] = ()


class _Reference(msgspec.Struct):
    """What a schema builds on, as the registry names it."""

    subject: str
    version: int


class ConfluentRegistry:
    """The registry at a URL, which another process may stop, throttle or close at any time."""

    def __init__(
        self,
        url: str,
        credentials: str = "",
        *,
        serialized: bool = False,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Connect when something is asked for. `credentials` are `user:password`, or `Bearer …`.

        Protobuf's schemas are asked for `serialized`, as descriptors, not as .proto files.
        """
        self.url = url.rstrip("/")
        self._query = "?format=serialized" if serialized else ""
        self._pause = pause
        headers = {"accept": _ACCEPT}
        if credentials.lower().startswith("bearer "):
            headers["authorization"] = credentials
        elif credentials:
            headers |= urllib3.make_headers(basic_auth=credentials)
        timeout = urllib3.Timeout(connect=2.0, read=5.0)
        self._http = urllib3.PoolManager(headers=headers, timeout=timeout, retries=False)

    def fetch(self, name: str) -> Registered | None:
        """Return the schema of an id; None where the registry says that there is none.

        Raises `RegistryUnavailable` and `RegistryRefused`.
        """
        if int(name) > _LARGEST_ID:
            # It is no path of a registry: the answer would look as if the URL were wrong.
            return None
        path = f"/schemas/ids/{name}{self._query}"
        found = self._get(path)
        if found is None:
            return None
        texts = list[str]()
        self._collect(found, set(), texts, path)
        text, schema_type = found.get("schema"), found.get("schemaType", "AVRO")
        return Registered(str(text), str(schema_type), tuple(texts))

    def _collect(
        self, found: dict[str, Any], seen: set[tuple[str, int]], texts: list[str], where: str
    ) -> None:
        """Fetch what a schema refers to, and what that refers to, in the order to read them in."""
        try:
            named = msgspec.convert(found.get("references") or [], list[_Reference])
        except msgspec.ValidationError:
            message = (
                f"The schema registry answered to {self.url}{where} with references that have no "
                "subject and version; see that registry in stream.toml is the URL of a schema "
                "registry."
            )
            raise RegistryRefused(message) from None
        for subject, version in ((each.subject, each.version) for each in named):
            if (subject, version) in seen or len(seen) >= _MOST_REFERENCES:
                continue
            seen.add((subject, version))  # before what it refers to, which may be itself
            path = f"/subjects/{quote(subject, safe='')}/versions/{version}{self._query}"
            inner = self._get(path)
            if inner is None:
                message = f"{self.url}{path} is referred to, and the registry does not have it."
                raise RegistryRefused(message)
            self._collect(inner, seen, texts, path)
            texts.append(str(inner.get("schema")))

    def _get(self, path: str) -> dict[str, Any] | None:
        """Ask for something, and again where the registry is busy; None where it has none."""
        for tries in range(1, _TRIES + 1):
            try:
                return self._get_once(path)
            except RegistryUnavailable:
                if tries == _TRIES:
                    raise
                self._pause(backoff(tries, 0.2, 1.0))
        raise AssertionError  # the loop returns, or raises

    def _get_once(self, path: str) -> dict[str, Any] | None:
        where = f"{self.url}{path}"
        try:
            response = self._http.request("GET", where, redirect=False, preload_content=False)
            try:
                body = _read_body(response, where)
            finally:
                response.close()
        except urllib3.exceptions.LocationValueError as error:
            message = f"Could not ask the schema registry, {where}: {error}; correct registry."
            raise RegistryRefused(message) from None
        except urllib3.exceptions.HTTPError as error:
            message = (
                f"Could not ask the schema registry, {where}: {type(error).__name__}; see that it "
                "runs, and can be reached from here."
            )
            raise RegistryUnavailable(message) from None
        return _read_response(response.status, body, where)


def _read_body(response: urllib3.BaseHTTPResponse, where: str) -> bytes:
    """Read what comes within a time: each of many parts may be as slow as the time-out."""
    end, body = time.monotonic() + _LONGEST_RESPONSE, bytearray()
    while len(body) <= _LARGEST_RESPONSE and (part := response.read1(_A_PART)):
        body += part
        if time.monotonic() > end:
            message = f"Could not ask the schema registry, {where}: its answer comes too slowly."
            raise RegistryUnavailable(message)
    return bytes(body)


def _read_response(status: int, body: bytes, where: str) -> dict[str, Any] | None:
    """Read what the registry says. A 404 of anything else than the registry itself is a refusal."""
    try:
        content = msgspec.json.decode(body)
    except msgspec.DecodeError:
        content = None
    content = content if isinstance(content, dict) else {}
    if status == _OK and isinstance(content.get("schema"), str) and len(body) <= _LARGEST_RESPONSE:
        return content
    if content.get("error_code") == _SCHEMA_NOT_FOUND:
        return None
    said = f"The schema registry answered {status} to {where}"
    if status == _TOO_MANY or status >= 500:  # noqa: PLR2004 - HTTP
        message = f"{said}; it has too much to do, or fails. The batch is tried again."
        raise RegistryUnavailable(message)
    remedy = "see that registry in stream.toml is the URL of a schema registry"
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        remedy = "give PIPELINE_REGISTRY_CREDENTIALS of one who may read schemas"
    message = f"{said}; {remedy}."
    raise RegistryRefused(message)

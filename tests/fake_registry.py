"""A schema registry with the part of Confluent's published API that serializers and readers use.

It keeps schemas in memory, and can be told to fail. Subjects, versions, ids and error codes are as
Confluent's documentation of the API has them; compatibility is not checked.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPE = "application/vnd.schemaregistry.v1+json"


class FakeRegistry:
    """Schemas by id and by subject and version, and what was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.by_id: dict[int, dict[str, Any]] = {}
        self.subjects: dict[str, list[int]] = {}
        self.requests: list[str] = []
        self.authorization: str | None = None
        self.failing: list[tuple[int, bytes]] = []

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register a schema; the same one has one id, whatever its subject is."""
        kept = {
            key: value
            for key, value in schema.items()
            if key in {"schema", "schemaType", "references"}
        }
        found = next((id_ for id_, other in self.by_id.items() if other == kept), None)
        id_ = found or len(self.by_id) + 1
        self.by_id[id_] = kept
        versions = self.subjects.setdefault(subject, [])
        if id_ not in versions:
            versions.append(id_)
        return id_

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Return the status and the content of a response."""
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        match method, parts:
            case "GET", ["schemas", "ids", id_] if int(id_) < 2**31:
                found = self.by_id.get(int(id_))
                return (200, found) if found else _error(40403, "Schema not found")
            case "GET", ["subjects", subject, "versions", version]:
                return self._version(subject, version)
            case "POST", ["subjects", subject, "versions"]:
                return 200, {"id": self.register(subject, body)}
            case "POST", ["subjects", subject]:
                return self._lookup(subject, body)
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _version(self, subject: str, version: str) -> tuple[int, Any]:
        versions = self.subjects.get(subject)
        if versions is None:
            return _error(40401, "Subject not found.")
        number = len(versions) if version == "latest" else int(version)
        if not 0 < number <= len(versions):
            return _error(40402, "Version not found.")
        id_ = versions[number - 1]
        return 200, {"subject": subject, "version": number, "id": id_} | self.by_id[id_]

    def _lookup(self, subject: str, body: Any) -> tuple[int, Any]:
        for version, id_ in enumerate(self.subjects.get(subject, []), 1):
            if self.by_id[id_]["schema"] == body["schema"]:
                return 200, {"subject": subject, "version": version, "id": id_} | self.by_id[id_]
        return _error(40403, "Schema not found")


def _error(code: int, message: str) -> tuple[int, Any]:
    return code // 100, {"error_code": code, "message": message}


def _handler(registry: FakeRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            registry.requests.append(f"{self.command} {self.path}")
            if registry.failing:
                status, content = registry.failing.pop(0)
            elif registry.authorization not in {None, self.headers.get("authorization")}:
                status, content = 401, b'{"error_code": 401, "message": "Unauthorized"}'
            else:
                status, answer = registry.answer(self.command, self.path, body)
                content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", _TYPE)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _respond  # noqa: N815 - names that http.server looks for

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    return Handler


@contextmanager
def running_registry() -> Iterator[FakeRegistry]:
    """Run one on a free port of this machine."""
    registry = FakeRegistry()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(registry))
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

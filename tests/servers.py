"""Real servers for the tests, on 127.0.0.1: two Kinesis services, an S3, and a proxy that fails.

`kinesalite` for load and resharding, `kinesis_local` for what it lacks (ChildShards,
UpdateShardCount), both from npm (`make servers`); moto's server for S3. Each is a context manager
that yields its URL, on a port that the system chose, and ends its process by its id.

No server throttles or loses connections: `faulty_proxy` stands between and does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 300.0
"""Seconds after which what hangs fails; what is slow on a busy machine does not."""
NPM = Path(__file__).parent / "npm"
HOST = "127.0.0.1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_START_SECONDS = 120

Response = tuple[int, list[tuple[str, str]], bytes]


def need_node() -> None:
    """Skip where the Kinesis servers are not installed; fail where they must be, as in CI."""
    if shutil.which("node") and (NPM / "node_modules").is_dir():
        return
    sentence = (
        "The stream tests did not run: they need node, npm, and `make servers`, which installs "
        "two Kinesis servers from npm."
    )
    if os.environ.get("PIPELINE_NODE_REQUIRED"):
        pytest.fail(sentence)
    pytest.skip(sentence)


@contextlib.contextmanager
def kinesalite() -> Iterator[str]:
    """Start kinesalite, in memory; streams and reshards are ready at once."""
    need_node()
    # Its own command line would listen on every interface, and dies with a client that is killed
    # amid a request.
    script = (
        "process.on('uncaughtException', (e) => { if (e.code !== 'ECONNRESET') throw e; });"
        "const options = {createStreamMs: 0, deleteStreamMs: 0, updateStreamMs: 0, shardLimit: 100};"
        "require('kinesalite')(options).listen(Number(process.argv[1]), '127.0.0.1');"
    )
    port = free_port()
    with _process(["node", "-e", script, str(port)], {}, port):
        yield f"http://{HOST}:{port}"


@contextlib.contextmanager
def kinesis_local() -> Iterator[str]:
    """Start kinesis-local; streams and reshards are ready at once."""
    need_node()
    home = NPM / "node_modules" / "kinesis-local"
    port = free_port()
    at_once = ("CREATE_STREAM", "DELETE_STREAM", "UPDATE_SHARD_COUNT", "SPLIT_SHARD")
    environment = {
        "KINESIS_MOCK_CERT_PATH": str(home / "server.json"),
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(free_port()),
        "LOG_LEVEL": "ERROR",
        **{f"{name}_DURATION": "1ms" for name in at_once},
    }
    with _process(["node", str(home / "main.js")], environment, port):
        yield f"http://{HOST}:{port}"


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """Start moto's server, for S3."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    with _process(command, {}, port):
        yield f"http://{HOST}:{port}"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], port: int) -> Iterator[None]:
    """Run a server until the end of the block."""
    server = subprocess.Popen(
        command,
        cwd=NPM,
        env={**os.environ, **CREDENTIALS, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_response(server, port)
        yield
    finally:
        server.kill()
        server.wait()


def _await_response(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a server speaks HTTP: one that only listens may not be ready."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            pytest.fail(f"The server {server.args!r} ended with exit code {server.returncode}.")
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"The server {server.args!r} did not answer within {_START_SECONDS} s.")


# ------------------------------------------------------------------------------- a proxy that fails

THROTTLED = "ProvisionedThroughputExceededException"
EXPIRED = "ExpiredIteratorException"


@dataclass
class Faults:
    """What a proxy does to requests: to every n-th of an operation, or to none if 0.

    `throttled`: refused. `partial`: of PutRecords, every other record is refused and the rest
    passed on. `expired`: of GetRecords, the iterator. `dropped_before`, `dropped_after`: the
    connection is closed without a response, before or after the server has handled the request.
    `down`: every response is a 503. `happened` counts, by fault and operation.
    """

    throttled: int = 0
    partial: int = 0
    expired: int = 0
    dropped_before: int = 0
    dropped_after: int = 0
    down: bool = False
    happened: Counter[tuple[str, str]] = field(default_factory=Counter)
    _met: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def happens(self, fault: str, operation: str) -> bool:
        """Decide whether a fault happens to this request."""
        each = int(getattr(self, fault))
        with self._lock:
            self._met[fault, operation] += 1
            happens = bool(each) and self._met[fault, operation] % each == 0
            self.happened[fault, operation] += happens
        return happens


@contextlib.contextmanager
def faulty_proxy(target: str, faults: Faults) -> Iterator[str]:
    """Stand before the server at a URL, with faults; yields the URL to use instead."""

    class Handler(_ProxyHandler):
        pass

    Handler.faults, Handler.target = faults, target.removeprefix("http://")
    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Dropped(Exception):
    """The connection is to be closed without a response."""


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    faults: Faults
    target: str

    def do_any(self) -> None:
        """Pass a request on, or fail it."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            del self.headers["Expect"]
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            self._send(*self._response(body))
        except (_Dropped, ConnectionError, http.client.HTTPException):
            self.close_connection = True  # also where the client is gone

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815 - http.server's names

    def _response(self, body: bytes) -> Response:
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2] or self.command

        def happens(fault: str) -> bool:
            return self.faults.happens(fault, operation)

        if happens("down"):
            return 503, [("Content-Type", "application/xml")], b""
        if happens("dropped_before"):
            raise _Dropped
        if happens("throttled"):
            return _refused(THROTTLED, "Rate exceeded.")
        if operation == "GetRecords" and happens("expired"):
            return _refused(EXPIRED, "Iterator expired.")
        some = operation == "PutRecords" and happens("partial")
        response = self._put_some(json.loads(body)) if some else self._pass_on(body)
        if happens("dropped_after"):
            raise _Dropped
        return response

    def _put_some(self, request: dict[str, Any]) -> Response:
        """Pass on every other record of a PutRecords, and report the rest as throttled."""
        passed = {**request, "Records": request["Records"][1::2]}
        stored: list[dict[str, Any]] = []
        if passed["Records"]:
            status, headers, reply = self._pass_on(json.dumps(passed).encode())
            if status != http.HTTPStatus.OK:
                return status, headers, reply
            stored = json.loads(reply)["Records"]
        failed = {"ErrorCode": THROTTLED, "ErrorMessage": "Rate exceeded for shard."}
        results = [failed] * len(request["Records"])
        results[1::2] = stored
        document = {"FailedRecordCount": results.count(failed), "Records": results}
        return 200, _JSON, json.dumps(document).encode()

    def _pass_on(self, body: bytes) -> Response:
        connection = http.client.HTTPConnection(self.target, timeout=60)
        try:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in {"content-length", "connection"}
            }
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output to itself."""


_JSON = [("Content-Type", "application/x-amz-json-1.1")]


def _refused(code: str, message: str) -> Response:
    return 400, _JSON, json.dumps({"__type": code, "message": message}).encode()


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for something that happens in another thread or process; fail if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"It did not happen within {seconds} s: {condition!r}")
        time.sleep(0.05)

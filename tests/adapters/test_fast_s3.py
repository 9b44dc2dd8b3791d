"""The fast client writes what boto3 writes, and fails as boto3 fails: beside each other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
from servers import CREDENTIALS

from pipeline.adapters.aws.fast_s3 import FastS3Store, fast_store
from pipeline.adapters.aws.s3 import S3Store, s3_client
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.uri import open_store
from pipeline.bucket_settings import NO_DEMANDS, S3Settings, read_s3_settings
from pipeline.core.errors import StoreError, StoreRefused, StoreThrottled, StoreUnavailable

BODY = b"the payload, which no message may show"
KEY = "orders/parquet/date=2026-11-23/by_city=S%C3%A3o Paulo/shard-1.parquet"


@dataclass
class Recorder:
    """A server that answers every request alike, and keeps what was sent."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"x"'})
    drop: bool = False
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Keep a request, and answer it."""
        sent = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(sent.get("content-length", 0)))
        self.requests.append((unquote(handler.path), sent, body))
        handler.close_connection = True
        if self.drop:
            return
        handler.send_response(self.status)
        handler.send_header("Content-Length", str(len(self.body)))
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Run a recorder on loopback, and point the environment at it."""
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_PUT(self) -> None:
            recorder.answer(self)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    recorder.url = f"http://127.0.0.1:{httpd.server_port}"
    for name in [name for name in os.environ if name.startswith("AWS_") or "CA_BUNDLE" in name]:
        monkeypatch.delenv(name)
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": recorder.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/nowhere")  # no configuration of whoever runs the tests
    yield recorder
    httpd.shutdown()
    httpd.server_close()


def by_boto3(settings: S3Settings = NO_DEMANDS) -> S3Store:
    """Return the store that boto3 writes to, with patience for a busy machine."""
    return S3Store("bucket", "lake", s3_client(settings, connect_timeout=30, read_timeout=30))


def fast(settings: S3Settings = NO_DEMANDS) -> FastS3Store:
    """Return the store that the fast client writes to."""
    store = fast_store(
        "bucket",
        "lake",
        settings,
        os.environ,
        lambda: by_boto3(settings),
        connect_timeout=30,
        read_timeout=30,
    )
    assert store is not None
    return store


def error_of(store: ObjectStore) -> StoreError:
    """Return the error that a write ends in."""
    with pytest.raises(StoreError) as caught:
        store.put(KEY, BODY)
    assert "payload" not in str(caught.value)
    return caught.value


# What each client signs, counts and calls itself in its own way; the checksum is the one of S3's
# own choice here, and boto3 sends another.
OWN = {
    *("authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-trailer", "user-agent"),
    *("accept", "accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request", "connection"),
    *("content-length", "content-encoding", "content-md5", "expect", "host", "transfer-encoding"),
    *("x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm", "x-amz-user-agent"),
    *("x-amz-checksum-crc32", "x-amz-checksum-crc64nvme"),
}


@pytest.mark.parametrize(
    "settings",
    [
        NO_DEMANDS,
        S3Settings(encryption="AES256", storage_class="STANDARD_IA"),
        S3Settings(encryption="aws:kms", bucket_key=False),
        S3Settings(encryption="AES256", bucket_key=False),
        S3Settings(encryption="aws:kms", kms_key="alias/lake", bucket_key=True),
        S3Settings(encryption="aws:kms:dsse", kms_key="alias/lake"),
        S3Settings(requester_pays=True, tags=(("team", "data & co"), ("cost", "a/b=c"))),
    ],
)
def test_the_fast_client_sends_what_boto3_sends(server: Recorder, settings: S3Settings) -> None:
    by_boto3(settings).put(KEY, BODY)
    fast(settings).put(KEY, BODY)
    (path, slow_headers, _), (fast_path, fast_headers, body) = server.requests
    assert (fast_path, body) == (path, BODY)
    assert fast_path == f"/bucket/lake/{KEY}"

    def significant(headers: dict[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in headers.items() if name not in OWN}
        if tags := kept.get("x-amz-tagging"):
            kept["x-amz-tagging"] = "&".join(sorted(tags.split("&")))
        return kept

    assert significant(fast_headers) == significant(slow_headers)
    assert "x-amz-checksum-crc64nvme" in fast_headers
    assert "kinesis-s3-pipeline" in fast_headers["user-agent"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"), (404, "NoSuchBucket"), (400, "ExpiredToken"), (500, "InternalError"),
        (400, "InvalidArgument"), (301, "PermanentRedirect"), (400, "KMS.DisabledException"),
        (400, "RequestTimeout"), (501, "NotImplemented"), (409, "OperationAborted"), (418, ""),
    ],
)  # fmt: skip
def test_what_the_fast_client_cannot_do_fails_as_by_boto3(
    server: Recorder, status: int, code: str
) -> None:
    """Same kind of error, same sentence: boto3 did it again."""
    server.status = status
    server.body = f"<Error><Code>{code}</Code><Message>the payload?</Message></Error>".encode()
    server.body = server.body.replace(b"the payload?", b"Said the server.")
    slow, quick = error_of(by_boto3()), error_of(fast())
    assert (type(quick), str(quick)) == (type(slow), str(slow))
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_store_that_asks_for_fewer_requests_gets_no_second_one(
    server: Recorder, status: int
) -> None:
    server.status = status
    server.body = b"<Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>"
    error = error_of(fast())
    assert isinstance(error, StoreThrottled)
    assert str(error) == (
        f"Could not write s3://bucket/lake/{KEY}: S3 answered HTTP {status}; try again later."
    )
    assert len(server.requests) == 1


def test_a_connection_that_closes_is_unavailable(server: Recorder) -> None:
    server.drop = True
    assert isinstance(error_of(fast()), StoreUnavailable)


def test_what_is_not_from_s3_is_no_acknowledgement(server: Recorder) -> None:
    """A proxy's page for a PUT: 200, and no ETag."""
    server.headers, server.body = {}, b"<html>Welcome</html>"
    error = error_of(fast())
    assert isinstance(error, StoreRefused)
    assert "the response has no ETag, and so is not from S3" in str(error)


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({"AWS_PROFILE": "p"}, NO_DEMANDS),
        ({"AWS_CA_BUNDLE": "/etc/ca.pem"}, NO_DEMANDS),
        ({"HTTPS_PROXY": "http://proxy:3128"}, NO_DEMANDS),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, NO_DEMANDS),
        ({"AWS_DEFAULT_REGION": "cn-north-1"}, NO_DEMANDS),
        ({"AWS_DEFAULT_REGION": ""}, NO_DEMANDS),
        ({"AWS_SECRET_ACCESS_KEY": ""}, NO_DEMANDS),
        # Names that the fast client knows, and boto3 does not.
        ({"AWS_ENDPOINT": "https://127.0.0.1:1"}, NO_DEMANDS),
        ({"AWS_DISABLE_TAGGING": "true"}, NO_DEMANDS),
        ({"AWS_SKIP_SIGNATURE": "true"}, NO_DEMANDS),
        ({"AWS_S3_EXPRESS": "true"}, NO_DEMANDS),
        # Elsewhere a portal may redirect to its login page, and answer that with 200.
        ({"AWS_ENDPOINT_URL": "https://s3.example.com"}, NO_DEMANDS),
        ({}, S3Settings(acl="private")),
        ({}, S3Settings(expected_owner="123456789012")),
        ({}, S3Settings(boto3_alone=True)),
        ({}, S3Settings(bucket_key=False)),
    ],
)
def test_boto3_does_what_only_boto3_knows(
    server: Recorder, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], settings: S3Settings
) -> None:
    assert server.url
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    if "AWS_PROFILE" in changes:
        with pytest.raises(StoreRefused, match="correct AWS_PROFILE or add the profile"):
            open_store("s3://bucket/lake", settings)
    else:
        assert isinstance(open_store("s3://bucket/lake", settings), S3Store)


@pytest.mark.parametrize("endpoint", ["localhost:9000", "http://", "https://127.0.0.1:x"])
def test_an_endpoint_that_is_not_one_is_refused_by_boto3(
    server: Recorder, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    assert server.url
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(StoreRefused):
        open_store("s3://bucket/lake").put("a", b"x")


def test_an_endpoint_that_redirects_every_request_is_named(server: Recorder) -> None:
    server.status, server.headers = 307, {"Location": f"{server.url}/elsewhere"}
    error = error_of(fast())
    assert isinstance(error, (StoreRefused, StoreUnavailable))


@pytest.mark.parametrize("bucket", ["with.dots", "UPPER", "arn-like_name"])
def test_a_bucket_that_is_no_host_name_is_boto3_s(server: Recorder, bucket: str) -> None:
    assert server.url
    assert isinstance(open_store(f"s3://{bucket}/lake"), S3Store)


@pytest.mark.parametrize(
    "variable", [("PIPELINE_S3_CLIENT", "boto3"), ("PIPELINE_FAST_PATHS", "off")]
)
def test_the_fast_client_can_be_switched_off(server: Recorder, variable: tuple[str, str]) -> None:
    faults = list[str]()
    settings = read_s3_settings(dict([variable]), faults)
    assert isinstance(open_store("s3://bucket/lake", settings), S3Store)
    assert not isinstance(open_store("s3://bucket/lake", read_s3_settings({}, faults)), S3Store)
    assert not faults
    assert server.requests == []


def test_a_start_that_only_writes_does_not_import_boto3(server: Recorder) -> None:
    code = (
        "import sys; from pipeline.adapters.uri import open_store\n"
        "open_store('s3://bucket/lake').put('a', b'x')\n"
        "assert not {'boto3', 'botocore'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ), check=False, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(server.requests) == 1

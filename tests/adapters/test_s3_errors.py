"""Each way in which S3 can fail becomes the right error: true botocore against a bad server."""

from __future__ import annotations

import base64
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest

from pipeline.adapters.aws.s3 import S3Store, s3_client
from pipeline.adapters.retry import RetryingStore, RetryPolicy
from pipeline.core.errors import (
    ObjectMissing,
    StoreError,
    StoreRefused,
    StoreThrottled,
    StoreUnavailable,
)
from pipeline.files.notifications import ObjectReference
from pipeline.files.objects import S3Objects

SECRET = b"the payload, which no message may show"


@dataclass
class BadServer:
    """A server that answers every request in one way, and remembers the requests."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    announced: int | None = None
    """The Content-Length to send, if it is not the body's."""
    drop: bool = False
    """Close the connection instead of answering."""
    stall: bool = False
    """Keep the connection open and say no more, after the body or instead of an answer."""
    failures: int | None = None
    """How many requests to fail, before answering 200."""
    requests: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.requests.append(handler.command)
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        handler.close_connection = True
        if self.failures is not None and len(self.requests) > self.failures:
            handler.send_response(200)
            handler.send_header("Content-Length", "0")
            handler.send_header("ETag", '"1"')
            handler.end_headers()
            return
        if self.drop:
            return
        if self.stall and not self.body:
            self.released.wait(30)
            return
        handler.send_response(self.status)
        length = len(self.body) if self.announced is None else self.announced
        handler.send_header("Content-Length", str(length))
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(self.body)
        if self.stall:
            self.released.wait(30)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadServer]:
    """Run a bad server on loopback, and point boto3's environment at it."""
    bad = BadServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_PUT(self) -> None:
            bad.answer(self)

        do_GET = do_HEAD = do_DELETE = do_PUT  # noqa: N815 - the names http.server calls

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    bad.url = f"http://127.0.0.1:{httpd.server_port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", bad.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # What would have boto3 retry, if the client did not say that it must not.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    yield bad
    bad.released.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget boto3's session, which remembers the credentials and the profile it found."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def open_s3(patience: float = 30) -> S3Store:
    """Return a store that waits so many seconds for an answer: a busy machine takes long for one."""
    return S3Store("bucket", "prefix", s3_client(connect_timeout=30, read_timeout=patience))


OPERATIONS: dict[str, Callable[[S3Store], object]] = {
    "write": lambda store: store.put("a/b", SECRET),
    "read": lambda store: store.get("a/b"),
    "list": lambda store: list(store.list("a/b")),
    "delete": lambda store: store.delete("a/b"),
}
ACTIONS = {
    "write": "PutObject",
    "read": "GetObject",
    "list": "ListBucket",
    "delete": "DeleteObject",
}


def failure_of(verb: str, patience: float = 30) -> StoreError:
    """Return the error that an operation raises, having looked at what all have in common."""
    with pytest.raises(StoreError) as caught:
        OPERATIONS[verb](open_s3(patience))
    text = str(caught.value)
    if not isinstance(caught.value, ObjectMissing):
        assert text.startswith(f"Could not {verb} s3://bucket/prefix/a/b: ")
    assert text.endswith(".")
    assert "\n" not in text
    assert "payload" not in text
    return caught.value


def error_body(code: str, message: str = "Said the server.", more: str = "") -> bytes:
    """Return the body of an error answer of S3."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
        f"<Message>{message}</Message>{more}<RequestId>1</RequestId></Error>"
    ).encode()


TRANSIENT = [
    *[(503, "SlowDown"), (400, "Throttling"), (400, "ThrottlingException"), (429, "")],
    *[(400, "RequestLimitExceeded"), (400, "TooManyRequestsException"), (403, "RequestThrottled")],
    *[(500, "InternalError"), (503, "ServiceUnavailable"), (502, ""), (504, ""), (500, "")],
    *[(400, "RequestTimeout"), (409, "OperationAborted"), (409, "ConditionalRequestConflict")],
    *[(400, "BadDigest"), (400, "IncompleteBody"), (400, "KMS.ThrottlingException"), (599, "New")],
]


@pytest.mark.parametrize("verb", OPERATIONS)
@pytest.mark.parametrize(("status", "code"), TRANSIENT)
def test_what_passes_is_unavailable(server: BadServer, verb: str, status: int, code: str) -> None:
    """Throttling, server errors and conflicts are worth a retry, and boto3 itself makes none."""
    server.status = status
    server.body = error_body(code) if code else b""
    error = failure_of(verb)
    assert isinstance(error, StoreUnavailable)
    assert f"S3 answered {code or status} (HTTP {status}" in str(error)
    assert len(server.requests) == 1


REFUSALS = [
    (403, "InvalidAccessKeyId", "check the access key and the secret"),
    (403, "SignatureDoesNotMatch", "check the access key and the secret"),
    (400, "ExpiredToken", "renew the credentials"),
    (400, "InvalidToken", "renew the credentials"),
    (403, "RequestTimeTooSkewed", "set this machine's clock right"),
    (404, "NoSuchBucket", "create the bucket or correct its name"),
    (400, "EntityTooLarge", "make the object smaller"),
    (400, "KMS.DisabledException", "KMS key of the bucket is there and enabled"),
    (400, "IllegalLocationConstraint", "set AWS_DEFAULT_REGION to the bucket's own"),
    (400, "AccessControlListNotSupported", "leave out PIPELINE_S3_ACL, or give bucket-owner-full"),
    (400, "InvalidStorageClass", "correct PIPELINE_S3_STORAGE_CLASS"),
    (400, "InvalidTag", "correct PIPELINE_S3_TAGS"),
    (400, "InvalidEncryptionAlgorithmError", "correct PIPELINE_S3_ENCRYPTION"),
    (400, "SomethingNew", "documentation of this error code"),
    (501, "NotImplemented", "documentation of this error code"),
]


@pytest.mark.parametrize("verb", OPERATIONS)
@pytest.mark.parametrize(("status", "code", "remedy"), REFUSALS)
def test_what_stays_is_refused_with_what_to_fix(
    server: BadServer, verb: str, status: int, code: str, remedy: str
) -> None:
    """Credentials, names, keys and sizes that are wrong stay so until someone changes them."""
    server.status = status
    server.body = error_body(code)
    error = failure_of(verb)
    assert isinstance(error, StoreRefused)
    assert f'S3 answered {code} (HTTP {status}, "Said the server"); ' in str(error)
    assert remedy in str(error)


# 403 that no grant would help, in S3's words and in those of stores that speak like it.
IN_WORDS = [
    ("Request has expired", "set the clock of the machine that signs right"),
    ("Request is not valid yet", "set the clock of the machine that signs right"),
    ("Request is not yet valid", "set the clock of the machine that signs right"),
    ("Signature expired: 20261127T1 is now earlier than 20261127T2", "set the clock of"),
    ("The security token included in the request is expired", "renew the credentials"),
    ("Anonymous access is forbidden for this operation", "give credentials: the request was not"),
    ("Anonymous users cannot invoke this API", "give credentials: the request was not signed"),
    (
        "The AWS Access Key Id needs a subscription for the service",
        "check the access key, and that",
    ),
    (
        "Mfa Authentication must be used for this request",
        "give credentials of a session with multi-factor",
    ),
    ("Requests must be made over a secure connection", "use https"),
]


@pytest.mark.parametrize(("message", "remedy"), IN_WORDS)
def test_a_denial_that_no_grant_helps_is_not_answered_by_a_grant(
    server: BadServer, message: str, remedy: str
) -> None:
    server.status = 403
    server.body = error_body("AccessDenied", message)
    error = failure_of("write")
    assert isinstance(error, StoreRefused)
    assert f'(HTTP 403, "{message}"); {remedy}' in str(error)
    assert "grant" not in str(error)


def test_an_object_that_is_locked_is_left(server: BadServer) -> None:
    server.status = 403
    server.body = error_body(
        "AccessDenied", "Access Denied because object protected by object lock."
    )
    assert "leave the object until its lock ends" in str(failure_of("delete"))


@pytest.mark.parametrize("verb", OPERATIONS)
@pytest.mark.parametrize("body", [error_body("AccessDenied"), b""])
def test_a_missing_permission_is_named(server: BadServer, verb: str, body: bytes) -> None:
    """AccessDenied says which action is to be granted on which ARN."""
    server.status = 403
    server.body = body
    resource = "arn:aws:s3:::bucket" + ("" if verb == "list" else "/prefix/*")
    error = failure_of(verb)
    assert isinstance(error, StoreRefused)
    assert f"grant s3:{ACTIONS[verb]} on {resource} to the role" in str(error)


@pytest.mark.parametrize("verb", OPERATIONS)
def test_a_denial_that_is_not_about_the_bucket_is_read(server: BadServer, verb: str) -> None:
    """Behind an AccessDenied of S3 may be the bucket's key: its own action is what lacks."""
    key = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"
    message = (
        "User: arn:aws:sts::111122223333:assumed-role/pipeline-role/pipeline is not authorized to "
        f"perform: kms:GenerateDataKey on resource: &quot;{key}&quot; because no resource-based "
        "policy allows the kms:GenerateDataKey action"
    )
    server.status, server.body = 403, error_body("AccessDenied", message)
    error = failure_of(verb)
    assert isinstance(error, StoreRefused)
    assert str(error).endswith(
        f"have whoever administers the KMS key allow kms:GenerateDataKey on {key} to the role "
        "pipeline-role in the policy of the KMS key; a grant to the role pipeline-role alone is not "
        "enough."
    )


@pytest.mark.parametrize(
    ("status", "code", "more", "headers"),
    [
        (400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>", {}),
        (301, "PermanentRedirect", "", {"x-amz-bucket-region": "eu-west-3"}),
    ],
)
@pytest.mark.parametrize("verb", OPERATIONS)
def test_the_right_region_is_named(
    server: BadServer, verb: str, status: int, code: str, more: str, headers: dict[str, str]
) -> None:
    """A bucket of another region is refused with that region's name, if the answer has it."""
    server.status, server.body = status, error_body(code, more=more)
    server.headers = headers
    error = failure_of(verb)
    assert isinstance(error, StoreRefused)
    assert "set AWS_DEFAULT_REGION to eu-west-3" in str(error)


def test_a_missing_object_is_told_from_a_missing_bucket(server: BadServer) -> None:
    """NoSuchKey is an answer, no failure; what else answers 404 is a refusal."""
    server.status, server.body = 404, error_body("NoSuchKey")
    error = failure_of("read")
    assert isinstance(error, ObjectMissing)
    assert "s3://bucket/prefix/a/b;" in str(error)
    server.body = error_body("NoSuchBucket")
    assert isinstance(failure_of("read"), StoreRefused)


@pytest.mark.parametrize("verb", OPERATIONS)
def test_a_connection_that_closes_or_stalls_is_unavailable(server: BadServer, verb: str) -> None:
    """A server that says nothing, and hangs up or does not, is worth a retry."""
    server.drop = True
    assert isinstance(failure_of(verb), StoreUnavailable)
    server.drop, server.stall = False, True
    error = failure_of(verb, patience=0.3)
    assert isinstance(error, StoreUnavailable)
    assert "ReadTimeoutError" in str(error)


@pytest.mark.parametrize("stall", [False, True])
@pytest.mark.parametrize("verb", ["read", "list"])
def test_an_answer_lost_on_the_way_is_unavailable(
    server: BadServer, verb: str, *, stall: bool
) -> None:
    """A body that ends early, or stops coming, is never taken for a whole one."""
    server.body, server.announced, server.stall = SECRET, len(SECRET) + 100, stall
    assert isinstance(failure_of(verb, patience=0.3 if stall else 30), StoreUnavailable)


def test_an_object_that_changed_on_the_way_is_unavailable(server: BadServer) -> None:
    """A body that does not fit its checksum is never returned."""
    server.body, server.headers = SECRET, {"x-amz-checksum-crc32": "AAAAAA=="}
    assert isinstance(failure_of("read"), StoreUnavailable)


def test_an_answer_that_is_no_xml_is_unavailable(server: BadServer) -> None:
    """A proxy's page instead of S3's answer is worth a retry, and is not quoted."""
    server.body = b"<html>the payload?"
    assert isinstance(failure_of("list"), StoreUnavailable)


@pytest.mark.parametrize("verb", OPERATIONS)
def test_nobody_listening_is_unavailable(
    server: BadServer, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """A refused connection is worth a retry, and the message names the endpoint."""
    assert server.url
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    error = failure_of(verb)
    assert isinstance(error, StoreUnavailable)
    assert url in str(error)


@pytest.mark.parametrize("verb", OPERATIONS)
def test_tls_against_a_plain_server_is_unavailable(
    server: BadServer, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """A TLS handshake that breaks off is a lost connection like any other."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url.replace("http:", "https:"))
    assert isinstance(failure_of(verb), StoreUnavailable)


@pytest.mark.usefixtures("no_session")
@pytest.mark.parametrize("verb", OPERATIONS)
def test_no_credentials_are_refused(
    server: BadServer, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Without credentials the sentence says where they come from, and nothing is sent."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    error = failure_of(verb)
    assert isinstance(error, StoreRefused)
    assert "give the function a role, or set AWS_ACCESS_KEY_ID" in str(error)
    assert not server.requests


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("AWS_PROFILE", "nobody", "correct AWS_PROFILE"),
        ("AWS_SECRET_ACCESS_KEY", None, "set both AWS_ACCESS_KEY_ID and"),
        ("AWS_ENDPOINT_URL", "nonsense", "Invalid endpoint: nonsense; check the AWS settings"),
    ],
)
@pytest.mark.usefixtures("no_session")
def test_a_wrong_configuration_stops_the_start(
    server: BadServer,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str | None,
    remedy: str,
) -> None:
    """A client that cannot be made is refused in a sentence, before any data is at stake."""
    assert server.url
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreRefused, match=rf"^Could not .*{remedy}.*\.$"):
        open_s3().put("a", b"x")


NOT_OF_S3 = (
    "the response has no {}, and so is not from S3; check the endpoint (AWS_ENDPOINT_URL…), and what "
    "proxy may have answered for it."
)


@pytest.mark.parametrize(
    ("verb", "member", "body", "headers"),
    [
        ("write", "ETag", b"", {}),
        ("read", "ETag", b"<html>the payload?", {"Content-Type": "text/html"}),
        ("list", "IsTruncated", b"", {}),
        ("list", "IsTruncated", b"<html><body/></html>", {"Content-Type": "text/html"}),
    ],
)
def test_what_answers_200_and_is_not_s3_is_refused(
    server: BadServer, verb: str, member: str, body: bytes, headers: dict[str, str]
) -> None:
    """A proxy, a portal or a wrong endpoint stores nothing: its 200 acknowledges nothing."""
    server.body, server.headers = body, headers
    error = failure_of(verb)
    assert isinstance(error, StoreRefused)
    assert str(error).endswith(NOT_OF_S3.format(member))


def test_a_file_of_something_that_is_not_s3_is_refused(server: BadServer) -> None:
    """What has no ETag cannot be pinned, and is no version of a file."""
    assert server.status == 200
    with pytest.raises(StoreRefused) as caught:
        S3Objects().find(ObjectReference("bucket", "in/a"))
    assert str(caught.value) == f"Could not read s3://bucket/in/a: {NOT_OF_S3.format('ETag')}"


def test_a_page_in_place_of_an_acknowledgement_is_unavailable(server: BadServer) -> None:
    """S3 acknowledges without a body: a page acknowledges nothing, with an ETag or without."""
    server.body, server.headers = b"<html>the payload?", {"ETag": '"1"'}
    assert isinstance(failure_of("write"), StoreUnavailable)


@pytest.mark.parametrize("body", [SECRET, b"", bytes(3_000_000)])
def test_what_s3_echoes_of_a_checksum_is_compared(server: BadServer, body: bytes) -> None:
    """S3 echoes the checksum of what it stored: that of other bytes acknowledges nothing."""
    digest = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    server.headers = {"ETag": '"1"', "x-amz-checksum-crc32": digest}
    open_s3().put("a/b", body)
    server.headers["x-amz-checksum-crc32"] = "AAAAAQ=="
    with pytest.raises(StoreUnavailable, match=r"has the checksum of other bytes; try again, and"):
        open_s3().put("a/b", body)


THROTTLES = [
    *[(503, "SlowDown"), (503, "ServiceUnavailable"), (503, ""), (429, ""), (400, "Throttling")],
    *[(400, "RequestLimitExceeded"), (403, "RequestThrottled"), (400, "KMS.ThrottlingException")],
]


@pytest.mark.parametrize(("status", "code"), TRANSIENT + THROTTLES)
def test_what_passes_by_asking_less_often_is_throttled(
    server: BadServer, status: int, code: str
) -> None:
    """What the writer slows down for is told from what is only tried again."""
    server.status = status
    server.body = error_body(code) if code else b""
    throttles = (*THROTTLES, *[(400, "ThrottlingException"), (400, "TooManyRequestsException")])
    assert isinstance(failure_of("write"), StoreThrottled) == ((status, code) in throttles)


def test_retries_see_an_outage_through(server: BadServer) -> None:
    """S3 that answers 503 three times and then works has the object, after three retries."""
    server.status, server.body, server.failures = 503, error_body("SlowDown"), 3
    store = RetryingStore(open_s3(), lambda: 60, RetryPolicy(sleep=lambda _: None))
    store.put("a/b", SECRET)
    assert store.retries == 3
    assert server.requests == ["PUT"] * 4

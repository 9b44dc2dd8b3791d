"""What buckets demand of requests: true boto3 against a server that refuses whatever lacks it."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from pipeline.adapters.aws.s3 import S3Store, s3_client
from pipeline.bucket_settings import S3Settings, read_s3_settings
from pipeline.cli import main
from pipeline.core.errors import SettingsError, StoreRefused
from pipeline.files.notifications import ObjectReference
from pipeline.files.objects import S3Objects
from pipeline.settings import Settings

KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
WRITES, ALL = {"PUT", "COPY"}, {"PUT", "COPY", "GET", "HEAD", "DELETE"}

# A setting, the header that it sends, and the methods whose requests take it.
DEMANDS = {
    "PIPELINE_S3_ENCRYPTION": ("aws:kms", "x-amz-server-side-encryption", "aws:kms", WRITES),
    "PIPELINE_S3_KMS_KEY": (
        KEY,
        "x-amz-server-side-encryption-aws-kms-key-id",
        KEY,
        WRITES,
    ),
    "PIPELINE_S3_BUCKET_KEY": (
        "on",
        "x-amz-server-side-encryption-bucket-key-enabled",
        "true",
        WRITES,
    ),
    "PIPELINE_S3_ACL": (
        "bucket-owner-full-control",
        "x-amz-acl",
        "bucket-owner-full-control",
        WRITES,
    ),
    "PIPELINE_S3_REQUESTER_PAYS": ("on", "x-amz-request-payer", "requester", ALL),
    "PIPELINE_S3_EXPECTED_OWNER": (
        "111122223333",
        "x-amz-expected-bucket-owner",
        "111122223333",
        ALL,
    ),
    "PIPELINE_S3_STORAGE_CLASS": ("STANDARD_IA", "x-amz-storage-class", "STANDARD_IA", WRITES),
    "PIPELINE_S3_TAGS": (
        "team=data, cost centre=4 + 2",
        "x-amz-tagging",
        "team=data&cost+centre=4+%2B+2",
        WRITES,
    ),
}
EVERYTHING = {name: value for name, (value, _, _, _) in DEMANDS.items()}


class DemandingS3(ThreadingHTTPServer):
    """An S3 of one bucket in memory that demands headers, by method, of every request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.demands: list[tuple[str, str | None, set[str]]] = []
        """A header, its value (None: it must not be there), the methods that are held to it."""
        self.answered: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DemandingS3

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", etag: str = "1") -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Last-Modified", "Fri, 27 Nov 2026 06:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(
            status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        )

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") or "aws-chunked" in self.headers.get(
            "Content-Encoding", ""
        ):
            body = _unchunked(body)
        method = "COPY" if self.headers.get("x-amz-copy-source") else self.command
        for header, value, methods in self.server.demands:
            if method in methods and self.headers.get(header) != value:
                self._refuse(403, "AccessDenied", "Access Denied")
                return
        self.server.answered.append(method)
        self._serve(method, body)

    do_GET = do_HEAD = do_DELETE = do_PUT  # noqa: N815 - the names http.server calls

    def _serve(self, method: str, body: bytes) -> None:
        parts, objects = urlsplit(self.path), self.server.objects
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        if method == "PUT":
            objects[key] = body
            self._answer(200)
        elif method == "DELETE":
            objects.pop(key, None)
            self._answer(204)
        elif method == "COPY":
            self._answer(200, b"<CopyObjectResult><ETag>1</ETag></CopyObjectResult>")
        elif not key:
            prefix = parse_qs(parts.query).get("prefix", [""])[0]
            found = "".join(
                f"<Contents><Key>{escape(name)}</Key><ETag>1</ETag><Size>{len(objects[name])}</Size>"
                "<LastModified>2026-11-27T06:00:00Z</LastModified></Contents>"
                for name in sorted(objects)
                if name.startswith(prefix)
            )
            listing = (
                f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
            )
            self._answer(200, listing.encode())
        elif key in objects:
            self._answer(200, objects[key])
        else:
            self._refuse(404, "NoSuchKey", "There is none.")


def _unchunked(body: bytes) -> bytes:
    """Undo aws-chunked, in which boto3 sends a body whose checksum follows it."""
    stream, parts = io.BytesIO(body), []
    while size := int(stream.readline().partition(b";")[0], 16):
        parts.append(stream.read(size))
        stream.readline()
    return b"".join(parts)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemandingS3]:
    """Run such an S3 on loopback, and point boto3's environment at it."""
    made = DemandingS3()
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{made.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    yield made
    made.shutdown()
    made.server_close()


def settings_of(variables: dict[str, str]) -> S3Settings:
    """Read settings that have no fault."""
    faults: list[str] = []
    settings = read_s3_settings(variables, faults)
    assert not faults
    return settings


def copy(store: S3Store) -> None:
    """Copy an object, as `S3Store` has no need to do yet: the client's settings hold for it, too."""
    client = store._client
    client.copy_object(Bucket="bucket", Key="rows/copy", CopySource="bucket/rows/a")


OPERATIONS: dict[str, Callable[[S3Store], object]] = {
    "PUT": lambda store: store.put("a", b"x"),
    "COPY": copy,
    "GET": lambda store: store.get("a"),
    "LIST": lambda store: list(store.list()),
    "DELETE": lambda store: store.delete("a"),
}


@pytest.mark.parametrize("name", DEMANDS)
def test_each_setting_is_sent_with_every_request_that_takes_it(
    server: DemandingS3, name: str
) -> None:
    """A bucket that demands something refuses all that lack it, and takes all with the setting."""
    _, header, sent, methods = DEMANDS[name]
    server.objects = {"rows/a": b"x"}
    server.demands = [(header, sent, methods)]
    plain, demanded = (
        S3Store("bucket", "rows", s3_client(each))
        for each in (S3Settings(), settings_of(EVERYTHING))
    )
    for operation, call in OPERATIONS.items():
        method = "GET" if operation == "LIST" else operation
        if method in methods - {"COPY"}:
            with pytest.raises(
                StoreRefused, match=r"AccessDenied.*which the settings PIPELINE_S3_… send"
            ):
                call(plain)
        call(demanded)
    assert server.answered == ["PUT", "COPY", "GET", "GET", "DELETE"]


def test_of_what_is_not_set_nothing_is_sent(server: DemandingS3) -> None:
    """Without a setting no header goes out that a store might not know."""
    sent: list[str] = []

    def look(request: object, **_: object) -> None:
        sent.extend(name.lower() for name in request.headers)  # type: ignore[attr-defined] # botocore's

    client = s3_client()
    client.meta.events.register("before-send.s3", look)
    store = S3Store("bucket", "rows", client)
    store.put("a", b"x")
    assert (store.get("a"), list(store.list())) == (b"x", ["a"])
    assert not set(sent) & {header for _, header, _, _ in DEMANDS.values()}


def test_files_are_read_as_a_requester_who_pays(server: DemandingS3) -> None:
    """Buckets of files may be somebody else's: the owner that is expected is the output's."""
    server.objects = {"in/a": b"x"}
    server.demands = [
        ("x-amz-request-payer", "requester", ALL),
        ("x-amz-expected-bucket-owner", None, ALL),
    ]
    objects = S3Objects(settings=settings_of(EVERYTHING))
    version = objects.find(ObjectReference("bucket", "in/a"))
    assert objects.read(version, 0, 1) == b"x"
    ((listed,), _) = objects.page("bucket", "in/")
    assert listed.reference.key == "in/a"
    with pytest.raises(StoreRefused, match="Could not read s3://bucket/in/a: S3 answered 403"):
        S3Objects().find(ObjectReference("bucket", "in/a"))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a dataset, and a file with a row and a dead letter for it."""
    for name in EVERYTHING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "schemas" / "notes"
    folder.mkdir(parents=True)
    schema = {"type": "record", "name": "Note", "fields": [{"name": "id", "type": "long"}]}
    (folder / "1.avsc").write_text(json.dumps(schema), "utf-8")
    (folder / "dataset.toml").write_text("", "utf-8")
    (tmp_path / "in.ndjson").write_text('{"id": 1}\n{"id": "x"}\n', "utf-8")
    return tmp_path


def code_of(arguments: list[str]) -> int:
    """Run a command; return its exit code."""
    code = 0
    with suppress(SystemExit):
        code = main(arguments)
    return code


@pytest.mark.parametrize("by_option", [True, False])
def test_commands_write_and_read_where_everything_is_demanded(
    server: DemandingS3,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    by_option: bool,
) -> None:
    """Rows and dead letters are stored, counted and sent again, by options or by variables."""
    assert dataset.is_dir()
    server.demands = [(header, sent, methods) for _, header, sent, methods in DEMANDS.values()]
    options: list[str] = []
    for name, value in EVERYTHING.items():
        if by_option:
            options += [f"--{name.removeprefix('PIPELINE_').lower().replace('_', '-')}", value]
        else:
            monkeypatch.setenv(name, value)
    assert code_of(["convert", "in.ndjson", "--out", "s3://bucket/lake", *options]) == 0
    stored = [key for key in server.objects if "/_parts/" not in key]
    assert sorted(key.split("/")[0] for key in stored) == ["lake", "lake-dead-letters"]
    assert code_of(["dead-letters", "s3://bucket/lake-dead-letters", *options]) == 0
    assert "wrong_type" in capsys.readouterr().out
    letters = ["redrive", "s3://bucket/lake-dead-letters", "--out", "s3://bucket/lake"]
    assert code_of([*letters, *options]) == 0
    assert "1 documents sent again" in capsys.readouterr().out
    # The bucket of files is somebody else's.
    server.objects["in/a.ndjson"] = b'{"id": 2}\n'
    server.demands = [demand for demand in server.demands if "owner" not in demand[0]]
    assert code_of(["backfill", "s3://bucket/in/", "--out", "s3://bucket/lake", *options]) == 0
    assert sum(key.startswith("lake/notes/parquet/") for key in server.objects) == 2


@pytest.mark.parametrize(
    "command", ["convert", "run", "backfill", "redrive", "dead-letters", "infer", "evolve"]
)
def test_every_command_that_reaches_s3_has_the_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What one command can reach, all can."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    for name in EVERYTHING:
        assert f"${name}" in " ".join(shown.split())


REQUIRED = {
    "PIPELINE_OUTPUT": "s3://bucket/rows",
    "PIPELINE_DEAD_LETTERS": "s3://bucket/letters",
    "PIPELINE_SCHEMAS": "schemas",
}
FAULTS = {
    "PIPELINE_S3_ENCRYPTION": (
        "AES128",
        "PIPELINE_S3_ENCRYPTION is 'AES128'; give one of AES256, aws:kms, aws:kms:dsse.",
    ),
    "PIPELINE_S3_BUCKET_KEY": ("yes", 'PIPELINE_S3_BUCKET_KEY is \'yes\'; give "on" or "off".'),
    "PIPELINE_S3_ACL": (
        "public-read",
        (
            "PIPELINE_S3_ACL is 'public-read'; give one of bucket-owner-full-control, bucket-owner-read, "
            "private."
        ),
    ),
    "PIPELINE_S3_REQUESTER_PAYS": (
        "true",
        'PIPELINE_S3_REQUESTER_PAYS is \'true\'; give "on" or "off".',
    ),
    "PIPELINE_S3_EXPECTED_OWNER": (
        "1234",
        "PIPELINE_S3_EXPECTED_OWNER is '1234'; give the 12 digits of an AWS account.",
    ),
    "PIPELINE_S3_STORAGE_CLASS": (
        "GLACIER",
        (
            "PIPELINE_S3_STORAGE_CLASS is 'GLACIER'; give one of STANDARD, STANDARD_IA, ONEZONE_IA, "
            "INTELLIGENT_TIERING, GLACIER_IR, REDUCED_REDUNDANCY."
        ),
    ),
    "PIPELINE_S3_TAGS": (
        "team",
        (
            "PIPELINE_S3_TAGS is 'team'; give name=value pairs, apart by commas, of letters, digits, "
            "spaces and + - . _ : / @, the names up to 128 characters and not beginning with aws:, the "
            "values up to 256."
        ),
    ),
}


def test_every_fault_is_named_at_once() -> None:
    """Wrong values stop the start together, a sentence each."""
    given = {name: value for name, (value, _) in FAULTS.items()}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({**REQUIRED, **given})
    assert sorted(str(caught.value).splitlines()) == sorted(text for _, text in FAULTS.values())


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (
            {"PIPELINE_S3_KMS_KEY": "alias/lake"},
            (
                "PIPELINE_S3_KMS_KEY is set, but a key is used by PIPELINE_S3_ENCRYPTION aws:kms and "
                "aws:kms:dsse alone; set that, too."
            ),
        ),
        (
            {"PIPELINE_S3_KMS_KEY": "a key", "PIPELINE_S3_ENCRYPTION": "aws:kms"},
            "PIPELINE_S3_KMS_KEY is 'a key'; give a KMS key's ARN, id or alias/name.",
        ),
        (
            {"PIPELINE_S3_BUCKET_KEY": "on", "PIPELINE_S3_ENCRYPTION": "aws:kms:dsse"},
            (
                "PIPELINE_S3_BUCKET_KEY is on, but bucket keys are used by PIPELINE_S3_ENCRYPTION aws:kms "
                "alone; set that, too."
            ),
        ),
        (
            {"PIPELINE_S3_TAGS": "a=1,a=2"},
            "PIPELINE_S3_TAGS has 2 tags; S3 takes 10 at most, no two of one name.",
        ),
        (
            {"PIPELINE_S3_TAGS": ",".join(f"a{number}=" for number in range(11))},
            "PIPELINE_S3_TAGS has 11 tags; S3 takes 10 at most, no two of one name.",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, str], fault: str) -> None:
    """What S3 would refuse for each object is refused once, at the start."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({**REQUIRED, **given})
    assert str(caught.value) == fault


def test_a_fault_of_an_option_names_the_option(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who typed an option is told of the option."""
    assert dataset.is_dir()
    code_of(["convert", "in.ndjson", "--out", "s3://bucket/lake", "--s3-acl", "public"])
    assert "--s3-acl is 'public'; give one of bucket-owner-full-control" in capsys.readouterr().err


def test_variables_that_are_empty_are_not_set() -> None:
    """A template passes an empty parameter on as an empty variable."""
    assert settings_of(dict.fromkeys(EVERYTHING, "")) == S3Settings()

"""The Lambda artifact: what is in it, that it is the same each time, and that it runs as in Lambda."""

from __future__ import annotations

import base64
import gzip
import inspect
import json
import logging
import os
import platform
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

import boto3
import contents
import elf
import package
import pytest
from lambda_runtime import Lambda, client_files
from moto.server import ThreadedMotoServer
from support import ROOT, as_json, kinesis_event, order, read_parquet, sequence_number

import pipeline
from pipeline import handlers
from pipeline.adapters.schemas import preset_names, read_datasets
from pipeline.authoring.ddl import dead_letter_statements, statements
from pipeline.core.errors import SettingsError
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.files.notifications import ObjectReference, notify_of

pytestmark = [
    pytest.mark.xdist_group("package"),
    pytest.mark.skipif(sys.platform != "linux", reason="Lambda is Linux, and so is its client"),
]

HERE: package.Arch = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SCRIPT = ROOT / "infra" / "package.py"
BUCKET = "lake"
REPORT = logging.getLogger("lambda")


# --------------------------------------------------------------------------------- what is made


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both architectures in `one`; and this machine's in `two`, built elsewhere and otherwise."""
    folder = tmp_path_factory.mktemp("package")
    command: list[str | Path] = [
        sys.executable,
        SCRIPT,
        "--python",
        PYTHON,
        "--compiler",
        sys.executable,
    ]
    runs = [
        subprocess.Popen([*command, "--out", folder / "one"], cwd=ROOT),
        subprocess.Popen(
            [*command, "--arch", HERE, "--out", folder / "two"],
            cwd=folder,
            env=os.environ
            | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "POSIX", "TMPDIR": str(folder)},
            umask=0o077,
        ),
    ]
    assert [run.wait() for run in runs] == [0, 0]
    return folder


@pytest.fixture(scope="module")
def archive(out: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(out / "one" / f"lambda-{HERE}" / "function.zip") as opened:
        yield opened


def test_the_same_inputs_give_the_same_bytes(out: Path) -> None:
    for name in ("function.zip", "scheduled.zip", "template.yaml"):
        one, two = (out / folder / f"lambda-{HERE}" / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_template_for_other_datasets_needs_no_artifact_to_be_built_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas, out = tmp_path / "schemas", tmp_path / "dist"
    shutil.copytree(ROOT / "schemas" / "orders", schemas / "sales")
    config = schemas / "sales" / "dataset.toml"
    config.write_text(config.read_text().replace('"orders"', '"sales"'))
    words = ["--schemas", str(schemas), "--out", str(out), "--arch", "arm64", "--template-only"]
    missing = out / "lambda-arm64" / "function.zip"
    assert package.main(words) == 1
    assert capsys.readouterr().err == (
        f"{missing} is missing: build it once, with `make package`.\n"
    )
    missing.parent.mkdir(parents=True)
    for name in package.ARTIFACTS:
        (missing.parent / name).write_bytes(b"built")
    assert package.main(words) == 0
    text = (missing.parent / "template.yaml").read_text()
    assert "  TableSales: " in text
    assert "TableOrders" not in text
    assert missing.read_bytes() == b"built"


@pytest.mark.parametrize("name", package.ARTIFACTS)
@pytest.mark.parametrize(("arch", "machine"), [("arm64", 0xB7), ("x86_64", 0x3E)])
def test_an_artifact_is_small_and_of_its_architecture(
    out: Path, arch: str, machine: int, name: str
) -> None:
    file = out / "one" / f"lambda-{arch}" / name
    limits = package.ARTIFACTS[name]
    assert file.stat().st_size < limits.zipped
    with zipfile.ZipFile(file) as opened:
        assert sum(entry.file_size for entry in opened.infolist()) < limits.unpacked
        libraries = [name for name in opened.namelist() if ".so" in Path(name).name]
        machines = {struct.unpack_from("<H", opened.read(name), 18)[0] for name in libraries}
    assert len(libraries) > 15
    assert machines == {machine}


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = {"function.zip": {"a": b"a"}, "scheduled.zip": {"a": b"a" * 1_000}}
    monkeypatch.setattr(package, "artifacts", lambda *_: made)
    small = {name: package.Artifact("runtime.txt", 999, 999) for name in made}
    monkeypatch.setattr(package, "ARTIFACTS", small)
    target = package.Target(HERE, PYTHON, Path(sys.executable))
    with pytest.raises(package.PackageError, match=r"1,000 bytes unpacked \(the limit is 999\)"):
        package.build(target, ROOT / "schemas", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "services"),
    [
        ("boto3.client('s3', config=config)", {"s3"}),
        ("make_client(SNS, tries=5)", {"sns"}),
        ("open_client(SQS)", set()),
        ("client.put_object(Bucket='s3')", set()),
    ],
)
def test_a_service_is_known_by_the_client_that_is_made_for_it(
    tmp_path: Path, call: str, services: set[str]
) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "handlers.py").write_text(f"def handle():\n    {call}\n")
    assert contents.reached(tmp_path / "pipeline").services == services


def test_only_what_the_handlers_need_is_in_it(archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    folders = {name.partition("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {
        "LICENSE", "__pycache__", "aws_kinesis_agg", "boto3", "botocore", "dateutil", "fastavro",
        "google", "jmespath", "msgspec", "obstore", "pipeline", "pyarrow", "pybase64", "s3transfer", "schemas",
        "six.py", "tzdata", "urllib3",
    }  # fmt: skip
    models = {name.split("/")[2] for name in names if re.match("botocore/data/.*/", name)}
    # A stream's payloads may need Glue's registry, its private fields a secret; alerts read the log.
    assert models == {"glue", "logs", "s3", "secretsmanager", "sns", "ssm"}
    ours = {name.split("/")[1] for name in names if name.startswith("pipeline/")}
    assert {"handlers", "flow.py", "core", "adapters"} <= ours
    assert not {"cli.py", "commands", "demo", "local", "producer", "redrive.py"} & ours
    unwanted = re.compile(r"/tests/|\.(pyi|pyx|pxd|pxi|h|ndjson|md)$|flight|_s3fs|libarrow_s3")
    assert [name for name in names if unwanted.search(name)] == []


def test_what_only_scheduled_functions_need_is_in_an_artifact_of_its_own(
    out: Path, archive: zipfile.ZipFile
) -> None:
    with zipfile.ZipFile(out / "one" / f"lambda-{HERE}" / "scheduled.zip") as opened:
        scheduled = set(opened.namelist())
    of_stream = set(archive.namelist())
    assert of_stream <= scheduled
    more = {name for name in scheduled - of_stream if "__pycache__" not in name}
    ours = {name for name in more if name.startswith("pipeline/")}
    assert {
        "pipeline/handlers/_commit.py",
        "pipeline/handlers/_tables.py",
        "pipeline/lake/commit.py",
        "pipeline/registration.py",
    } <= ours
    assert {"pyiceberg", "sqlalchemy"} <= {name.partition("/")[0] for name in more}


def test_every_module_has_its_bytecode(archive: zipfile.ZipFile) -> None:
    names = set(archive.namelist())
    for source in [name for name in names if name.endswith(".py")]:
        folder, _, name = source.rpartition("/")
        compiled = f"__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"
        body = archive.read(f"{folder}/{compiled}" if folder else compiled)
        assert body[:4] == MAGIC_NUMBER
        # By hash, unchecked: no look at the source, whose time is nobody's.
        assert struct.unpack_from("<I", body, 4) == (0b01,)


def test_the_licences_go_with_it(archive: zipfile.ZipFile) -> None:
    pinned = re.findall(r"(?m)^([\w-]+)==", (ROOT / "requirements" / "runtime.txt").read_text())
    names = archive.namelist()
    for requirement in pinned:
        start = requirement.replace("-", "_")
        # obstore's wheel holds no text of its licence, so what it says of itself has to do.
        file = "METADATA" if requirement == "obstore" else ".*LICEN[CS]E"
        licences = [
            name
            for name in names
            if re.match(rf"{start}-[\d.a-z]+\.dist-info/{file}", name, re.IGNORECASE)
        ]
        assert licences, requirement
    assert archive.read("LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_the_datasets_go_with_it_without_their_samples(archive: zipfile.ZipFile) -> None:
    there = {name for name in archive.namelist() if name.startswith("schemas/")}
    folder = ROOT / "schemas"
    wanted = [
        *folder.glob("*/*.avsc"),
        *folder.glob("*/dataset.toml"),
        *folder.glob("*/layout.toml"),
    ]
    assert there == {f"schemas/{file.relative_to(folder).as_posix()}" for file in wanted}


# ------------------------------------------------------------------------------- how it is made


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    ours = {
        "__init__.py": "",
        "handlers.py": "from pipeline.near import here\nimport pyarrow.csv as reader\n",
        "near/__init__.py": "from pipeline import beside",
        "near/here.py": "def f():\n from aws import SNS, make_client\n return make_client(SNS)",
        "beside.py": "",
        "far.py": "import pyarrow.flight",
    }
    for name, text in ours.items():
        file = tmp_path / "pipeline" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = contents.reached(tmp_path / "pipeline")
    assert found.modules.keys() == {
        "pipeline", "pipeline.handlers", "pipeline.near", "pipeline.near.here", "pipeline.beside",
    }  # fmt: skip
    assert found.services == {"sns"}
    assert found.arrow == {"csv"}


def test_a_folder_of_handlers_is_entered_by_each_of_its_modules(tmp_path: Path) -> None:
    folder = tmp_path / "pipeline" / "handlers"
    folder.mkdir(parents=True)
    for name in ("__init__", "alert", "kinesis"):
        (folder / f"{name}.py").touch()
    found = contents.reached(tmp_path / "pipeline")
    assert {"pipeline.handlers.alert", "pipeline.handlers.kinesis"} <= found.modules.keys()


def test_a_library_without_its_symbols_keeps_every_byte_that_is_loaded() -> None:
    from pyarrow import lib

    body = Path(lib.__file__).read_bytes()
    kept = elf.loaded(body)
    assert len(kept) < len(body)
    # The same but for where the sections were said to be: bytes 40 to 48, and 58 to 64.
    assert kept[64:] == body[64 : len(kept)]
    assert (kept[:40], kept[48:58]) == (body[:40], body[48:58])
    assert elf.loaded(kept) == kept
    assert elf.loaded(b"no library") == b"no library"


@pytest.mark.parametrize(
    ("schema", "says"),
    [("{", "1.avsc is not JSON"), (None, "is not a directory"), ("", "There are no datasets")],
)
def test_datasets_that_cannot_be_used_stop_the_build_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], schema: str | None, says: str
) -> None:
    schemas, out = tmp_path / "my schemas", tmp_path / "out"
    if schema is not None:
        schemas.mkdir()
    if schema:
        shutil.copytree(ROOT / "schemas" / "clicks", schemas / "clicks")
        (schemas / "clicks" / "1.avsc").write_text(schema)
    arguments = ["--python", PYTHON, "--schemas", str(schemas), "--out", str(out)]
    assert package.main(arguments) == 1
    assert not out.exists()
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"The datasets of {schemas} cannot be packaged: ")
    assert says in sentence


def test_a_dataset_whose_folder_is_a_link_goes_in(tmp_path: Path) -> None:
    (tmp_path / "clicks").symlink_to(ROOT / "schemas" / "clicks")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "1.avsc").write_text("{")
    assert package._datasets(tmp_path).keys() == {
        "schemas/clicks/1.avsc", "schemas/clicks/dataset.toml", "schemas/clicks/layout.toml",
    }  # fmt: skip


def test_the_settings_of_a_stream_go_in_with_the_presets_that_they_may_name(
    tmp_path: Path, archive: zipfile.ZipFile
) -> None:
    (tmp_path / "stream.toml").write_text('preset = "dms"')
    assert package._datasets(tmp_path) == {"schemas/stream.toml": b'preset = "dms"'}
    settings = '[payload]\nformat = "avro"\nframing = "confluent"\nschemas = "_writers"\n'
    (tmp_path / "stream.toml").write_text(settings)
    (tmp_path / "_writers").mkdir()
    (tmp_path / "_writers" / "7.avsc").write_text('"long"')
    (tmp_path / "_writers" / "notes.txt").write_text("not for the function")
    found = package._datasets(tmp_path)
    assert found.keys() == {"schemas/stream.toml", "schemas/_writers/7.avsc"}
    assert found["schemas/_writers/7.avsc"] == b'"long"'
    names = {f"pipeline/adapters/presets/{name}.toml" for name in preset_names()}
    assert names <= set(archive.namelist())


def test_a_folder_of_datasets_may_have_a_space_in_its_name() -> None:
    arguments = ["make", "--dry-run", "package", "SCHEMAS=my schemas"]
    # Not with the variables of the make that runs the tests.
    bare = {name: value for name, value in os.environ.items() if name not in {"ARGS", "MAKEFLAGS"}}
    done = subprocess.run(arguments, cwd=ROOT, env=bare, capture_output=True, text=True, check=True)
    (recipe,) = [line for line in done.stdout.splitlines() if "infra/package.py" in line]
    assert shlex.split(recipe)[-2:] == ["--schemas", "my schemas"]


def test_a_missing_python_is_named_with_a_way_to_get_it() -> None:
    with pytest.raises(package.PackageError, match=r"No Python 3\.99 was found.*uv python install"):
        package.find_python("3.99")


def test_a_python_behind_a_script_is_found_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pyenv's are, which read which Python is meant from a variable."""
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\nexec "$WHICH_PYTHON" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("WHICH_PYTHON", sys.executable)
    assert package.find_python(PYTHON, script) == Path(sys.executable)


@pytest.mark.parametrize("named", [sys.executable, "/nowhere/python"])
def test_a_python_of_another_version_is_refused(named: str) -> None:
    with pytest.raises(package.PackageError, match=rf"{named} is not a Python 3\.99"):
        package.find_python("3.99", Path(named))


def test_what_cannot_be_installed_is_reported_with_its_target() -> None:
    # No Python 3.5 runs what is pinned.
    target = package.Target(HERE, "3.5", Path(sys.executable))
    with pytest.raises(package.PackageError, match=f"for Python 3.5 on {HERE} could not be"):
        package.artifacts(target, ROOT / "schemas")


# ------------------------------------------------------------------------------- how it behaves


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client(service: str, endpoint: str) -> Any:
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@pytest.fixture
def s3(s3_endpoint: str) -> Any:
    made = client("s3", s3_endpoint)
    made.create_bucket(Bucket=BUCKET)
    for entry in made.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        made.delete_object(Bucket=BUCKET, Key=entry["Key"])
    return made


@pytest.fixture
def queue(s3_endpoint: str) -> str:
    url: str = client("sqs", s3_endpoint).create_queue(QueueName="people")["QueueUrl"]
    return url


# A handler beside the client: calls the real one, and answers with where all modules came from.
PROBE = """
import sys
from pipeline.handlers import kinesis

def handler(event, context):
    assert kinesis(event, context) == {"batchItemFailures": []}
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return {"path": sys.path, "files": {name: file for name, file in files.items() if file}}

def loads(event, context):
    before = set(sys.modules)
    assert kinesis(event, context) == {"batchItemFailures": []}
    files = {name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - before}
    return {name: file for name, file in files.items() if file}
"""


@pytest.fixture(scope="module")
def machine(archive: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the artifact unpacked in `task`, and Lambda's client in `runtime`."""
    folder = tmp_path_factory.mktemp("machine")
    archive.extractall(folder / "task")
    client_files(folder / "runtime")
    (folder / "runtime" / "probe.py").write_text(PROBE)
    return folder


@pytest.fixture
def function(machine: Path, s3_endpoint: str, s3: Any) -> Iterator[Lambda]:
    environment = {
        "PIPELINE_OUTPUT": f"s3://{BUCKET}/rows",
        "PIPELINE_DEAD_LETTERS": f"s3://{BUCKET}/letters",
        "PIPELINE_SCHEMAS": str(machine / "task" / "schemas"),
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    task, runtime = machine / "task", machine / "runtime"
    with Lambda(task, runtime, "pipeline.handlers.kinesis", environment) as made:
        yield made


def stored(s3: Any) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    return {
        entry["Key"]: s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        for entry in found
    }


STORED: dict[str, Any] = {"batchItemFailures": []}
SMALL = kinesis_event([as_json(order()), b"{"])


def full_event() -> dict[str, Any]:
    """As much as Lambda delivers at once: 6 MB of JSON around 87 aggregates of 50 KB."""
    size = len(as_json(order(order_id=str(uuid.UUID(int=0)))))
    each = 50_000 // (size + 10)
    return kinesis_event(
        aggregate(
            UserRecord("a", as_json(order(order_id=str(uuid.UUID(int=number * each + item)))))
            for item in range(each)
        )
        for number in range(87)
    )


def heavy_event() -> dict[str, Any]:
    """What is small on the stream and large in memory: 60 MB of orders in a few KB."""
    line = as_json(order()) + b"\n"
    return kinesis_event([gzip.compress(line * 9_000, mtime=0)] * 30)


def test_there_is_a_test_for_each_handler() -> None:
    found = {
        name
        for name, value in vars(handlers).items()
        if inspect.isfunction(value)
        and list(inspect.signature(value).parameters) == ["event", "context"]
    }
    assert found == {"kinesis", "s3", "firehose", "alert", "tables", "commit"}


def test_the_artifact_stores_a_batch_in_both_formats(function: Lambda, s3: Any) -> None:
    outcome = function.invoke(SMALL)
    assert outcome.error is None
    assert outcome.answer == STORED
    objects = stored(s3)
    (parquet,) = [body for key, body in objects.items() if key.endswith(".parquet")]
    (csv,) = [body for key, body in objects.items() if key.endswith(".csv")]
    (letters,) = [body for key, body in objects.items() if key.endswith(".jsonl.gz")]
    assert read_parquet(parquet)["order_id"].to_pylist() == [order()["order_id"]]
    assert [line.count(order()["order_id"]) for line in csv.decode().splitlines()] == [0, 1]
    assert [json.loads(line)["payload"] for line in gzip.decompress(letters).splitlines()] == ["{"]
    assert '"outcome": "stored"' in outcome.log


def test_the_artifact_stores_a_file(function: Lambda, s3: Any) -> None:
    function.handler = "pipeline.handlers.s3"
    body = as_json(order()) + b"\n{\n"
    put = s3.put_object(Bucket=BUCKET, Key="incoming/orders.ndjson", Body=body)
    file = ObjectReference(BUCKET, "incoming/orders.ndjson", etag=put["ETag"].strip('"'))
    message = {
        "messageId": "m-1",
        "eventSource": "aws:sqs",
        "body": json.dumps(notify_of([file])),
    }
    assert function.invoke({"Records": [message]}).answer == STORED
    objects = stored(s3)
    (parquet,) = [body for key, body in objects.items() if key.endswith(".parquet")]
    (letters,) = [body for key, body in objects.items() if key.endswith(".jsonl.gz")]
    assert read_parquet(parquet)["order_id"].to_pylist() == [order()["order_id"]]
    assert [json.loads(line)["payload"] for line in gzip.decompress(letters).splitlines()] == [
        "{\n"
    ]
    assert [key for key in objects if key.endswith("/complete")]


def test_the_artifact_transforms_the_records_of_a_firehose_stream(
    function: Lambda, s3: Any
) -> None:
    function.handler = "pipeline.handlers.firehose"
    del function.environment["PIPELINE_OUTPUT"]
    records = [
        {
            "recordId": str(number),
            "approximateArrivalTimestamp": 1_795_426_200_123,
            "data": base64.b64encode(data).decode(),
        }
        for number, data in enumerate([as_json(order()), b"{"])
    ]
    arn = "arn:aws:firehose:us-east-1:123456789012:deliverystream/shop"
    outcome = function.invoke({"deliveryStreamArn": arn, "records": records})
    assert outcome.error is None
    good, bad = outcome.answer["records"]
    assert base64.b64decode(good["data"]) == as_json(order()) + b"\n"
    assert bad == {"recordId": "1", "result": "Dropped"}
    (key,) = stored(s3)
    assert key.startswith("letters/unrouted/")


def test_the_artifact_sends_people_a_message_for_an_alarm(
    function: Lambda, s3_endpoint: str, queue: str
) -> None:
    sns = client("sns", s3_endpoint)
    topic = sns.create_topic(Name="people")["TopicArn"]
    sqs = client("sqs", s3_endpoint)
    there = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=there["QueueArn"])
    function.handler = "pipeline.handlers.alert"
    function.environment |= {"PIPELINE_ALERT_TOPIC": topic, "AWS_ENDPOINT_URL_SNS": s3_endpoint}
    alarm = {
        "AlarmName": "pipeline-ErrorsAlarm",
        "NewStateValue": "ALARM",
        "StateChangeTime": "2026-11-23T09:30:00.250+0000",
        "Trigger": {"MetricName": "Errors", "Namespace": "AWS/Lambda"},
    }
    published = {"TopicArn": f"{topic}-alarms", "Message": json.dumps(alarm)}
    outcome = function.invoke({"Records": [{"EventSource": "aws:sns", "Sns": published}]})
    assert outcome.answer == {"alarms": 1, "unreadable": 0}
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(message["Body"])["Subject"] == "ALARM: pipeline-ErrorsAlarm"


@pytest.fixture
def scheduled(out: Path, function: Lambda, tmp_path: Path) -> Iterator[Lambda]:
    """The function that is packed with what runs by a schedule."""
    with zipfile.ZipFile(out / "one" / f"lambda-{HERE}" / "scheduled.zip") as opened:
        opened.extractall(tmp_path / "task")
    environment = function.environment | {"PIPELINE_SCHEMAS": str(tmp_path / "task" / "schemas")}
    handler = "pipeline.handlers.tables"
    with Lambda(tmp_path / "task", function.runtime, handler, environment) as made:
        yield made


def test_the_artifact_registers_what_has_landed(
    function: Lambda, scheduled: Lambda, s3_endpoint: str
) -> None:
    assert function.invoke(SMALL).answer == STORED
    glue = client("glue", s3_endpoint)
    glue.create_database(DatabaseInput={"Name": "pipeline"})
    places = {"location": f"s3://{BUCKET}/rows", "letters": f"s3://{BUCKET}/letters"}
    datasets = read_datasets(ROOT / "schemas")
    names = [dataset.name for dataset in datasets]
    texts = [dead_letter_statements(names, places["letters"], "glue", None)]
    texts += [
        statements(dataset, places["location"], "glue", [as_format], None)
        for dataset in datasets
        for as_format in dataset.formats
    ]
    for text in texts:
        glue.create_table(DatabaseName="pipeline", TableInput=json.loads(text))
    scheduled.environment |= {
        "PIPELINE_GLUE_DATABASE": "pipeline",
        "AWS_ENDPOINT_URL_GLUE": s3_endpoint,
    }
    outcome = scheduled.invoke({})
    assert outcome.error is None
    assert outcome.answer["registered"] == 3  # of orders Parquet and CSV, and a dead letter
    assert outcome.answer["tables"] == len(texts)


def test_the_artifact_commits_what_has_landed(
    function: Lambda, scheduled: Lambda, s3_endpoint: str
) -> None:
    assert function.invoke(SMALL).answer == STORED
    config = Path(scheduled.environment["PIPELINE_SCHEMAS"]) / "orders" / "dataset.toml"
    config.write_text(f"{config.read_text()}\n[lake]\n")
    scheduled.handler = "pipeline.handlers.commit"
    scheduled.environment |= {
        "PIPELINE_LAKE": "glue:pipeline_lake",
        "AWS_ENDPOINT_URL_GLUE": s3_endpoint,
    }
    outcome = scheduled.invoke({})
    assert outcome.error is None
    assert outcome.answer["datasets"]["orders"]["LakeRows"] == 1
    (table,) = client("glue", s3_endpoint).get_tables(DatabaseName="pipeline_lake")["TableList"]
    assert table["Name"] == "orders"


def test_every_dataset_that_is_shipped_is_stored_by_the_artifact(function: Lambda, s3: Any) -> None:
    samples = [
        line
        for file in sorted((ROOT / "schemas").glob("*/*.ndjson"))
        for line in file.read_bytes().splitlines()
    ]
    assert function.invoke(kinesis_event(samples)).answer == STORED
    folders = {key.split("/")[1] for key in stored(s3) if key.startswith("rows/")}
    assert folders == {file.parent.name for file in (ROOT / "schemas").glob("*/dataset.toml")}


@pytest.mark.parametrize(("client", "module"), [("auto", "obstore"), ("boto3", "boto3")])
def test_nothing_is_imported_but_the_artifact_the_client_and_python(
    function: Lambda, client: str, module: str
) -> None:
    function.handler = "probe.handler"
    function.environment["PIPELINE_S3_CLIENT"] = client
    answer = function.invoke(SMALL).answer
    task, runtime = str(function.task), str(function.runtime)
    standard = str(Path(os.__file__).resolve().parent)
    others = {
        name: file
        for name, file in answer["files"].items()
        if not str(Path(file).resolve()).startswith((task, runtime, standard))
        or "site-packages" in file
    }
    assert others == {}
    assert answer["files"]["pipeline"] == f"{task}/pipeline/__init__.py"
    assert str(Path(pipeline.__file__).parent.parent) not in answer["path"]
    for name in (module, "pyarrow", "fastavro", "msgspec", "google.protobuf", "pybase64"):
        assert answer["files"][name].startswith(task)


def test_a_process_serves_one_invocation_after_another(function: Lambda) -> None:
    outcomes = [function.invoke(SMALL) for _ in range(3)]
    assert [outcome.answer for outcome in outcomes] == [STORED] * 3
    assert [outcome.start is None for outcome in outcomes] == [False, True, True]


def test_an_exception_is_lambdas_to_report(function: Lambda) -> None:
    error = function.invoke({}).error
    assert error is not None
    assert error["errorType"] == "EventError"
    assert "holds no Kinesis records" in error["errorMessage"]
    assert function.invoke(SMALL).answer == STORED


def test_the_first_invocation_finds_everything_loaded(function: Lambda) -> None:
    function.handler = "probe.loads"
    lazily = function.invoke(SMALL).answer
    assert "obstore" in lazily
    assert "boto3" not in lazily
    function.end()
    function.environment["_HANDLER"] = "pipeline.handlers.kinesis"  # as if it were not wrapped
    outcome = function.invoke(SMALL)
    ours = [name for name, file in outcome.answer.items() if file.startswith(str(function.task))]
    assert ours == []


def test_wrong_settings_stop_the_start_with_every_fault(function: Lambda) -> None:
    right = dict(function.environment)
    function.environment |= {"PIPELINE_OUTPUT": "lake", "PIPELINE_MAX_DEPTH": "0"}
    outcome = function.invoke(SMALL)
    assert outcome.error is not None
    assert outcome.error["errorType"] == "SettingsError"
    first, second = outcome.error["errorMessage"].splitlines()
    assert first.startswith("PIPELINE_OUTPUT is 'lake'; give s3://bucket/prefix")
    assert second.startswith("PIPELINE_MAX_DEPTH is '0'; give")
    # Where someone looks who was told of it.
    lines = [json.loads(line) for line in outcome.log.splitlines()]
    assert {"level": "ERROR", "errorMessage": f"{first}\n{second}"}.items() <= lines[-1].items()
    function.environment = right
    assert function.invoke(SMALL).answer == STORED


@pytest.mark.parametrize("handler", ["kinesis", "s3"])
def test_a_broken_schema_stops_the_start_of_a_handler_that_reads_it(
    function: Lambda, handler: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "schemas" / "clicks", tmp_path / "clicks")
    (tmp_path / "clicks" / "1.avsc").write_text("{")
    function.handler = f"pipeline.handlers.{handler}"
    function.environment["PIPELINE_SCHEMAS"] = str(tmp_path)
    error = function.invoke({}).error
    assert error is not None
    assert error["errorType"] == "DatasetError"
    assert "1.avsc is not JSON" in error["errorMessage"]
    assert error["requestId"] == ""  # no invocation's


def test_the_handler_of_alarms_starts_without_datasets_but_not_without_a_topic(
    function: Lambda,
) -> None:
    function.handler = "pipeline.handlers.alert"
    del function.environment["PIPELINE_SCHEMAS"]
    error = function.invoke({}).error
    assert error is not None
    assert error["errorMessage"].startswith("PIPELINE_ALERT_TOPIC is not set; give the ARN")
    assert error["requestId"] == ""  # no invocation's


def test_outside_lambda_and_under_another_handler_nothing_is_opened() -> None:
    in_lambda, ours = {"AWS_LAMBDA_RUNTIME_API": "x"}, "pipeline.handlers.kinesis"
    handlers.prepare({"_HANDLER": ours})
    handlers.prepare(in_lambda)
    handlers.prepare(in_lambda | {"_HANDLER": "mine.handler"})
    with pytest.raises(SettingsError, match="PIPELINE_OUTPUT is not set"):
        handlers.prepare(in_lambda | {"_HANDLER": ours})


def test_a_batch_too_large_for_the_memory_ends_the_process_and_the_next_one_starts(
    function: Lambda,
) -> None:
    function.memory = 160
    ended = function.invoke(heavy_event())
    assert ended.error is not None
    assert ended.error["errorType"] == "Runtime.OutOfMemory"
    assert ended.error["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert ended.answer is None
    again = function.invoke(SMALL)
    assert again.answer == STORED
    assert again.start is not None


def test_a_batch_that_takes_too_long_ends_the_process_and_the_next_one_starts(
    function: Lambda, s3: Any
) -> None:
    assert function.invoke(SMALL).answer == STORED  # what is loaded late is loaded
    ended = within(function, 0.02).invoke(heavy_event())
    assert ended.error is not None
    assert ended.error["errorType"] == "Sandbox.Timedout"
    assert ended.error["errorMessage"].endswith("Task timed out after 0.02 seconds")
    again = within(function, 60.0).invoke(SMALL)
    assert again.answer == STORED
    assert again.start is not None


def within(function: Lambda, seconds: float) -> Lambda:
    function.timeout = seconds
    return function


def test_a_store_that_is_down_is_reported_before_the_time_is_over(function: Lambda) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # without listen(): connections are refused
        host, port = unheard.getsockname()
        function.environment["AWS_ENDPOINT_URL_S3"] = f"http://{host}:{port}"
        outcome = within(function, 8.0).invoke(SMALL)
    assert outcome.answer == {"batchItemFailures": [{"itemIdentifier": sequence_number(0)}]}
    assert '"outcome": "store_failed"' in outcome.log


def memory_on_the_page() -> dict[int, int]:
    """Return what infra/README.md says of sizes of a function, and of the peak in each, in MB."""
    page = (ROOT / "infra" / "README.md").read_text("utf-8")
    (table,) = re.findall(r"(?s)^\| memory, MB .*?\n\n", page, re.MULTILINE)
    rows = re.findall(r"^\| ([\d,]+) \|.* ([\d,]+) \|$", table, re.MULTILINE)
    return {int(size.replace(",", "")): int(peak) for size, peak in rows}


def test_the_page_has_the_sizes_that_are_measured() -> None:
    assert list(memory_on_the_page()) == [512, 1_024, 1_769]


@pytest.mark.parametrize("memory", memory_on_the_page())
def test_a_full_event_fits_into_the_memory(function: Lambda, memory: int) -> None:
    function.memory = memory
    event = full_event()
    assert 5_500_000 < len(json.dumps(event)) < 6_000_000
    first, again = function.invoke(event), function.invoke(event)
    assert (first.answer, again.answer) == (STORED, STORED)
    assert again.memory == pytest.approx(memory_on_the_page()[memory], rel=0.3)
    # A function has a processor's share by its memory, but no less than all of one to start on.
    second = (again.processor - first.processor) / min(1.0, memory / 1_769)
    # Shown by `make test ARGS="tests/infra/test_package.py -k memory -n 0 --log-cli-level=INFO"`.
    REPORT.info(
        "%d MB: start-up %.2f s; a full event, %.2f s of its processor's share; peak %d MB",
        memory, first.start or 0, second, again.memory,
    )  # fmt: skip


def test_a_dataset_whose_layout_is_not_recorded_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("orders", "clicks"):
        shutil.copytree(ROOT / "schemas" / name, tmp_path / name)
    (tmp_path / "orders" / "layout.toml").unlink()
    monkeypatch.setattr(package, "build", lambda *_: "built")
    assert package.main(["--schemas", str(tmp_path), "--arch", "arm64"]) == 0
    assert capsys.readouterr().out == (
        "built\norders: how its rows are stored is not recorded. `pipeline check "
        f"{tmp_path} --write` does that, once: a later change that readers of these rows would "
        "trip over is then refused.\n"
    )


@pytest.mark.parametrize(
    ("config", "requirements"),
    [("", "privacy.txt"), ('dead_letter_private = "digest"', "runtime.txt")],
)
def test_what_seals_originals_goes_in_where_a_dataset_needs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str, requirements: str
) -> None:
    class Asked(Exception):
        pass

    def install(_: package.Target, __: Path, lock: str) -> None:
        raise Asked(lock)

    monkeypatch.setattr(package, "_install", install)
    folder = tmp_path / "people"
    folder.mkdir()
    field = {"name": "email", "type": "string", "privacy": "hash"}
    schema = {"type": "record", "name": "Person", "fields": [field]}
    (folder / "1.avsc").write_text(json.dumps(schema))
    (folder / "dataset.toml").write_text(config)
    target = package.Target(HERE, PYTHON, Path(sys.executable))
    with pytest.raises(Asked, match=requirements):
        package.artifacts(target, tmp_path)

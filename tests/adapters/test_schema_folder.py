"""Schemas on S3: read as a directory is, all of one moment, and the same for as long as asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from support import ROOT, Context, as_json, kinesis_event, order

from pipeline import cli, handlers
from pipeline.adapters.aws import schemas as on_s3
from pipeline.adapters.aws.schemas import SchemaObject, SchemaPrefix
from pipeline.adapters.schema_folder import schema_folder
from pipeline.adapters.schemas import read_datasets, read_stream, read_texts
from pipeline.core.errors import DatasetError, SettingsError, StoreRefused
from pipeline.settings import Settings

SHIPPED = ROOT / "schemas"
BUCKET, PLACE = "datasets", "s3://datasets/v1"
ENVIRONMENT = {
    "PIPELINE_OUTPUT": "s3://rows/lake",
    "PIPELINE_DEAD_LETTERS": "s3://letters/dead",
    "PIPELINE_SCHEMAS": PLACE,
}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


FILES = (
    "orders/1.avsc", "orders/dataset.toml", "orders/layout.toml", "orders/bad.ndjson", "clicks/1.avsc",
    "clicks/dataset.toml",
)  # fmt: skip


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of two datasets, one of them with samples."""
    folder = tmp_path_factory.mktemp("schemas")
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((SHIPPED / name).read_bytes())
    (folder / "stream.toml").write_text('framing = "lines"\n')
    return folder


def upload(s3: Any, folder: Path, prefix: str = "v1/") -> None:
    """Copy a folder as `aws s3 sync` does."""
    for path in folder.rglob("*"):
        if path.is_file():
            key = prefix + path.relative_to(folder).as_posix()
            s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())


def texts(folder: Path) -> dict[str, Any]:
    """Return what datasets are made of, by their names; all of them can be used."""
    return {dataset.name: read_texts(folder / dataset.name) for dataset in read_datasets(folder)}


def put(s3: Any, **bodies: bytes) -> None:
    for key, body in bodies.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)


@pytest.mark.parametrize("prefix", ["v1/", ""])
def test_the_datasets_are_those_of_the_folder_that_was_uploaded(
    s3: Any, schemas: Path, prefix: str
) -> None:
    upload(s3, schemas, prefix)
    with schema_folder(f"s3://{BUCKET}/{prefix}") as folder:
        assert texts(folder) == texts(schemas)
        assert read_stream(folder) == read_stream(schemas)
        assert not list(folder.rglob("*.ndjson"))  # samples may be large, and are not read


def test_a_directory_is_yielded_as_it_is() -> None:
    with schema_folder("schemas") as folder:
        assert folder == Path("schemas")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("v1/../orders/1.avsc", "../orders/1.avsc"),
        ("v1/../dataset.toml", "../dataset.toml"),
        ("v1//etc/dataset.toml", "/etc/dataset.toml"),
        ("v1/.git/dataset.toml", ".git/dataset.toml"),
        ("v1/notes.avsc", "notes.avsc"),
        ("v1/", ""),
    ],
)
def test_what_the_reader_of_datasets_does_not_look_at_is_not_copied(
    key: str, path: str, s3: Any, schemas: Path, tmp_path: Path
) -> None:
    upload(s3, schemas)
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    listed = {each.path: each for each in SchemaPrefix(PLACE).list()}
    assert not listed[path].wanted
    before = {file for file in tmp_path.parent.rglob("*.toml") if file.is_file()}
    with schema_folder(PLACE) as folder:
        assert texts(folder) == texts(schemas)
        copied = {file for file in tmp_path.parent.rglob("*.toml") if file.is_file()} - before
        assert all(file.is_relative_to(folder) for file in copied)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([], f"There is nothing below {PLACE}/; copy the datasets there: aws s3 sync schemas {PLACE}"),
        (
            ["v1/orders/good.ndjson"],
            (
                f"{PLACE}/orders/dataset.toml is missing; it says how the dataset is partitioned "
                "and written."
            ),
        ),
        (
            ["v1/orders/dataset.toml", "v1/orders/newest.avsc"],
            f"{PLACE}/orders/newest.avsc is not named by its version: 1.avsc, 2.avsc, and so on.",
        ),
        (
            [f"v1/{'x' * 300}/dataset.toml"],
            f"{PLACE} cannot be copied to FOLDER: File name too long.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_by_where_it_is_on_s3(
    keys: list[str], sentence: str, s3: Any
) -> None:
    put(s3, **dict.fromkeys(keys, b"x"))
    with pytest.raises(DatasetError) as raised, schema_folder(PLACE) as folder:
        read_datasets(folder)
    said = str(raised.value)
    if "FOLDER" in sentence:
        said = said[: said.index(" to ") + 4] + "FOLDER" + said[said.rindex(":") :]
    assert said == sentence


def test_too_much_is_refused_before_it_is_read(
    s3: Any, schemas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(s3, schemas)
    monkeypatch.setattr(on_s3, "_MOST_OBJECTS", 3)
    with pytest.raises(DatasetError, match="v1 has more than 3 objects; give the prefix that has"):
        SchemaPrefix(PLACE).list()
    monkeypatch.setattr(on_s3, "_MOST_OBJECTS", 300)
    monkeypatch.setattr(on_s3, "_MOST_BYTES", 10)
    with pytest.raises(DatasetError, match=r"v1/ have [0-9,]+ bytes, and may have 10\."):
        SchemaPrefix(PLACE).list()


def test_a_bucket_that_is_not_there_is_told(s3: Any) -> None:
    with (
        pytest.raises(StoreRefused, match="Could not list s3://none/x/: S3 answered NoSuchBucket"),
        schema_folder("s3://none/x"),
    ):
        pass


class Meddling(SchemaPrefix):
    """Schemas that somebody replaces between the listing and the first so many copies."""

    times = 0

    def copy(self, listed: Any, folder: Path) -> None:
        if Meddling.times:
            Meddling.times -= 1
            config = (SHIPPED / "orders" / "dataset.toml").read_bytes()
            changed = config + b"# %d\n" % Meddling.times
            self._client.put_object(Bucket=BUCKET, Key="v1/orders/dataset.toml", Body=changed)
        super().copy(listed, folder)


def test_what_changes_while_it_is_read_is_read_again(
    s3: Any, schemas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(s3, schemas)
    monkeypatch.setattr(on_s3, "SchemaPrefix", Meddling)
    monkeypatch.setattr(Meddling, "times", 2)
    with schema_folder(PLACE) as folder:
        assert (folder / "orders" / "dataset.toml").read_text().endswith("# 0\n")
    monkeypatch.setattr(Meddling, "times", 3)
    with pytest.raises(DatasetError, match=r"v1/ changed each of the 3 times they were read\. Do"):
        on_s3.copy_schemas(PLACE, folder.parent)


def test_an_execution_environment_keeps_what_it_began_with_and_the_next_has_what_is_new(
    s3: Any, schemas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that Lambda starts anew in an environment, as after a time-out, has its schemas."""
    upload(s3, schemas)
    monkeypatch.setenv("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/27/[1]aaaa")
    with schema_folder(PLACE) as first:
        assert len(read_datasets(first)) == len(read_datasets(schemas))
    s3.delete_object(Bucket=BUCKET, Key="v1/orders/dataset.toml")
    for listed in s3.list_objects_v2(Bucket=BUCKET, Prefix="v1/orders/")["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=listed["Key"])
    with schema_folder(PLACE) as again:
        assert again == first
        assert texts(again) == texts(schemas)
    monkeypatch.setenv("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/27/[1]bbbb")
    with schema_folder(PLACE) as other:
        assert "orders" not in {dataset.name for dataset in read_datasets(other)}


def test_a_copy_that_broke_off_is_not_taken_for_a_whole_one(
    s3: Any, schemas: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upload(s3, schemas)
    with monkeypatch.context() as patch:
        patch.setattr(SchemaPrefix, "_read", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            on_s3.copy_schemas(PLACE, tmp_path, "environment")
    assert not list(tmp_path.iterdir())
    assert read_datasets(on_s3.copy_schemas(PLACE, tmp_path, "environment"))


def test_a_batch_is_stored_under_the_same_keys_with_the_same_bytes_wherever_schemas_are(
    s3: Any, schemas: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upload(s3, schemas)
    stored = list[dict[Path, bytes]]()
    for place in (str(schemas), PLACE):
        out = tmp_path / str(len(stored))
        monkeypatch.setenv("PIPELINE_OUTPUT", (out / "rows").as_uri())
        monkeypatch.setenv("PIPELINE_DEAD_LETTERS", (out / "dead").as_uri())
        monkeypatch.setenv("PIPELINE_SCHEMAS", place)
        handlers.forget()
        event = kinesis_event([as_json(order()), b"{"])
        assert handlers.kinesis(event, Context(60.0)) == {"batchItemFailures": []}
        files = [path for path in out.rglob("*") if path.is_file()]
        stored.append({path.relative_to(out): path.read_bytes() for path in files})
    handlers.forget()
    assert stored[0] == stored[1]
    assert len(stored[0]) >= 2


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("s3:/datasets", "PIPELINE_SCHEMAS is 's3:/datasets'; give a directory, or s3://bucket/prefix."),
        (
            "s3://rows/lake/schemas",
            (
                "PIPELINE_SCHEMAS (s3://rows/lake/schemas) and what is stored (s3://rows/lake) lie "
                "one inside the other; give the schemas a prefix of their own."
            ),
        ),
        (
            "s3://letters/",
            (
                "PIPELINE_SCHEMAS (s3://letters) and what is stored (s3://letters/dead) lie one "
                "inside the other; give the schemas a prefix of their own."
            ),
        ),
    ],
)  # fmt: skip
def test_a_place_that_cannot_hold_schemas_stops_the_start(place: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment(ENVIRONMENT | {"PIPELINE_SCHEMAS": place})
    assert str(raised.value) == sentence


def test_commands_read_schemas_on_s3_and_those_that_write_refuse_them(
    s3: Any, schemas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(s3, schemas)
    assert cli.main(["ddl", "orders", "--schemas", PLACE, "--location", "s3://rows/lake"]) == 0
    assert "orders" in capsys.readouterr().out
    assert cli.main(["check", "--schemas", PLACE]) == 1
    assert capsys.readouterr().err == (
        f"pipeline: --schemas is {PLACE}, and this command writes there: give a directory, as "
        f"`aws s3 sync {PLACE} schemas` makes one.\n"
    )


def test_only_files_of_datasets_are_wanted() -> None:
    """The same names as the reader of a directory looks for, folder by folder."""
    paths = [
        *(path.relative_to(SHIPPED).as_posix() for path in SHIPPED.rglob("*") if path.is_file()),
    ]
    epoch: Any = None
    wanted = {path for path in paths if SchemaObject(path, "", 0, epoch).wanted}
    with_suffix = {path for path in paths if path.endswith((".avsc", ".toml"))}
    assert wanted == with_suffix

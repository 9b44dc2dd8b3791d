"""The committer on S3 and Glue, as moto plays them: what it commits, and how many requests it takes."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from lake_simulation.reader import IcebergReader
from support import Stored, as_json, deliver, kinesis_event

from pipeline import handlers
from pipeline.adapters.aws.s3 import S3Store
from pipeline.adapters.iceberg.file_io import use_s3
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.schemas import read_dataset
from pipeline.handlers import _commit

FIELDS = [{"name": "n", "type": "int"}]
BUCKET = "lake"


class Requests:
    """The requests that clients send, counted by operation."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        real = boto3.client

        def client(*arguments: Any, **options: Any) -> Any:
            made: Any = real(*arguments, **options)
            made.meta.events.register("before-send", self._count)
            return made

        patch.setattr(boto3, "client", client)

    def _count(self, event_name: str, **_: Any) -> None:
        self.counts[event_name.rpartition(".")[2]] += 1


@pytest.fixture
def place(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    folder = tmp_path / "schemas" / "things"
    folder.mkdir(parents=True)
    schema = {"type": "record", "name": "Thing", "fields": FIELDS}
    (folder / "1.avsc").write_text(json.dumps(schema))
    (folder / "dataset.toml").write_text("[lake]\n")
    s3: Any = boto3.client("s3")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name}
        )
    monkeypatch.setenv("PIPELINE_OUTPUT", f"s3://{BUCKET}/out")
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(folder.parent))
    monkeypatch.setenv("PIPELINE_LAKE", "glue:shop")
    _commit.prepare.cache_clear()
    use_s3(None)
    yield read_dataset(folder), s3
    _commit.prepare.cache_clear()
    use_s3(None)


def test_a_commit_takes_a_bounded_number_of_requests(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, s3 = place
    store: Any = S3Store(BUCKET, "out", s3)
    stored = Stored(output=store, dead_letters=MemoryStore())

    def send(first: int, last: int) -> None:
        records = [as_json({"n": number}) for number in range(first, last)]
        deliver(kinesis_event(records, start=first), [made], stored)

    requests = Requests(monkeypatch)
    for number in range(20):
        send(number, number + 1)
    handlers.commit({}, None)
    requests.counts.clear()
    for number in range(20, 40):
        send(number, number + 1)
    send(15, 25)
    landed = requests.counts.copy()
    requests.counts.clear()
    assert not landed, "the landing was written by a client of its own"
    response = handlers.commit({}, None)
    assert response["datasets"]["things"]["LakeRows"] == 20
    assert response["datasets"]["things"]["LakeDuplicates"] == 10
    counts = requests.counts
    # A landing object is read and deleted; all else does not grow with what has landed.
    assert counts["DeleteObject"] == 21
    assert counts["GetObject"] <= 21 + 8
    assert counts["ListObjectsV2"] == 2
    assert counts["PutObject"] <= 6
    assert counts["HeadObject"] <= 4
    assert counts["GetTable"] + counts["UpdateTable"] <= 4

    glue: Any = boto3.client("glue")
    table = glue.get_table(DatabaseName="shop", Name="things")["Table"]

    def read(uri: str) -> bytes:
        key = uri.removeprefix(f"s3://{BUCKET}/")
        body: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    reader = IcebergReader(read)
    snapshot = reader.current(table["Parameters"]["metadata_location"])
    assert snapshot is not None
    assert sorted(reader.rows(snapshot, ["n"])) == [(number,) for number in range(40)]
    left = s3.list_objects_v2(Bucket=BUCKET, Prefix="out/things/")
    assert left["KeyCount"] == 0


def test_what_was_deleted_in_a_bucket_with_versioning_is_put_back(place: Any) -> None:
    _, s3 = place
    from pipeline.adapters.aws.landing import S3Landing

    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    landing = S3Landing(BUCKET, "kept", s3)
    s3.put_object(Bucket=BUCKET, Key="kept/a", Body=b"one")
    (version,) = landing.versions("")
    assert landing.remove(version)
    assert landing.restore("", since=4e9) == 0
    assert not list(landing.versions(""))
    assert landing.restore("", since=0.0) == 1
    (again,) = landing.versions("")
    assert landing.read(again) == b"one"


def test_a_landing_object_that_was_written_again_stays(place: Any) -> None:
    _, s3 = place
    from pipeline.adapters.aws.landing import S3Landing

    landing = S3Landing(BUCKET, "again", s3)
    s3.put_object(Bucket=BUCKET, Key="again/a", Body=b"one")
    (version,) = landing.versions("")
    s3.put_object(Bucket=BUCKET, Key="again/a", Body=b"two")
    assert landing.read(version) is None
    assert not landing.remove(version)
    (now,) = landing.versions("")
    assert landing.read(now) == b"two"
    assert landing.remove(now)
    assert not list(landing.versions(""))

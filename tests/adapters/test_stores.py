"""Every object store keeps the same promises: memory, directory, S3, and each with retries."""

from __future__ import annotations

import errno
import itertools
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT

from pipeline.adapters.aws.fast_s3 import FastS3Store, fast_store
from pipeline.adapters.aws.s3 import S3Store, s3_client
from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.retry import RetryingStore
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.uri import open_store
from pipeline.bucket_settings import NO_DEMANDS
from pipeline.core.errors import KeyRefused, ObjectMissing, StoreRefused, StoreUnavailable

Fresh = Callable[[], ObjectStore]

BUCKET = "stores"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def s3_endpoint(aws: str) -> Iterator[str]:
    """Return the URL of an S3 with one empty bucket, in the region that buckets are in by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield aws


KINDS = ["memory", "directory", "s3", "s3-whole-bucket", "s3-fast"]


def fast_s3(bucket: str, prefix: str) -> FastS3Store:
    """Return the store that writes by the fast client, where boto3 is there to read."""
    store = fast_store(
        bucket,
        prefix,
        NO_DEMANDS,
        {name: value for name, value in os.environ.items() if "CA_BUNDLE" not in name},
        lambda: S3Store(bucket, prefix, s3_client()),
        connect_timeout=30,
        read_timeout=30,
    )
    assert store is not None
    return store


@pytest.fixture(params=[f"{kind}{wrapped}" for kind in KINDS for wrapped in ("", "+retries")])
def fresh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str
) -> Fresh:
    """Return a function that makes an empty store of one kind."""
    kind, _, retries = str(request.param).partition("+")
    assert s3_endpoint
    client = s3_client()

    def make() -> ObjectStore:
        store: ObjectStore
        if kind == "memory":
            store = MemoryStore()
        elif kind == "directory":
            store = DirectoryStore(tmp_path_factory.mktemp("store"))
        elif kind == "s3":
            store = S3Store(BUCKET, f"some/prefix-{next(_numbers)}", client)
        elif kind == "s3-fast":
            store = fast_s3(BUCKET, f"some/prefix-{next(_numbers)}")
        else:
            bucket = f"whole-bucket-{next(_numbers)}"
            client.create_bucket(Bucket=bucket)
            store = S3Store(bucket, client=client)
        return RetryingStore(store, lambda: math.inf) if retries else store

    return make


@pytest.fixture
def store(fresh: Fresh) -> ObjectStore:
    """Return one empty store."""
    return fresh()


# Names that keys are made of here: with what sorts around "/", what URLs and shells treat
# specially, and what UTF-8 and UTF-16 sort differently. (No newline: moto has no route for it, and
# no key of ours has one, as Hive escapes it.)
SEGMENTS = st.text(
    st.sampled_from("ab0.-_=%+ &?#~'\"\\:*é\uff5e\U0001f600"), min_size=1, max_size=6
).filter(lambda segment: segment not in {".", ".."} and not segment.startswith("."))
KEYS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)


def without_files_above_files(objects: dict[str, bytes]) -> dict[str, bytes]:
    """Drop keys under which there are keys: no file is a directory, too."""
    return {
        key: body
        for key, body in objects.items()
        if not any(other.startswith(key + "/") for other in objects)
    }


OBJECTS = st.dictionaries(KEYS, st.binary(max_size=40), max_size=8).map(without_files_above_files)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(objects=OBJECTS, prefix=st.one_of(KEYS, SEGMENTS, st.just("")), data=st.data())
def test_a_store_is_a_dict_sorted_by_utf8(
    fresh: Fresh, objects: dict[str, bytes], prefix: str, data: st.DataObject
) -> None:
    """What was put is what get and list show, in the order of UTF-8, until it is deleted."""
    store = fresh()
    for key, body in objects.items():
        store.put(key, body)
    assert {key: store.get(key) for key in objects} == objects
    in_order = sorted(objects, key=str.encode)
    assert list(store.list()) == in_order
    some = data.draw(st.sampled_from(in_order)) if objects else ""
    cut = data.draw(st.integers(0, len(some)))
    for start in (prefix, some[:cut]):
        assert list(store.list(start)) == [key for key in in_order if key.startswith(start)]
    if some:
        store.delete(some)
        in_order.remove(some)
        assert list(store.list()) == in_order


def test_put_overwrites(store: ObjectStore) -> None:
    """The second put under a key replaces the first: a replay is harmless."""
    for body in (b"first, and longer", b"second", b"second", b""):
        store.put("a/b.csv", body)
        assert store.get("a/b.csv") == body
    assert list(store.list()) == ["a/b.csv"]


def test_a_missing_object_is_told_apart(store: ObjectStore) -> None:
    """Get of a missing key raises ObjectMissing with its place; delete of one is fine."""
    store.put("there/is", b"one")
    for key in ("nothing", "there", "there/isn't", "there/is/not"):
        with pytest.raises(ObjectMissing, match=rf"There is no object {store.uri}/{key};"):
            store.get(key)
        store.delete(key)
    assert store.get("there/is") == b"one"


def test_an_empty_store_lists_nothing(store: ObjectStore) -> None:
    """A store that nothing was ever put into is empty, not an error."""
    assert list(store.list()) == []
    assert list(store.list("any/prefix")) == []


BAD_KEYS = ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "a\0b"]


@pytest.mark.parametrize("key", [*BAD_KEYS, "\ud800"])
def test_a_key_cannot_climb_out(store: ObjectStore, key: str) -> None:
    """A key that is no plain relative path is refused in a sentence, and nothing is stored."""
    with pytest.raises(KeyRefused, match=r"^The key .* cannot be used in .*\.$"):
        store.put(key, b"x")
    assert list(store.list()) == []


def test_the_longest_key_is_what_the_store_says(store: ObjectStore) -> None:
    """A key of longest_key bytes is stored; one byte more is refused."""
    key = "é/" * (store.longest_key // 3 - 50)
    key += "a" * (store.longest_key - len(key.encode()))
    assert len(key.encode()) == store.longest_key
    store.put(key, b"x")
    assert list(store.list()) == [key]
    with pytest.raises(KeyRefused, match="shorten it to"):
        store.put(key + "a", b"x")


def test_many_threads_may_write(store: ObjectStore) -> None:
    """A store may be used from several threads, into the same new directories too."""
    keys = [f"date=2026-11-23/hour={n % 3:02}/{n:02}.parquet" for n in range(40)]

    def write(part: list[str]) -> None:
        for key in part:
            store.put(key, key.encode())

    threads = [threading.Thread(target=write, args=(keys[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(store.list()) == sorted(keys)
    assert all(store.get(key) == key.encode() for key in keys)


def test_a_listing_goes_over_many_pages(s3_endpoint: str) -> None:
    """A listing of more keys than S3 puts on one page yields each once, in order."""
    assert s3_endpoint
    store = S3Store(BUCKET, "pages")
    keys = [f"{n:04}" for n in range(1003)]
    for key in keys:
        store.put(key, b"")
    assert list(store.list()) == keys


@pytest.mark.parametrize(
    ("key", "content_type"),
    [
        ("a.parquet", "application/vnd.apache.parquet"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.jsonl.gz", "application/gzip"),
        ("a.csv/b", "application/octet-stream"),
    ],
)
def test_s3_objects_have_a_type_and_no_encoding(
    s3_endpoint: str, key: str, content_type: str
) -> None:
    """A gzip file is stored as one: with a Content-Encoding, clients would unpack it."""
    assert s3_endpoint
    client = s3_client()
    S3Store(BUCKET, "types", client).put(key, b"x")
    head = client.head_object(Bucket=BUCKET, Key=f"types/{key}")
    assert head["ContentType"] == content_type
    assert "ContentEncoding" not in head


# Directories: crashes, leftovers, and what operating systems say.

CRASH = """
import os, sys
from pathlib import Path
from pipeline.adapters.directory import DirectoryStore
os.replace = os.rename = lambda *_: os._exit(9)
Path.replace = lambda *_: os._exit(9)
DirectoryStore(Path(sys.argv[1])).put("a/b", b"the new one")
"""


@pytest.mark.parametrize("before", [None, b"the old one"])
def test_a_crash_before_the_rename_changes_nothing(tmp_path: Path, before: bytes | None) -> None:
    """A process that dies with the whole body written leaves the old object, or none."""
    store = DirectoryStore(tmp_path)
    if before:
        store.put("a/b", before)
    run = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], cwd=ROOT, check=False)
    assert run.returncode == 9
    assert len(list((tmp_path / "a").glob(".*.partial"))) == 1
    assert list(store.list()) == (["a/b"] if before else [])
    if before:
        assert store.get("a/b") == before
    else:
        with pytest.raises(ObjectMissing):
            store.get("a/b")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
def test_a_write_that_ends_early_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException | type[BaseException]
) -> None:
    """An error or Ctrl-C during a write removes the temporary file and keeps the old object."""
    store = DirectoryStore(tmp_path)
    store.put("a", b"old")

    def fail(_: int) -> None:
        raise stop

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((KeyboardInterrupt, StoreRefused)):
        store.put("a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert store.get("a") == b"old"


@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [
        (errno.ENOSPC, StoreRefused, "No space left on device; free space"),
        (errno.EACCES, StoreRefused, "Permission denied; give this user permission"),
        (errno.EROFS, StoreRefused, "Read-only file system; mount"),
        (errno.ENXIO, StoreRefused, "check the directory"),
        (errno.EIO, StoreUnavailable, "Input/output error; try again"),
        (errno.ETIMEDOUT, StoreUnavailable, "try again"),
        (errno.EMFILE, StoreUnavailable, "try again"),
    ],
)
def test_what_the_operating_system_says_is_explained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Exception],
    remedy: str,
) -> None:
    """A full or read-only disk is a refusal that says what to fix; a flaky one is worth a retry."""

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(kind, match=f"^Could not write file://.*/a/b: .*{remedy}.*\\.$"):
        DirectoryStore(tmp_path).put("a/b", b"x")


def test_real_refusals_of_a_file_system(tmp_path: Path) -> None:
    """Names too long, and files where directories are needed, are refused in a sentence."""
    store = DirectoryStore(tmp_path)
    store.put("file", b"x")
    store.put("directory/file", b"x")
    for key, remedy in [
        ("a" * 256, "shorten the parts of the key"),
        ("file/below", "move away the file"),
        ("directory", "move away the directory"),
    ]:
        with pytest.raises(StoreRefused, match=remedy):
            store.put(key, b"y")
    with pytest.raises(StoreRefused, match="move away the file"):
        list(DirectoryStore(tmp_path / "file").list())
    assert list(store.list()) == ["directory/file", "file"]


def test_names_of_unfinished_writes_are_reserved(tmp_path: Path) -> None:
    """No object may have a name that list() would hide."""
    with pytest.raises(KeyRefused, match="unfinished writes"):
        DirectoryStore(tmp_path).put("a/.b.partial", b"x")


# open_store


def test_a_uri_opens_the_store_that_has_it(tmp_path: Path, s3_endpoint: str) -> None:
    """open_store(store.uri) is the same store again, whatever is in the path."""
    assert s3_endpoint
    odd = tmp_path / "with space, %41 and é"
    for uri in (odd.as_uri(), f"s3://{BUCKET}/opened", f"s3://{BUCKET}"):
        store = open_store(uri)
        assert store.uri == uri
        store.put("opened/it", b"x")
        assert open_store(store.uri).get("opened/it") == b"x"
    assert (odd / "opened" / "it").exists()
    assert open_store(f"s3://{BUCKET}/a/").uri == f"s3://{BUCKET}/a"
    assert open_store("file:///a/../b").uri == "file:///b"
    assert open_store("memory://m").uri == "memory://m"
    assert MemoryStore().uri != MemoryStore().uri


@pytest.mark.parametrize(
    "uri",
    [
        *("", "bucket/prefix", "/directory", "s3:bucket", "s3://", "s3:///prefix", "s3://b/../c"),
        *("s3://b//", "file://", "file:///", "file:////", "file://host/dir", "file:///a%00b"),
        *("gs://bucket", "http://host/", "S3://bucket"),
    ],
)
def test_what_names_no_store_is_refused_in_a_sentence(uri: str) -> None:
    """A URI that names no store is a ValueError that shows it."""
    with pytest.raises(ValueError, match=r"\.$"):
        open_store(uri)


def test_boto3_is_imported_for_s3_alone() -> None:
    """Opening a directory does not pay for importing boto3."""
    code = "import sys; from pipeline.adapters.uri import open_store; open_store('file:///a'); "
    code += "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0

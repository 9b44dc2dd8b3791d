"""A directory on a file system that does not tell some names apart: nothing is replaced there."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mixed_names import mixed_names

from pipeline.adapters.directory import DirectoryStore
from pipeline.core.errors import ObjectMissing, StoreRefused

EXFAT_TOOLS = ("mkfs.exfat", "losetup", "mount.exfat-fuse", "umount")
HAS_EXFAT = os.geteuid() == 0 and all(map(shutil.which, EXFAT_TOOLS))


@contextmanager
def exfat(folder: Path) -> Iterator[Path]:
    """Make and mount an exFAT file system."""
    image, root = folder / "image", folder / "mounted"
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    root.mkdir()
    _run("mkfs.exfat", str(image))
    loop = _run("losetup", "-f", "--show", str(image))
    try:
        _run("mount.exfat-fuse", loop, str(root))
        try:
            yield root
        finally:
            _run("umount", str(root))
    finally:
        _run("losetup", "-d", loop)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return an empty directory that mixes names up."""
    with mixed_names(tmp_path):
        yield tmp_path


@pytest.mark.parametrize("kind", ["simulated", *(["exFAT"] if HAS_EXFAT else [])])
def test_nothing_is_lost_on_a_file_system_that_does_not_tell_case_apart(
    kind: str, tmp_path: Path
) -> None:
    """A real one, where this machine can have one, does what the simulated one does."""
    with mixed_names(tmp_path) if kind == "simulated" else exfat(tmp_path) as mounted:
        root = mounted or tmp_path
        (root / "Probe").touch()
        assert [path.name for path in root.iterdir()] == ["Probe"]
        assert (root / "pROBE").exists()
        store = DirectoryStore(root / "lake")
        store.put("c=Google/1.csv", b"one")
        store.put("c=google/2.csv", b"two")
        for key, stored in (("c=google/1.csv", "c=Google/1.csv"), ("C=GOOGLE/2.CSV", "2.csv")):
            with pytest.raises(StoreRefused, match=f"this file system takes it for .*{stored}"):
                store.put(key, b"three")
        store.put("c=google/2.csv", b"two")
        assert {key: store.get(key) for key in store.list()} == {
            "c=Google/1.csv": b"one",
            "c=Google/2.csv": b"two",
        }


def test_such_a_directory_mixes_names_up(root: Path) -> None:
    (root / "Caf\u00e9").write_bytes(b"x")
    assert (root / "cafe\u0301.").read_bytes() == b"x"
    assert [path.name for path in root.iterdir()] == ["Caf\u00e9"]


OTHER_SPELLINGS = [
    ("orders/a.parquet", "orders/A.parquet"),
    ("orders/Ab.parquet", "orders/aB.parquet"),
    ("c=\u00e9/1.csv", "c=e\u0301/1.csv"),
    ("c=\u00c9.csv", "c=e\u0301.csv"),
    ("c=Google/1.csv", "c=google/1.csv"),
    ("D/b/c", "d/B/c"),
    ("e/1", "e/1."),
]


@pytest.mark.parametrize(("stored", "asked"), OTHER_SPELLINGS)
def test_an_object_is_not_replaced_under_another_key(root: Path, stored: str, asked: str) -> None:
    """What would be lost is named, and the way out."""
    store = DirectoryStore(root)
    store.put(stored, b"one")
    with pytest.raises(StoreRefused) as error:
        store.put(asked, b"two")
    same_name = Path(stored).name == Path(asked).name
    earlier = "delete that, if it is what this was before, or " if same_name else ""
    assert str(error.value) == (
        f"Could not write {store.uri}/{asked}: this file system takes it for {stored}, which "
        f"would be lost; {earlier}use a directory on a file system that tells such names apart."
    )
    assert list(store.list()) == [stored]
    assert store.get(stored) == b"one"
    assert not list(root.rglob("*.partial"))


@pytest.mark.parametrize(("stored", "asked"), OTHER_SPELLINGS)
def test_an_object_is_not_deleted_under_another_key(root: Path, stored: str, asked: str) -> None:
    """There is no object under that key."""
    store = DirectoryStore(root)
    store.put(stored, b"one")
    store.delete(asked)
    assert store.get(stored) == b"one"
    store.delete(stored)
    assert list(store.list()) == []


def test_an_object_is_replaced_under_its_own_key(root: Path) -> None:
    store = DirectoryStore(root)
    for body in (b"one", b"two"):
        store.put("C=\u00c9/1.csv", body)
        assert store.get("C=\u00c9/1.csv") == body
    assert list(store.list()) == ["C=\u00c9/1.csv"]


def test_directories_of_two_keys_may_be_one_and_take_what_is_delivered_again(root: Path) -> None:
    """Two partitions of a batch, whose objects have names of their own."""
    store = DirectoryStore(root)
    for _ in range(2):
        store.put("c=Google/1.csv", b"one")
        store.put("c=google/2.csv", b"two")
    assert list(store.list()) == ["c=Google/1.csv", "c=Google/2.csv"]
    assert (store.get("c=Google/1.csv"), store.get("c=google/2.csv")) == (b"one", b"two")


NAMES = st.text(st.sampled_from("aAbB\u00e9\u00c9"), min_size=1, max_size=2)
KEYS = st.tuples(NAMES, NAMES).map(lambda names: "/".join((names[0], f"{names[1]}.csv")))
_roots = itertools.count()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(KEYS, st.sampled_from([b"1", b"2"])), max_size=8))
def test_whatever_is_put_nothing_that_was_acknowledged_under_another_key_changes(
    tmp_path: Path, puts: list[tuple[str, bytes]]
) -> None:
    root = tmp_path / str(next(_roots))
    root.mkdir()
    with mixed_names(root):
        store, kept = DirectoryStore(root), dict[str, bytes]()
        for key, body in puts:
            try:
                store.put(key, body)
            except StoreRefused:
                assert key not in kept or key not in store.list()
            else:
                kept[key] = body
            for known, expected in kept.items():
                assert store.get(known) == expected


def test_a_file_system_that_tells_names_apart_takes_them_all(tmp_path: Path) -> None:
    """Even those that others mix up: S3 has them, too."""
    (tmp_path / "probe").touch()
    if (tmp_path / "PROBE").exists():
        return  # this machine's own files are such
    store = DirectoryStore(tmp_path / "lake")
    keys = sorted({key for pair in OTHER_SPELLINGS for key in pair}, key=str.encode)
    for body in (b"one", b"two"):
        for key in keys:
            store.put(key, body + key.encode())
    assert list(store.list()) == keys
    for key in keys:
        assert store.get(key) == b"two" + key.encode()
        store.delete(key)
        with pytest.raises(ObjectMissing):
            store.get(key)

"""The object store that is a directory of files."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final
from unicodedata import normalize

from pipeline.adapters.store import LONGEST_KEY, check_key, key_order
from pipeline.core.errors import KeyRefused, ObjectMissing, StoreRefused, StoreUnavailable
from pipeline.core.records import folded

_PARTIAL_NAME: Final = re.compile(r"\A\..*\.partial\Z", re.DOTALL)
"""The file names of unfinished writes."""


class DirectoryStore:
    """Objects as files under a directory, which is created when first needed.

    An object is written under a temporary name beside its place, forced to disk, and renamed: a
    crash at any moment leaves the old object, or none, or the new one, never a part of it. The
    temporary name, `.<random>.partial`, is invisible to `list`; after a crash one may stay behind,
    and anyone may delete it while nothing writes. When `put` returns, the file, its name and the
    directories above it, up to the root, would survive a power cut.

    Some file systems open a file under other names than its own: in other letter case, in another
    normal form of Unicode, with a dot at the end. There an object is never replaced, nor deleted,
    under the key of another one. Directories that such a file system takes for one are shared.
    """

    def __init__(self, root: Path) -> None:
        """Use `root`, made absolute. Nothing is touched yet."""
        # Not Path.absolute(), which keeps "..": a directory has one URI.
        self._root = Path(os.path.abspath(root))  # noqa: PTH100 - keeps symbolic links
        self.uri = self._root.as_uri()
        self.longest_key = LONGEST_KEY

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`, on disk."""
        target = self._path(key)
        with translate_errors("write", self.uri, key):
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_then_rename(target, body, lambda: self._check_replaced(key, body))
            _sync_directories(self._root, target.parent)

    def get(self, key: str) -> bytes:
        """Return the contents of the file under `key`."""
        target = self._path(key)
        with translate_errors("read", self.uri, key):
            try:
                return target.read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise ObjectMissing.at(self.uri, key) from None

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix`, reading each directory when it is reached."""
        return self._walk("", prefix)

    def delete(self, key: str) -> None:
        """Remove the file under `key`, if there is one; its directories stay."""
        target = self._path(key)
        with translate_errors("delete", self.uri, key):
            # A directory is not an object, and a file above the key means there is none under it.
            if not target.is_dir() and self._stored_key(key) == key:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    target.unlink()

    def _path(self, key: str) -> Path:
        check_key(key, self.longest_key, self.uri)
        if _PARTIAL_NAME.match(key.rpartition("/")[2]):
            message = (
                f"The key {key!r} cannot be used in {self.uri}: names that begin with a dot and "
                'end in ".partial" are those of unfinished writes; choose another.'
            )
            raise KeyRefused(message)
        return self._root / key

    def _check_replaced(self, key: str, body: bytes) -> None:
        """Raise `StoreRefused` if what is there under `key` is another object."""
        stored = self._stored_key(key)
        if stored == key:
            return
        target = self._root / key
        # In a directory that two keys share, this may be what the same batch stored before.
        same_name = stored.rpartition("/")[2] == target.name
        if same_name and target.read_bytes() == body:
            return
        earlier = "delete that, if it is what this was before, or " if same_name else ""
        message = (
            f"Could not write {self.uri}/{key}: this file system takes it for {stored}, which "
            f"would be lost; {earlier}use a directory on a file system that tells such names apart."
        )
        raise StoreRefused(message)

    def _stored_key(self, key: str) -> str:
        """Return the key whose file is opened under `key`: another one, where names are mixed up.

        Looking through directories is left to where that happens at all.
        """
        spellings = (self._root / other for other in _other_spellings(key))
        if not (self._root / key).exists() or not any(map(_exists, spellings)):
            return key
        here = self._root
        for name in key.split("/"):
            here = _own_name(here / name)
        return here.relative_to(self._root).as_posix()

    def _walk(self, base: str, prefix: str) -> Iterator[str]:
        """Yield the keys under `base`, a key prefix that is empty or ends with `/`."""
        for name in self._names(base):
            key = base + name
            if not name.endswith("/"):
                if key.startswith(prefix):
                    yield key
            elif key.startswith(prefix) or prefix.startswith(key):
                yield from self._walk(key, prefix)

    def _names(self, base: str) -> Iterable[str]:
        """Return the sorted names in one directory, those of directories with `/` at the end.

        With the slash, the order of the names is that of the whole keys: `a-b` < `a/b` < `a0`.
        """
        with translate_errors("list", self.uri, base):
            try:
                with os.scandir(self._root / base) as entries:
                    names = [
                        entry.name + "/" if entry.is_dir() else entry.name for entry in entries
                    ]
            except FileNotFoundError:
                return ()
        return sorted((name for name in names if not _PARTIAL_NAME.match(name)), key=key_order)


def _other_spellings(key: str) -> set[str]:
    """Return how a file system that mixes names up would also open the file of a key."""
    in_ascii = key.encode().swapcase().decode()
    forms = {in_ascii, key.swapcase(), normalize("NFC", key), normalize("NFD", key), f"{key}."}
    return forms - {key}


def _own_name(path: Path) -> Path:
    """Return a path that is there as its directory has it; with "?" if nobody can tell."""
    names = os.listdir(path.parent)  # noqa: PTH208 - names, of which there may be many
    if path.name in names:
        return path
    # Not by inodes: what is opened under two names has two in some file systems.
    wanted = folded(path.name).rstrip(".")
    return path.with_name(next((name for name in names if folded(name).rstrip(".") == wanted), "?"))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long a name
        return False


_renaming = threading.Lock()
"""Between looking at what would be replaced, and replacing it."""


def _write_then_rename(target: Path, body: bytes, check: Callable[[], None]) -> None:
    """Give `target` the contents `body` in one step, or leave it as it was; `check` may refuse."""
    # Beside the target: a rename is one step only within one file system.
    partial = target.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        with partial.open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        with _renaming:
            check()
            partial.replace(target)
    except BaseException:
        # KeyboardInterrupt too: whatever ends the write early, no litter stays.
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _sync_directories(root: Path, directory: Path) -> None:
    """Force to disk the directories from `directory` up to `root`.

    All of them each time: another thread may have created one and not have synced its parent yet,
    and syncing a directory that did not change costs microseconds.
    """
    _sync_directory(directory)
    while directory != root:
        directory = directory.parent
        _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_TRANSIENT: Final = frozenset(
    {
        *(errno.EIO, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EBUSY),
        *(errno.ENOMEM, errno.EMFILE, errno.ENFILE),
        # Network file systems.
        *(errno.ESTALE, errno.ENOLCK, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH),
        *(errno.ECONNRESET, errno.ENOTCONN),
        # Someone removed a directory during the write.
        errno.ENOENT,
    }
)
_REMEDIES: Final = {
    errno.ENOSPC: "free space on this file system",
    errno.EDQUOT: "raise the disk quota of this user",
    errno.EACCES: "give this user permission for it",
    errno.EPERM: "give this user permission for it",
    errno.EROFS: "mount the file system for writing, or choose another directory",
    errno.ENAMETOOLONG: "shorten the parts of the key to what the file system accepts (255 bytes)",
    errno.EFBIG: "write smaller objects, or choose another file system",
    errno.ENOTDIR: "move away the file that stands where a directory is needed",
    errno.EEXIST: "move away the file that stands where a directory is needed",
    errno.EISDIR: "move away the directory that stands where a file is needed",
    errno.ENOTEMPTY: "move away the directory that stands where a file is needed",
}


@contextlib.contextmanager
def translate_errors(action: str, uri: str, key: str) -> Iterator[None]:
    """Turn an `OSError` into the store error it means."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        failure = f"Could not {action} {uri}/{key}: {os.strerror(number)}"
        if number in _TRANSIENT:
            message = f"{failure}; try again, and if it happens again, check the disk."
            raise StoreUnavailable(message) from error
        remedy = _REMEDIES.get(number, "check the directory and its file pipeline")
        raise StoreRefused(f"{failure}; {remedy}.") from error

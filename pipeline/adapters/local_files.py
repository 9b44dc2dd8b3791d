"""The files of a table on this machine, by their URIs: what `adapters.aws.files` does in S3."""

import contextlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path


class LocalFiles:
    """Reads, writes and deletes by `file://` URI. What is there under a name is there whole."""

    def size(self, uri: str) -> int:
        """Return how many bytes a file has. Raises `FileNotFoundError`."""
        return _path(uri).stat().st_size

    def read(self, uri: str) -> bytes:
        """Return a file. Raises `FileNotFoundError`."""
        return _path(uri).read_bytes()

    def open(self, uri: str) -> io.BufferedReader:
        """Open a file to be read here and there. Raises `FileNotFoundError`."""
        return _path(uri).open("rb")

    def create(self, uri: str, body: bytes) -> None:
        """Write a new file. Raises `FileExistsError`."""
        with _new(_path(uri)) as file:
            file.write(body)

    def upload(self, uri: str, path: Path) -> None:
        """Write a new file from another one. Raises `FileExistsError`."""
        with path.open("rb") as source, _new(_path(uri)) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def delete(self, uris: Iterable[str]) -> None:
        """Delete files, those that are there."""
        for uri in uris:
            _path(uri).unlink(missing_ok=True)

    def list(self, uri: str) -> Iterator[tuple[str, float]]:
        """Yield the files below a URI, each with the time of its last change, in seconds."""
        for folder, _, names in os.walk(_path(uri)):
            for name in sorted(names):
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    yield uri_of(path), path.stat().st_mtime


def uri_of(path: Path) -> str:
    """Return the URI of a file: as Iceberg writes it, without escapes."""
    return f"file://{path.as_posix()}"


def _path(uri: str) -> Path:
    """Return the file of a URI; Spark writes `file:/tmp` for what is `file:///tmp`."""
    return Path(uri.removeprefix("file:").removeprefix("//"))


@contextlib.contextmanager
def _new(path: Path) -> Iterator[io.BufferedWriter]:
    """Open a file that gets its name when it is whole, unless another one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)

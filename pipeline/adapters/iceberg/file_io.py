"""pyiceberg's door to files, over ours: boto3 for S3, and a directory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from pipeline.adapters.local_files import LocalFiles

_READ_WHOLE = (".json", ".avro")
"""Metadata: small, and read from one end to the other."""


class Files(Protocol):
    """What a table's files are read and written with."""

    def size(self, uri: str) -> int:
        """Return how many bytes a file has."""
        ...

    def read(self, uri: str) -> bytes:
        """Return a file."""
        ...

    def open(self, uri: str) -> io.BufferedReader:
        """Open a file to be read here and there."""
        ...

    def create(self, uri: str, body: bytes) -> None:
        """Write a new file."""
        ...

    def upload(self, uri: str, path: Path) -> None:
        """Write a new file from one on this machine."""
        ...

    def delete(self, uris: Iterable[str]) -> None:
        """Delete files."""
        ...

    def list(self, uri: str) -> Iterator[tuple[str, float]]:
        """Yield the files below a URI, each with the time of its last change, in seconds."""
        ...


class TableIO(FileIO):
    """Files by the scheme of their URI; the client of S3 is made when the first is asked for."""

    def files(self, location: str) -> Files:
        """Return what reads and writes at a location."""
        if location.startswith(("s3://", "s3a://")):
            return _s3_files()
        return LocalFiles()

    def new_input(self, location: str) -> Input:
        """Return a file to read."""
        return Input(location, self.files(location))

    def new_output(self, location: str) -> Output:
        """Return a file to write."""
        return Output(location, self.files(location))

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
        uri = location if isinstance(location, str) else location.location
        self.files(uri).delete([uri])


_kept: list[Files] = []


def _s3_files() -> Files:
    """Return the one client of S3 that all tables share: to make one takes a fifth of a second."""
    if not _kept:
        from pipeline.adapters.aws.files import S3Files  # noqa: PLC0415 - loads boto3

        _kept.append(S3Files())
    return _kept[0]


def use_s3(files: Files | None) -> None:
    """Have tables in S3 read and written with this; with None, by a new client."""
    _kept[:] = [] if files is None else [files]


class Input(InputFile):
    """A file that is read."""

    def __init__(self, location: str, files: Files) -> None:
        super().__init__(location)
        self._files = files

    def __len__(self) -> int:
        return self._files.size(self.location)

    def exists(self) -> bool:
        """Tell whether it is there."""
        try:
            self._files.size(self.location)
        except FileNotFoundError:
            return False
        return True

    def open(self, seekable: bool = True) -> InputStream:  # noqa: FBT001, FBT002 - pyiceberg's
        """Open it; metadata is read at once."""
        if self.location.endswith(_READ_WHOLE) or not seekable:
            return io.BytesIO(self._files.read(self.location))
        return self._files.open(self.location)


class Output(OutputFile):
    """A file that is written: at once, when it is closed."""

    def __init__(self, location: str, files: Files) -> None:
        super().__init__(location)
        self._files = files

    def __len__(self) -> int:
        return self._files.size(self.location)

    def exists(self) -> bool:
        """Say no: names are new, and `create` refuses one that is not, without a request."""
        return False

    def to_input_file(self) -> Input:
        """Return it to be read."""
        return Input(self.location, self._files)

    def create(self, overwrite: bool = False) -> OutputStream:  # noqa: ARG002, FBT001, FBT002 - pyiceberg's
        """Open it; nothing is ever overwritten."""
        return _Whole(self.location, self._files)


class _Whole(io.BytesIO):
    """Bytes that become a file when they are all there."""

    def __init__(self, location: str, files: Files) -> None:
        super().__init__()
        self._location = location
        self._files = files

    def close(self) -> None:
        if not self.closed:
            body = self.getvalue()
            super().close()
            self._files.create(self._location, body)

    def __del__(self) -> None:
        # Not what BytesIO does, which closes it. What failed would be written again whenever the
        # collector comes by: in the middle of anything, whose locks are not ours to wait for.
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            super().close()

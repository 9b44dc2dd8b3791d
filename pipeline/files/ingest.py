"""One file of S3 down the road, part by part; what is stored is not done again.

A part is a block of the file. When all of its objects are acknowledged, and not before, a small
object beside the rows says so: `_parts/{digest}/{start}-{end}-{mode}`, with the offsets of
the block in what the file unpacks to. The next invocation for the file, because time ran out or the
notification came twice, begins where these parts end; `complete` among them says that nothing is
left. Delete them, and the file is processed again.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import msgspec

from pipeline.adapters.retry import Retrier, RetryPolicy
from pipeline.adapters.store import ObjectStore
from pipeline.attempt import Attempt
from pipeline.core.errors import DeadlineExceeded, FileUnfinished
from pipeline.core.framing import Mode
from pipeline.core.layout import progress_folder
from pipeline.core.report import Report
from pipeline.files.blocks import Block, Place, blocks_of, start_of, without_gaps
from pipeline.files.notifications import ObjectReference
from pipeline.flow import Pipeline

if TYPE_CHECKING:
    from pipeline.files.objects import ObjectVersion

_PART = re.compile(r"([0-9]{20})-([0-9]{20})-([a-z-]+)")
_COMPLETE = "complete"
_MARGIN = 2.0  # a part is begun if so many times the time of the slowest one so far is left


class Objects(Protocol):
    """Where files come from; see `pipeline.files.objects`."""

    def find(self, reference: ObjectReference) -> "ObjectVersion":
        """Pin a version; raise `ObjectMissing` or `ObjectChanged` where it is gone."""
        ...

    def read(self, version: "ObjectVersion", start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end`."""
        ...


def open_objects() -> Objects:
    """Return the objects of S3. Raises `StoreRefused` if the AWS configuration is unusable."""
    from pipeline.files.objects import S3Objects  # noqa: PLC0415 - 0.3 s to import

    return S3Objects()


class FileReport(msgspec.Struct):
    """What was done for one file in this invocation.

    `source` is its identity as soon as its version is known, its URI before. `stored_to` is the
    offset of the first byte that is not stored, None before the file was looked at.
    """

    source: str
    was_complete: bool = False
    stored_to: int | None = None
    numbers: dict[str, int] = msgspec.field(
        default_factory=lambda: dict.fromkeys(("parts", "bytes", "documents", "rows", "rejects"), 0)
    )

    def add(self, block: Block, stored: dict[str, int]) -> None:
        """Count one part."""
        size = block.end.offset - block.start.offset
        for name, number in {"parts": 1, "bytes": size, **stored}.items():
            self.numbers[name] += number
        self.stored_to = block.end.offset

    def unfinished(self) -> FileUnfinished:
        """Say where the next invocation resumes."""
        if self.stored_to is None:
            return FileUnfinished(
                f"There was no time to begin {self.source}; the next invocation will."
            )
        return FileUnfinished(
            f"{self.source} is stored up to byte {self.stored_to:,} of what it unpacks to, and "
            "there is no time for more; the next invocation resumes there."
        )


class Ingestion:
    """Stores files within the time of one invocation.

    `remaining` returns the seconds left, of which `reserve` are kept for the response. `on_stored`
    is called with the report of each part.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        objects: Objects,
        remaining: Callable[[], float],
        reserve: float,
        on_stored: Callable[[Report], object],
    ) -> None:
        self.pipeline = pipeline
        self._objects = objects
        self._remaining = remaining
        self._reserve = reserve
        self._on_stored = on_stored
        self._slowest = 0.0
        self._parts = 0

    def ingest(self, reference: ObjectReference, report: FileReport) -> None:
        """Store what is not yet stored of a file; return when all of it is.

        Raises `ObjectMissing` for one that is gone, `FileError` for one that cannot be read, and
        what `process` raises. When time runs out it is `FileUnfinished` if anything was stored in
        this invocation, of this file or of those before it, as then the next one gets further; it
        is `DeadlineExceeded` if nothing was, as then none will.
        """
        try:
            self._ingest(reference, report)
        except DeadlineExceeded:
            if not self._parts:
                raise
            raise report.unfinished() from None

    def _ingest(self, reference: ObjectReference, report: FileReport) -> None:
        self._check_time(f"There is no time to begin {reference.uri}")
        retrier = Retrier(reference.uri, self._remaining, RetryPolicy(reserve=self._reserve))
        version = retrier.call("find", functools.partial(self._objects.find, reference))
        report.source = version.source
        progress = self._progress(self._attempt(), version)
        place = progress.place()
        if place is None:
            report.was_complete = True
            return
        report.stored_to = place.offset
        for block in self._blocks(version, place, retrier):
            self._check_time(f"There is no time to store any part of {version.source}")
            begun = self._remaining()
            report.add(block, self._store(block, version))
            self._slowest = max(self._slowest, begun - self._remaining())
            self._parts += 1
            place = block.end
        self._progress(self._attempt(), version).complete(place)

    def _check_time(self, reason: str) -> None:
        """Raise `DeadlineExceeded` unless there is time for a part as slow as the slowest."""
        left = self._remaining() - self._reserve
        if left <= 0 or left < _MARGIN * self._slowest:
            message = f"{reason}; raise the time-out or the memory of the function."
            raise DeadlineExceeded(message)

    def _blocks(self, version: "ObjectVersion", start: Place, retrier: Retrier) -> Iterator[Block]:
        """Cut what is not yet stored, reading only while there is time to store what is read.

        A compressed file is unpacked from its start, however much of it is stored.
        """
        from pipeline.files.objects import ObjectReader  # noqa: PLC0415 - see open_objects

        def fetch(begin: int, end: int) -> bytes:
            self._check_time(f"{version.source} was read up to byte {begin:,}, and time ran out")
            return retrier.call("read", functools.partial(self._objects.read, version, begin, end))

        blocks = blocks_of(ObjectReader(fetch, version.size), version.source, start)
        return without_gaps(blocks, version.source, start)

    def _store(self, block: Block, version: "ObjectVersion") -> dict[str, int]:
        """Store one part, then the object that says so; return its numbers."""
        attempt = self._attempt()
        numbers = {"documents": 0, "rows": 0, "rejects": 0}
        if block.documents:
            batch = block.batch(version.source, version.modified_at)
            stored = attempt.process(batch)
            self._on_stored(stored)
            numbers = {
                "documents": stored.total("documents"),
                "rows": stored.total("rows"),
                "rejects": stored.rejects,
            }
        self._progress(attempt, version).stored(block, numbers)
        return numbers

    def _progress(self, attempt: Attempt, version: "ObjectVersion") -> "_Progress":
        return _Progress(attempt.output, version.source, each_line=self.pipeline.each_line)

    def _attempt(self) -> Attempt:
        return Attempt(self.pipeline, self._remaining, self._reserve)


class _Progress:
    """Which parts of one file are stored."""

    def __init__(self, store: ObjectStore, source: str, *, each_line: bool) -> None:
        self.start = start_of(each_line=each_line)
        self.store = store
        self.source = source
        self.folder = progress_folder(source)

    def place(self) -> Place | None:
        """Return where the stored parts end, without a gap from the start; None at the end."""
        place = self.start
        for key in self.store.list(self.folder):
            name = key.removeprefix(self.folder)
            if name == _COMPLETE:
                return None
            part = _PART.fullmatch(name)
            if part and part[3] in set(Mode) and int(part[1]) == place.offset:
                place = Place(int(part[2]), Mode(part[3]))
        return place

    def stored(self, block: Block, numbers: dict[str, int]) -> None:
        """Record that a part is stored."""
        mode = block.end.mode
        name = f"{block.start.offset:020}-{block.end.offset:020}-{mode}"
        self._write(name, numbers)

    def complete(self, end: Place) -> None:
        """Record that the whole file is stored."""
        self._write(_COMPLETE, {"bytes": end.offset})

    def _write(self, name: str, numbers: dict[str, int]) -> None:
        body = json.dumps({"source": self.source, **numbers}) + "\n"
        self.store.put(self.folder + name, body.encode())

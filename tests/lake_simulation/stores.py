"""A landing and the files of tables in memory, which call the world at every step."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.adapters.landing import MemoryLanding, Version
from pipeline.adapters.memory import MemoryStore

Step = Callable[[str], None]
"""Told what is about to be done, or was done just now; may raise, and do other things first."""


class SteppedLanding(MemoryLanding):
    """A landing each of whose calls is two steps."""

    def __init__(self, store: MemoryStore, step: Step) -> None:
        super().__init__(store)
        self._step = step

    def versions(self, prefix: str) -> Iterator[Version]:
        self._step("before list")
        yield from super().versions(prefix)

    def read(self, version: Version) -> bytes | None:
        self._step("before read")
        return super().read(version)

    def remove(self, version: Version) -> bool:
        self._step("before delete")
        removed = super().remove(version)
        self._step("after delete")
        return removed


class MemoryFiles:
    """The files of tables: by URI, in a dict. The steps are those of who works just now."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.times: dict[str, float] = {}
        self.step: Step = lambda _: None
        self.now = 0.0

    def size(self, uri: str) -> int:
        return len(self.read(uri))

    def read(self, uri: str) -> bytes:
        try:
            return self.bodies[uri]
        except KeyError:
            raise FileNotFoundError(uri) from None

    def open(self, uri: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self.read(uri)))

    def create(self, uri: str, body: bytes) -> None:
        kind = "metadata" if uri.endswith((".json", ".avro")) else "file"
        self.step(f"before {kind}")
        if uri in self.bodies:
            raise FileExistsError(uri)
        self.bodies[uri] = body
        self.times[uri] = self.now
        self.step(f"after {kind}")

    def upload(self, uri: str, path: Path) -> None:
        self.create(uri, path.read_bytes())

    def delete(self, uris: Iterable[str]) -> None:
        for uri in uris:
            self.bodies.pop(uri, None)

    def list(self, uri: str) -> Iterator[tuple[str, float]]:
        for name in list(self.bodies):
            if name.startswith(f"{uri}/"):
                yield name, self.times[name]

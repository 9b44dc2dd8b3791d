"""Landing objects, read ahead, in the order of their streams."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import msgspec
import pyarrow as pa
from pyarrow._parquet import ParquetReader

from pipeline.adapters.landing import Landing, Version
from pipeline.core.lake.landed import Origin, UnusableObject, check_rows, read_name, read_origin
from pipeline.core.lake.spans import NamedObject, groups_of

_AHEAD_BYTES: Final = 48 * 2**20


class LandedObject(msgspec.Struct, frozen=True):
    """A version of a landing object that was read, and what is in it."""

    version: Version
    name: NamedObject
    origin: Origin
    rows: pa.Table


class Refused(msgspec.Struct, frozen=True):
    """A version of a landing object that cannot be committed; `why` is a clause."""

    version: Version
    why: str


def listed(landing: Landing, dataset: str) -> tuple[dict[str, Version], list[Refused]]:
    """Return the landing objects of a dataset by key, and those whose names are not ours."""
    found, refused = dict[str, Version](), list[Refused]()
    for version in landing.versions(f"{dataset}/parquet/"):
        if read_name(version.key) is not None:
            found[version.key] = version
        elif version.key.endswith(".parquet"):
            refused.append(Refused(version, "its name is not one that the pipeline gives"))
    return found, refused


def groups(
    landing: Landing, versions: dict[str, Version], dataset: str, threads: int
) -> Generator[Iterator[LandedObject | Refused], None, None]:
    """Yield groups of objects that may have rows in common, each read as it is asked for.

    `threads` read at once: S3's first byte takes 30 ms, in which a core reads several objects.
    Those are left out that are gone, or are another version by now.
    """
    names = filter(None, map(read_name, versions))
    grouped = list(groups_of(names))
    with ThreadPoolExecutor(threads, thread_name_prefix="landing") as pool:
        order = (versions[name.key] for group in grouped for name in group)
        bodies = _ahead(pool, landing, order, threads)
        try:
            for group in grouped:
                yield _read(group, bodies, dataset)
        finally:
            pool.shutdown(cancel_futures=True)


def _ahead(
    pool: ThreadPoolExecutor, landing: Landing, versions: Iterable[Version], threads: int
) -> Iterator[tuple[Version, bytes | None]]:
    waiting = deque[tuple[Version, Future[bytes | None]]]()
    size = 0
    for version in versions:
        while waiting and (len(waiting) >= threads or size + version.size > _AHEAD_BYTES):
            first, body = waiting.popleft()
            size -= first.size
            yield first, body.result()
        waiting.append((version, pool.submit(landing.read, version)))
        size += version.size
    for first, body in waiting:
        yield first, body.result()


def _read(
    group: list[NamedObject], bodies: Iterator[tuple[Version, bytes | None]], dataset: str
) -> Iterator[LandedObject | Refused]:
    for name in group:
        version, body = next(bodies)
        if body is None:
            continue
        try:
            origin, rows = _decoded(body)
            check_rows(rows, origin, name, dataset)
        except UnusableObject as error:
            yield Refused(version, str(error))
        else:
            yield LandedObject(version, name, origin, rows)


def _decoded(body: bytes) -> tuple[Origin, pa.Table]:
    try:
        # What pyarrow.parquet.ParquetFile reads with: for 15 KB, that takes as long as the rows.
        reader = ParquetReader()
        reader.open(pa.BufferReader(body))
        origin = read_origin(reader.metadata.metadata)
        rows = reader.read_all(use_threads=False)
        # A text that is none would be found out only when its file is written.
        rows.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        message = f"it is not a whole Parquet file ({type(error).__name__})"
        raise UnusableObject(message) from None
    return origin, rows.replace_schema_metadata(None)

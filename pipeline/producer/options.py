"""The settings of a producer."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pipeline.core.errors import SettingsError

Compression = Literal["gzip", "zstd"]

_GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of a producer. Sizes are in bytes, times in seconds. Raises `SettingsError`."""

    linger: float = 0.1
    """How long a record waits for others to share an aggregate with."""
    record_ttl: float = 30.0
    """How long a record is tried before it is given up."""
    aggregate_bytes: int = 51_200
    """An aggregate's largest size; a record that is larger is sent alone. 0: no aggregates."""
    aggregate_count: int = 10_000
    """Records in one aggregate, at most."""
    max_record_bytes: int = 2**20
    """Payload and partition key of one record; up to 10 MiB where the stream allows that."""
    buffer_bytes: int = 64 * 2**20
    """Records that wait, in memory; `put` blocks while there are more."""
    ordered: bool = True
    """Keep the order per partition key. Without, a throttled record may be overtaken."""
    compression: Compression | None = None
    """Compress each payload for which that saves bytes."""
    connections: int = 4
    """PutRecords calls at the same time, of different shards."""

    def __post_init__(self) -> None:
        """Name every fault at once."""
        largest = 10 * 2**20
        limits = (
            ("linger", 0, 3_600),
            ("record_ttl", 0.001, 7 * 86_400),
            ("aggregate_bytes", 0, self.max_record_bytes - 1),
            ("aggregate_count", 1, 2**32),
            ("max_record_bytes", 1, largest),
            ("buffer_bytes", 1, 2**50),
            ("connections", 1, 256),
        )
        faults = [
            f"{name} is {getattr(self, name)}; give a number from {low:,} to {high:,}."
            for name, low, high in limits
            if not low <= getattr(self, name) <= high
        ]
        if self.compression not in {None, "gzip", "zstd"}:
            faults.append(f"compression is {self.compression!r}; give 'gzip', 'zstd' or None.")
        if faults:
            raise SettingsError("\n".join(faults))

    def compressor(self) -> Callable[[bytes], bytes] | None:
        """Return what compresses one payload; safe to use from several threads."""
        if self.compression == "gzip":
            # Without the time, so that the same payload is always the same bytes.
            return partial(gzip.compress, compresslevel=_GZIP_LEVEL, mtime=0)
        if self.compression == "zstd":
            return _zstd()
        return None


def _zstd() -> Callable[[bytes], bytes]:
    import pyarrow as pa  # noqa: PLC0415 - only who compresses with zstd waits for Arrow

    def compress(payload: bytes) -> bytes:
        packed: Any = pa.compress(payload, codec="zstd", asbytes=True)
        return bytes(packed)

    return compress

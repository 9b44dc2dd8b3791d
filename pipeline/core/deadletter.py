"""Rejects to dead letters: gzipped JSON Lines, one object a line, nothing of the input lost."""

import gzip
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import msgspec
import pybase64

from pipeline.core.dataset import UNROUTED
from pipeline.core.records import Reject

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def file_by_arrival(rejects: Iterable[Reject]) -> Iterator[tuple[str, str, list[Reject]]]:
    """Group rejects by dataset and hour of arrival (`date=…/hour=…`), each in stream order."""

    def place(reject: Reject) -> tuple[str, str]:
        return reject.dataset or UNROUTED, f"{_arrived(reject):date=%Y-%m-%d/hour=%H}"

    for (dataset, hour), group in groupby(sorted(rejects, key=place), place):
        yield dataset, hour, sorted(group, key=_position)


def encode_dead_letters(rejects: Iterable[Reject]) -> bytes:
    """Encode rejects as one file."""
    lines = msgspec.json.Encoder().encode_lines(_letter(reject) for reject in rejects)
    return gzip.compress(lines, compresslevel=6, mtime=0)


def _letter(reject: Reject) -> dict[str, Any]:
    positions, at = reject.positions, reject.at
    record = positions.batch.records[positions.record[at]]
    encoding, payload = _as_text(reject.payload)
    return {
        "stage": reject.stage,
        "reason": reject.fault.reason,
        "message": reject.fault.message,
        "path": reject.fault.path,
        "dataset": reject.dataset,
        "schema_version": reject.schema_version,
        "source": positions.batch.source,
        "sequence_number": record.sequence_number,
        "sub_sequence_number": positions.sub[at],
        "document": positions.document[at],
        "arrived_at": f"{_arrived(reject):%Y-%m-%dT%H:%M:%S.%fZ}",
        "partition_key": positions.partition_key[at],
        "payload_encoding": encoding,
        "payload": payload,
    }


def _as_text(payload: bytes) -> tuple[str, str]:
    try:
        return "utf-8", payload.decode()
    except UnicodeDecodeError:
        return "base64", pybase64.b64encode(payload).decode()


def _arrived(reject: Reject) -> datetime:
    positions = reject.positions
    micros = positions.batch.records[positions.record[reject.at]].arrived_at
    return _EPOCH + timedelta(microseconds=micros)


def _position(reject: Reject) -> tuple[int, int, int]:
    positions, at = reject.positions, reject.at
    return positions.record[at], positions.sub[at], positions.document[at]

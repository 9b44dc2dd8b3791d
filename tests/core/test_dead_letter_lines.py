"""How dead letters are written: the same bytes as one JSON object a line, written the plain way."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import letter_lines
from pipeline.core.deadletter import decode_dead_letters
from pipeline.core.letter_lines import encode_dead_letters
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Batch, Provenance, Reject, StreamRecord, Violation

SOURCE = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/shardId-000000000000"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXTS = st.text(max_size=12) | st.text('"\\\x00\x1f\x7f\u2028/é\U0001f600', max_size=12)
PAYLOADS = TEXTS.map(str.encode) | st.binary(max_size=12)
VIOLATIONS = st.builds(Violation, st.sampled_from(list(Reason)), TEXTS, TEXTS)
KEYS = st.none() | st.text(st.characters(), max_size=4)


@st.composite
def rejects(draw: st.DrawFn) -> list[Reject]:
    """Return rejects of one batch, most of which have much in common with the one before."""
    records = tuple(
        StreamRecord(str(10**30 + number), None, draw(st.integers(0, 253_402_300_799_999_999)), b"")
        for number in range(2)
    )
    provenance, found = Provenance(Batch(SOURCE, "shard", records)), list[Reject]()
    violations = draw(st.lists(VIOLATIONS, min_size=1, max_size=2))
    keys = draw(st.lists(KEYS, min_size=1, max_size=2))
    for number in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, 1)), draw(st.integers(0, 1)), number
        unit = provenance.add(*place, draw(st.sampled_from(keys)))
        stage = draw(st.sampled_from([RejectStage.CONVERT, RejectStage.PAYLOAD]))
        dataset = draw(st.sampled_from([(None, None), ("orders", 1), ("orders", 2)]))
        violation, payload = draw(st.sampled_from(violations)), draw(PAYLOADS)
        found.append(Reject(provenance, unit, stage, violation, payload, *dataset))
    return found


def written_plainly(reject: Reject) -> dict[str, Any]:
    """Write one dead letter field by field, as the documentation of the format has it."""
    origins, unit = reject.provenance, reject.unit
    record = origins.batch.records[origins.record[unit]]
    key = origins.partition_key[unit]
    arrived = (EPOCH + timedelta(microseconds=record.arrived_at)).replace(tzinfo=None)
    try:
        encoding, payload = "utf-8", reject.payload.decode()
    except UnicodeDecodeError:
        encoding, payload = "base64", base64.b64encode(reject.payload).decode()
    return {
        "stage": reject.stage.value,
        "reason": reject.violation.reason.value,
        "message": reject.violation.message,
        "path": reject.violation.path,
        "dataset": reject.dataset,
        "schema_version": reject.schema_version,
        "source": SOURCE,
        "sequence_number": record.sequence_number,
        "sub_sequence_number": origins.sub[unit],
        "document": origins.document[unit],
        "arrived_at": arrived.isoformat(timespec="microseconds") + "Z",
        "partition_key": key and key.encode(errors="replace").decode(),
        "payload_encoding": encoding,
        "payload": payload,
    }


@given(rejects(), st.sampled_from([3, 6, 12, 2**20]), st.sampled_from([1, 256]))
def test_lines_are_the_same_as_those_written_one_by_one(
    found: list[Reject], piece: int, kept: int
) -> None:
    """Law: what lines have in common is written once, and long payloads in pieces, to one end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(letter_lines, "_PIECE", piece)
        patch.setattr(letter_lines, "_MOST_KEPT", kept)
        packed = encode_dead_letters(found)
    lines = gzip.decompress(packed).splitlines(keepends=True)
    assert [list(json.loads(line).items()) for line in lines] == [
        list(written_plainly(reject).items()) for reject in found
    ]
    assert all(line.endswith(b"}\n") for line in lines)
    assert encode_dead_letters(found)[:10] == gzip.compress(b"", 3, mtime=0)[:10]


@given(rejects())
def test_what_is_written_is_read_back(found: list[Reject]) -> None:
    letters = decode_dead_letters(encode_dead_letters(found), "file")
    assert [letter.payload for letter in letters] == [reject.payload for reject in found]

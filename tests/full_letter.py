"""A dead letter that has every member that one may have."""

from __future__ import annotations

from array import array
from typing import cast

from pipeline.core.letter_lines import encode_dead_letters
from pipeline.core.protection import Protection, Shown
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Batch, Provenance, Reject, StreamRecord, Violation

# Those that letters need not have, and what the one below has.
NEWER = {
    "element": 3,
    "payload_format": "avro",
    "private_key": "k1",
    "redacted": ["$.name", "$.tags[]"],
    "sealed": "/3NlYWxlZA==",
    "digest": "d1",
}


class _Shows:
    """Protects as where originals are sealed, and where there are digests alone, at once."""

    def shown(self, reject: Reject) -> Shown:
        hidden = ("$.name", "$.tags[]")
        return Shown(reject.payload, reject.violation, "a", "k1", hidden, b"\xffsealed", "d1")


def file_of_a_full_letter() -> bytes:
    """Return a file of dead letters with this one."""
    record = StreamRecord("7", None, 0, b"")
    provenance = Provenance(Batch("arn:aws:kinesis:eu-west-1:1:stream/s/shardId-0", "s", (record,)))
    unit = provenance.add(0, 0, 0, None)
    provenance.element = array("i", [3])
    violation = Violation(Reason.NOT_OBJECT, "It is not an object.", "$")
    reject = Reject(provenance, unit, RejectStage.CONVERT, violation, b"[1]", "apples", 1, "avro")
    return encode_dead_letters([reject], protection=cast("Protection", _Shows()))

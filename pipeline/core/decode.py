"""User records of a stream that is not JSON to documents, one of each, in parts.

Where later stations reject a document, its dead letter is to hold what the producer sent:
`Originals` finds that again.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pipeline.core.binary.decoder import Asked, Decoder
from pipeline.core.parts import NARROW, Part, Parts
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Limits, Reject, Violation, Width


def decode_payloads(
    chunk: Chunk, decoder: Decoder, limits: Limits, width: Width = NARROW
) -> Iterator[Part]:
    """Decode user records, in parts that fit in memory together; at least one part.

    The stream record's limits hold as they do for compressed payloads: beyond them, a user record
    is not looked into any more.
    """
    parts = Parts(chunk.provenance, limits, width)
    record, left, documents, asked = -1, 0, 0, Asked()
    for unit, payload in zip(chunk.unit, chunk.payloads, strict=True):
        if chunk.provenance.record[unit] != record:
            record = chunk.provenance.record[unit]
            left, documents, asked = limits.record_bytes, limits.record_documents, Asked()
        documents -= 1
        if documents < 0 or left <= 0:
            decoded: bytes | Violation = _beyond(limits, has_many=documents < 0)
        else:
            decoded, spent = decoder.decode(payload, limits, left, asked)
            if _is_beyond(decoded) and left < limits.document_bytes:
                decoded = _beyond(limits, has_many=False)
            left -= spent
        if isinstance(decoded, Violation):
            yield from parts.add(unit, [payload], {0: decoded}, RejectStage.PAYLOAD)
        else:
            yield from parts.add(unit, [decoded])
    yield parts.finish()


def _is_beyond(decoded: bytes | Violation) -> bool:
    return isinstance(decoded, Violation) and decoded.reason in {
        Reason.DOCUMENT_TOO_LARGE,
        Reason.UNPACKED_TOO_LARGE,
    }


def _beyond(limits: Limits, *, has_many: bool) -> Violation:
    if has_many:
        return Violation(
            Reason.TOO_MANY_DOCUMENTS,
            f"With this payload, its stream record holds more than {limits.record_documents} "
            "documents; send them in several stream records.",
        )
    return Violation(
        Reason.UNPACKED_TOO_LARGE,
        "With this payload, the documents of its stream record have more than "
        f"{limits.record_bytes} bytes; send them in several stream records.",
    )


class Originals:
    """What producers sent, by where it stands: dead letters hold that, not what it was decoded to.

    Nothing is looked up, or made, until there is a dead letter.
    """

    def __init__(self, payload_format: str, user_records: Sequence[Chunk]) -> None:
        self._format = payload_format
        self._user_records = user_records
        self._payloads: dict[tuple[int, int, int], bytes] = {}

    def put_back(self, rejects: Iterable[Reject]) -> list[Reject]:
        """Return the rejects with what their producers sent, where they are whole payloads.

        An element of an envelope is not; what did not decode never was anything else.
        """
        return [self._put_back(reject) for reject in rejects]

    def _put_back(self, reject: Reject) -> Reject:
        origins, unit = reject.provenance, reject.unit
        opened_from = origins.opened_from
        if opened_from is None or reject.stage is RejectStage.PAYLOAD:
            return reject
        if origins.element is not None and origins.element[unit] >= 0:
            return reject
        place = id(opened_from), origins.record[unit], origins.sub[unit]
        payload = self._known().get(place)
        if payload is None:
            return reject
        return msgspec.structs.replace(reject, payload=payload, payload_format=self._format)

    def _known(self) -> dict[tuple[int, int, int], bytes]:
        if not self._payloads:
            for chunk in self._user_records:
                origins = chunk.provenance
                for unit, payload in zip(chunk.unit, chunk.payloads, strict=True):
                    place = id(origins), origins.record[unit], origins.sub[unit]
                    self._payloads[place] = payload
        return self._payloads

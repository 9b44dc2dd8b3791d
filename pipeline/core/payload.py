"""User records to documents: what stands around them, how many there are, and their limits.

Compression and registries' headers are taken off (`unpack`), and the text is cut into documents
(`framing`). What is plainly another format gets a reason of its own (`foreign`).
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import contains

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import ConservationError
from pipeline.core.foreign import is_binary, is_meant_as_json, violation_of
from pipeline.core.framing import Document, head_of, is_conserved, split_documents
from pipeline.core.integers import INT32, INT64, between
from pipeline.core.jsontext import SEAM, deeper_than, fast_are_framed, is_framed, is_json
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Limits, Provenance, Reject, Violation
from pipeline.core.unpack import is_packed, unpack

_BEHIND_AN_OBJECT = r"\}[^,\]}\r]"
_BEHIND_A_BRACKET = re.compile(rb"\}[^,\]}]")
_EMPTY = re.compile(rb"(?:[ \t\r\n\x1e]|\xef\xbb\xbf|\[[ \t\r\n]*+\])*+")
_SEAM_BYTE = SEAM[0]  # a number is looked for in a third of the time
_RUN = 64  # user records looked at together, where some of a batch are odd

Part = tuple[Chunk, list[Reject]]


def unpack_payloads(
    chunk: Chunk, limits: Limits, *, each_line: bool = False, fast: bool = True
) -> Iterator[Part]:
    """Open user records into documents, in parts that fit in memory together.

    With `each_line`, a payload's lines are its documents, whatever is in them. Without `fast`, all
    are opened one by one, to the same documents.

    A part ends at the first stream record boundary where it holds `limits.part_bytes` unpacked;
    within one stream record only where that record alone unpacks to so much. At least one part.
    """
    text = _text_of_documents(chunk.payloads, limits) if fast else None
    if text is not None:
        yield msgspec.structs.replace(chunk, text=text), []
        return
    part = _Part(chunk.provenance, each_line=each_line, fast=fast)
    if fast and _fits_in_one_part(chunk.payloads, limits):
        part.open_in_runs(chunk, limits)
        yield part.finished()
        return
    record, record_bytes = -1, 0
    for unit, payload in zip(chunk.unit, chunk.payloads, strict=True):
        starts_record = chunk.provenance.record[unit] != record
        if starts_record:
            record, record_bytes = chunk.provenance.record[unit], 0
        if (part.size if starts_record else record_bytes) >= limits.part_bytes:
            yield part.finished()
            part, record_bytes = _Part(chunk.provenance, each_line=each_line, fast=fast), 0
        record_bytes += part.open(unit, payload, limits)
    yield part.finished()


def check_documents(chunk: Chunk, limits: Limits) -> Part:
    """Check replayed documents against the limits again; some were rejected for exceeding them."""
    violations = [_document_violation(payload, limits) for payload in chunk.payloads]
    good = chunk.take([index for index, violation in enumerate(violations) if violation is None])
    return good, [
        Reject(chunk.provenance, unit, RejectStage.DOCUMENT, violation, payload)
        for unit, payload, violation in zip(chunk.unit, chunk.payloads, violations, strict=True)
        if violation is not None
    ]


def _text_of_documents(payloads: Sequence[bytes], limits: Limits) -> bytes | None:
    """Join payloads of which each is plainly one document within the limits; None where one is not.

    So most batches are, and a look at all payloads together costs a tenth of one at each.
    """
    if not fast_are_framed(payloads):
        return None
    longest = max(map(len, payloads))
    if longest > min(limits.unpacked_bytes, limits.document_bytes):
        return None
    text = SEAM.join(payloads)
    if b"\n" in text or any(map(contains, payloads, repeat(_SEAM_BYTE))):
        return None
    if len(text) - len(payloads) >= limits.part_bytes:
        return None
    if not text.isascii() and not all(map(_is_utf8, payloads)):
        return None
    if _may_hold_several(text) and not all(map(_is_one, payloads)):
        return None
    if longest > 2 * limits.depth and any(_is_too_deep(payload, limits) for payload in payloads):
        return None
    return text


def _may_hold_several(text: bytes) -> bool:
    """Tell whether a `}` is followed by what cannot follow it within a document's brackets.

    By Arrow's RE2, which takes a tenth of the time of `re`.
    """
    offsets = pa.py_buffer(array(INT64, [0, len(text)]).tobytes())
    column = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(text)])
    return bool(pc.match_substring_regex(column, _BEHIND_AN_OBJECT)[0].as_py())


def _is_one(payload: bytes) -> bool:
    """Tell whether a payload without line breaks is one document, or none that could be cut."""
    return _BEHIND_A_BRACKET.search(payload) is None or is_json(payload)


def _fits_in_one_part(payloads: Sequence[bytes], limits: Limits) -> bool:
    """Tell whether one part can hold the payloads, and nothing in them has to be unpacked."""
    if sum(map(len, payloads)) >= limits.part_bytes:
        return False
    return not any(is_packed(payload) for payload in payloads if payload[:1] != b"{")


def _is_too_deep(document: bytes, limits: Limits) -> bool:
    # A document of n bytes nests at most n / 2 deep.
    return len(document) > 2 * limits.depth and deeper_than(document, limits.depth)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Part:
    """Documents and rejects in the making.

    The first document of a user record takes over its position; further ones get their own.
    """

    def __init__(self, provenance: Provenance, *, each_line: bool, fast: bool) -> None:
        self.provenance = provenance
        self.units = array(INT32)
        self.payloads: list[bytes] = []
        self.rejects: list[Reject] = []
        self.size = 0
        self._each_line = each_line
        self._fast = fast

    def finished(self) -> Part:
        return Chunk(self.provenance, self.units, self.payloads), self.rejects

    def open_in_runs(self, chunk: Chunk, limits: Limits) -> None:
        """Open user records, those between the odd ones together."""
        odd = [index for index, payload in enumerate(chunk.payloads) if not is_framed(payload)]
        start = 0
        for end in [*odd, len(chunk)]:
            for first in range(start, end, _RUN):
                self._open_run(chunk, first, min(first + _RUN, end), limits)
            if end < len(chunk):
                self.open(chunk.unit[end], chunk.payloads[end], limits)
            start = end + 1

    def _open_run(self, chunk: Chunk, start: int, end: int, limits: Limits) -> None:
        """Open user records of which most likely each is plainly a document."""
        units, payloads = chunk.unit[start:end], chunk.payloads[start:end]
        if _text_of_documents(payloads, limits) is not None:
            self.units += units
            self.payloads += payloads
            return
        for unit, payload in zip(units, payloads, strict=True):
            self.open(unit, payload, limits)

    def open(self, unit: int, payload: bytes, limits: Limits) -> int:
        """Open one user record and return its unpacked size in bytes."""
        is_text = self.provenance.batch.one_document_per_record
        text = payload if is_text else unpack(payload, limits.unpacked_bytes)
        if isinstance(text, Violation):
            self._reject(unit, RejectStage.PAYLOAD, text, payload)
            return 0
        documents = self._documents(text, payload, limits)
        if isinstance(documents, Violation):
            self._reject(unit, RejectStage.PAYLOAD, documents, payload)
            return 0
        self._add(unit, documents, limits)
        self.size += len(text)
        return len(text)

    def _documents(self, text: bytes, payload: bytes, limits: Limits) -> list[Document] | Violation:
        """Cut the text of a payload into its documents, at least one."""
        if text and self.provenance.batch.one_document_per_record:
            is_plain = is_meant_as_json(text) or is_json(text)
            return (None if is_plain else violation_of(text)) or [(0, text)]
        most = limits.documents
        found = split_documents(text, each_line=self._each_line, limit=most, fast=self._fast)
        documents = found.documents
        if not documents:
            if not _is_empty(text):
                return violation_of(text, payload) or [(0, text)]
            message = "The record holds no document: it is empty, white space, or an empty array."
            return Violation(Reason.EMPTY_RECORD, message)
        if len(documents) > most:
            return Violation(
                Reason.TOO_MANY_DOCUMENTS,
                f"The payload holds more than {most} documents; send it in several records.",
            )
        if not is_conserved(text, documents):
            raise ConservationError(_LOST)
        if found.is_broken or self._each_line:
            return _text_or_not(text, payload, documents, each_line=self._each_line)
        return documents

    def _add(self, unit: int, documents: Sequence[Document], limits: Limits) -> None:
        """Give each document a unit, and reject those that are beyond the limits."""
        units = self._units(unit, len(documents))
        texts = [document for _, document in documents]
        before = len(self.payloads) + len(self.rejects)
        if _are_within(texts, limits):
            self.units.extend(units)
            self.payloads += texts
        else:
            for one, text in zip(units, texts, strict=True):
                violation = _document_violation(text, limits)
                if violation is None:
                    self.units.append(one)
                    self.payloads.append(text)
                else:
                    self._reject(one, RejectStage.DOCUMENT, violation, text)
        if len(self.payloads) + len(self.rejects) != before + len(documents):
            raise ConservationError(_LOST)

    def _units(self, unit: int, count: int) -> Sequence[int]:
        """Return a unit for each document of a user record, which has the first one already."""
        if count == 1:
            return (unit,)
        origins, start = self.provenance, len(self.provenance)
        origins.record.extend(array(INT32, [origins.record[unit]]) * (count - 1))
        origins.sub.extend(array(INT64, [origins.sub[unit]]) * (count - 1))
        origins.document.extend(between(1, count))
        origins.partition_key.extend([origins.partition_key[unit]] * (count - 1))
        return (unit, *between(start, start + count - 1))

    def _reject(self, unit: int, stage: RejectStage, violation: Violation, payload: bytes) -> None:
        self.rejects.append(Reject(self.provenance, unit, stage, violation, payload))


_LOST = (
    "Documents of a payload were lost as it was opened. This is a defect of the pipeline; the "
    "batch will be delivered again."
)


def _text_or_not(
    text: bytes, payload: bytes, documents: list[Document], *, each_line: bool
) -> list[Document] | Violation:
    """Look again at what is broken: without a whole document, it is one, with all its bytes.

    So is what is not text. Binary data may well hold bytes that look like documents, and line
    breaks around them.
    """
    if not is_meant_as_json(text):
        violation = violation_of(text, payload)
        if violation is not None:
            return violation
    pieces = [document for _, document in documents if not is_json(document)]
    if pieces and is_binary(head_of(text)):
        return [(0, text)]
    nothing_whole = len(pieces) == len(documents) and not (each_line and len(pieces) > 1)
    if nothing_whole or any(b"\0" in piece for piece in pieces):
        return [(0, text)]
    return documents


def _is_empty(text: bytes) -> bool:
    """Whether a text without documents is whole: blank, or empty arrays; an open one is broken."""
    return _EMPTY.fullmatch(text) is not None


def _are_within(documents: Sequence[bytes], limits: Limits) -> bool:
    """Tell whether documents are plainly within the limits, all of them."""
    longest = max(map(len, documents))
    if longest > min(limits.document_bytes, 2 * limits.depth):
        return False
    return all(map(bytes.isascii, documents))


def _document_violation(document: bytes, limits: Limits) -> Violation | None:
    """Check one document against the limits; its JSON is judged where its schema is known."""
    if len(document) > limits.document_bytes and is_json(document):
        return Violation(
            Reason.DOCUMENT_TOO_LARGE,
            f"The document has {len(document)} bytes; the limit is {limits.document_bytes}.",
        )
    if not document.isascii():
        try:
            document.decode()
        except UnicodeDecodeError as error:
            return Violation(
                Reason.NOT_UTF8, f"The document is not UTF-8: {error.reason} at byte {error.start}."
            )
    if _is_too_deep(document, limits):
        return Violation(Reason.TOO_DEEP, f"The document nests deeper than {limits.depth} levels.")
    return None

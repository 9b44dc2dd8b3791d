"""User records to documents: decompression, one document or several, and their bounds.

gzip and zstd are known by their magic. A payload that is one JSON text is one document,
pretty-printed or not; otherwise each line that is not blank is one. If no line is JSON either,
the whole payload is one reject: its lines would tell nobody more.
"""

import re
import zlib
from array import array
from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa

from pipeline.core.integers import INT32
from pipeline.core.jsontext import (
    SEAM,
    WHITESPACE,
    are_framed,
    deeper_than,
    is_framed,
    is_json,
    too_deep_to_read,
)
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Limits, Provenance, Reject, Violation

_GZIP = b"\x1f\x8b"
# A frame; or, as parallel compressors write first, a skippable one.
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib's way to say: expect a gzip header and trailer
_PIECE = 2**20
_RUN = 64  # user records looked at together, where some of a batch are odd
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")

Part = tuple[Chunk, list[Reject]]


def unpack_payloads(chunk: Chunk, limits: Limits, *, fast: bool = True) -> Iterator[Part]:
    """Open user records into documents, in parts that fit in memory together.

    A part ends at the first stream record boundary where it holds `limits.part_bytes` unpacked;
    within one stream record only where that record alone unpacks to so much. At least one part.
    """
    text = _text_of_documents(chunk.payloads, limits) if fast else None
    if text is not None:
        yield msgspec.structs.replace(chunk, text=text), []
        return
    part = _Part(chunk.provenance)
    if fast and _fits_in_one_part(chunk.payloads, limits):
        part.open_in_runs(chunk, limits)
        yield part.finished()
        return
    record, record_bytes = -1, 0
    for at, payload in zip(chunk.unit, chunk.payloads, strict=True):
        starts_record = chunk.provenance.record[at] != record
        if starts_record:
            record, record_bytes = chunk.provenance.record[at], 0
        if (part.size if starts_record else record_bytes) >= limits.part_bytes:
            yield part.finished()
            part, record_bytes = _Part(chunk.provenance), 0
        record_bytes += part.open(at, payload, limits)
    yield part.finished()


def check_documents(chunk: Chunk, limits: Limits) -> Part:
    """Hold documents that come again against the bounds: some had been rejected for just them."""
    faults = [_document_fault(payload, limits) for payload in chunk.payloads]
    good = chunk.take([index for index, fault in enumerate(faults) if fault is None])
    return good, [
        Reject(chunk.provenance, at, RejectStage.DOCUMENT, fault, payload)
        for at, payload, fault in zip(chunk.unit, chunk.payloads, faults, strict=True)
        if fault is not None
    ]


def _text_of_documents(payloads: Sequence[bytes], limits: Limits) -> bytes | None:
    """Join payloads of which each is plainly one document within the bounds; None where one is not.

    So most batches are, and a look at all payloads together costs a tenth of one at each.
    """
    if not are_framed(payloads):
        return None
    longest = max(map(len, payloads))
    if longest > min(limits.unpacked_bytes, limits.document_bytes):
        return None
    text = SEAM.join(payloads)
    if b"\n" in text or len(text) - len(payloads) >= limits.part_bytes:
        return None
    if not text.isascii() and not all(map(_is_utf8, payloads)):
        return None
    if longest > 2 * limits.depth and any(_is_too_deep(of, limits) for of in payloads):
        return None
    return text


def _fits_in_one_part(payloads: Sequence[bytes], limits: Limits) -> bool:
    """Tell whether the payloads are no more than a part holds, and nothing in them unpacks."""
    if sum(map(len, payloads)) >= limits.part_bytes:
        return False
    return not any(_is_packed(payload) for payload in payloads if payload[:1] != b"{")


def _is_packed(payload: bytes) -> bool:
    return payload.startswith(_GZIP) or _ZSTD.match(payload) is not None


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

    def __init__(self, provenance: Provenance) -> None:
        self.provenance = provenance
        self.at = array(INT32)
        self.payloads: list[bytes] = []
        self.rejects: list[Reject] = []
        self.size = 0

    def finished(self) -> Part:
        return Chunk(self.provenance, self.at, self.payloads), self.rejects

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
        at, payloads = chunk.unit[start:end], chunk.payloads[start:end]
        if _text_of_documents(payloads, limits) is not None:
            self.at += at
            self.payloads += payloads
            return
        for one, payload in zip(at, payloads, strict=True):
            self.open(one, payload, limits)

    def open(self, at: int, payload: bytes, limits: Limits) -> int:
        """Open one user record and return its unpacked size in bytes."""
        unpacked = _unpack(payload, limits.unpacked_bytes)
        if isinstance(unpacked, Violation):
            self._reject(at, 0, RejectStage.PAYLOAD, unpacked, payload)
            return 0
        documents = _split(
            unpacked, limits.documents, one_document=self.provenance.batch.one_document_per_record
        )
        if isinstance(documents, Violation):
            self._reject(at, 0, RejectStage.PAYLOAD, documents, payload)
            return 0
        for number, document in enumerate(documents):
            fault = _document_fault(document, limits)
            if fault is None:
                self.at.append(self._unit(at, number))
                self.payloads.append(document)
            else:
                self._reject(at, number, RejectStage.DOCUMENT, fault, document)
        self.size += len(unpacked)
        return len(unpacked)

    def _unit(self, at: int, document: int) -> int:
        if document == 0:
            return at
        of = self.provenance
        return of.add(of.record[at], of.sub[at], document, of.partition_key[at])

    def _reject(
        self, at: int, document: int, stage: RejectStage, fault: Violation, payload: bytes
    ) -> None:
        unit = self._unit(at, document)
        self.rejects.append(Reject(self.provenance, unit, stage, fault, payload))


def _unpack(payload: bytes, bound: int) -> bytes | Violation:
    """Decompress by magic; other payloads come back as they are."""
    if payload.startswith(_GZIP):
        unpacked = _gunzip(payload, bound)
    elif _ZSTD.match(payload):
        unpacked = _unzstd(payload, bound)
    else:
        unpacked = payload
    if isinstance(unpacked, bytes) and len(unpacked) > bound:
        return Violation(
            Reason.UNPACKED_TOO_LARGE,
            f"The payload unpacks to more than {bound} bytes; send it in several records.",
        )
    return unpacked


def _gunzip(data: bytes, bound: int) -> bytes | Violation:
    """Unpack every member of a gzip file, at most one byte past the bound."""
    pieces, size = list[bytes](), 0
    while data and size <= bound:
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            pieces.append(member.decompress(data, bound + 1 - size))
        except zlib.error as error:
            return _corrupt("gzip", error)
        size += len(pieces[-1])
        if size <= bound and not member.eof:
            return _corrupt("gzip", "it ends before its trailer")
        data = member.unused_data.lstrip(b"\0")  # padding after the last member is allowed
    return b"".join(pieces)


def _unzstd(data: bytes, bound: int) -> bytes | Violation:
    """Unpack every frame of a zstd file, at most a piece past the bound."""
    pieces, size = list[bytes](), 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            while size <= bound and (piece := stream.read(_PIECE)):
                pieces.append(piece)
                size += len(piece)
    except (OSError, pa.ArrowException) as error:
        return _corrupt("zstd", error)
    return b"".join(pieces)


def _corrupt(codec: str, why: object) -> Violation:
    return Violation(
        Reason.CORRUPT_COMPRESSION, f"The payload begins as {codec} and cannot be unpacked: {why}."
    )


def _split(payload: bytes, bound: int, *, one_document: bool) -> list[bytes] | Violation:
    """Cut a payload into its documents, at least one; if it is `one_document`, into itself."""
    text = payload.strip(WHITESPACE)
    if not text:
        return Violation(Reason.EMPTY_RECORD, "The record is empty, or white space alone.")
    if one_document or b"\n" not in text or is_json(text) or _is_deep_document(text):
        return [text]
    lines = list[bytes]()
    for line in _LINE.finditer(text):
        if len(lines) == bound:
            return Violation(
                Reason.TOO_MANY_DOCUMENTS,
                f"The payload holds more than {bound} documents; send it in several records.",
            )
        lines.append(line.group().rstrip(WHITESPACE))
    return lines if any(map(is_json, lines)) else [text]


def _is_deep_document(text: bytes) -> bool:
    """Tell a document too deep to be read, over several lines, from lines of which one is."""
    return too_deep_to_read(text) and not too_deep_to_read(text.partition(b"\n")[0])


def _document_fault(document: bytes, limits: Limits) -> Violation | None:
    """Hold one document against the bounds; its JSON is judged where its schema is known."""
    if len(document) > limits.document_bytes:
        return Violation(
            Reason.DOCUMENT_TOO_LARGE,
            f"The document has {len(document)} bytes; the bound is {limits.document_bytes}.",
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

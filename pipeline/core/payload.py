"""User records to documents: what stands around them, how many there are, and their limits.

Compression and registries' headers are taken off (`unpack`), and the text is cut into documents
(`framing`). What is plainly another format gets a reason of its own (`foreign`).
"""

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from operator import add, contains, countOf

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import ConservationError
from pipeline.core.foreign import is_binary, is_meant_as_json, violation_of
from pipeline.core.framing import Document, head_of, is_conserved, split_documents
from pipeline.core.inflating import Meter
from pipeline.core.integers import INT64, Integers, all_but
from pipeline.core.jsontext import SEAM, deeper_than, fast_are_framed, is_framed, is_json, unframed
from pipeline.core.parts import LOST, NARROW, Part, Parts
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Limits, Provenance, Reject, Violation, Width
from pipeline.core.unpack import is_packed, unpack

_BEHIND_AN_OBJECT = r"\}[^,\]}\r]"
_BEHIND_A_BRACKET = re.compile(rb"\}[^,\]}]")
# One document, or one that is broken: on one line, and nothing that could begin another.
_SURELY_ONE = re.compile(rb"\{[^\0\n}\]]*+(?:[}\]](?=[,}\]]|\Z)[^\0\n}\]]*+)*+")
_EMPTY = re.compile(rb"(?:[ \t\r\n\x1e]|\xef\xbb\xbf|\[[ \t\r\n]*+\])*+")
_SEAM_BYTE = SEAM[0]  # a number is looked for in a third of the time
# Scalars that are JSON, and text: no header of any compression begins like one.
_SCALAR = re.compile(rb'-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?|true|false|null|"[ !#-\[\]-~]*+"')
_SHORT = 100
_FEW = 16  # of so few, a look at each costs less than a call of Arrow
_RUN = 64  # user records looked at together, where some of a batch are odd
_PLAIN_RUN = 1_024  # user records added together that are known to be one document each


def unpack_payloads(
    chunk: Chunk,
    limits: Limits,
    width: Width = NARROW,
    *,
    each_line: bool = False,
    fast: bool = True,
) -> Iterator[Part]:
    """Open user records into documents, in parts that fit in memory together; at least one part.

    With `each_line`, a payload's lines are its documents, whatever is in them. Without `fast`, all
    are opened one by one, to the same documents in the same parts. `width` is how many values the
    documents may become.
    """
    parts = Parts(chunk.provenance, limits, width)
    text = _text_of_documents(chunk.payloads, limits) if fast else None
    has_room = len(chunk) <= limits.record_documents
    if text is not None and has_room and parts.have_surely_room(len(text), len(chunk)):
        yield _as_they_are(chunk, text, parts), []
        return
    opener = _Opener(chunk.provenance, limits, each_line=each_line, fast=fast)
    odd = unframed(chunk.payloads) if fast else []
    framed_are_plain = fast and _all_but_are_plain(odd, chunk.payloads, limits)
    longest = _PLAIN_RUN if framed_are_plain else _RUN
    for run in _runs(chunk.payloads, odd, longest) if fast else [slice(0, len(chunk))]:
        units, payloads = chunk.unit[run], chunk.payloads[run]
        is_plain = fast and (
            (framed_are_plain and is_framed(payloads[0]))
            or _are_plain(payloads, limits, each_line=each_line)
        )
        if is_plain and opener.has_room(units) and parts.add_run(units, payloads):
            opener.count(units)
            continue
        for unit, payload in zip(units, payloads, strict=True):
            opened = opener.open(unit, payload)
            if not parts.add_one(unit, opened):
                yield from parts.add(unit, *opened)
    yield parts.finish()


def check_documents(chunk: Chunk, limits: Limits, width: Width = NARROW) -> Iterator[Part]:
    """Check replayed documents against the limits again; some were rejected for exceeding them."""
    parts, start = Parts(chunk.provenance, limits, width), 0
    while start < len(chunk):
        end = start + parts.fitting(chunk.payloads[start : start + limits.part_documents])
        units, payloads = chunk.unit[start:end], chunk.payloads[start:end]
        violations = [_document_violation(payload, limits) for payload in payloads]
        good = [index for index, violation in enumerate(violations, start) if violation is None]
        yield (
            chunk.take(good),
            [
                Reject(chunk.provenance, unit, RejectStage.DOCUMENT, violation, payload)
                for unit, payload, violation in zip(units, payloads, violations, strict=True)
                if violation is not None
            ],
        )
        start = end


def _all_but_are_plain(odd: Sequence[int], payloads: Sequence[bytes], limits: Limits) -> bool:
    """Tell whether each user record but these is plainly one document within the limits."""
    if not 0 < len(odd) < len(payloads):
        return False
    others = [payloads[index] for index in all_but(odd, len(payloads))]
    return _text_of_documents(others, limits) is not None


def _runs(payloads: Sequence[bytes], odd: Sequence[int], longest: int) -> Iterator[slice]:
    """Cut user records into runs that are looked at together: framed ones, and scalars.

    `odd` are those that are not framed; each that is not a scalar either is a run of its own.
    """
    scalars = end = 0  # from here to there are scalars, not yet a run
    for index in chain(odd, (len(payloads),)):
        is_scalar = index < len(payloads) and _kind_of(payloads[index]) is not None
        if scalars < end and (index > end or not is_scalar or end - scalars == _RUN):
            yield slice(scalars, end)
            scalars = end
        for start in range(end, index, longest):
            scalars = end = min(start + longest, index)
            yield slice(start, end)
        if index < len(payloads):
            end = index + 1
            if not is_scalar:
                yield slice(index, end)
                scalars = end


def _kind_of(payload: bytes) -> bytes | None:
    """Return what many user records may have in common, by which they are known together."""
    if payload[-1:] == b"}" and payload[:1] == b"{":
        return b"{"
    return b"1" if len(payload) < _SHORT and _SCALAR.fullmatch(payload) else None


def _are_plain(payloads: Sequence[bytes], limits: Limits, *, each_line: bool) -> bool:
    """Tell whether each of a run of user records is plainly one document within the limits."""
    kind = _kind_of(payloads[0]) if payloads else None
    if kind == b"{":
        return _text_of_documents(payloads, limits) is not None
    most = min(limits.unpacked_bytes, limits.document_bytes)
    return kind == b"1" and not each_line and max(map(len, payloads)) <= most


def _as_they_are(chunk: Chunk, text: bytes, parts: Parts) -> Chunk:
    """Return the documents of user records of which each is one, joined as `text`."""
    origins = chunk.provenance
    if len(chunk) == len(origins):  # most often: then nothing has to be copied
        columns = origins.record, origins.sub, origins.document, origins.partition_key
        return Chunk(Provenance(origins.batch, *columns, origins), chunk.unit, chunk.payloads, text)
    parts.add_run(chunk.unit, chunk.payloads)
    return msgspec.structs.replace(parts.finish()[0], text=text)


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
    several = len(payloads) < _FEW or _may_hold_several(text)
    if several and not all(map(_is_one, payloads)):
        return None
    if longest > 2 * limits.depth and _may_be_too_deep(payloads, limits):
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


def _may_be_too_deep(payloads: Sequence[bytes], limits: Limits) -> bool:
    brackets = map(add, *(map(bytes.count, payloads, repeat(bracket)) for bracket in (b"{", b"[")))
    return max(brackets) > limits.depth and any(_is_too_deep(each, limits) for each in payloads)


def _is_too_deep(document: bytes, limits: Limits) -> bool:
    # A document of n bytes nests at most n / 2 deep.
    return len(document) > 2 * limits.depth and deeper_than(document, limits.depth)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Opener:
    """Opens user records, one by one.

    Documents, and the bytes that are unpacked, are counted for each stream record: beyond its
    limits a user record is not looked into any more. Without that, some kilobytes could hold more
    than there is time for, and nothing would ever come after them.
    """

    def __init__(self, origins: Provenance, limits: Limits, *, each_line: bool, fast: bool) -> None:
        self._origins = origins
        self._limits = limits
        self._each_line = each_line
        self._fast = fast
        self._is_text = origins.batch.one_document_per_record
        self._begin(-1)

    def _begin(self, record: int) -> None:
        self._record = record
        self._unpacked = Meter()
        self._documents_left = self._limits.record_documents

    def open(
        self, unit: int, payload: bytes
    ) -> tuple[list[bytes], Mapping[int, Violation], RejectStage]:
        """Return a user record's documents, and which are rejected; or its payload, rejected."""
        if self._origins.record[unit] != self._record:
            self._begin(self._origins.record[unit])
        if self._documents_left <= 0:
            return [payload], {0: self._too_many()}, RejectStage.PAYLOAD
        self._documents_left -= 1  # at least: what holds none is a dead letter, and costs as much
        if self._fast and self._is_surely_one(payload):
            return [payload], _violations([payload], self._limits), RejectStage.DOCUMENT
        text = payload if self._is_text else self._unpack(payload)
        if isinstance(text, Violation):
            return [payload], {0: text}, RejectStage.PAYLOAD
        documents = self._documents(text, payload)
        if isinstance(documents, Violation):
            return [payload], {0: documents}, RejectStage.PAYLOAD
        texts = [document for _, document in documents]
        return texts, _violations(texts, self._limits), RejectStage.DOCUMENT

    def has_room(self, units: Integers) -> bool:
        """Tell whether a run of user records, of one document each, surely is within the limits."""
        is_begun = self._origins.record[units[0]] == self._record
        left = self._documents_left if is_begun else self._limits.record_documents
        return len(units) <= left

    def count(self, units: Integers) -> None:
        """Count the documents of a run that was added without being opened one by one."""
        columns, last = self._origins.record, self._origins.record[units[-1]]
        if columns[units[0]] == last == self._record:
            self._documents_left -= len(units)
            return
        if last != self._record:
            self._begin(last)
        self._documents_left -= countOf(map(columns.__getitem__, units), last)

    def _too_many(self) -> Violation:
        return Violation(
            Reason.TOO_MANY_DOCUMENTS,
            f"With this payload, its stream record holds more than {self._limits.record_documents} "
            "documents; send them in several stream records.",
        )

    def _is_surely_one(self, payload: bytes) -> bool:
        """Tell whether all of a payload is plainly one document, perhaps a broken one."""
        fits = len(payload) <= self._limits.unpacked_bytes
        return fits and _SURELY_ONE.fullmatch(payload) is not None

    def _unpack(self, payload: bytes) -> bytes | Violation:
        """Take off what stands around a payload's text, as far as its stream record may go."""
        limits, left = self._limits, self._limits.record_bytes - self._unpacked.spent
        if not (left < limits.unpacked_bytes and is_packed(payload)):
            return unpack(payload, limits.unpacked_bytes, self._unpacked)
        text = unpack(payload, left, self._unpacked) if left > 0 else None
        is_beyond = isinstance(text, Violation) and text.reason is Reason.UNPACKED_TOO_LARGE
        if text is None or is_beyond:
            return Violation(
                Reason.UNPACKED_TOO_LARGE,
                "With this payload, the compressed ones of its stream record hold more than "
                f"{limits.record_bytes} unpacked bytes; send them in several stream records.",
            )
        return text

    def _documents(self, text: bytes, payload: bytes) -> list[Document] | Violation:
        """Cut the text of a payload into its documents, at least one."""
        if text and self._is_text:
            is_plain = is_meant_as_json(text) or is_json(text)
            return (None if is_plain else violation_of(text)) or [(0, text)]
        most = self._limits.documents
        found = split_documents(text, each_line=self._each_line, limit=most, fast=self._fast)
        documents = found.documents
        if not documents:
            if not _is_empty(text):
                return violation_of(text, payload) or [(0, text)]
            message = "The record holds no document: it is empty, white space, or an empty array."
            return Violation(Reason.EMPTY_RECORD, message)
        self._documents_left -= min(len(documents), most) - 1
        if len(documents) > most:
            return Violation(
                Reason.TOO_MANY_DOCUMENTS,
                f"The payload holds more than {most} documents; send it in several records.",
            )
        if self._documents_left < 0:
            return self._too_many()
        if not is_conserved(text, documents):
            raise ConservationError(LOST)
        if found.is_broken or self._each_line:
            return _text_or_not(text, payload, documents, each_line=self._each_line)
        return documents


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


def _violations(documents: Sequence[bytes], limits: Limits) -> Mapping[int, Violation]:
    """Return the violations of those documents that are beyond the limits, by their number."""
    if _are_within(documents, limits):
        return {}
    found = ((number, _document_violation(text, limits)) for number, text in enumerate(documents))
    return {number: violation for number, violation in found if violation is not None}


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

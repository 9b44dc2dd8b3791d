"""Files of JSON as batches: streamed, in bounded memory, cut by bytes and by documents.

A file holds its documents in any framing (see `core.framing`), and may be compressed (see
`unpacking`). A document's identity is its file, with its content (see `local` and `objects`), and
the offset of its first byte, counted in what the file unpacks to. The cut depends on the file
alone, so converting it again writes the same objects again, and work that was stopped goes on from
the end of any block.

What is broken is judged as in a payload, as far as a block shows it: a document that stands in a
block before a break was found is a row already. A file of which nothing is certain any more is
kept in pieces of a block each.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from pipeline.core.errors import ConservationError, FileError
from pipeline.core.foreign import is_binary
from pipeline.core.framing import Document, Mode, head_of, is_conserved, scan
from pipeline.core.records import Batch, StreamRecord
from pipeline.files.unpacking import Peeked, Readable, read, unpacked


class Cut(msgspec.Struct, frozen=True):
    """How a file is cut: a promise, as the names of objects follow from it.

    A block ends before the next multiple of `block_bytes`, soon after `block_documents` (what a
    document costs beside its bytes is bounded, too). A value that does not end within
    `longest_value` bytes is taken for broken.
    """

    block_bytes: int = 8 * 2**20
    block_documents: int = 20_000
    longest_value: int = 64 * 2**20


class Place(msgspec.Struct, frozen=True):
    """A byte of what a file unpacks to, and what is known there of the text before it."""

    offset: int = 0
    mode: Mode = Mode.SEQUENCE


CUT = Cut()
START = Place()
START_OF_LINES = Place(mode=Mode.EACH_LINE)


def start_of(*, each_line: bool) -> Place:
    """Return the start of a file; with `each_line`, of one whose lines are its documents."""
    return START_OF_LINES if each_line else START


class Block(msgspec.Struct, frozen=True):
    """A stretch of a file, and its documents, each with the offset of its first byte."""

    start: Place
    end: Place
    documents: list[Document]

    def batch(self, source: str, arrived_at: int) -> Batch:
        """Make the batch of a block that holds documents; see `batches_of`."""
        records = (
            StreamRecord(str(offset), None, arrived_at, text) for offset, text in self.documents
        )
        batch = Batch(source, Path(source).name, tuple(records), one_document_per_record=True)
        if [record.data for record in batch.records] != [text for _, text in self.documents]:
            raise _lost(source, self.start.offset, self.end.offset)
        return batch


def batches_of(
    file: Readable,
    name: str,
    source: Callable[[Block], str],
    arrived_at: int,
    progress: Callable[[int], None],
    start: Place = START,
) -> Iterator[Batch]:
    """Cut a file, plain or compressed, into batches of whole documents.

    `source` returns the first part of the identity of a block's documents, and is called when these
    are about to be stored. `arrived_at` is their arrival in microseconds since 1970. `progress` is
    called with the bytes of each batch, unpacked. Raises `FileError`, which calls the file `name`.
    """
    for block in without_gaps(blocks_of(file, name, start), name, start):
        if block.documents:
            yield block.batch(source(block), arrived_at)
        progress(block.end.offset - block.start.offset)


def without_gaps(blocks: Iterable[Block], name: str, start: Place) -> Iterator[Block]:
    """Yield blocks of which each begins where the one before it ended.

    Raises `ConservationError` instead of one that does not.
    """
    for block in blocks:
        if block.start.offset != start.offset:
            raise _lost(name, start.offset, block.start.offset)
        yield block
        start = block.end


def documents_of(file: Readable, name: str, start: Place = START) -> Iterator[bytes]:
    """Yield the documents of a file, plain or compressed, unread.

    A pipe's come as they arrive, if `file` does not wait for more. Raises `FileError`.
    """
    for block in blocks_of(file, name, start, eager=True):
        for _, document in block.documents:
            yield document


def blocks_of(
    file: Readable,
    name: str,
    start: Place = START,
    *,
    eager: bool = False,
    cut: Cut | None = None,
) -> Iterator[Block]:
    """Cut a file into blocks: from its start, or from the end of any of its blocks.

    A block ends with the last document that ends before the next multiple of `cut.block_bytes`,
    soon after `cut.block_documents` of them, or with the file; or, eager, with what was there to
    read. Raises `FileError`.
    """
    cut = cut or CUT
    source = unpacked(file, name)
    _skip(source, name, start.offset, cut)
    begun, text, ended = start, b"", False
    # Align to the next multiple, so that a resumed file is cut at the same offsets.
    wanted = cut.block_bytes - start.offset % cut.block_bytes
    while not ended:
        piece = read(source, name, begun.offset + len(text), wanted, eager=eager)
        ended = not piece if eager else len(piece) < wanted
        text += piece
        if begun == START and is_binary(head_of(text)):
            begun = Place(mode=Mode.REST)
        while text:
            block = _block(text, begun, name, cut, ended=ended, eager=eager)
            if block is not None:
                yield block
                begun, text = block.end, text[block.end.offset - begun.offset :]
            elif len(text) > cut.longest_value and begun.mode is not Mode.REST:
                begun = Place(begun.offset, Mode.REST)
            else:
                break
        # What does not end yet is looked at again, with twice as much: so all of it is linear.
        wanted = max(1, len(text) // cut.block_bytes) * cut.block_bytes
    if begun.offset + len(text) != source.offset or not is_conserved(text, []):
        raise _lost(name, begun.offset, source.offset)


def _block(
    text: bytes, begun: Place, name: str, cut: Cut, *, ended: bool, eager: bool
) -> Block | None:
    """Cut a block from the beginning of a text; None if no document ends there yet."""
    if begun.mode is Mode.REST:
        text = text[: cut.block_bytes - begun.offset % cut.block_bytes]
    found = scan(text, begun.mode, ended=ended, enough=cut.block_documents, hold=not eager)
    if found.end == 0 and found.mode is begun.mode:
        return None
    if not is_conserved(text[: found.end], found.documents):
        raise _lost(name, begun.offset, begun.offset + found.end)
    documents = [(begun.offset + offset, document) for offset, document in found.documents]
    return Block(begun, Place(begun.offset + found.end, found.mode), documents)


def _lost(name: str, start: int, end: int) -> ConservationError:
    return ConservationError(
        f"Bytes of {name} were lost between {start:,} and {end:,}. This is a defect of the "
        "pipeline; nothing of what is there was stored."
    )


def _skip(source: Peeked, name: str, offset: int, cut: Cut) -> None:
    """Go to a byte of what a file unpacks to; what is compressed has to be unpacked up to there."""
    if source.skip(offset):
        return
    passed = 0
    while passed < offset:
        piece = read(source, name, passed, min(cut.block_bytes, offset - passed))
        if not piece:
            message = f"{name} ends at byte {passed:,}, and was to be read from byte {offset:,}."
            raise FileError(message)
        passed += len(piece)

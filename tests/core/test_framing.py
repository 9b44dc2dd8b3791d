"""How documents stand in a text: all of them where it is whole, no part of one where it is not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.core.framing import Mode, is_conserved, scan, split_documents
from pipeline.core.framing.marks import has_open_string
from pipeline.core.jsontext import is_json

if TYPE_CHECKING:
    from collections.abc import Callable

# Strings of what JSON is made of: a changed quote turns them inside out.
STRINGS = st.text('{}[],:"\\ax1 \n', max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.just(-1.5) | STRINGS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(STRINGS, inner, max_size=2),
    max_leaves=5,
)
DOCUMENTS = st.dictionaries(STRINGS, VALUES, max_size=3)
SPACE = st.text(" \n\t\r", max_size=2)
BYTES = st.sampled_from([bytes([byte]) for byte in b'{}[],:"\\ax1 \n'])


@dataclass(frozen=True)
class Sent:
    """A text, and the documents in it, each from the offset of its first byte to behind its last."""

    text: bytes
    spans: list[tuple[int, int]]


def written(value: Any, space: Callable[[], str]) -> str:
    """Write a value with white space wherever JSON allows it."""
    if isinstance(value, dict):
        members = (
            f"{space()}{json.dumps(key)}{space()}:{space()}{written(item, space)}{space()}"
            for key, item in value.items()
        )
        return "{" + space() + ",".join(members) + "}"
    if isinstance(value, list):
        items = (f"{space()}{written(item, space)}{space()}" for item in value)
        return "[" + space() + ",".join(items) + "]"
    return json.dumps(value)


@st.composite
def sent(draw: st.DrawFn) -> Sent:
    """Make a text of documents in any framing, with any white space."""
    style = draw(st.sampled_from(["compact", "pretty", "spaced"]))
    framing = draw(st.sampled_from(["lines", "back to back", "mixed", "array", "array of lines"]))
    space = (lambda: draw(SPACE)) if style == "spaced" else str
    documents = draw(st.lists(DOCUMENTS, min_size=1, max_size=4))
    texts = [
        json.dumps(document, indent=draw(st.integers(0, 2)))
        if style == "pretty"
        else written(document, space)
        for document in documents
    ]
    text, spans = "[" if framing.startswith("array") else "", []
    for number, written_document in enumerate(texts):
        if number and framing.startswith("array"):
            text += ","
        text += "\n" if framing in {"lines", "array of lines"} and number else ""
        text += draw(SPACE) if framing == "mixed" else ""
        spans.append((len(text), len(text) + len(written_document)))
        text += written_document
    return Sent((text + ("]" if framing.startswith("array") else "")).encode(), spans)


def spans_of(text: bytes, *, fast: bool = True) -> list[tuple[int, int]]:
    """Return where the documents that could become rows begin and end."""
    documents = split_documents(text, fast=fast).documents
    return [
        (offset, offset + len(document))
        for offset, document in documents
        if document[:1] == b"{" and is_json(document)
    ]


def in_stretches(
    draw: Callable[[st.SearchStrategy[int]], int], text: bytes
) -> list[tuple[int, bytes]]:
    """Cut a text as a file is cut: stretch after stretch."""
    size, enough = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    documents, mode, begun, rest = list[tuple[int, bytes]](), Mode.SEQUENCE, 0, b""
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    for number, piece in enumerate([*pieces, b""]):
        rest += piece
        while True:
            found = scan(rest, mode, ended=number == len(pieces), enough=enough)
            documents += [(begun + offset, document) for offset, document in found.documents]
            if (found.end, found.mode) == (0, mode):
                break
            begun, rest, mode = begun + found.end, rest[found.end :], found.mode
    assert not rest.strip()
    return documents


@given(sent(), st.booleans())
def test_a_whole_text_is_its_documents(sent: Sent, fast: bool) -> None:
    """Law: uncut and unchanged, every document that was sent is found, at its offset."""
    assert spans_of(sent.text, fast=fast) == sent.spans


@given(sent())
def test_python_finds_the_same_documents(sent: Sent) -> None:
    """Law: an independent reader of the same text, value by value, finds the same documents."""
    text, start, found = sent.text.decode(), 0, []
    while start < len(text):
        if text[start] in " \n\t\r":
            start += 1
            continue
        value, start = json.JSONDecoder().raw_decode(text, start)
        found += value if isinstance(value, list) else [value]
    documents = split_documents(sent.text).documents
    assert [json.loads(document) for _, document in documents] == found


@given(sent(), st.integers(0, 200), st.booleans())
def test_a_text_that_is_cut_off_gives_no_part_of_a_document(
    sent: Sent, end: int, fast: bool
) -> None:
    """Law 10: of a text whose end is missing, only documents that were sent are found."""
    found = spans_of(sent.text[:end], fast=fast)
    assert set(found) <= set(sent.spans)
    cut = sent.text[:end].rstrip()
    # What ends like a document within a string may as well have lost a quote in one before it.
    ends_in_string = cut.endswith((b"}", b"]")) and has_open_string(cut)
    if not sent.text.startswith(b"[") and not ends_in_string:
        # All that end before the cut: nothing may be kept back without need.
        assert found == [span for span in sent.spans if span[1] <= end]


@given(sent(), st.integers(0, 200), st.booleans())
def test_a_text_without_its_head_gives_no_part_of_a_document(
    sent: Sent, start: int, fast: bool
) -> None:
    """Law 10: of a text whose beginning is missing, only documents that were sent are found."""
    text = sent.text[start:]
    assume(not all(is_json(document) for _, document in split_documents(text).documents))
    found = {(begin + start, end + start) for begin, end in spans_of(text, fast=fast)}
    assert found <= set(sent.spans)


@given(sent(), st.data(), BYTES, st.booleans())
def test_a_changed_byte_makes_no_part_of_a_document_a_row(
    sent: Sent, data: st.DataObject, byte: bytes, fast: bool
) -> None:
    """Law 10: whatever byte is changed, what is found stands where a document stood."""
    offset = data.draw(st.integers(0, len(sent.text) - 1))
    text = sent.text[:offset] + byte + sent.text[offset + 1 :]
    # A text that is whole again is another text, and nobody could tell.
    assume(not all(is_json(document) for _, document in split_documents(text).documents))
    assert set(spans_of(text, fast=fast)) <= set(sent.spans)


@given(sent(), st.data())
def test_a_file_is_cut_into_what_its_text_is_cut_into(sent: Sent, data: st.DataObject) -> None:
    """Law: however much of a whole text is seen at once, its documents are the same."""
    assert in_stretches(data.draw, sent.text) == split_documents(sent.text).documents


@given(st.binary(max_size=60) | st.text('{}[],:"\\a1 \n', max_size=60).map(str.encode), st.data())
def test_every_byte_is_in_a_document_or_between_two(text: bytes, data: st.DataObject) -> None:
    """Law: whatever the text, documents and what may stand between them are all of it."""
    for fast in (True, False):
        assert is_conserved(text, split_documents(text, fast=fast).documents)
    assert is_conserved(text, in_stretches(data.draw, text))
    assert is_conserved(text, split_documents(text, each_line=True).documents)


@given(sent(), st.data(), BYTES)
def test_the_fast_way_finds_what_the_exact_way_finds(
    sent: Sent, data: st.DataObject, byte: bytes
) -> None:
    """Law: many objects at once are cut as they are one by one, in whole texts and broken ones."""
    offset = data.draw(st.integers(0, len(sent.text) - 1))
    for text in (sent.text, sent.text[:offset] + byte + sent.text[offset + 1 :]):
        assert split_documents(text) == split_documents(text, fast=False)


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        (b'{"a":1}{"b":"}{"}{"c":3}', [b'{"a":1}', b'{"b":"}{"}', b'{"c":3}']),
        (b'[{"a":1},\n{"b":2}]\n{"c":3}', [b'{"a":1}', b'{"b":2}', b'{"c":3}']),
        (b"[1, [2]]", [b"[1, [2]]"]),
        (b"[]", []),
        (b" \r\n", []),
        (b'\xef\xbb\xbf{"a":1}\n\xef\xbb\xbf{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'\0\0\0\0\7{"a":1}\0\0\0\0\7{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'\x1e{"a":1}\n\x1e{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        # One line that is broken in itself, among lines that are whole.
        (b'{"a":1}\n{"b":oops}\n{"c":3}', [b'{"a":1}', b'{"b":oops}', b'{"c":3}']),
        (b'{"a":1}\nno JSON\n{"c":3}', [b'{"a":1}', b"no JSON", b'{"c":3}']),
        (b'{"a":1}{"b":oops}{"c":3}', [b'{"a":1}', b'{"b":oops}', b'{"c":3}']),
        (b'[{"a":1},{"b":oops},{"c":3}]', [b'{"a":1}', b'{"b":oops}', b'{"c":3}']),
        # What may go on takes everything behind it along.
        (b'{"a":1}\n{"b":"oo\n{"c":3}\n', [b'{"a":1}', b'{"b":"oo\n{"c":3}\n']),
        (b'{"a":1}\n{"b":[\n{"c":3}\n', [b'{"a":1}', b'{"b":[\n{"c":3}\n']),
        (b'[{"a":1},{"b":2},{"c":', [b'{"a":1}', b'{"b":2}', b'{"c":']),
        # What was closed too early, by a changed byte.
        (b'{"a":1}"b":2}', [b'{"a":1}"b":2}']),
        (b'{"a":""}y","b":1}', [b'{"a":""}y","b":1}']),
        (b'{"a":-1}5,"b":1}', [b'{"a":-1}5,"b":1}']),
        (b'{}\\"":1}', [b'{}\\"":1}']),
        # An array's element that ends elsewhere than it did, by a changed bracket or quote.
        (b'[{"a":]0,{"b":1},{"c":2}]}]', [b'[{"a":]0,{"b":1},{"c":2}]}]']),
        (b'[{"a":}1,{"b":2},{"c":3}]}]', [b'[{"a":}1,{"b":2},{"c":3}]}]']),
        (b'[{"a":}{"b":2},{"c":3}]}]', [b'[{"a":}{"b":2},{"c":3}]}]']),
        (b'[{"z":0},\n{\n:d{": []\n},\n{"f":"}{"}]', [b'{"z":0}', b'{\n:d{": []\n},\n{"f":"}{"}]']),
        # One that ends where it did.
        (b'[{"a":NaN},{"c":3}]', [b'{"a":NaN}', b'{"c":3}']),
        (b'[{"a":1},{"b":1}{"x":1},{"c":3}]', [b'{"a":1}', b'{"b":1}{"x":1}', b'{"c":3}']),
        # What is left of a document without its head.
        (b'{"id":5}]}', [b'{"id":5}]}']),
        (b'{"id":5}\n]}\n{"id":7}', [b'{"id":5}\n]}', b'{"id":7}']),
    ],
)
def test_documents_and_pieces(text: bytes, documents: list[bytes]) -> None:
    assert [document for _, document in split_documents(text).documents] == documents
    assert [document for _, document in split_documents(text, fast=False).documents] == documents


@pytest.mark.parametrize("bite", [b"[", b'{"a":', b'{"a":1}', b'"', b"\\", b",", b"x\n", b"[{},"])
def test_reading_is_linear(bite: bytes) -> None:
    """A MiB of nothing but brackets, quotes or lines is done with at once."""
    text = bite * (2**20 // len(bite))
    assert is_conserved(text, split_documents(text).documents)


@pytest.mark.parametrize(
    ("head", "bite", "tail"),
    [
        (b'{"m":"{', rb"\"a\":1,", b'\n{"id":2}\n'),
        (b'{"id":1}\n{"m":"{', rb"\"a\":1,", b"}"),
        (b"x\n", b"}\n", b""),
        (b"x\n", b"}\nx\n", b""),
        (b"[", b'{"a":1},{"b":x},', b"]"),
        (b"[", b'{"a":"%s","b":NaN},' % (b"y" * 200), b"{}]"),
        (b'[{"a":0}', b'{"b":1}', b"x]"),
    ],
)
def test_reading_what_is_broken_is_linear(head: bytes, bite: bytes, tail: bytes) -> None:
    """A MiB of them would take minutes if what is broken were looked through again and again."""
    text = head + bite * (2**20 // len(bite)) + tail
    assert is_conserved(text, split_documents(text).documents)

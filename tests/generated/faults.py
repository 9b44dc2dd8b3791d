"""Valid documents with one thing wrong in them: the payload, its reason and its path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import strategies as st

from generated.documents import GAPS, Document, Node, documents
from generated.rules import Rules
from generated.scalars import JSON_TYPES, Decimals, Scalar
from generated.schemas import ANY_KEYS, Array, Made, Member, Record, Type
from generated.spelling import step, string

# What replaces a value, so that the document is not JSON.
_NO_JSON = (
    "NaN", "Infinity", "-Infinity", "nan", "-", "+1", "01", "-01", "1.", ".5", "1e", "0x1", "1_0",
    "'a'", "True", "None", "nul", "", '"', '"\t"', '"\\x"', '"\\u12"', '"\\ud800"', '"\\udc00a"',
    "[", "]", "{", "}", "[1,]", "[,1]", "[1 2]", '{"a":1,}', '{"a"}', "{a:1}", "{1:1}", '{"a":}',
    '{"a" 1}', "/**/1", "1//", "\ufeff1", "\u00a01", "１", '"a" "b"', "1 2", "undefined",
)  # fmt: skip


@dataclass(frozen=True)
class Wrong:
    """What a producer sends, and what its dead letter should say of it."""

    payload: bytes
    reason: str
    path: str


@st.composite
def wrong_documents(draw: st.DrawFn, made: Made) -> Wrong:
    """Draw a document with one fault. It has no line breaks, or its lines might be documents."""
    document = draw(documents(made, GAPS))
    kinds = (_wrong_value, _wrong_value, _wrong_value, _wrong_fields, _wrong_text)
    return draw(st.sampled_from(kinds))(draw, made, document)


def _wrong_value(draw: st.DrawFn, made: Made, document: Document) -> Wrong:
    """Replace one value by one that its place does not accept."""
    able = [(node, list(misfits_of(node))) for node in document.root.places()]
    able = [(node, misfits) for node, misfits in able[1:] if misfits]
    if not able:
        return _wrong_text(draw, made, document)
    node, misfits = able[draw(st.integers(0, len(able) - 1))]
    reason = draw(st.sampled_from(sorted({reason for _, reason in misfits})))
    text = draw(st.sampled_from([text for text, why in misfits if why == reason]))
    node.become(text)
    return Wrong(document.payload, reason, node.path)


def misfits_of(node: Node) -> Iterator[tuple[str, str]]:
    """Yield every text that is wrong in a node's place, and the reason."""
    place = node.place
    assert place is not None
    accepted, more = _accepted(place.type)
    yield from more
    yield from ((text, "wrong_type") for name, text in JSON_TYPES.items() if name not in accepted)
    if not place.nullable and not (isinstance(place, Member) and place.optional):
        yield "null", "missing_field"
    if isinstance(place, Member) and isinstance(place.type, Scalar):
        yield from _broken_rules(place.type, place.rules)


def _accepted(avro_type: Type) -> tuple[frozenset[str], tuple[tuple[str, str], ...]]:
    if isinstance(avro_type, Scalar):
        return avro_type.accepts, avro_type.misfits
    return frozenset({"array" if isinstance(avro_type, Array) else "object"}), ()


def _broken_rules(scalar: Scalar, rules: Rules) -> Iterator[tuple[str, str]]:
    for limit, sign, reason in (
        (rules.minimum, -1, "below_minimum"),
        (rules.maximum, 1, "above_maximum"),
    ):
        beyond = None if limit is None else scalar.beyond(limit, sign)
        if beyond is not None:
            yield beyond, reason
            if isinstance(scalar, Decimals):
                yield json.dumps(beyond), reason
    if rules.min_length:
        yield json.dumps("😀" * (rules.min_length - 1)), "too_short"
    if rules.max_length is not None:
        yield json.dumps("é" * (rules.max_length + 1)), "too_long"
    if rules.pattern is not None:
        yield json.dumps(rules.pattern.broken), "pattern_mismatch"


def _wrong_fields(draw: st.DrawFn, made: Made, document: Document) -> Wrong:
    """Leave out what is required, or, where unknown fields are rejected, add one."""
    records = [node for node in document.root.places() if _is_record(node)]
    able = [(node, part) for node in records for part in _required(node)]
    if made.closed and (not able or draw(st.booleans())):
        node = records[draw(st.integers(0, len(records) - 1))]
        key = draw(ANY_KEYS.filter(lambda key: key not in _keys(node)))
        index = draw(st.integers(0, len(node.parts)))
        node.parts.insert(index, (string(draw, key) + ":", Node(text="null")))
        return Wrong(document.payload, "unknown_field", node.path + step(key))
    if not able:
        return _wrong_text(draw, made, document)
    node, part = able[draw(st.integers(0, len(able) - 1))]
    label = next(json.loads(label[:-1]) for label, child in node.parts if child is part)
    node.parts = [child for child in node.parts if json.loads(child[0][:-1]) != label]
    return Wrong(document.payload, "missing_field", part.path)


def _is_record(node: Node) -> bool:
    return node.place is not None and isinstance(node.place.type, Record) and node.brackets == "{}"


def _keys(node: Node) -> set[str]:
    assert node.place is not None
    assert isinstance(node.place.type, Record)
    return {field.key for field in node.place.type.fields}


def _required(node: Node) -> list[Node]:
    parts = [part for _, part in node.parts]
    return [
        child for child in parts if isinstance(child.place, Member) and not child.place.optional
    ]


def _wrong_text(draw: st.DrawFn, made: Made, document: Document) -> Wrong:
    """Make the document something other than a JSON object, or nest it too deeply."""
    text = document.root.written(document.gap)
    whole = text.encode()
    how = draw(st.sampled_from(("truncated", "token", "no object", "deep", "bytes", "after")))
    if how == "truncated":
        return Wrong(text[: draw(st.integers(1, len(text) - 1))].encode(), "not_json", "$")
    if how == "no object":
        others = (b"[1, null]", b"null", b"true", b'"{}"', b"1e400", b"-0")
        return Wrong(draw(st.sampled_from(others)), "not_object", "$")
    if how == "deep":
        levels = draw(st.sampled_from((256, 300, 20_000)))
        deep = b'"\xc3\xa9":' + b"[" * levels + b"]" * levels
        return Wrong(whole[:-1] + b"," + deep + b"}", "too_deep", "$")
    if how == "bytes":
        junk = draw(st.sampled_from((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80")))
        return Wrong(whole[:-1] + b',"' + junk + b'":1}', "not_utf8", "$")
    if how == "after":
        junk = draw(st.sampled_from((b"}", b",", b":", b"oops", b"\x00", b"\xc2\xa0")))
        return Wrong(whole + junk, "not_json", "$")
    nodes = list(document.root.places())
    node = nodes[draw(st.integers(min(1, len(nodes) - 1), len(nodes) - 1))]
    if node is document.root:
        return Wrong(whole + b"]", "not_json", "$")
    node.become(draw(st.sampled_from(_NO_JSON)))
    return Wrong(document.payload, "not_json", "$")

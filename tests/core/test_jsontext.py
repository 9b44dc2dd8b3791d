"""What is said of JSON without a schema agrees with Python's own reader."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.core.jsontext import deeper_than, is_json, read_exactly, why_not_json, write_exactly

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
TEXTS = st.builds(
    lambda value, indent, ascii_only: json.dumps(
        value, indent=indent, ensure_ascii=ascii_only
    ).encode(),
    VALUES,
    st.sampled_from([None, 1]),
    st.booleans(),
)


@st.composite
def nearly_json(draw: st.DrawFn) -> bytes:
    """Put something where it may not belong."""
    text = draw(TEXTS)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(start + 2, len(text))))
    token = st.sampled_from([b"", *(b'{}[],:"\\ 0-.e1\n\x00\t'[i : i + 1] for i in range(18))])
    word = st.sampled_from([b"NaN", b"Infinity", b"null", b"01", b"\\u12", b"\\x", b"1e5"])
    return text[:start] + draw(token | word) + text[end:]


def refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def python_reads(text: bytes) -> bool:
    """Whether Python's reader, made to refuse NaN and Infinity, accepts a text."""
    try:
        value = json.loads(text.decode(), parse_constant=refuse, object_pairs_hook=list)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair has no UTF-8
    except ValueError:
        return False
    return True


@given(TEXTS | nearly_json())
@example(rb'{"a": 1, "\ud800udc00": null}')
@example(rb'{"\ud800": 1, "\ud800": 2}')
def test_what_is_json_is_what_python_reads(text: bytes) -> None:
    """Half a surrogate pair aside, which Python accepts and UTF-8 cannot hold."""
    assert is_json(text) == python_reads(text)
    if not is_json(text):
        assert why_not_json(text).startswith("The document is not JSON: ")


@pytest.mark.parametrize(
    "text", [b"NaN", b"[Infinity]", b'{"a":-Infinity}', b"nan", b"inf", b"'a'", b"\xef\xbb\xbf{}"]
)
def test_what_only_looks_like_json_is_not(text: bytes) -> None:
    assert not is_json(text)


@pytest.mark.parametrize("text", [rb'"\ud800"', rb'{"\udc00":1}', rb'"\ud800A"'])
def test_half_a_surrogate_pair_is_not_json_here(text: bytes) -> None:
    """No UTF-8 file could hold it."""
    assert not is_json(text)
    assert "surrogate" in why_not_json(text)


def test_depth_without_end_raises_no_exception() -> None:
    for text in (b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000):
        assert not is_json(text)
        assert why_not_json(text).startswith("The document is not JSON: ")


def test_why_not_json_never_quotes_the_text() -> None:
    assert "secret" not in why_not_json(b'{"secret": secret}')


def depth_of(value: Any) -> int:
    """Return how deep arrays and objects nest."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(TEXTS)
def test_depth_is_counted_as_read(text: bytes) -> None:
    """Brackets within strings do not count."""
    depth = depth_of(json.loads(text))
    assert not deeper_than(text, depth)
    assert depth == 0 or deeper_than(text, depth - 1)


@given(TEXTS)
def test_writing_exactly_undoes_reading_exactly(text: bytes) -> None:
    assert json.loads(write_exactly(read_exactly(text))) == json.loads(text)


NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?\Z")


@given(NUMBERS)
def test_numbers_keep_every_digit(number: str) -> None:
    text = f'{{"a":[{number}]}}'.encode()
    assert write_exactly(read_exactly(text)) == text
    assert Decimal(read_exactly(text)["a"][0]) == Decimal(number)


def test_of_a_repeated_key_the_last_one_counts() -> None:
    assert write_exactly(read_exactly(b'{"a":1,"b":2,"a":3}')) == b'{"a":3,"b":2}'

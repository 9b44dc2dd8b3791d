"""The law of drafts: infer, check and convert of one file, and nothing is lost unannounced."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from draft_documents import like_documents, typed_documents
from hypothesis import given, settings
from hypothesis import strategies as st
from support import as_json, read_parquet

from pipeline.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMINGS: dict[str, Callable[[list[Any]], bytes]] = {
    "lines": lambda documents: b"\n".join(map(as_json, documents)),
    "windows lines": lambda documents: b"\r\n".join(map(as_json, documents)) + b"\r\n",
    "back to back": lambda documents: b"".join(map(as_json, documents)),
    "array": lambda documents: b"[" + b",\n".join(map(as_json, documents)) + b"]",
    "pretty": lambda documents: "\n".join(
        json.dumps(document, indent=2) for document in documents
    ).encode(),
    "pretty array": lambda documents: json.dumps(documents, indent="\t").encode(),
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zlib": zlib.compress,
    "zstd": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    "gzip members": lambda data: gzip.compress(data[:0], mtime=0) + gzip.compress(data, mtime=0),
}


def run(*arguments: object) -> tuple[int, str, str]:
    """Run a command; return its exit code, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


def announced(shown: str) -> int:
    """Return how many documents infer announced as dead letters."""
    numbers = re.findall(r"^([0-9,]+) documents would be dead letters", shown, re.MULTILINE)
    return sum(int(number.replace(",", "")) for number in numbers)


def check_law(folder: Path, content: bytes, *options: str, framing: str = "any") -> int:
    """Draft from a file, check the draft, and convert the file; return the number of rows."""
    file, schemas, lake = folder / "in.json", folder / "schemas", folder / "lake"
    file.write_bytes(content)
    code, shown, error = run("infer", file, "--out", schemas, *options)
    if code:
        assert error.count("\n") == 1
        assert not schemas.exists()
        return 0
    code, checked, error = run("check", schemas, "--quiet")
    assert (code, error) == (0, ""), checked
    code, converted, _ = run("convert", file, "--schemas", schemas, "--out", lake)
    assert code == 0
    letters = sum(
        gzip.decompress(path.read_bytes()).count(b"\n")
        for path in (folder / "lake-dead-letters").rglob("*.jsonl.gz")
    )
    assert letters == announced(shown), f"{shown}\n{converted}"
    return sum(read_parquet(path.read_bytes()).num_rows for path in lake.rglob("*.parquet"))


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_framing_and_packing_is_read(framing: str, packing: str, tmp_path: Path) -> None:
    documents = [{"id": number, "note": "a } {\n"} for number in range(3)]
    assert check_law(tmp_path, PACKINGS[packing](FRAMINGS[framing](documents))) == 3


@settings(deadline=None, max_examples=60)
@given(
    like_documents() | typed_documents(), st.sampled_from(list(FRAMINGS)),
    st.sampled_from(list(PACKINGS)), st.sampled_from([(), ("--max-columns", "2")]),
)  # fmt: skip
def test_what_infer_accepts_it_loses_nothing_of(
    documents: list[Any], framing: str, packing: str, options: tuple[str, ...]
) -> None:
    with tempfile.TemporaryDirectory() as made:
        rows = check_law(Path(made), PACKINGS[packing](FRAMINGS[framing](documents)), *options)
        assert rows in (len(documents), 0)


@settings(deadline=None, max_examples=30)
@given(typed_documents(repeat=60), st.lists(st.binary(max_size=20), max_size=3), st.data())
def test_what_does_not_fit_is_announced(
    documents: list[Any], broken: list[bytes], data: st.DataObject
) -> None:
    """Many documents, some of them with another type at one place, and lines that are broken."""
    lines = [as_json(document) for document in documents]
    odd = data.draw(st.lists(st.sampled_from(range(len(lines))), max_size=5))
    for index in odd:
        key = data.draw(st.sampled_from([*documents[index], "k"]))
        lines[index] = as_json(documents[index] | {key: data.draw(st.sampled_from(ODD))})
    for text in broken:
        lines.insert(data.draw(st.integers(0, len(lines))), text.replace(b"\n", b""))
    with tempfile.TemporaryDirectory() as made:
        check_law(Path(made), b"\n".join(lines))


ODD: list[Any] = [
    None,
    "x",
    7,
    1.5,
    True,
    [],
    {},
    "2026-11-23 09:30:00",
    2**64,
    [1, "a"],
    {"1": {}},
]


def test_a_few_exceptions_among_many_documents_are_dead_letters(tmp_path: Path) -> None:
    lines = [as_json({"n": number}) for number in range(400)]
    lines[200] = b'{"n": "x"}'
    lines[300] = b'{"n": oops}'
    assert check_law(tmp_path, b"\n".join(lines)) == 398


def test_a_mixed_file_is_split_and_nothing_is_lost(tmp_path: Path) -> None:
    orders = [{"kind": "order", "id": number, "total": "9.50"} for number in range(5)]
    clicks = [{"kind": "click", "url": "/", "on": {"x": 1}} for number in range(5)]
    assert check_law(tmp_path, FRAMINGS["back to back"]([*orders, *clicks])) == 10
    assert sorted(path.name for path in (tmp_path / "schemas").iterdir()) == ["click", "order"]

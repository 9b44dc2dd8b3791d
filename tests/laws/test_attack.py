"""What an input may cost: linear in its bytes and documents; and no byte of it is ever printed."""

from __future__ import annotations

import gzip
import io
import os
import time
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from attack.inputs import MARK
from attack.measure import run
from attack.recipes import KINDS, LEAVES, Recipe, changed, first_of
from support import chunk_of

from pipeline.core.documents import row_decoder
from pipeline.core.framing import split_documents
from pipeline.core.jsontext import deeper_than
from pipeline.core.kpl import deaggregate
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.payload import unpack_payloads
from pipeline.core.records import Batch, Limits, StreamRecord
from pipeline.core.unpack import unpack
from pipeline.files.blocks import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable

_SMALL = 2_000  # bytes


def small_recipes(kind: str, count: int) -> list[Recipe]:
    """Return recipes of a kind, one changed into the next, and all small."""
    random = Random(f"{kind} 1")
    recipes = [first_of(kind, random)]
    while len(recipes) < count:
        recipes.append(changed(recipes[-1], random))
    return [
        msgspec.structs.replace(
            recipe, size=_SMALL, length=min(recipe.length, 300), members=min(recipe.members, 10)
        )
        for recipe in recipes
    ]


def test_the_same_seed_makes_the_same_recipes() -> None:
    for kind in KINDS:
        assert small_recipes(kind, 20) == small_recipes(kind, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_a_payload_is_printed_or_logged(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Law 9, over everything that the search tries: values are marked, and looked for."""
    for recipe in small_recipes(kind, 60):
        cost = run(recipe)
        assert not cost.leaked, recipe
        assert not cost.failed, recipe
    out, err = capfd.readouterr()
    assert MARK not in out + err


@pytest.mark.parametrize("leaf", LEAVES)
def test_no_leaf_is_printed_or_logged(leaf: str, capfd: pytest.CaptureFixture[str]) -> None:
    for document in ("object", "leaf", "unknown members"):
        for schema in ("long", "times", "decimals", "rules", "reject"):
            cost = run(Recipe("schemas", document, leaf, schema=schema, size=_SMALL, length=40))
            assert not cost.leaked, (document, schema)
    out, err = capfd.readouterr()
    assert MARK not in out + err


def test_a_planted_leak_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A property that no defect can break would prove nothing."""

    def quoting(*_: Any) -> Any:
        raise ValueError(MARK)

    assert not run(Recipe("documents", size=_SMALL)).leaked
    monkeypatch.setattr("pipeline.handlers.invocation.place_of", str)
    monkeypatch.setattr(row_decoder.RowDecoder, "decode", quoting)
    monkeypatch.setattr(row_decoder.RowDecoder, "decode_closed", quoting)
    monkeypatch.setattr(row_decoder.RowDecoder, "find_violations", quoting)
    assert run(Recipe("documents", leaf="garbage", size=_SMALL)).leaked


# ------------------------------------------------------------------------------------- linear


def read_file(text: bytes) -> None:
    """Cut a file into blocks."""
    for _ in blocks_of(io.BytesIO(text), "file"):
        pass


def open_payload(payload: bytes) -> None:
    """Open one user record."""
    list(unpack_payloads(chunk_of(payload), Limits(documents=2**30)))


def open_aggregate(data: bytes) -> None:
    """Take one stream record apart."""
    deaggregate(Batch("stream/shard", "shard", (StreamRecord("1", "a", 0, data),)))


SHAPES: dict[str, tuple[Callable[[bytes], object], Callable[[int], bytes], int]] = {
    "file: brackets": (read_file, lambda n: b"[" * n, 2**21),
    "file: closing braces": (read_file, lambda n: b"[" + b"}" * n, 2**21),
    "file: commas": (read_file, lambda n: b"[" + b"," * n, 2**21),
    "file: empty arrays": (read_file, lambda n: b"[" + b"[]," * (n // 3), 2**18),
    "file: empty objects": (read_file, lambda n: b"[" + b"{}," * (n // 3), 2**18),
    "file: strings": (read_file, lambda n: b"[" + b'"a",' * (n // 4), 2**18),
    "file: numbers": (read_file, lambda n: b"1\n" * (n // 2), 2**17),
    "file: a string": (read_file, lambda n: b'["' + b"a" * n, 2**21),
    "file: deep arrays": (read_file, lambda n: b"[%b%b]" % (b"[" * 500, b"]" * 500) * (n // 1_002), 2**19),
    "file: gzip": (read_file, lambda n: gzip.compress(b"[" + b"," * n), 2**21),
    "payload: record separators": (open_payload, lambda n: b"1\n\x1e" * (n // 3), 2**16),
    "payload: numbers and objects": (open_payload, lambda n: b"1\n{}\n" * (n // 5), 2**17),
    "payload: blank lines": (open_payload, lambda n: b"{}\n\n" * (n // 4), 2**17),
    "payload: broken lines": (open_payload, lambda n: b'{"a":1}\n{"a":1]\n' * (n // 16), 2**16),
    "payload: gzip members": (open_payload, lambda n: gzip.compress(b"") * (n // 20), 2**17),
    "unpack: zstd magic": (lambda data: unpack(data, 2**26), lambda n: b"\x28\xb5\x2f\xfd" * (n // 4), 2**20),
    "split: open objects": (split_documents, lambda n: b'{"a":' * (n // 5), 2**20),
    "aggregate: endless length": (open_aggregate, lambda n: KPL_MAGIC + b"\x0a" + b"\xff" * n, 2**20),
    "depth: brackets in strings": (lambda text: deeper_than(text, 256), lambda n: b'"[",' * (n // 4), 2**18),
    "depth: escapes": (lambda text: deeper_than(text, 256), lambda n: b'["\\"",' * (n // 6), 2**18),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_four_times_the_input_takes_about_four_times_the_work(shape: str) -> None:
    """What is quadratic takes sixteen times; ten leaves room for a machine that is busy."""
    act, make, size = SHAPES[shape]
    small, large = make(size), make(4 * size)
    act(small)  # what is made once
    for _ in range(5):
        if spent(act, large) <= 10 * max(spent(act, small), _TICK):
            return
    pytest.fail(f"{shape}: {len(large):,} bytes take more than ten times what {len(small):,} take")


_TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds: below it, what is measured is chance."""


def spent(act: Callable[[bytes], object], data: bytes) -> float:
    """Return the processor time that a call takes."""
    begun = time.process_time()
    act(data)
    return time.process_time() - begun

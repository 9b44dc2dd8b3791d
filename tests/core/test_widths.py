"""How many values a document may become bounds the parts of a batch."""

from __future__ import annotations

import pytest
from support import chunk_of, dataset

from pipeline.core.payload import unpack_payloads
from pipeline.core.records import Limits
from pipeline.core.schema.widths import width_of

ITEM = {"type": "record", "name": "I", "fields": [
    {"name": "a", "type": "string", "default": "x" * 1_600}, {"name": "b", "type": "long"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "default", "row", "item"),
    [
        ("long", None, 1, 0),
        ("string", "x" * 160, 11, 0),
        ({"type": "bytes"}, "\u0001" * 120, 11, 0),
        ({"type": "array", "items": ITEM}, None, 1, 102),
    ],
)
def test_a_long_default_counts_by_its_bytes(
    kind: object, default: str | None, row: int, item: int
) -> None:
    given = {} if default is None else {"default": default}
    width = width_of([dataset({"name": "f", "type": kind, **given}).record])
    assert (width.row, width.item) == (row, item)


def test_documents_that_lack_long_defaults_are_cut_into_more_parts() -> None:
    things = dataset({"name": "f", "type": "string", "default": "x" * 16_000})
    width, limits = width_of([things.record]), Limits(part_values=10_010)
    parts = [len(chunk) for chunk, _ in unpack_payloads(chunk_of(*[b"{}"] * 95), limits, width)]
    assert sum(parts) == 95
    assert max(parts) == 10

"""What inference may propose for texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import chunk_of, dataset

from pipeline.authoring.infer.forms import fitting_forms
from pipeline.core.convert import convert

TIMESTAMP = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}
DATE = {"type": "int", "logicalType": "date"}
TIME = {"type": "long", "logicalType": "time-micros"}

CASES: list[tuple[list[str], list[tuple[Any, dict[str, Any]]]]] = [
    (["12", "-7"], [("long", {"accept": ["text"]}), ("double", {"accept": ["text"]})]),
    (
        ["12.0", "1e+06"],
        [("long", {"accept": ["text", "whole-floats"]}), ("double", {"accept": ["text"]})],
    ),
    (["12.5", "7"], [("double", {"accept": ["text"]})]),
    (["007", "12"], []),
    (["TRUE", "false"], [("boolean", {"accept": ["text"]})]),
    (["2026-11-23T09:30:00Z"], [(TIMESTAMP, {})]),
    (["2026-11-23T09:30:00+0000"], [(TIMESTAMP, {"formats": ["basic-offset"]})]),
    (
        ["2026-11-23 09:30:00,5+00", "2026-11-23 09:30:00Z"],
        [(TIMESTAMP, {"formats": ["space", "comma", "basic-offset"]})],
    ),
    (
        ["2026-11-23 09:30:00"],
        [(TIMESTAMP, {"formats": ["space", "no-zone"], "zone": "UTC"}), (LOCAL, {"formats": ["space"]})],
    ),
    (["Mon, 23 Nov 2026 09:30:00 GMT"], [(TIMESTAMP, {"formats": ["rfc2822"]})]),
    (["23/Nov/2026:09:30:00 +0100"], [(TIMESTAMP, {"formats": ["%d/%b/%Y:%H:%M:%S %z"]})]),
    (["2026-11-23"], [(DATE, {})]),
    (["23.11.2026"], [(DATE, {"formats": ["%d.%m.%Y"]})]),
    (["1.12.2026", "23.11.2026"], [(DATE, {"formats": ["%-d.%-m.%Y"]})]),
    (["03/04/2026"], []),
    (["03/04/2026", "23/04/2026"], [(DATE, {"formats": ["%d/%m/%Y"]})]),
    (["09:30", "10:00:00"], [(TIME, {"formats": ["no-seconds"]})]),
    (["2026-02-30", "2026-01-01"], []),
    (["", "12"], []),
    ([], []),
    (["hello"], []),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), CASES, ids=lambda part: json.dumps(part)[:40])
def test_what_reads_all_texts_is_proposed_and_reads_them(
    texts: list[str], expected: list[tuple[Any, dict[str, Any]]]
) -> None:
    fits = fitting_forms(texts)
    assert [(fit.type, fit.attributes) for fit in fits] == expected
    for fit in fits:
        assert fit.needs_zone == ("zone" in fit.attributes)
        made = dataset({"name": "v", "type": fit.type, **fit.attributes})
        _, rejects = convert(chunk_of(*(json.dumps({"v": text}).encode() for text in texts)), made)
        assert not rejects

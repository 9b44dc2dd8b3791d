"""docs/reference is what the code says today, and says all of it."""

from __future__ import annotations

import functools
import json
import re
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
import reference
from fastavro.read import LOGICAL_READERS
from reference_examples import RULES, TYPES

import pipeline
from pipeline import bucket_settings, settings
from pipeline.adapters.telemetry import FILE_METRICS, LAKE_METRICS, METRICS, MetricName
from pipeline.core.dataset import parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.reasons import MEANINGS, Reason
from pipeline.core.schema.types import Rules

AGAIN = "run `make reference`"
# argparse breaks lines elsewhere in other versions of Python.
WRAPPED = {"commands.md"}
page = functools.cache(reference.page)


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    written = (reference.PAGES_FOLDER / name).read_text("utf-8")
    made = page(name)
    if name in WRAPPED:
        written, made = (" ".join(text.split()) for text in (written, made))
    assert written == made, AGAIN


def test_no_page_is_left_over() -> None:
    found = {path.name for path in reference.PAGES_FOLDER.iterdir()}
    assert found == set(reference.PAGES), AGAIN
    assert {path.name for path in (reference.HERE / "templates").iterdir()} == found


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_every_metric_is_declared_once() -> None:
    assert [*METRICS, *FILE_METRICS, *LAKE_METRICS] == list(get_args(MetricName))


def test_every_variable_that_settings_read_is_listed() -> None:
    sources = [
        Path(str(module.__file__)).read_text("utf-8") for module in (settings, bucket_settings)
    ]
    read = set(re.findall(r"PIPELINE_[A-Z0-9_]+[A-Z]", "".join(sources)))
    assert read
    assert read == set(re.findall(r"^\| `(PIPELINE_\w+)`", page("settings.md"), re.MULTILINE))


def test_every_type_that_is_accepted_has_an_example() -> None:
    shown = {spelling(example.schema) for example in TYPES if not isinstance(example.schema, list)}
    primitives = ["boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum"]
    # Other libraries register types of their own there, which Avro does not have.
    known = {name for name, read in LOGICAL_READERS.items() if "fastavro" in read.__module__}
    logical = {name.partition("-")[2] for name in known} | {"timestamp-nanos", "duration"}
    tried = set(product(primitives, [None, *logical]))
    assert {pair for pair in tried if is_accepted(*pair)} == (
        shown | {("fixed", "decimal")}
    ) & tried
    assert {("record", None), ("array", None), ("map", None)} == shown - tried


def spelling(schema: Any) -> tuple[str, str | None]:
    """Return a type's Avro type and logical type."""
    return (
        (schema, None) if isinstance(schema, str) else (schema["type"], schema.get("logicalType"))
    )


def is_accepted(kind: str, logical: str | None) -> bool:
    """Tell whether a dataset may have a field of a type."""
    attributes = {"name": "T", "size": 16, "symbols": ["A"], "precision": 9}
    named = {"logicalType": logical} if logical else {}
    field = {"name": "value", "type": {"type": kind, **attributes, **named}}
    schema = {"type": "record", "name": "R", "fields": [field]}
    try:
        parse_dataset("tried", {1: json.dumps(schema)}, "")
    except DatasetError:
        return False
    return True


def test_every_rule_of_a_field_has_an_example() -> None:
    named = {re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name) for name in RULES}
    assert named == set(Rules.__struct_fields__)


def test_a_template_asks_for_all_that_is_made() -> None:
    for name, make in reference.PAGES.items():
        template = (reference.HERE / "templates" / name).read_text("utf-8")
        assert set(make()) == set(re.findall(r"@([a-z_]+)@", template))


def test_a_page_shows_nothing_of_this_machine() -> None:
    for name in reference.PAGES:
        text = page(name)
        assert str(Path.home()) not in text
        assert str(Path(pipeline.__file__).parent) not in text

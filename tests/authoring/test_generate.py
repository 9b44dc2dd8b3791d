"""Documents made up from schemas: every one becomes a row."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ARRIVED, ROOT, dataset, deliver, kinesis_event, read_parquet

from pipeline.adapters.schemas import read_datasets
from pipeline.authoring.generate import documents_of
from pipeline.core.dataset import Dataset
from pipeline.core.errors import DatasetError

SHIPPED = {dataset.name: dataset for dataset in read_datasets(ROOT / "schemas")}
NOW = round(ARRIVED.timestamp() * 1_000_000)


def documents(dataset: Dataset, seed: int, count: int) -> list[bytes]:
    """Make documents a second before they arrive."""
    make = documents_of(dataset, random.Random(seed))
    return [make(NOW - 1_000_000) for _ in range(count)]


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_document_of_a_shipped_dataset_becomes_a_row(name: str) -> None:
    stored = deliver(kinesis_event(documents(SHIPPED[name], 7, 300)), list(SHIPPED.values()))
    assert not stored.letters
    assert len(stored.rows) == 300
    assert all(key.startswith(f"{name}/") for key in stored.output.objects)


def field(name: str, avro: Any, **rest: Any) -> dict[str, Any]:
    return {"name": name, "type": avro, **rest}


def logical(avro: str, name: str, **rest: Any) -> dict[str, Any]:
    return {"type": avro, "logicalType": name, **rest}


def fixed(size: int, **rest: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": f"Fixed{size}", "size": size, **rest}


EVERY_TYPE = dataset(
    field("boolean", "boolean"),
    field("int", "int", minimum=-(2**31), maximum=2**31 - 1),
    field("long", "long", minimum=2**62),
    field("float", "float", maximum=-5),
    field("double", "double", minimum=0.25, maximum=0.5),
    field("string", "string", minLength=300),
    field("empty", "string", maxLength=0),
    field("enum", {"type": "enum", "name": "Colour", "symbols": ["red", "green"]}),
    field("bytes", "bytes"),
    field("fixed", fixed(5)),
    field("money", logical("bytes", "decimal", precision=9, scale=2), minimum=0.01),
    field("huge", logical("bytes", "decimal", precision=60, scale=40)),
    field("uuid", logical("string", "uuid")),
    field("date", logical("int", "date")),
    field("days", logical("int", "date", epoch="days")),
    field("time_millis", logical("int", "time-millis")),
    field("time_micros", logical("long", "time-micros")),
    field("at_millis", logical("long", "timestamp-millis")),
    field("at_micros", logical("long", "timestamp-micros")),
    *(
        field(f"epoch_{unit}", logical("long", "timestamp-micros", epoch=unit))
        for unit in ("seconds", "millis", "micros")
    ),
    field("local_millis", logical("long", "local-timestamp-millis")),
    field("local_micros", logical("long", "local-timestamp-micros")),
    field("record", {"type": "record", "name": "Inner", "fields": [field("a", "int")]}),
    field("array", {"type": "array", "items": ["null", "string"]}),
    field("map", {"type": "map", "values": "long"}),
    field("nullable", ["null", "double"], default=None),
    field("defaulted", "string", default="none"),
    field("renamed", "string", jsonName="@ name"),
)


def test_every_type_can_be_made_up() -> None:
    stored = deliver(kinesis_event(documents(EVERY_TYPE, 7, 500)), [EVERY_TYPE])
    assert not stored.letters
    (body,) = stored.output.objects.values()
    table = read_parquet(body)
    assert table.num_rows == 500
    for column in table.column_names:
        if column not in {"_source", "_sub_sequence_number", "_document", "_arrived_at", "empty"}:
            distinct = len(set(map(repr, table.column(column).to_pylist())))
            assert distinct > 1, f"{column} is always the same"


def test_what_may_be_absent_sometimes_is() -> None:
    made = [json.loads(document) for document in documents(EVERY_TYPE, 7, 200)]
    for key in ("nullable", "defaulted"):
        assert 0 < sum(key not in document for document in made) < 100
    assert all("boolean" in document for document in made)


def test_the_same_seed_makes_the_same_documents() -> None:
    orders = SHIPPED["orders"]
    assert documents(orders, 3, 20) == documents(orders, 3, 20)
    assert documents(orders, 3, 20) != documents(orders, 4, 20)


@pytest.mark.parametrize("window", ['["-7d", "+1d"]', '["-7d", "-2d"]', '["+1h", "+2h"]'])
def test_event_times_lie_in_the_window(window: str) -> None:
    config = f'event_time = "at"\nevent_time_window = {window}'
    things = dataset(field("at", logical("long", "timestamp-micros")), config=config)
    assert not deliver(kinesis_event(documents(things, 7, 100)), [things]).letters


PIECES = st.sampled_from(
    ["a", "-", r"\.", r"\d", r"\w", r"\s", ".", "[a-f0-9]", "[^x]", "[-+]", r"[\d.]", "[]a]",
     r"\D", r"\W", r"\S", r"[^\d]", "(a|b)", "(?:x|yz)", "(?i:q)", "(?s:.)", "(a(b|c))", r"\(", r"\n"]
)  # fmt: skip
QUANTIFIERS = st.sampled_from(
    ["", "*", "+", "?", "{3}", "{2,}", "{1,4}", "+?", "{99,150}", "{101}"]
)
PATTERNS = st.lists(st.tuples(PIECES, QUANTIFIERS).map("".join), max_size=6).map("".join)


@given(PATTERNS, st.sampled_from(["{}", "^{}", "{}$", "^{}$", "^(?:{0})|{0}$"]), st.integers())
def test_what_is_made_for_a_pattern_matches_it(pattern: str, anchors: str, seed: int) -> None:
    whole = anchors.format(pattern)
    make = documents_of(dataset(field("text", "string", pattern=whole)), random.Random(seed))
    texts = pa.array([json.loads(make(NOW))["text"] for _ in range(10)])
    assert pc.all(pc.match_substring_regex(texts, whole)).as_py()


def test_a_pattern_makes_the_same_texts_in_every_process() -> None:
    """No set decides: its order depends on the process."""
    script = (
        "import random; from pipeline.authoring.generate.patterns import matching\n"
        "make, source = matching(r'[^x]{9}\\W{9}[^\\d]{9}.{9}'), random.Random(1)\n"
        "print([make(source) for _ in range(9)])"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"pattern": r"\p{Greek}"}, r"its pattern is not understood (bad escape \p at position 0)"),
        ({"pattern": "(?U)a+"}, "its pattern is not understood (unknown extension ?U"),
        ({"pattern": "[[:alpha:]]"}, "its pattern is not understood (Possible nested set"),
        ({"pattern": r"[^\x00-\xff]"}, "its pattern has a class of nothing in ASCII"),
        ({"pattern": "a^b"}, "no text was found that its pattern and its lengths allow"),
        ({"pattern": "^a{2}$", "minLength": 3}, "no text was found"),
    ],
)
def test_what_cannot_be_made_up_is_said_with_its_field(
    attributes: dict[str, Any], says: str
) -> None:
    things = dataset(field("text", "string", **attributes))
    with pytest.raises(DatasetError) as caught:
        documents_of(things, random.Random(1))
    assert "schemas/things: no documents can be made up, as of the field 'text' " in str(
        caught.value
    )
    assert says in str(caught.value)


def test_a_document_is_what_the_match_asks_for() -> None:
    things = dataset(field("n", "int"), config='[match]\nfield = "kind"\nequals = 7')
    assert {json.loads(document)["kind"] for document in documents(things, 1, 5)} == {7}

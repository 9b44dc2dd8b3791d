"""`[match]` of a nested member: the fast router, the exact one and plain Python agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import as_json, chunk_of, dataset, deliver, kinesis_event

from pipeline.core.dataset import Dataset, check_together
from pipeline.core.errors import DatasetError
from pipeline.core.matching import Match
from pipeline.core.routing import Router

ID = {"name": "id", "type": ["null", "long"], "default": None}
VALUES = ("orders", 'a"b', 1, True, -0)


def matching(field: Any, *values: Any) -> list[Dataset]:
    """Datasets that match by one field; a key with a dot is one of their schema's, too."""
    configs = [f"[match]\nfield = {json.dumps(field)}\nequals = {json.dumps(v)}" for v in values]
    dotted = isinstance(field, str) and "." in field
    other = [{"name": "dotted", "jsonName": field, "type": ["null", "string"], "default": None}]
    return [
        dataset(ID, *other * dotted, config=text, name=f"t{n}") for n, text in enumerate(configs)
    ]


def routed(datasets: list[Dataset], payloads: list[bytes], *, fast: bool) -> list[str | None]:
    chunk = chunk_of(*payloads)
    parts, rejects = Router(datasets).route(chunk, fast=fast)
    names = {unit: found.name for found, part in parts for unit in part.unit}
    assert len(names) + len(rejects) == len(payloads)
    return [names.get(unit) for unit in range(len(payloads))]


def expected(field: Any, values: tuple[Any, ...], document: Any) -> str | None:
    """Find the dataset in plain Python: a text with dots is a key, or else a path."""
    if not isinstance(document, dict):
        return None
    found: Any = document
    if isinstance(field, str) and field in document:
        found = document[field]
    else:
        for key in field.split(".") if isinstance(field, str) else field:
            found = found.get(key) if isinstance(found, dict) else None
    for number, value in enumerate(values):
        if type(found) is type(value) and found == value:
            return f"t{number}"
    return None


KEYS = st.sampled_from(("a", "b", "a.b", "a.b.c", "c"))
TREES = st.recursive(
    st.sampled_from((*VALUES, 1.0, None, "", 2**70, "other")),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@given(
    st.sampled_from(("a", "a.b", "a.b.c", ["a", "b"], ["a.b"], ["a.b", "c"], ["a"])),
    st.lists(st.dictionaries(KEYS, TREES, max_size=4) | TREES, min_size=1, max_size=4),
    st.sampled_from(({}, {"ensure_ascii": False}, {"indent": 1}, {"separators": (",", ":")})),
)
def test_fast_exact_and_plain_routing_agree(field: Any, sent: list[Any], form: Any) -> None:
    datasets = matching(field, *VALUES)
    payloads = [json.dumps(document, **form).encode() for document in sent]
    right = [expected(field, VALUES, document) for document in sent]
    assert routed(datasets, payloads, fast=True) == right
    assert routed(datasets, payloads, fast=False) == right


def test_a_key_with_escapes_and_the_last_of_repeated_keys_are_found() -> None:
    datasets = matching("metadata.table-name", "orders")
    payloads = [
        b'{"m\\u0065tadata":{"table-name":"orders"}}',
        b'{"metadata":{"table-name":"x"},"metadata":{"table-name":"x","table-name":"orders"}}',
        b'{"metadata":{"table-name":"orders"},"metadata":5}',
        b'{"metadata.table-name":"orders","metadata":{"table-name":"x"}}',
        b'{"metadata":{"table-name":"ord\\u0065rs"}}',
    ]
    for fast in (True, False):
        assert routed(datasets, payloads, fast=fast) == ["t0", "t0", None, "t0", "t0"]


@pytest.mark.parametrize("field", ["a", "a.b.c", ("a", "b"), ("a.b",), "a..b"])
@pytest.mark.parametrize("document", [{}, {"a": 1}, {"a": {"x": 1}}, {"a.b.c": 2, "b": 3}])
def test_a_document_can_be_made_to_match(field: Any, document: dict[str, Any]) -> None:
    match = Match(field, "orders")
    match.put(document)
    assert match.find(document) == "orders"


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("[]", "list of the keys"),
        ("[1]", "list of the keys"),
        ("['\"']", "no quote"),
        ('"$.a..b"', "is not a path such as"),
    ],
)
def test_a_path_that_is_none_stops_the_start(field: str, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        dataset(ID, config=f'[match]\nfield = {field}\nequals = "x"')


def test_datasets_of_one_stream_look_at_one_place() -> None:
    config = '[match]\nfield = ["a", "b"]\nequals = "y"'
    datasets = [*matching("a.b", "x"), dataset(ID, config=config, name="other")]
    with pytest.raises(DatasetError, match="the same field in all datasets"):
        check_together(datasets)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("match = []", "[match] is a table, or several as [[match]], all of which must hold."),
        ('[match]\nfield = "a"\nequals = []', "[match] equals is a string, integer or boolean, or a list of them."),
        ('[match]\nfield = "a"\nequals = [1.5]', "[match] equals is a string, integer or boolean, or a list of them."),
        ('[[match]]\nfield = "a"\nequals = 1\n[[match]]\nfield = "a"\nequals = 2', "two conditions of [[match]] look at 'a'; a list of values in equals takes any of them."),
        ('[match]\nfield = "metadata.table-name"\nequals = "x"', "[match] field 'metadata.table-name' has a dot, and no field of schemas/t/1.avsc reads such a key: write \"$.metadata.table-name\" for the member within others, or $[\"metadata.table-name\"] for a key with a dot in its name."),
    ],
)  # fmt: skip
def test_what_cannot_be_matched_by_stops_the_start(config: str, says: str) -> None:
    with pytest.raises(DatasetError) as refused:
        dataset(ID, config=config, name="t")
    assert str(refused.value) == f"schemas/t/dataset.toml: {says}"


def several(*matches: dict[str, Any]) -> list[Dataset]:
    """Datasets of which each matches by several fields; of some, by none."""
    configs = [
        "".join(
            f"[[match]]\nfield = {json.dumps(field)}\nequals = {json.dumps(values)}\n"
            for field, values in match.items()
        )
        for match in matches
    ]
    return [dataset(ID, config=text, name=f"t{n}") for n, text in enumerate(configs)]


SEVERAL: tuple[dict[str, Any], ...] = (
    {"$.a.b": ["orders", 'a"b'], "c": 1},
    {"$.a.b": ["orders", True], "c": [2, True, 0]},
    {"$.a.b": "stock"},
)


def taken_by(document: Any) -> str | None:
    if not isinstance(document, dict):
        return None
    inner = document.get("a")
    values = {"$.a.b": inner.get("b") if isinstance(inner, dict) else None, "c": document.get("c")}
    for number, match in enumerate(SEVERAL):
        wanted = {key: ones if isinstance(ones, list) else [ones] for key, ones in match.items()}
        if all(
            any(type(values[key]) is type(one) and values[key] == one for one in ones)
            for key, ones in wanted.items()
        ):
            return f"t{number}"
    return None


_MANY = st.fixed_dictionaries(
    {},
    optional={
        "a": st.fixed_dictionaries({"b": st.sampled_from(("orders", 'a"b', True, 1, "stock", "x"))}) | TREES,
        "c": st.sampled_from((1, 2, True, 0, -0.0, 1.0, "1", None)) | TREES,
    },
)  # fmt: skip


@given(st.lists(_MANY | TREES, min_size=1, max_size=5), st.booleans())
def test_several_conditions_must_all_hold(sent: list[Any], escaped: bool) -> None:
    payloads = [as_json(document) for document in sent]
    if escaped:
        payloads = [p.replace(b"orders", b"ord\\u0065rs").replace(b":0", b":-0") for p in payloads]
    right = [taken_by(document) for document in sent]
    for datasets in (several(*SEVERAL), [*several(*SEVERAL), dataset(ID, name="rest")]):
        for fast in (True, False):
            found = routed(datasets, payloads, fast=fast)
            assert [None if name == "rest" else name for name in found] == right


def test_datasets_that_could_take_one_document_stop_the_start() -> None:
    with pytest.raises(DatasetError) as refused:
        check_together(several({"a": "x"}, {"a": ["y", "x"], "b": 1}))
    assert str(refused.value) == (
        "Datasets t0 and t1 could match the same document: [match] must look at the same field in "
        "all datasets, for different values; now t0: 'a' equals 'x', and t1: 'a' equals 'y' or 'x' "
        "and 'b' equals 1."
    )


def test_a_member_by_which_several_values_are_taken_is_not_known_without_a_field() -> None:
    one, both = several({"a": "x"}), several({"a": ["x", "y"]})
    assert one[0].census is not None
    assert both[0].census is not None
    assert (set(one[0].census.beside), set(both[0].census.beside)) == ({"a"}, set())


# A change data capture: two tables of one stream, and a control record.
DMS = [
    {"data": {"id": 1}, "metadata": {"timestamp": "2026-11-23T23:30:00Z", "table-name": "orders"}},
    {"data": {"id": 2}, "metadata": {"timestamp": "2026-11-24T09:30:00Z", "table-name": "orders"}},
    {"data": {"sku": "A1"}, "metadata": {"timestamp": "2026-11-23T09:30:00Z", "table-name": "stock"}},
    {"control": {}, "metadata": {"timestamp": "2026-11-23T09:30:00Z", "table-name": "awsdms"}},
]  # fmt: skip


def test_tables_inside_envelopes_are_told_apart_and_partitioned_by_their_time() -> None:
    metadata = {
        "type": "record", "name": "M", "fields": [
            {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "table", "jsonName": "table-name", "type": "string"},
        ],
    }  # fmt: skip
    datasets = [
        dataset(
            {"name": "data", "type": {"type": "record", "name": "D", "fields": [field]}},
            {"name": "metadata", "type": metadata},
            config='partition_by = ["date(metadata.timestamp)"]\n'
            f'[match]\nfield = "metadata.table-name"\nequals = "{name}"',
            name=name,
        )
        for name, field in (
            ("orders", {"name": "id", "type": "long"}),
            ("stock", {"name": "sku", "type": "string"}),
        )
    ]
    stored = deliver(kinesis_event(map(as_json, DMS)), datasets)
    assert sorted(key.rpartition("/")[0] for key in stored.output.objects) == [
        "orders/parquet/date=2026-11-23", "orders/parquet/date=2026-11-24",
        "stock/parquet/date=2026-11-23",
    ]  # fmt: skip
    assert [letter["reason"] for letter in stored.letters] == ["no_dataset"]

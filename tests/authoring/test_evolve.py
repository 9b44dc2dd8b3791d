"""What has drifted since a schema, and the next version that is made of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from draft_documents import typed_documents
from hypothesis import given, settings
from support import as_json, deliver, kinesis_event

from pipeline.authoring.evolution import changes_refused
from pipeline.authoring.evolve import Drift, Evidence, Texts, evolve
from pipeline.authoring.infer import Sample, Samples
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.records import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

THING: dict[str, Any] = {
    "type": "record",
    "name": "Thing",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long", "maximum": 10**30},
        {"name": "small", "type": ["null", "int"], "default": None},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "kind", "type": ["null", {"type": "enum", "name": "Kind", "symbols": ["a", "b"]}]},
        {
            "name": "lines",
            "type": [
                "null",
                {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Line",
                        "fields": [{"name": "sku", "type": "string"}],
                    },
                },
            ],
        },
        {"name": "first", "type": ["null", "Line"]},
        {"name": "size", "type": ["null", "float"]},
    ],
}


def drift_of(
    *documents: Any,
    good: Sequence[Any] = (),
    rest: Sequence[Any] = (),
    config: str = "",
    refused: Sequence[str] = (),
    schema: dict[str, Any] = THING,
) -> Drift:
    """Evolve a dataset by documents, whose samples would refuse some fields."""
    avsc = json.dumps(schema)
    dataset = parse_dataset("things", {1: avsc}, config)
    samples = [Sample(as_json(document)) for document in documents]
    kept = [as_json(members) for members in rest]
    evidence = Evidence(samples, kept, len(samples), [Sample(as_json(one)) for one in good])

    def judge(made: Dataset) -> list[str]:
        return [f"no {field.name}." for field in made.record.fields if field.name in refused]

    return evolve(dataset, Texts(avsc, config), evidence, judge, Limits())


def entries(drift: Drift) -> dict[str, Any]:
    """Return the fields of the next version by name."""
    assert drift.avsc is not None
    return {entry["name"]: entry for entry in json.loads(drift.avsc)["fields"]}


def test_what_has_not_drifted_stays_as_it_is() -> None:
    document = {
        "id": 1, "small": 1, "at": "2026-11-23T09:30:00Z", "kind": "a", "lines": [{"sku": "x"}],
        "first": {"sku": "x"}, "size": 1.5,
    }  # fmt: skip
    drift = drift_of(document)
    assert (drift.new, drift.changed, drift.ceased, drift.avsc) == ([], [], [], None)


def test_new_fields_are_nullable_and_wherever_they_are() -> None:
    drift = drift_of(
        {"id": 1, "big one": 2**64 - 1, "lines": [{"sku": "x", "count": 2}], "first": None},
        {"id": 2, "big one": 1, "free": {"a": [1, "x"]}},
    )
    assert [(new.path, new.count, new.refused) for new in drift.new] == [
        ('$["big one"]', 2, ""), ("$.free", 1, ""), ("$.lines[].count", 1, ""),
    ]  # fmt: skip
    assert entries(drift)["big_one"]["jsonName"] == "big one"
    assert entries(drift)["big_one"]["type"][1]["precision"] == 20
    line = entries(drift)["lines"]["type"][1]["items"]
    assert line["fields"][1]["type"] == ["null", "long"]
    assert drift.dataset is not None
    assert drift.dataset.version == 2


def test_members_that_were_kept_become_fields() -> None:
    drift = drift_of(rest=[{"color": "red"}, {"lines": {"1": {"count": 1}}}, {"color": None}])
    assert {new.path: new.count for new in drift.new} == {"$.color": 2, "$.lines[].count": 1}
    assert drift.ceased == []


@pytest.mark.parametrize(
    ("members", "name", "now", "attributes"),
    [
        ({"small": "7"}, "small", "accept text", {"accept": ["text"]}),
        ({"small": 7.0}, "small", "accept whole-floats", {"accept": ["whole-floats"]}),
        ({"small": ""}, "small", "accept empty-text", {"accept": ["empty-text"]}),
        ({"at": "2026-11-23 09:30:00Z"}, "at", "formats space", {"formats": ["space"]}),
        (
            {"at": "Mon, 23 Nov 2026 09:30:00 GMT"},
            "at",
            "formats rfc2822",
            {"formats": ["rfc2822"]},
        ),
        ({"kind": "c"}, "kind", "new symbols c", {}),
    ],
)
def test_what_does_not_fit_is_read_where_a_schema_may_say_so(
    members: dict[str, Any], name: str, now: str, attributes: dict[str, Any]
) -> None:
    drift = drift_of({"id": 1} | members)
    (change,) = drift.changed
    assert (change.misfit.path, change.now) == (f"$.{name}", now)
    entry = entries(drift)[name]
    assert {key: entry[key] for key in attributes} == attributes
    assert drift.dataset is not None
    stored = deliver(kinesis_event([as_json({"id": 1} | members)]), [drift.dataset])
    assert (len(stored.rows), stored.letters) == (1, [])


def test_several_faults_of_one_document_are_all_mended() -> None:
    drift = drift_of({"id": "1", "small": 7.0, "at": "2026-11-23 09:30:00Z"})
    assert [change.now for change in drift.changed] == [
        "accept text", "accept whole-floats", "formats space",
    ]  # fmt: skip


def test_no_type_is_widened_as_readers_cannot_read_both() -> None:
    drift = drift_of({"id": 1, "small": 2**31}, {"id": 1, "size": 1e39})
    assert {change.misfit.path: change.now for change in drift.changed} == {
        "$.small": "", "$.size": "",
    }  # fmt: skip
    assert drift.avsc is None


def test_what_no_next_version_may_read_stays_so() -> None:
    drift = drift_of({"id": None}, {"id": [1]}, {"id": 2**63})
    assert {change.misfit.path: change.now for change in drift.changed} == {"$.id": ""}
    assert drift.avsc is None


def test_fields_of_which_nothing_is_seen_have_ceased() -> None:
    drift = drift_of({"id": 1, "small": None, "lines": [{"sku": "x"}], "kind": "a", "size": 1})
    assert drift.ceased == ["$.small", "$.at", "$.first"]


@pytest.mark.parametrize("folds", [True, False])
def test_a_field_that_is_read_by_another_key_has_not_ceased(*, folds: bool) -> None:
    inner = {"type": "record", "name": "Inner", "fields": [{"name": "a", "type": "long"}]}
    fields = [
        {"name": "id", "type": "long"},
        {"name": "customer", "type": ["null", "string"], "aliases": ["uid"]},
        {"name": "inner", "type": ["null", inner], "aliases": ["within"]},
    ]
    document = {"id": 1, "uid": "x", "within": {"a": 1, "b": 2}}
    if folds:
        document = {"ID": 1, "Uid": "x", "WITHIN": {"A": 1, "b": 2}}
    drift = drift_of(
        document,
        config='keys = "case-insensitive"' if folds else "",
        schema={"type": "record", "name": "Thing", "fields": fields},
    )
    assert drift.ceased == []
    assert [(new.path, new.count) for new in drift.new] == [("$.inner.b", 1)]


def test_what_was_rejected_for_a_new_field_is_read_by_the_next_version() -> None:
    document = {"id": 1, "color": "red", "lines": [{"sku": "x", "count": 1}]}
    drift = drift_of(document, config='unknown_fields = "reject"')
    assert (drift.changed, len(drift.new)) == ([], 2)
    assert drift.dataset is not None
    stored = deliver(kinesis_event([as_json(document)]), [drift.dataset])
    assert (len(stored.rows), stored.letters) == (1, [])


def test_in_csv_no_field_is_added_inside_a_record() -> None:
    config = 'formats = ["parquet", "csv"]'
    schema = {**THING, "fields": [THING["fields"][0], *THING["fields"][1:4]]}
    schema["fields"].append({"name": "of", "type": {
        "type": "record", "name": "Of", "fields": [{"name": "x", "type": "long"}]}})  # fmt: skip
    drift = drift_of({"id": 1, "of": {"x": 1, "y": 2}, "z": 3}, config=config, schema=schema)
    refused = {new.path: new.refused for new in drift.new}
    assert refused["$.z"] == ""
    assert "moves columns of the CSV files" in refused["$.of.y"]
    assert list(entries(drift))[-1] == "z"


def test_good_samples_show_nothing_new_and_fit_what_is() -> None:
    drift = drift_of({"id": 1, "x": 1}, good=[{"id": 1, "x": "a", "y": 1}, {"id": 2, "x": 2}])
    assert [(new.path, new.type, new.count) for new in drift.new] == [("$.x", "json, nullable", 1)]


def test_the_window_is_not_held_against_documents_of_an_unknown_arrival() -> None:
    config = 'event_time = "at"\nevent_time_window = ["-1d", "+1d"]'
    assert drift_of({"id": 1, "at": "2026-11-23T09:30:00Z"}, config=config).changed == []


@pytest.mark.parametrize("folds", [True, False])
def test_a_known_key_in_another_case_is_not_new(*, folds: bool) -> None:
    config = 'keys = "case-insensitive"' if folds else ""
    drift = drift_of({"id": 1, "Small": 2, "lines": [{"sku": "x", "SKU": "y"}]}, config=config)
    assert [new.path for new in drift.new] == ([] if folds else ["$.Small", "$.lines[].SKU"])
    assert all("in another case" in new.refused for new in drift.new)
    assert drift.avsc is None


def test_a_change_that_the_samples_refuse_is_not_made() -> None:
    drift = drift_of({"id": 1, "good": 1, "bad": 1}, refused=["bad"])
    assert {new.path: new.refused for new in drift.new} == {"$.good": "", "$.bad": "no bad."}
    assert "bad" not in entries(drift)


def test_the_matched_key_is_not_new_and_numbers_stay_as_written() -> None:
    config = '[match]\nfield = "type"\nequals = "thing"'
    drift = drift_of({"type": "thing", "id": 1, 'q"': 1, "n": 1}, config=config)
    assert [new.path for new in drift.new] == ["$.n", '$["q\\""]']
    assert drift.avsc is not None
    assert '"maximum": 1000000000000000000000000000000' in drift.avsc


@settings(deadline=None, max_examples=60)
@given(typed_documents(), typed_documents())
def test_the_next_version_loses_no_row_and_keeps_old_files_readable(
    before: list[Any], after: list[Any]
) -> None:
    samples = Samples()
    for document in before:
        samples.add(as_json(document))
    try:
        draft = samples.draft("things")
    except DatasetError:
        return
    drift = drift_of(*before, *after, schema=json.loads(draft.avsc))
    if drift.dataset is None:
        return
    assert changes_refused(draft.dataset.record, drift.dataset.record, positional=False) == []
    event = kinesis_event(map(as_json, [*before, *after]))
    was, now = (len(deliver(event, [one]).rows) for one in (draft.dataset, drift.dataset))
    assert now >= was


def test_members_beside_those_that_paths_lead_to_become_fields_with_paths() -> None:
    schema = {
        "type": "record",
        "name": "Change",
        "fields": [
            {"name": "op", "type": "string", "path": "$.metadata.operation"},
            {"name": "lsn", "type": ["null", "int"], "path": "$.source.lsn"},
            {"name": "gone", "type": ["null", "int"], "path": "$.source.gone"},
        ],
    }
    documents = [
        {
            "metadata": {"operation": "load", "table-name": "t"},
            "source": {"lsn": 2**40 + n, "op": 1},
        }
        for n in range(5)
    ]
    drift = drift_of(*documents, schema=schema)
    assert [(new.path, new.refused) for new in drift.new] == [
        ('$.metadata["table-name"]', ""),
        ("$.source.op", ""),
    ]
    assert drift.ceased == ["$.source.gone"]
    made = entries(drift)
    assert made["table_name"]["path"] == '$.metadata["table-name"]'
    # Its name is another column's.
    assert [entry.get("path") for entry in made.values()][:2] == [
        "$.metadata.operation",
        "$.source.lsn",
    ]
    (added,) = [name for name, entry in made.items() if entry["path"] == "$.source.op"]
    assert added not in ("op", "lsn")
    assert "jsonName" not in made[added]
    assert drift.dataset is not None

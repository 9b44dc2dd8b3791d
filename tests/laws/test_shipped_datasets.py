"""The datasets of `schemas/` and their samples: good.ndjson gives rows, bad.ndjson dead letters.

A sample is a function of its document and of its arrival, which is `SAMPLES_ARRIVED_AT`.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support import (
    ROOT,
    Stored,
    deliver,
    kinesis_event,
    letter_payload,
    row_identity,
    sequence_number,
)

from pipeline.adapters.schemas import read_datasets
from pipeline.core.dataset import Dataset
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Limits
from pipeline.core.schema.types import Array, Field, FieldType, Map, Record, Scalar
from pipeline.samples import SAMPLES_ARRIVED_AT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMAS = ROOT / "schemas"
DATASETS = read_datasets(SCHEMAS)
# A document of a mebibyte does not belong in a file that people read: it has a test of its own.
NOT_IN_SAMPLES = {Reason.DOCUMENT_TOO_LARGE}
OF_EVERY_DATASET = {
    Reason.NOT_UTF8,
    Reason.TOO_DEEP,
    Reason.NOT_JSON,
    Reason.NOT_OBJECT,
    Reason.NO_DATASET,
}
UNROUTED = {RejectStage.DOCUMENT, RejectStage.ROUTE}

each_dataset = pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    """A line of bad.ndjson: what it must get, and the document as JSON, as text or as bytes."""

    reason: Reason
    path: str
    document: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    text: str | msgspec.UnsetType = msgspec.UNSET
    base64: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def payload(self) -> bytes:
        """The document as its producer sends it."""
        given = [
            value for value in (self.document, self.text, self.base64) if value is not msgspec.UNSET
        ]
        assert len(given) == 1, "A line has one of document, text and base64."
        if self.document is not msgspec.UNSET:
            return bytes(self.document)
        if self.text is not msgspec.UNSET:
            return self.text.encode()
        assert self.base64 is not msgspec.UNSET
        return base64.b64decode(self.base64, validate=True)


def lines_of(dataset: Dataset, name: str) -> list[bytes]:
    """Return the lines of a file of samples; each holds one."""
    return (SCHEMAS / dataset.name / name).read_bytes().removesuffix(b"\n").split(b"\n")


def bad_samples(dataset: Dataset) -> list[Sample]:
    """Return the samples of bad.ndjson."""
    return [msgspec.json.decode(line, type=Sample) for line in lines_of(dataset, "bad.ndjson")]


def deliver_samples(documents: Sequence[bytes]) -> Stored:
    """Deliver documents, each alone in its stream record, to all shipped datasets at once."""
    return deliver(kinesis_event(documents, arrived=SAMPLES_ARRIVED_AT), DATASETS)


def csv_sequence_numbers(stored: Stored) -> list[str]:
    """Return the sequence number of every row in CSV."""
    return sorted(
        row["_sequence_number"]
        for key, body in stored.output.objects.items()
        if key.endswith(".csv")
        for row in csv.DictReader(io.StringIO(body.decode(), newline=""))
    )


def possible_reasons(dataset: Dataset) -> set[Reason]:
    """Return the reasons that a dataset can give, by its schema and configuration."""
    reasons = set(OF_EVERY_DATASET)
    reasons |= {Reason.OUTSIDE_WINDOW} if dataset.window else set()
    reasons |= {Reason.UNKNOWN_FIELD} if dataset.record.rejects_unknown_fields else set()
    for slot in slots_of(dataset.record):
        reasons |= reasons_of(slot)
    return reasons


def slots_of(record: Record) -> Iterator[FieldType]:
    """Yield every slot of a record, at any depth."""
    unvisited = list[FieldType](record.fields)
    while unvisited:
        slot = unvisited.pop()
        yield slot
        match slot.type:
            case Record(fields=fields):
                unvisited += fields
            case Array(item=inner) | Map(value=inner):
                unvisited.append(inner)
            case _:
                pass


def reasons_of(slot: FieldType) -> set[Reason]:
    """Return the reasons that one place can give, without what is inside it."""
    reasons = {Reason.WRONG_TYPE}
    reasons |= set() if slot.optional else {Reason.MISSING_FIELD}
    match slot.type:
        case Scalar(symbols=(_, *_)):
            reasons.add(Reason.UNKNOWN_SYMBOL)
        case Scalar(kind="integer" | "number"):
            reasons.add(Reason.OUT_OF_RANGE)
        case Scalar(kind="decimal"):
            reasons |= {Reason.BAD_FORMAT, Reason.DECIMAL_MISFIT}
        case Scalar(name="uuid"):
            reasons.add(Reason.BAD_FORMAT)
        case Scalar(convert=convert) if convert is not None:
            reasons |= {Reason.BAD_FORMAT, Reason.OUT_OF_RANGE}
        case _:
            pass
    if isinstance(slot, Field):
        rules = {
            Reason.BELOW_MINIMUM: slot.rules.minimum,
            Reason.ABOVE_MAXIMUM: slot.rules.maximum,
            Reason.TOO_SHORT: slot.rules.min_length,
            Reason.TOO_LONG: slot.rules.max_length,
            Reason.PATTERN_MISMATCH: slot.rules.pattern,
        }
        reasons |= {reason for reason, rule in rules.items() if rule is not None}
    return reasons


def optional_fields(record: Record, document: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of each optional field, and whether a document has it, as null or not."""
    for field in record.fields:
        inside = isinstance(document, dict) and field.key in document
        value = document[field.key] if inside else None
        state = "absent" if not inside else "null" if value is None else "present"
        if field.optional and document is not None:
            yield f"{above}{field.key}", state
        if isinstance(field.type, Record):
            yield from optional_fields(field.type, value, f"{above}{field.key}.")


def test_the_shipped_datasets_serve_one_stream_together() -> None:
    """The shipped datasets can serve one stream: each matches another value of one member."""
    assert [dataset.name for dataset in DATASETS] == [
        "clicks",
        "orders",
        "zeek_conn",
        "zeek_dns",
        "zeek_files",
        "zeek_ssl",
        "zeek_x509",
    ]
    matches = [dataset.match for dataset in DATASETS if dataset.match is not None]
    keys = [condition.key for match in matches for condition in match.conditions]
    assert keys == ["@stream"] * len(DATASETS)


@each_dataset
def test_every_good_document_becomes_exactly_one_row(dataset: Dataset) -> None:
    """Law 2: every document of good.ndjson is one row in each of its dataset's formats."""
    documents = lines_of(dataset, "good.ndjson")
    stored = deliver_samples(documents)

    everyone = [sequence_number(number) for number in range(len(documents))]
    assert stored.letters == []
    assert [row_identity(row)[1] for row in stored.rows] == everyone
    assert all(key.startswith(f"{dataset.name}/") for key in stored.output.objects)
    assert csv_sequence_numbers(stored) == (everyone if "csv" in dataset.formats else [])


@each_dataset
def test_every_bad_document_becomes_exactly_one_dead_letter_with_its_reason(
    dataset: Dataset,
) -> None:
    """Law 3: every document of bad.ndjson is one dead letter with its reason, path and bytes."""
    samples = bad_samples(dataset)
    stored = deliver_samples([sample.payload for sample in samples])

    assert stored.output.objects == {}
    assert [
        (letter["sequence_number"], letter["reason"], letter["path"]) for letter in stored.letters
    ] == [
        (sequence_number(number), sample.reason, sample.path)
        for number, sample in enumerate(samples)
    ]
    for letter, sample in zip(stored.letters, samples, strict=True):
        assert letter_payload(letter) == sample.payload.strip(b" \t\r\n")
        assert letter["dataset"] == (None if letter["stage"] in UNROUTED else dataset.name)


@each_dataset
def test_good_and_bad_documents_do_not_change_each_others_verdict(dataset: Dataset) -> None:
    """Law 8: a verdict is a function of the document alone."""
    good, samples = lines_of(dataset, "good.ndjson"), bad_samples(dataset)
    stored = deliver_samples([*(sample.payload for sample in samples), *good])

    assert len(stored.rows) == len(good)
    assert [letter["reason"] for letter in stored.letters] == [sample.reason for sample in samples]


@each_dataset
def test_bad_ndjson_has_every_reason_that_the_dataset_can_give(dataset: Dataset) -> None:
    """bad.ndjson shows every reason that its dataset can give."""
    assert {sample.reason for sample in bad_samples(dataset)} == possible_reasons(dataset)


@each_dataset
def test_good_ndjson_has_every_optional_field_absent_null_and_present(dataset: Dataset) -> None:
    """good.ndjson shows every optional field absent, null and present."""
    states: dict[str, set[str]] = {}
    for line in lines_of(dataset, "good.ndjson"):
        for path, state in optional_fields(dataset.record, json.loads(line)):
            states.setdefault(path, set()).add(state)

    assert states
    assert all(seen == {"absent", "null", "present"} for seen in states.values()), states


@each_dataset
def test_a_document_over_the_limit_is_the_one_reason_without_a_sample(dataset: Dataset) -> None:
    """At the limit a good document is a row; with one byte more it is too large."""
    good = lines_of(dataset, "good.ndjson")[0]
    room = Limits().document_bytes - len(good) - len(b',"note":""')
    documents = [
        good.removesuffix(b"}") + b',"note":"' + b"x" * size + b'"}' for size in (room, room + 1)
    ]
    stored = deliver_samples(documents)

    assert {Reason(letter["reason"]) for letter in stored.letters} == NOT_IN_SAMPLES
    assert [letter["sequence_number"] for letter in stored.letters] == [sequence_number(1)]
    assert [row["_sequence_number"] for row in stored.rows] == [sequence_number(0)]

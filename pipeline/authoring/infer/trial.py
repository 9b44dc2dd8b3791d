"""A draft, tried on its samples by the code that will convert them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.authoring.infer.sample import Place, Sample
from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.integers import INT64, up_to, zeros
from pipeline.core.jsontext import read_exactly
from pipeline.core.partition import split
from pipeline.core.records import Batch, Chunk, Limits, Provenance, StreamRecord
from pipeline.core.rules import check_rules
from pipeline.core.schema.types import Array, Map, Record, Type

_DOCUMENTS = 2_000  # converted at once, of at most so many bytes
_BYTES = 16 * 2**20


@dataclass(slots=True)
class Misfit:
    """What is wrong with some documents at one path of the schema, and where the first one is."""

    path: str
    reason: str
    message: str
    place: Place
    count: int = 0


@dataclass(slots=True)
class Trial:
    """What became of the samples: `misfits` by their path, `bad` their numbers.

    `partitions` are those that each of the datasets would make.
    """

    misfits: dict[str, Misfit] = field(default_factory=dict)
    bad: set[int] = field(default_factory=set)
    partitions: list[set[str]] = field(default_factory=list)


def try_draft(datasets: Sequence[Dataset], samples: Sequence[Sample], limits: Limits) -> Trial:
    """Convert samples by the first of datasets that differ in their partitions alone."""
    trial = Trial(partitions=[set() for _ in datasets])
    dataset = datasets[0]
    for start, chunk in _chunks(samples):
        rows, rejects = convert(chunk, dataset)
        rows, broken = check_rules(rows, dataset)
        for other, partitions in zip(datasets, trial.partitions, strict=True):
            found, lost = split(rows, other, limits, limits.key_bytes)
            partitions.update(partition.path for partition in found)
            if other is dataset:
                broken = [*broken, *lost]
        for reject in (*rejects, *broken):
            number = start + reject.unit
            sample, violation = samples[number], reject.violation
            path = schema_path(dataset.reading.record, violation.path, sample.text)
            misfit = trial.misfits.setdefault(
                path, Misfit(path, violation.reason, violation.message, sample.place)
            )
            misfit.count += 1
            trial.bad.add(number)
    return trial


def _chunks(samples: Sequence[Sample]) -> Iterator[tuple[int, Chunk]]:
    start = 0
    while start < len(samples):
        end, size = start, 0
        while end < len(samples) and end - start < _DOCUMENTS and size < _BYTES:
            size += len(samples[end].text)
            end += 1
        yield start, chunk_of([sample.text for sample in samples[start:end]])
        start = end


def chunk_of(texts: list[bytes]) -> Chunk:
    """Return a chunk of documents, whose units are their numbers."""
    records = tuple(StreamRecord(str(number), None, 0, text) for number, text in enumerate(texts))
    batch = Batch("samples", "samples", records, one_document_per_record=True)
    count = len(texts)
    provenance = Provenance(batch, up_to(count), zeros(count, INT64), zeros(count), [None] * count)
    return Chunk(provenance, up_to(count), texts)


def schema_path(record: Record, path: str, text: bytes) -> str:
    """Return a document's path as the schema has it: `[]` for any item, `{}` for any key."""
    kind: Type = record
    found, value, rest = "$", read_exactly(text), path.removeprefix("$")
    while rest:
        step = _step(kind, value, rest)
        if step is None:
            return found
        segment, kind, value, used = step
        found, rest = found + segment, rest[len(used) :]
    return found


def _step(kind: Type, value: object, rest: str) -> tuple[str, Type, object, str] | None:
    """Go one segment down: its form in the schema, what is there, and the segment itself."""
    match kind, value:
        case Record() as record, dict() as members:
            for field_ in sorted(record.fields, key=lambda field_: -len(path_segment(field_.key))):
                segment = path_segment(field_.key)
                if rest == segment or (rest.startswith(segment) and rest[len(segment)] in ".["):
                    return segment, field_.type, members.get(field_.key), segment
        case Array(item=item), list() as items:
            used = rest[: rest.index("]") + 1] if rest.startswith("[") and "]" in rest else ""
            number = used[1:-1]
            if number.isdecimal() and int(number) < len(items):
                return "[]", item.type, items[int(number)], used
        case Map(value=inner), dict() as members:
            for key in sorted(members, key=lambda key: -len(path_segment(key))):
                segment = path_segment(key)
                if rest == segment or (rest.startswith(segment) and rest[len(segment)] in ".["):
                    return "{}", inner.type, members[key], segment
        case _:
            pass
    return None

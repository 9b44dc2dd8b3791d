"""What the function's log says about an alarm: how many, of which dataset, why, and one example.

Each stored batch is a line of the log, see `pipeline.adapters.telemetry`. It names fields and
positions, and quotes no payload; neither does what is made of it here.
"""

import shlex
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from pipeline.alerts.alarm import Alarm

_MOST = 3
_BEFORE = timedelta(minutes=15)
_BEFORE_OF_DATASET = timedelta(minutes=65)  # an hour is one of its periods
_AFTER = timedelta(minutes=1)


class Question(msgspec.Struct, frozen=True):
    """What to search the log for, from when until when."""

    metric: str
    pattern: str
    since: datetime
    until: datetime


class _Refused(msgspec.Struct, frozen=True):
    """Of one line of the log; what is of another shape was not written by this program."""

    dataset: str
    reason: str
    path: str
    sequence_number: str
    sub_sequence_number: int
    document: int
    count: int


class _Unknown(msgspec.Struct, frozen=True):
    documents: int
    fields: dict[str, int] = msgspec.field(default_factory=dict)


class _Line(msgspec.Struct, frozen=True):
    source: str = ""
    documents: int = msgspec.field(default=0, name="Documents")
    rejects: int = msgspec.field(default=0, name="Rejects")
    refused: list[_Refused] = msgspec.field(default_factory=list)
    unknown_fields: dict[str, _Unknown] = msgspec.field(default_factory=dict)


def question_of(alarm: Alarm) -> Question | None:
    """Return what the log can say about an alarm; of most alarms, nothing."""
    metric = next((name for name in alarm.metrics if name in {"Rejects", "UnknownFields"}), None)
    if metric is None or alarm.state != "ALARM":
        return None
    before = _BEFORE_OF_DATASET if "Dataset" in alarm.dimensions else _BEFORE
    pattern = f'{{ $.outcome = "stored" && $.{metric} > 0 }}'
    return Question(metric, pattern, alarm.since - before, alarm.since + _AFTER)


def evidence_of(
    alarm: Alarm,
    question: Question,
    lines: Iterable[Any],
    dead_letters: str | None,
    *,
    whole: bool,
) -> list[str]:
    """Say what the lines of the log have in common; `whole` if they are all that there are."""
    dataset = alarm.dimensions.get("Dataset")
    read = [line for line in map(_read, lines) if line is not None and _is_of(alarm, line)]
    tell = _of_refused if question.metric == "Rejects" else _of_unknown
    said = tell(read, dataset, dead_letters or "DEAD_LETTERS_URI")
    if not said:
        return ["The log says nothing about it: other functions, or other times, may."]
    span = f"{question.since:%H:%M} to {question.until:%H:%M} UTC"
    head = f"In the log, from {span}{'' if whole else ' (the first part of it)'}:"
    return [head, *(f"  {line}" for line in said)]


def _read(line: Any) -> _Line | None:
    try:
        return msgspec.convert(line, _Line)
    except msgspec.ValidationError:
        return None


def _is_of(alarm: Alarm, line: _Line) -> bool:
    """Whether a line is of the stream, or the bucket, that an alarm is about."""
    if bucket := alarm.dimensions.get("Bucket"):
        return line.source.startswith(f"s3://{bucket}/")
    stream = alarm.dimensions.get("Stream")
    return stream is None or f":stream/{stream}/" in line.source


def _of_refused(lines: list[_Line], dataset: str | None, place: str) -> list[str]:
    counts, first = Counter[tuple[str, str, str]](), dict[tuple[str, str, str], str]()
    for line in lines:
        for kind in line.refused:
            key = kind.dataset, kind.reason, kind.path
            if dataset in {None, kind.dataset}:
                counts[key] += kind.count
                first.setdefault(key, _position(line, kind))
    if not counts:
        return []
    total = counts.total()
    said = [f"{total:,} {_plural('dead letter', total)}"]
    if dataset is None:
        documents = sum(line.documents for line in lines)
        said[0] += f" in batches of {documents:,} {_plural('document', documents)}"
    for key, count in counts.most_common(_MOST):
        name, reason, path = key
        said += [f"{count:,} of dataset {name}: {reason} at {path}", f"  one is {first[key]}"]
    if len(counts) > _MOST:
        said.append(f"and {len(counts) - _MOST} other kinds")
    (name, reason, _), _ = counts.most_common(1)[0]
    command = (
        f"pipeline rejects {shlex.quote(place)} --since 2h --dataset {shlex.quote(name)} "
        f"--reason {shlex.quote(reason)} --samples 1"
    )
    return [*said, "This shows it:", f"  {command}"]


def _position(line: _Line, kind: _Refused) -> str:
    """Name a document by its identity, as rows and dead letters have it."""
    return (
        f"{line.source}, sequence number {kind.sequence_number}, "
        f"sub-sequence number {kind.sub_sequence_number}, document {kind.document}"
    )


def _of_unknown(lines: list[_Line], dataset: str | None, _: str) -> list[str]:
    documents, fields = Counter[str](), Counter[tuple[str, str]]()
    for line in lines:
        for name, unknown in line.unknown_fields.items():
            if dataset in {None, name}:
                documents[name] += unknown.documents
                fields.update({(name, path): count for path, count in unknown.fields.items()})
    said = [
        f"{count:,} {_plural('document', count)} of dataset {name} with unknown fields"
        for name, count in documents.most_common(_MOST)
    ]
    return said + [
        f"{path} in {count:,} of dataset {name}"
        for (name, path), count in fields.most_common(_MOST)
    ]


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"

"""A guess to the texts of a dataset's folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.authoring.infer.guess import Guess
from pipeline.core.jsontext import Float, Integer
from pipeline.core.matching import Match

_WIDTH = 140
_WITH_ZONE, _LOCAL, _DATE = "timestamp-micros", "local-timestamp-micros", "date"
_TIME_TYPES = (_WITH_ZONE, _DATE, _LOCAL)  # the best one first


def avsc_text(record: Guess, documents: int) -> str:
    """Write the schema, a field a line where it fits."""
    schema = {
        "type": "record",
        "name": record.schema["name"],
        "doc": f"Drafted from {documents:,} documents. Fields that all of them have are required "
        'here: a document without one is a dead letter. "guess:" marks what may be otherwise.',
        "fields": record.schema["fields"],
    }
    return write_schema(schema)


def write_schema(schema: dict[str, Any]) -> str:
    """Write a schema as `read_exactly` reads it, a field a line where it fits."""
    return _json(schema, 0) + "\n"


def _flat(value: Any) -> str:
    """Write JSON on one line; numbers that were kept as their text are written as it."""
    if isinstance(value, Integer | Float):
        return str(value)
    if isinstance(value, dict):
        members = (f"{_flat(key)}: {_flat(member)}" for key, member in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flat, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _json(value: Any, indent: int) -> str:
    """Write JSON: what fits on a line on one line, and of the rest a member a line."""
    flat = _flat(value)
    is_leaf = not isinstance(value, dict | list) or not value
    if is_leaf or (indent and len(flat) + indent <= _WIDTH):
        return flat
    inner = indent + 2
    if isinstance(value, dict):
        members = [f"{_flat(key)}: {_json(member, inner)}" for key, member in value.items()]
    else:
        members = [_json(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    joined = f",\n{' ' * inner}".join(members)
    return f"{opening}\n{' ' * inner}{joined}\n{' ' * indent}{closing}"


@dataclass(frozen=True, slots=True)
class Partitioning:
    """A way to partition: `by`, as dataset.toml has it, and why, in comments.

    It `is_certain` that a dataset can be partitioned so.
    """

    by: tuple[str, ...]
    why: str
    is_certain: bool = True

    def coarser_than(
        self, finer: Sequence["Partitioning"], counts: Sequence[int]
    ) -> "Partitioning":
        """Say which finer ways would have made too many partitions, and how many."""
        if not finer:
            return self
        listed = ", ".join(
            f"{', '.join(way.by)} {count:,}" for way, count in zip(finer, counts, strict=True)
        )
        return replace(
            self, why=f"{self.why}# Partitions that the samples would make by {listed}.\n"
        )

    @property
    def text(self) -> str:
        """The lines of dataset.toml."""
        listed = ", ".join(map(_toml, self.by))
        return f"\n{self.why}partition_by = [{listed}]\n"


def config_text(
    record: Guess, match: Match | None, likely: Sequence[Match], partitioning: Partitioning
) -> str:
    """Write dataset.toml, with a comment at each guess."""
    fields = record.schema["fields"]
    parts = [
        "# A draft: read it beside 1.avsc, whose docs say what was guessed there.\n",
        partitioning.text,
        '\n# "csv" beside "parquet" writes each row twice.\nformats = ["parquet"]\n',
        _unknown_fields(record),
        _event_time(fields),
        _match(match, likely),
    ]
    return "".join(parts)


def partitionings(record: Guess) -> list[Partitioning]:
    """Return ways to partition, the finest one first."""
    fields = record.schema["fields"]
    names = {field["name"].lower() for field in fields}
    best = _best_time(fields)
    if best is not None and best["name"].lower() == "date" and _logical(best) == _DATE:
        name = best["name"]
        return [
            Partitioning((name,), f"# guess: by the dates in {name}.\n"),
            *_coarser(name, "date"),
            *_by_arrival(record, names),
        ]
    if "date" in names:
        why = (
            '# No guess: a field has the name "date", which a partition by day would have, too.\n'
            '# Others: "hour()", the hour of arrival, or a field of few values.\n'
        )
        return [Partitioning((), why)]
    if best is None:
        return _by_arrival(record, names)
    name = best["name"]
    why = (
        f'# guess: by the day in {name}. Others: "date()" and "hour()", of arrival; '
        "a field of few values.\n"
    )
    return [
        Partitioning((f"date({name})",), why), *_coarser(name, "time"), *_by_arrival(record, names)
    ]  # fmt: skip


def _coarser(name: str, subject: str) -> list[Partitioning]:
    return [
        Partitioning(
            (f"{part}({name})",),
            f"# guess: by the {part} of the {subject} in {name}; the samples are of many days.\n",
            is_certain=False,
        )
        for part in ("month", "year")
    ]


def _by_arrival(record: Guess, names: set[str]) -> list[Partitioning]:
    if "date" in names:
        return [
            Partitioning((), "# guess: without partitions, of which there would be too many.\n")
        ]
    why = "# guess: by the day of arrival, as no field is a time. Another: a field of few values.\n"
    like = [line for line in record.lines if line.times]
    if like:
        why = (
            "# guess: by the day of arrival, as no field is read as a time. Fields that look like\n"
            "# times, and are strings until you say how they are read:\n"
        )
        why += "".join(f"#   {_comment(line.path)}: {line.times}\n" for line in like)
    elif _best_time(record.schema["fields"]) is not None:
        why = "# guess: by the day of arrival, as the times in the samples spread too far.\n"
    return [Partitioning(("date()",), why)]


def _unknown_fields(record: Guess) -> str:
    text = (
        '\n# Keys that 1.avsc does not name are kept, as JSON in the column _rest. "ignore"\n'
        '# only counts them; "reject" makes dead letters of their documents.\n'
    )
    if record.rest:
        text += "# These have no column in 1.avsc, and so are kept there:\n"
    for place in record.rest:
        text += f"#   {_comment(place.path)} {place.why}\n"
    return text + 'unknown_fields = "keep"\n'


def _event_time(fields: list[dict[str, Any]]) -> str:
    best = _best_time([field for field in fields if _logical(field) == _WITH_ZONE])
    if best is None:
        return ""
    return (
        "\n# A document whose time is further from its arrival than this would be a dead letter:\n"
        f'# event_time = {_toml(best["name"])}\n# event_time_window = ["-7d", "+1d"]\n'
    )


def _match(match: Match | None, likely: Sequence[Match]) -> str:
    if match is not None:
        return (
            "\n# Which documents of the stream are this dataset's; all datasets look at one key.\n"
            f"[match]\nfield = {_toml(match.written)}\nequals = {_toml(match.value)}\n"
        )
    text = "\n# This dataset accepts every document that no other does. To accept only some, add:\n"
    shown = likely[0] if likely else Match("type", "…")
    text += "# (guess: the one key with the same value in all documents)\n" if likely else ""
    return text + (
        f"# [match]\n# field = {_comment(_toml(shown.name))}\n"
        f"# equals = {_comment(_toml(shown.value))}\n"
    )


def _best_time(fields: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Choose the time of an event: required rather than not, exact rather than not, the first."""
    times = [field for field in fields if _logical(field) in _TIME_TYPES]
    return min(
        times,
        key=lambda field: ("default" in field, _TIME_TYPES.index(str(_logical(field)))),
        default=None,
    )


def _logical(field: dict[str, Any]) -> str | None:
    """Return a field's logical type, looking through its union with null."""
    schema = field["type"][1] if isinstance(field["type"], list) else field["type"]
    return schema.get("logicalType") if isinstance(schema, dict) else None


def _toml(value: str | int | bool) -> str:  # noqa: FBT001 - a value, not a switch
    """Write a value in TOML, which reads JSON's strings but for one character."""
    return _comment(json.dumps(value, ensure_ascii=False))


def _comment(text: str) -> str:
    """Escape the one control character that JSON does not."""
    return text.replace("\x7f", "\\u007f")

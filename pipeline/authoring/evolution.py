"""What a new version of a schema may change without breaking readers of the old files.

Judged by what readers do with files of both versions, as `tests/conformance` tries. Allowed: a new
field that is nullable (at the top, or that has a default), a field that may be null now, new enum
symbols, an enum that becomes a string. No type may widen: int to long is another type in the files.
Rules, JSON keys and defaults are not part of the files and may change. Where there is CSV, which is
read by position, new fields come last.
"""

from collections.abc import Iterator

from pipeline.core.member_path import written
from pipeline.core.schema.types import (
    Array,
    Field,
    FieldType,
    LogicalType,
    Map,
    Record,
    Scalar,
    Type,
)

# What widens, and what then goes wrong with an older file's types.
_WIDER = {
    (LogicalType.INT, LogicalType.LONG): (
        "pandas and pyarrow fail on what is larger, and ClickHouse reads another number"
    ),
    (LogicalType.FLOAT, LogicalType.DOUBLE): "pandas and pyarrow round new values",
}
_INSTEAD = (
    "Add a new nullable field of that type beside it; it may take over the JSON key, if this one "
    "becomes nullable and gets another jsonName."
)


def changes_refused(old: Record, new: Record, *, positional: bool) -> list[str]:
    """Name every change from `old` to `new` that breaks old readers, and what to do instead.

    `positional`: the dataset is written as CSV, too.
    """
    return list(_record(old, new, "", positional=positional))


def _record(old: Record, new: Record, above: str, *, positional: bool) -> Iterator[str]:
    new_fields = {field.name: field for field in new.fields}
    for before in old.fields:
        path = above + before.name
        if before.name not in new_fields:
            yield (
                f"field {path} is gone; keep it (a renamed field is a new one beside it, and "
                "producers may stop sending a nullable one)."
            )
        else:
            yield from _field(before, new_fields[before.name], path, positional=positional)
    known = {field.name for field in old.fields}
    for after in new.fields:
        if after.name in known:
            continue
        if not after.optional:
            yield (
                f"field {above}{after.name} is new and required, and old documents lack it; make "
                f'it ["null", …]{"" if above else " or give it a default"}.'
            )
        elif above and not after.nullable:
            yield (
                f"field {above}{after.name} is new inside a record and never null, and pandas, "
                "pyarrow and DataFusion cannot read the records of old files that lack it; make it "
                '["null", …].'
            )
    if positional:
        yield from _positions(old, new, above)


def _positions(old: Record, new: Record, above: str) -> Iterator[str]:
    """CSV columns are found by their number: those that were there keep theirs."""
    names = [field.name for field in new.fields]
    if set(names) >= {field.name for field in old.fields}:
        before = [field.name for field in old.fields]
        moved = next((name for name, was in zip(names, before, strict=False) if name != was), None)
        if moved is not None:
            yield f"field {above}{moved} moves columns of the CSV files; put new fields last."
        elif above and len(names) > len(before):
            yield (
                f"field {above}{names[len(before)]} is new inside a record and moves columns of "
                "the CSV files; put it at the end of the outermost record, or leave CSV."
            )


def _field(old: Field, new: Field, path: str, *, positional: bool) -> Iterator[str]:
    if old.nullable and not new.nullable:
        yield f"field {path} was nullable and is not any more; leave it nullable."
    if not new.optional and (old.above, old.key) not in {(new.above, key) for key in new.keys}:
        now = written(new.path) if new.above else repr(new.key)
        yield (
            f"field {path} is required and read from the key {now} now, which documents so "
            f"far lack; add {old.key!r} to its aliases, or make it nullable."
            if old.above == new.above
            else f"field {path} is required and read from {now} now, which documents so far lack; "
            "make it nullable."
        )
    yield from _type(old.type, new.type, path, positional=positional)


def _nullable_type(old: FieldType, new: FieldType, path: str, *, positional: bool) -> Iterator[str]:
    if old.nullable and not new.nullable:
        yield f"items of {path} could be null and cannot any more; leave that as it was."
    yield from _type(old.type, new.type, path, positional=positional)


def _type(old: Type, new: Type, path: str, *, positional: bool) -> Iterator[str]:
    match old, new:
        case Record(), Record():
            yield from _record(old, new, f"{path}.", positional=positional)
        case Array(item=before), Array(item=after):
            # Within JSON text nothing has a position.
            yield from _nullable_type(before, after, f"{path}[]", positional=False)
        case Map(value=before), Map(value=after):
            yield from _nullable_type(before, after, f"{path}{{}}", positional=False)
        case Scalar(), Scalar():
            yield from _scalar(old, new, path)
        case _:
            yield f"field {path} is of another kind now. {_INSTEAD}"


def _scalar(old: Scalar, new: Scalar, path: str) -> Iterator[str]:
    gone = [symbol for symbol in old.symbols if symbol not in new.symbols]
    # In JSON text a string has quotes.
    same_text = (old.logical is LogicalType.JSON) == (new.logical is LogicalType.JSON)
    if gone and new.symbols:
        yield f"field {path} lost the symbol {gone[0]}; keep it, files hold it."
    elif new.symbols and not old.symbols and old.arrow == new.arrow:
        yield (
            f"field {path} was {old.name} and is {new.name}: old files may hold other texts "
            "than its symbols, and Athena does not look for their partitions. Leave it as it was."
        )
    elif (old.logical, new.logical) in _WIDER:
        yield (
            f"field {path} was {old.name} and is {new.name}, another type in the files: Spark 3.5, "
            "polars and DataFusion cannot read both; where an older file comes first, "
            f"{_WIDER[old.logical, new.logical]}. {_INSTEAD}"
        )
    elif old.arrow != new.arrow or not same_text:
        yield f"field {path} was {old.name} and is {new.name}. {_INSTEAD}"

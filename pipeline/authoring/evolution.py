"""What a new version of a schema may change without breaking readers of the old files.

Allowed: a new field that is nullable or has a default, int to long, float to double, and new
enum symbols. Rules, JSON keys and defaults are not part of the files and may change. Where there
is CSV, which is read by position, new fields come last.
"""

from collections.abc import Iterator

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

_WIDER = {
    (LogicalType.INT, LogicalType.LONG),
    (LogicalType.FLOAT, LogicalType.DOUBLE),
}


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
        if after.name not in known and not after.optional:
            yield (
                f"field {above}{after.name} is new and required, and old documents lack it; make "
                'it ["null", …] or give it a default.'
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
    elif new.nullable and not old.nullable:
        yield f"field {path} was never null and may be now; give it a default instead."
    yield from _type(old.type, new.type, path, positional=positional)


def _nullable_type(old: FieldType, new: FieldType, path: str, *, positional: bool) -> Iterator[str]:
    if old.nullable != new.nullable:
        yield f"items of {path} change whether they may be null; leave that as it was."
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
            yield f"field {path} is of another kind now; add a new field of that type beside it."


def _scalar(old: Scalar, new: Scalar, path: str) -> Iterator[str]:
    gone = [symbol for symbol in old.symbols if symbol not in new.symbols]
    if old.symbols and new.symbols:
        if gone:
            yield f"field {path} lost the symbol {gone[0]}; keep it, files hold it."
        return
    same = (
        old.arrow == new.arrow
        and bool(old.symbols) == bool(new.symbols)
        # In JSON text a string has quotes.
        and (old.logical is LogicalType.JSON) == (new.logical is LogicalType.JSON)
    )
    if not same and (old.logical, new.logical) not in _WIDER:
        yield (
            f"field {path} was {old.name} and is {new.name}; int may become long and float double. "
            "Add a new field of that type beside it."
        )

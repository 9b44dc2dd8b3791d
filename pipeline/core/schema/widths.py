"""How many values a document becomes, whatever is in it: an absent field takes its place, too.

A long default counts as several, by its bytes: it is there in each row whose document lacks it.
"""

from collections.abc import Iterable

from pipeline.core.records import Width
from pipeline.core.schema.types import NO_DEFAULT, Array, Field, Map, Record, Type

_BYTES_A_VALUE = 16


def width_of(records: Iterable[Record]) -> Width:
    """Return the width of the widest of some datasets."""
    widths = [(_columns(record), _items(record)) for record in records]
    return Width(max(row for row, _ in widths), max(item for _, item in widths))


def _columns(schema_type: Type) -> int:
    """Count the columns of a value that is not within an array or a map."""
    if isinstance(schema_type, Record):
        return sum(_columns(field.type) + _of_default(field) for field in schema_type.fields)
    return 1


def _of_default(field: Field) -> int:
    return 0 if field.default is NO_DEFAULT else len(str(field.default)) // _BYTES_A_VALUE


def _items(schema_type: Type) -> int:
    """Return the most columns that one object within an array or a map has; 0 if there is none."""
    match schema_type:
        case Record(fields=fields):
            return max((_items(field.type) for field in fields), default=0)
        case Array(item=inner) | Map(value=inner):
            inside = _columns(inner.type) if isinstance(inner.type, Record) else 0
            return max(inside, _items(inner.type))
        case _:
            return 0

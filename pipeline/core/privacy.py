"""Private fields, from what documents have to what is stored of them.

It works on the finished table, after the rules, and so is the same for both paths.
"""

from collections.abc import Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dataset import REST, Dataset
from pipeline.core.errors import ConservationError
from pipeline.core.protection import Protection
from pipeline.core.protection.keys import PrivacyKey
from pipeline.core.protection.redaction import public_part, redact
from pipeline.core.records import Reject, Rows, UnknownMembers
from pipeline.core.schema.privacy import MASK, PrivateFields
from pipeline.core.schema.types import Array, Field, FieldType, Map, Privacy, Record

KEY_NAME = "pipeline.privacy_key"
"""Of a file's metadata: the name of the key that its tokens were made with."""

_MASK = msgspec.json.encode(MASK)


def protect(
    rows: Rows, dataset: Dataset, protection: Protection | None
) -> tuple[Rows, list[Reject]]:
    """Replace the values of private fields in all rows; nothing is rejected."""
    fields = None if protection is None else protection.fields_of(dataset)
    if protection is None or fields is None:
        if dataset.private is not None:
            message = f"Rows of {dataset.name} would be stored without protection."
            raise ConservationError(message)
        return rows, []
    table, own = rows.table, len(dataset.schema) - len(dataset.stored.fields)
    columns = [table.column(number).combine_chunks() for number in range(own)]
    if dataset.schema.names[own - 1] == REST.name:
        columns[-1] = _rest(columns[-1], fields)
    clear = [column.combine_chunks() for column in table.columns[own:]]
    columns += _columns(dataset.record, dataset.stored, clear, protection.key)
    schema = dataset.schema
    if dataset.private is not None:
        schema = schema.with_metadata({KEY_NAME: protection.key.name})
    protected = pa.Table.from_arrays(columns, schema=schema)
    unknown = _unknown(rows.unknown, fields)
    return msgspec.structs.replace(rows, table=protected, unknown=unknown), []


def _columns(
    record: Record, stored: Record, clear: list[pa.Array], key: PrivacyKey
) -> Iterator[pa.Array]:
    """Yield what is stored of a record's fields, given a column for each of them."""
    kept = iter(stored.fields)
    for field, column in zip(record.fields, clear, strict=True):
        if field.privacy is not Privacy.DROP:
            yield _field(field, next(kept), column, key)


def _field(field: FieldType, stored: FieldType, array: pa.Array, key: PrivacyKey) -> pa.Array:
    if isinstance(field, Field) and field.privacy is Privacy.HASH:
        return key.tokens(array)
    if isinstance(field, Field) and field.privacy is Privacy.MASK:
        return pc.if_else(array.is_valid(), pa.scalar(MASK), pa.scalar(None, pa.string()))
    if stored.type is field.type:
        return array
    kind = stored.arrow
    match field.type, stored.type:
        case Record() as record, Record() as inner:
            parts = array.flatten()  # null where the object around it is
            columns = list(_columns(record, inner, parts, key))
            mask = array.is_null() if array.null_count else None
            return pa.StructArray.from_arrays(columns, fields=list(kind), mask=mask)
        case Array(item=item), Array(item=inner_item):
            children = [_field(item, inner_item, array.values, key)]
        case Map(value=item), Map(value=inner_item):
            items = _field(item, inner_item, array.items, key)
            entries = [kind.key_field, kind.item_field]
            children = [pa.StructArray.from_arrays([array.keys, items], fields=entries)]
        case _:
            message = "A private field is inside of what has no fields."
            raise ConservationError(message)
    # The same offsets, also where the array is a slice of another.
    offsets = array.buffers()[:2]
    return pa.Array.from_buffers(kind, len(array), offsets, offset=array.offset, children=children)


def _rest(column: pa.Array, fields: PrivateFields) -> pa.Array:
    """Mask the private members of what no field reads."""
    if column.null_count == len(column):
        return column
    texts = [
        None if text is None else redact(text.encode(), fields, _masked).text.decode()
        for text in column.to_pylist()
    ]
    return pa.array(texts, REST.type)


def _masked(_: str, __: bytes) -> bytes:
    return _MASK


def _unknown(unknown: UnknownMembers, private: PrivateFields) -> UnknownMembers:
    """Return unknown members without the names of what is inside of private fields."""
    if not unknown.documents:
        return unknown
    documents: dict[frozenset[str], list[int]] = {}
    for paths, indices in unknown.documents.items():
        shown = frozenset(_shown(path, private) for path in paths)
        documents.setdefault(shown, []).extend(indices)
    other_case = {_shown(path, private): field for path, field in unknown.other_case.items()}
    return UnknownMembers(documents, unknown.rest, other_case)


def _shown(path: str, private: PrivateFields) -> str:
    public = public_part(path, private)
    return path if public is None or public == path else f"{public}.*"

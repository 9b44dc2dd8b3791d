"""How many user records a KPL aggregate holds, counted in its bytes.

The deaggregator is the most optimised code on the way in, so conservation does not take its word
for it. This is a second reading of the same bytes that shares no code with it: it walks over the
fields of AggregatedRecord, which are a tag, a length, and so many bytes, and counts those of
number 3, `records`. In an aggregate of 300 user records that is 300 steps.

    F3 89 9A C2 | 0A 01 61 | 1A 07 08 00 1A 03 ... | 1A 07 08 00 1A 03 ... | 16 bytes of MD5
                  table      record 0                record 1
"""

import contextlib

from pipeline.core.magic import KPL_MAGIC

_DIGEST_BYTES = 16
_TABLE_TAGS, _RECORDS_TAG = b"\x0a\x12", 0x1A  # fields 1 and 2, and 3
_MORE = 0x80  # of a varint's byte: another one follows
_FIXED = {1: 8, 5: 4}  # wire types of a fixed size, in bytes
_VARINT, _LENGTH_DELIMITED, _GROUP, _END_OF_GROUP = 0, 2, 3, 4
_HEAD = 3  # bytes: a tag, and a length of up to two


# How far it is from one entry of a table to the next, by the two bytes that it begins with.
_TABLE_STEPS = {bytes((tag, length)): 2 + length for tag in _TABLE_TAGS for length in range(_MORE)}
# How far it is from one record to the next, by the three bytes that it begins with. Only lengths of
# up to two bytes are kept, and what follows those of one, so at most 49,152; a look-up takes half
# the time of the arithmetic.
_steps: dict[bytes, int] = {}


def count_user_records(aggregate: bytes) -> int | None:
    """Count the user records of an aggregate; None where its bytes are not a run of fields.

    `aggregate` is a stream record's data, from the magic bytes to the MD5, which is not checked.
    """
    body = aggregate[len(KPL_MAGIC) : -_DIGEST_BYTES]
    offset, count, steps = 0, 0, _steps
    try:
        while offset < len(body):
            with contextlib.suppress(KeyError):
                while True:  # behind the end there is no step, either
                    offset += _TABLE_STEPS[body[offset : offset + 2]]
            try:
                while True:
                    offset += steps[body[offset : offset + 3]]
                    count += 1
            except KeyError:
                if offset == len(body):
                    break
            tag, content = _varint(body, offset)
            count += tag == _RECORDS_TAG  # one in a group is not counted: it is not a record
            begin, offset = offset, _end_of_field(body, tag, content)
            # By the byte, as a tag may be spelled in more of them than it needs.
            if body[begin] == _RECORDS_TAG and min(body[content : content + 2]) < _MORE:
                steps[body[begin : begin + _HEAD]] = offset - begin
    except (IndexError, KeyError):
        return None
    return count if offset == len(body) else None


def _end_of_field(data: bytes, tag: int, content: int) -> int:
    """Return the offset behind a field whose content, or its length, begins at `content`."""
    wire_type = tag & 7
    if wire_type == _GROUP:
        return _end_of_group(data, tag, content)
    if wire_type == _LENGTH_DELIMITED:
        length, start = _varint(data, content)
        return start + length
    if wire_type == _VARINT:
        return _varint(data, content)[1]
    return content + _FIXED[wire_type]


def _end_of_group(data: bytes, tag: int, content: int) -> int:
    """Return the offset behind a group, which protobuf lets stand among unknown fields."""
    open_groups, offset = [tag], content
    while open_groups:
        tag, content = _varint(data, offset)
        if tag & 7 == _GROUP:
            open_groups.append(tag)
            offset = content
        elif tag & 7 == _END_OF_GROUP:
            if open_groups.pop() >> 3 != tag >> 3:
                raise KeyError(tag)
            offset = content
        else:
            offset = _end_of_field(data, tag, content)
    return offset


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte, the lowest first; return it, and the offset behind it."""
    number = shift = 0
    while True:
        byte = data[offset]
        number |= (byte & ~_MORE) << shift
        offset, shift = offset + 1, shift + 7
        if byte < _MORE:
            return number, offset

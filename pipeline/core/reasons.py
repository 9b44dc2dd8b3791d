"""The stable vocabulary of rejects: where one is made, why, and what it means."""

from enum import StrEnum


class RejectStage(StrEnum):
    """Where a reject was made, which is also where a redrive takes it up again."""

    AGGREGATE = "aggregate"
    PAYLOAD = "payload"
    DOCUMENT = "document"
    ENVELOPE = "envelope"
    ROUTE = "route"
    CONVERT = "convert"
    RULES = "rules"
    PARTITION = "partition"


class Reason(StrEnum):
    """Why something became a dead letter."""

    KPL_TRUNCATED = "kpl_truncated"
    KPL_CHECKSUM = "kpl_checksum"
    KPL_PROTOBUF = "kpl_protobuf"
    KPL_NO_RECORDS = "kpl_no_records"
    KPL_KEY_INDEX = "kpl_key_index"
    EMPTY_RECORD = "empty_record"
    CORRUPT_COMPRESSION = "corrupt_compression"
    NESTED_AGGREGATE = "nested_aggregate"
    AVRO_DATA = "avro_data"
    PROTOBUF = "protobuf"
    MESSAGEPACK = "messagepack"
    REGISTRY_DATA = "registry_data"
    BASE64_TEXT = "base64_text"
    BAD_HEADER = "bad_header"
    UNKNOWN_SCHEMA = "unknown_schema"
    UNUSABLE_SCHEMA = "unusable_schema"
    BAD_AVRO = "bad_avro"
    BAD_PROTOBUF = "bad_protobuf"
    OTHER_FORMAT = "other_format"
    UNPACKED_TOO_LARGE = "unpacked_too_large"
    TOO_MANY_DOCUMENTS = "too_many_documents"
    DOCUMENT_TOO_LARGE = "document_too_large"
    NOT_UTF8 = "not_utf8"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    ENVELOPE_MISMATCH = "envelope_mismatch"
    NO_DATASET = "no_dataset"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_SYMBOL = "unknown_symbol"
    BAD_FORMAT = "bad_format"
    DECIMAL_MISFIT = "decimal_misfit"
    BELOW_MINIMUM = "below_minimum"
    ABOVE_MAXIMUM = "above_maximum"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    PATTERN_MISMATCH = "pattern_mismatch"
    OUTSIDE_WINDOW = "outside_window"
    PARTITION_TOO_LONG = "partition_too_long"


MEANINGS: dict[Reason, str] = {
    Reason.KPL_TRUNCATED: "A KPL aggregate that ends before its records or its checksum do.",
    Reason.KPL_CHECKSUM: "A whole KPL aggregate whose MD5 does not match its bytes.",
    Reason.KPL_PROTOBUF: "A KPL aggregate with a right MD5 over bytes that are not an aggregate.",
    Reason.KPL_NO_RECORDS: "A valid KPL aggregate that holds no user records.",
    Reason.KPL_KEY_INDEX: "A user record that points outside its aggregate's key tables.",
    Reason.EMPTY_RECORD: "A record of no bytes, of white space alone, or of an empty array.",
    Reason.CORRUPT_COMPRESSION: "A gzip, zlib or zstd payload that cannot be unpacked to its end.",
    Reason.NESTED_AGGREGATE: "A KPL aggregate within compression, or within another aggregate.",
    Reason.AVRO_DATA: "Avro's binary data: a container file, or single objects.",
    Reason.PROTOBUF: "What is, field by field, a protobuf message.",
    Reason.MESSAGEPACK: "A MessagePack map or array.",
    Reason.REGISTRY_DATA: "A schema registry's header (Glue, Confluent) before what is not JSON.",
    Reason.BASE64_TEXT: "Base64 of JSON or of compressed data.",
    Reason.BAD_HEADER: "A payload without the header that [payload] of stream.toml says it has.",
    Reason.UNKNOWN_SCHEMA: "A payload whose header names a schema that is not known.",
    Reason.UNUSABLE_SCHEMA: "A payload whose header names a schema that cannot be read with.",
    Reason.BAD_AVRO: "A payload that is not Avro of the schema that it was written with.",
    Reason.BAD_PROTOBUF: "A payload that is not Protobuf of the schema that it was written with.",
    Reason.OTHER_FORMAT: "Another known format, named in the message (Parquet, bzip2, UTF-16 …).",
    Reason.UNPACKED_TOO_LARGE: "A payload that unpacks past the limit (64 MiB by default), or a "
    "compressed one that takes its stream record past its own (64 MiB).",
    Reason.TOO_MANY_DOCUMENTS: "A payload of more documents than the limit (10,000 by default), or "
    "one that takes its stream record past its own (500,000).",
    Reason.DOCUMENT_TOO_LARGE: "A document over the limit (1 MiB by default).",
    Reason.NOT_UTF8: "A document that is not UTF-8.",
    Reason.TOO_DEEP: "A document nested deeper than the limit (256 levels by default).",
    Reason.NOT_JSON: "A document that is not JSON; NaN and Infinity are not.",
    Reason.NOT_OBJECT: "Valid JSON that is not an object.",
    Reason.ENVELOPE_MISMATCH: "An envelope, or an element of one, that is not what a rule of "
    "stream.toml says.",
    Reason.NO_DATASET: "A document that no dataset's [match] takes.",
    Reason.MISSING_FIELD: "A required field is absent or null.",
    Reason.UNKNOWN_FIELD: "A field the schema does not know, where the dataset rejects those.",
    Reason.WRONG_TYPE: "A value of another JSON type than the schema's.",
    Reason.OUT_OF_RANGE: "A number or time outside what its type can hold.",
    Reason.UNKNOWN_SYMBOL: "A string that is none of its enum's symbols.",
    Reason.BAD_FORMAT: "A string that is not a timestamp, date, time, uuid or base64 as declared.",
    Reason.DECIMAL_MISFIT: "A decimal that does not fit its precision and scale.",
    Reason.BELOW_MINIMUM: "A number below its field's minimum.",
    Reason.ABOVE_MAXIMUM: "A number above its field's maximum.",
    Reason.TOO_SHORT: "A string shorter than its field's minLength.",
    Reason.TOO_LONG: "A string longer than its field's maxLength.",
    Reason.PATTERN_MISMATCH: "A string that its field's pattern does not match.",
    Reason.OUTSIDE_WINDOW: "An event time outside its dataset's window around arrival.",
    Reason.PARTITION_TOO_LONG: "A value whose partition directory or key would be too long.",
}

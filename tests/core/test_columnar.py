"""The columnar path against the row path, which is the definition: equal rows, equal rejects."""

from __future__ import annotations

import json
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PLAIN, ROOT, chunk_of, dataset, order

from pipeline.adapters.schemas import read_dataset
from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.documents.columnar import ColumnarReader, Unreadable
from pipeline.core.documents.columnar.decimals import PLANS_KEPT
from pipeline.core.documents.columnar.kernels import kernel_of
from pipeline.core.errors import DatasetError
from pipeline.core.payload import unpack_payloads
from pipeline.core.schema.types import Scalar
from pipeline.core.schema.values import ConversionError

# Of each type: how a schema says it, and JSON texts that fit, nearly fit, or fit in a way that one
# of the paths might see otherwise. The first two fit.
TYPES: dict[str, tuple[Any, list[str]]] = {
    "boolean": ("boolean", ["true", "false"]),
    "int": ("int", ["0", "1", "-0", "2147483647", "-2147483648", "2147483648", "1.0", "1e3"]),
    "long": (
        "long",
        ["0", "9223372036854775807", "-0", "-9223372036854775808", "9223372036854775808", "1e1"],
    ),
    "float": (
        "float",
        ["1.5", "0.1", "0", "-0", "-0.0", "0.0", "3.4028235e38", "3.4028236e38", "1e39", "-1e39",
         "1e400", "1e-50", "-1e-50", "16777217"],
    ),
    "double": (
        "double",
        ["0.1", "1", "0", "-0", "-0.0", "1e308", "1e309", "-1e400", "1e-400", "-1e-400", "5e-324",
         "123456789012345678901234567890", "2.2250738585072011e-308", "9007199254740993"],
    ),
    "string": (
        "string",
        ['"a"', '""', '"é"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\u0000"', '"NaN"',
         '"x: NaN,"', '"Infinity"', r'"\"\\\/\b\f\n\r\t"', '"null"', '"}"', '"\\n{"'],
    ),
    "enum with a default": (
        {"type": "enum", "name": "D", "symbols": ["A", "B"], "default": "B"},
        ['"A"', '"C"', '""', "7", "[]", '"\\u0041"'],
    ),
    "enum": (
        {"type": "enum", "name": "E", "symbols": ["A", "B"]},
        ['"A"', '"B"', '"C"', '"a"', '"\\u0041"'],
    ),
    "bytes": ("bytes", ['"AAAA"', '""', '"AA=="', '"AA"', '"A-_="', '"AB=="', '"AA==\\n"']),
    "fixed": ({"type": "fixed", "name": "F", "size": 2}, ['"AAA="', '"AQE="', '"AAAA"', '""']),
    "decimal": (
        {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2},
        ["1.5", "1", '"1.5"', '"1"', "1.5", "1.50", '"1.500"', "1.505", '"1.505"', "999.99", "1000",
         '"1000"', "1e2", '"1e2"', '"-0"', "-0", "-0.0", '" 1"', '"+1"', '".5"', '"5."', '"1_0"',
         '""', "1e-400", "0e999999999999", '"0e99999999999999999999"', '"NaN"', '"00"', '"01"'],
    ),
    "fraction": (
        {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 2},
        ["0.5", "0.25", '"0.5"', '"1"', '"0"', "0.55", '"0.555"'],
    ),
    "wide decimal": (
        {"type": "bytes", "logicalType": "decimal", "precision": 76, "scale": 10},
        ["1", "2.5", '"1"', f'"{"9" * 66}.5"', f"{'9' * 66}.5", "1e66", '"1e66"', "1e65", f"1{'0' * 66}"],
    ),
    "uuid": (
        {"type": "string", "logicalType": "uuid"},
        ['"7c9e6679-7425-40de-944b-e07fc1f90ae7"', '"7C9E6679-7425-40DE-944B-E07FC1F90AE7"',
         '"7c9e6679-7425-40de-944b-e07fc1f90ae7 "', '"7c9e6679742540de944be07fc1f90ae7"'],
    ),
    "date": (
        {"type": "int", "logicalType": "date"},
        ['"2026-11-23"', '"2024-02-29"', '"2023-02-29"', '"0001-01-01"', '"0000-01-01"',
         '"9999-12-31"', '"2026-1-1"', '"2026-13-01"', '"2026-11-23T00:00:00"', '"2026-11-23\\n"'],
    ),
    "epoch day": (
        {"type": "int", "logicalType": "date", "epoch": "days"},
        ["0", "-1", "2932896", "2932897", "-719162", "-719163", "2147483648", "1.0", '"1"'],
    ),
    "time-millis": (
        {"type": "int", "logicalType": "time-millis"},
        ['"09:30:00"', '"09:30:00.1"', '"09:30:00.123456789"', '"24:00:00"', '"23:59:59.9999"',
         '"9:30:00"', '"09:30"', '"09:30:60"'],
    ),
    "time-micros": (
        {"type": "long", "logicalType": "time-micros"},
        ['"09:30:00"', '"09:30:00.1234567"', '"09:30:00.123456789"', '"24:00:00"', '"09:30:00."',
         '"23:59:59.9999999"', '"09:30:00.1234567890"'],
    ),
    "timestamp": (
        {"type": "long", "logicalType": "timestamp-micros"},
        ['"2026-11-23T09:30:00Z"', '"2026-11-23T09:30:00+01:00"', '"2026-11-23T09:30:00.1234567Z"',
         '"2026-11-23T09:30:00.123456789Z"', '"2026-11-23T09:30:00.1-23:59"',
         '"2026-11-23T09:30:00+24:00"', '"0001-01-01T00:00:00Z"', '"0001-01-01T00:00:00+00:01"',
         '"0000-12-31T23:59:00-00:02"', '"9999-12-31T23:59:59.999999999Z"',
         '"9999-12-31T23:59:59-00:01"', '"2026-02-30T00:00:00Z"', '"2026-11-23 09:30:00Z"',
         '"2026-11-23T09:30:00"', '"2026-11-23T09:30Z"', '"2026-11-23T09:30:00z"',
         '"2026-11-23T09:30:00+0100"', '"2026-11-23T24:00:00Z"', '"2026-11-23T23:59:60Z"', "1"],
    ),
    "local timestamp": (
        {"type": "long", "logicalType": "local-timestamp-millis"},
        ['"2026-11-23T09:30:00"', '"2026-11-23T09:30:00.1234567"', '"2026-11-23T09:30:00Z"',
         '"2026-11-23T09:30:00.123456789"', '"0001-01-01T00:00:00"', '"0000-01-01T00:00:00"',
         '"9999-12-31T23:59:59.999999"', '"2025-02-29T00:00:00"'],
    ),
    "epoch seconds": (
        {"type": "long", "logicalType": "timestamp-millis", "epoch": "seconds"},
        ["0", "1.5", "-1", "1795426200.1234565", "253402300799.9999995", "253402300800", "-0",
         "-62135596800", "-62135596801", "-62135596800.0000001", "1e300", "1e400", "0.0000005"],
    ),
    "epoch millis": (
        {"type": "long", "logicalType": "timestamp-millis", "epoch": "millis"},
        ["0", "1795426200123", "1795426200123.4565", "0.0005", "0.0015", "-0.0005",
         "9007199254740993", "253402300799999.9"],
    ),
    "epoch micros": (
        {"type": "long", "logicalType": "local-timestamp-micros", "epoch": "micros"},
        ["0", "1795426200123456", "0.5", "1.5", "2.5", "-0.5", "-1.5", "253402300799999999",
         "253402300800000000", "1e17"],
    ),
}  # fmt: skip
JUNK = ["null", "1", '"x"', "true", "[]", "{}", "1.5", "NaN", "-Infinity", "nul", "[1", "9" * 400]


@dataclass(frozen=True)
class Sample:
    """A field of a generated schema, and how its values are written: a kind and its parts."""

    field: dict[str, Any]
    kind: str
    parts: Any


class Generator:
    """Makes schemas and documents of them, from one source of chance."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.named = 0

    def dataset(self) -> tuple[Dataset, list[Sample]]:
        fields = [self.field(number, 0) for number in range(self.chance.randrange(1, 7))]
        schema = {"type": "record", "name": "T", "fields": [sample.field for sample in fields]}
        config = self.chance.choice(["", 'unknown_fields = "reject"'])
        return parse_dataset("things", {1: json.dumps(schema)}, config), fields

    def field(self, number: int, depth: int) -> Sample:
        avro, kind, parts = self.type(depth)
        field = {"name": f"f{number}", "type": avro}
        if self.chance.random() < 0.2:
            field["jsonName"] = f"@{number} ü"
        if self.chance.random() < 0.05:
            field["aliases"] = [f"old {number}", f"older {number}"]
        lot = self.chance.random()
        if lot < 0.3:
            field["type"] = ["null", avro]
            if lot < 0.02 and kind == "scalar":
                field["default"] = as_default(avro, parts[0])
        elif lot < 0.4 and kind == "array":
            field["default"] = []
        elif lot < 0.6 and kind == "scalar":
            field["default"] = as_default(avro, parts[0])
        return Sample(field, kind, parts)

    def type(self, depth: int) -> tuple[Any, str, Any]:
        lot = self.chance.random() if depth < 3 else 1.0
        if lot < 0.15:
            fields = [
                self.field(number, depth + 1) for number in range(self.chance.randrange(1, 4))
            ]
            return self.name("record", fields=[sample.field for sample in fields]), "record", fields
        if lot < 0.33:
            avro, kind, parts = self.type(depth + 1)
            if self.chance.random() < 0.3:
                avro, kind, parts = ["null", avro], "nullable", (kind, parts)
            if lot < 0.3:
                return {"type": "array", "items": avro}, "array", (kind, parts)
            return {"type": "map", "values": avro}, "map", (kind, parts)
        avro, texts = TYPES[self.chance.choice(list(TYPES))]
        if isinstance(avro, dict) and "name" in avro:
            avro = self.name(avro["type"], **avro)
        return avro, "scalar", texts

    def name(self, kind: str, **attributes: Any) -> dict[str, Any]:
        self.named += 1
        return {"type": kind, **attributes, "name": f"N{self.named}"}

    def document(self, fields: list[Sample], odd: float) -> bytes:
        text = self.record(fields, odd)
        if self.chance.random() < odd / 2:
            text = text[: self.chance.randrange(1, len(text) + 1)]
        return text.encode("utf-8")

    def record(self, fields: list[Sample], odd: float) -> str:
        pairs = []
        for sample in fields:
            optional = "default" in sample.field or isinstance(sample.field["type"], list)
            lot = self.chance.random()
            if lot < odd or (optional and lot < 0.2):
                continue
            keys = [sample.field.get("jsonName", sample.field["name"])]
            keys += sample.field.get("aliases", [])
            key = json.dumps(self.chance.choice(keys), ensure_ascii=lot < 0.5)
            value = "null" if optional and lot > 0.8 else self.value(sample.kind, sample.parts, odd)
            pairs.append(f"{key}:{value}")
            if self.chance.random() < odd / 3:
                key = json.dumps(self.chance.choice(keys))
                pairs.append(f"{key}:{self.value(sample.kind, sample.parts, odd)}")
        if self.chance.random() < 0.1:
            junk = JUNK if self.chance.random() < odd else JUNK[:7]
            pairs.append(f'"unknown":{self.chance.choice(junk)}')
        if self.chance.random() < 0.3:
            self.chance.shuffle(pairs)
        return "{" + self.chance.choice([",", ", ", ",\n "]).join(pairs) + "}"

    def value(self, kind: str, parts: Any, odd: float) -> str:
        if self.chance.random() < odd:
            return self.chance.choice(JUNK)
        if kind == "scalar":
            text: str = self.chance.choice(parts if self.chance.random() < odd * 3 else parts[:2])
            return text
        if kind == "record":
            return self.record(parts, odd)
        inner, inner_parts = parts
        if kind == "nullable":
            return "null" if self.chance.random() < 0.3 else self.value(inner, inner_parts, odd)
        items = [self.value(inner, inner_parts, odd) for _ in range(self.chance.randrange(4))]
        if kind == "array":
            return f"[{','.join(items)}]"
        return "{" + ",".join(f'"k{number}":{item}' for number, item in enumerate(items)) + "}"


def as_default(avro: Any, text: str) -> Any:
    """Write what a document holds as a default does: bytes by characters, decimals unquoted."""
    value = json.loads(text)
    if not isinstance(avro, dict) and avro != "bytes":
        return value
    logical = avro.get("logicalType") if isinstance(avro, dict) else None
    if logical == "decimal":
        return float(value)
    is_bytes = avro == "bytes" or (logical is None and avro["type"] in ("bytes", "fixed"))
    return b64decode(value).decode("latin-1") if is_bytes else value


def both_ways(dataset: Dataset, documents: list[bytes]) -> int:
    """Convert on both paths, compare, and return how many rows there are."""
    chunk = chunk_of(*documents)
    rows, rejects = convert(chunk, dataset.by_columns())
    expected, refused = convert(chunk, dataset.by_rows())
    rows.table.validate(full=True)
    assert rows.table.schema.equals(expected.table.schema, check_metadata=True)
    assert rows.index.equals(expected.index)
    # As text, too: Arrow holds 0.0 and -0.0 for equal.
    assert rows.table.equals(expected.table)
    assert str(rows.table.to_pylist()) == str(expected.table.to_pylist())
    assert [(reject.unit, reject.violation) for reject in rejects] == [
        (reject.unit, reject.violation) for reject in refused
    ]
    return len(rows)


@settings(max_examples=max(1_000, settings().max_examples))
@given(st.integers(0, 2**48), st.sampled_from([0.0, 0.02, 0.2]), st.sampled_from([1, 5, 30]))
def test_both_paths_agree_on_any_schema_and_documents(seed: int, odd: float, count: int) -> None:
    generator = Generator(Random(seed))
    try:
        dataset, fields = generator.dataset()
    except DatasetError:  # a union's default, for one
        return
    both_ways(dataset, [generator.document(fields, odd) for _ in range(count)])


def test_generated_chunks_that_fit_are_read_by_columns() -> None:
    tried = whole = 0
    for seed in range(400):
        generator = Generator(Random(seed))
        dataset, fields = generator.dataset()
        if dataset.record.rejects_unknown_fields:  # the generator adds unknown fields
            continue
        documents = [generator.document(fields, 0) for _ in range(9)]
        with suppress(Unreadable):  # decimals of one key that are spelled in two ways, for one
            whole += len(ColumnarReader(dataset.record).read(documents).indices) == 9
        tried += 1
    assert whole > 0.8 * tried


@st.composite
def decimals(draw: st.DrawFn) -> tuple[Dataset, list[bytes]]:
    """Draw a decimal's precision and scale, and numbers about as long as it holds."""
    precision = draw(st.one_of(st.sampled_from([1, 18, 37, 38, 39, 75, 76]), st.integers(1, 76)))
    scale = draw(st.one_of(st.sampled_from([0, precision]), st.integers(0, precision)))
    avro = {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
    schema = {"type": "record", "name": "T", "fields": [{"name": "d", "type": avro}]}
    whole = st.one_of(
        st.integers(0, 10 ** max(1, precision - scale)).map(str),
        st.integers(1, 80).map(lambda count: "9" * count),
        st.integers(0, 80).map(lambda count: f"1{'0' * count}"),
    )
    fraction = st.one_of(
        st.just(""),
        st.integers(0, 10**scale).map(lambda number: f".{number}"),
        st.integers(1, 80).map(lambda count: f".{'0' * count}1"),
        st.integers(1, 80).map(lambda count: f".{'0' * count}"),
    )
    number = st.tuples(st.sampled_from(["", "-"]), whole, fraction).map("".join)
    texts = draw(st.lists(number, min_size=1, max_size=4))
    documents = [f'{{"d": {text} }}'.encode() for text in texts]
    return parse_dataset("things", {1: json.dumps(schema)}, ""), documents


@settings(max_examples=max(1_000, settings().max_examples))
@given(decimals())
def test_a_decimal_of_any_length_is_never_another_number(
    given: tuple[Dataset, list[bytes]],
) -> None:
    both_ways(*given)


TEXTS = {
    "timestamp-micros": [
        "2026-11-23T09:30:00Z", "2026-02-28T23:59:59.5Z", "2026-11-23T09:30:00.123456Z",
        "2026-11-23T09:30:00.123Z", "2026-11-23T09:30:00.1234567Z", "2026-11-23T09:30:00+01:00",
        "2026-11-23T09:30:00.12+01:00", "2026-11-23T09:30:00+0100", "2026-11-23T09:30:00.5+01",
        "2026-11-23T09:30Z", "0001-01-01T00:00:00Z"],
    "local-timestamp-micros": [
        "2026-11-23T09:30:00", "2026-11-23T09:30:00.1", "2026-11-23T09:30:00.123456",
        "2026-11-23T09:30:00Z", "2026-11-23T09:30"],
    "uuid": ["0F8fad5b-d9cb-469f-a165-70867728950e", "0F8fad5-bd9cb-469f-a165-70867728950e"],
}  # fmt: skip
CHARACTERS = "0123456789:-+.TZtz abfgABFG/;٠é"
AIMED = [
    (10, " "),
    (10, "t"),
    (-1, "z"),
    (-1, "5"),
    (-3, ""),
    (19, ","),
    (11, "2"),
    (0, "0"),
    (8, "a"),
]


@st.composite
def even_texts(draw: st.DrawFn) -> tuple[str, list[str | None]]:
    """Draw texts of one kind, most of one length, in which a few characters are others."""
    kind = draw(st.sampled_from(list(TEXTS)))
    whole = draw(st.sampled_from(TEXTS[kind]))
    made: list[str | None] = [whole]
    for _ in range(draw(st.integers(0, 3))):
        text = list(draw(st.sampled_from([whole, whole, *TEXTS[kind]])))
        changes = st.tuples(st.integers(0, len(text) - 1), st.sampled_from(CHARACTERS))
        for index, character in draw(st.lists(changes | st.sampled_from(AIMED), max_size=2)):
            if index < len(text):
                text[index] = character
        made.append("".join(text))
    return kind, draw(st.permutations([*made, *draw(st.lists(st.none(), max_size=2))]))


def column_of(texts: list[str | None], under: str) -> pa.Array:
    """Return a column in which `under` stands where there are nulls."""
    full = pa.array([under if text is None else text for text in texts], pa.string())
    valid = pa.array([text is not None for text in texts]).buffers()[1]
    return pa.Array.from_buffers(pa.string(), len(texts), [valid, *full.buffers()[1:]])


@settings(max_examples=max(1_000, settings().max_examples))
@given(even_texts(), st.sampled_from(["", "x", "2026-11-23T09:30:00Z"]))
def test_texts_of_one_length_are_taken_just_as_one_by_one(
    drawn: tuple[str, list[str | None]], under: str
) -> None:
    """What is not a misfit has the value that its own conversion gives."""
    kind, texts = drawn
    base = "string" if kind == "uuid" else "long"
    avro = {"name": "a", "type": ["null", {"type": base, "logicalType": kind}], "default": None}
    schema = {"type": "record", "name": "T", "fields": [avro]}
    (field,) = parse_dataset("even", {1: json.dumps(schema)}, "").record.fields
    scalar = field.type
    assert isinstance(scalar, Scalar)
    _, kernel = kernel_of(scalar)
    column, misfits = kernel(column_of(texts, under))
    are_misfits = [False] * len(texts) if misfits is None else misfits.to_pylist()
    one_by_one = [convert_or_none(scalar, text) for text in texts]
    for text, misfit, value, expected in zip(texts, are_misfits, column, one_by_one, strict=True):
        if not misfit:
            stored = pa.array([expected], scalar.storage).cast(scalar.arrow)[0]
            assert value == stored, text
            assert (text is None) == (expected is None)


def convert_or_none(scalar: Scalar, text: str | None) -> Any:
    """Convert as the row path does; None for a misfit, which no column may accept."""
    try:
        return None if text is None or scalar.convert is None else scalar.convert(text)
    except ConversionError:
        return None


@pytest.mark.parametrize(
    "documents",
    [
        [b'{"a":1}{"a":2}', b"{}"],
        [b'{"a":1}\n{"a":2}', b'{"a":3}'],
        [b'{"a":6},"a":1', b'{"a":1}'],
        [b'{"a":[1', b"2]}"],
        [b"\xef\xbb\xbf" + b'{"a":1}', b'{"a":2}'],
        [b'{"a":1', b'"b":2}', b"{}"],
        [b"{}", b"", b"{}"],
        [b'{"a":1}', b'{"a":NaN}', b'{"a":1,"b":Infinity}', b'{"b":-Inf}'],
        [b'{"a":1}\x00', b'{"a":1}'],
        [b'{"a":1}', b"[]", b"1", b"null"],
    ],
)
def test_documents_are_not_read_over_their_seams(documents: list[bytes]) -> None:
    dataset = parse_dataset(
        "things",
        {
            1: json.dumps(
                {"type": "record", "name": "T", "fields": [{"name": "a", "type": ["null", "int"]}]}
            )
        },
        "",
    )
    both_ways(dataset, documents)


@pytest.mark.parametrize("open_string", ['{"s":"x}', '{"n":[{"s":"x}'])
def test_no_string_spans_two_documents(open_string: str) -> None:
    """Two that are one together, and one that is two, keep the count of rows."""
    schema = {"type": "record", "name": "T", "fields": [
        {"name": "s", "type": ["null", "string"]}, {"name": "b", "type": ["null", "int"]}]}  # fmt: skip
    dataset = parse_dataset("things", {1: json.dumps(schema)}, "")
    closing = '{","b":1}' if open_string.startswith('{"s"') else '{"}],"b":1}'
    spanning = [open_string.encode(), closing.encode(), b'{"b":1} {"b":2}']
    documents = [*spanning, *(b'{"b":%d}' % number for number in range(300))]
    assert both_ways(dataset, documents) is not None
    ((part, _),) = unpack_payloads(chunk_of(*documents), PLAIN)
    rows, rejects = convert(part, dataset.by_columns())
    # Unpacked, the one that is two is cut into both.
    assert (len(rows), [reject.violation.reason for reject in rejects]) == (302, ["not_json"] * 2)


def test_a_text_full_of_escapes_is_searched_once() -> None:
    """Beside a decimal that is spelled as a number, escapes in keys are looked for."""
    avro = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    schema = {"type": "record", "name": "T", "fields": [{"name": "d", "type": avro}]}
    dataset = parse_dataset("things", {1: json.dumps(schema)}, "")
    long = b'{"d":1.5,"s":"' + b"\\/" * 400_000 + b'"}'  # 80 s of quadratic search
    assert both_ways(dataset, [b'{"d":1.5}', long]) >= 1
    # Its key spelled with escapes is seen all the same: 1e1 is not a plain number.
    both_ways(dataset, [b'{"d":1.5}', b'{"\\u0064":1e1}', b'{"\\u0064" :"1.505"}'])


def test_shipped_orders_are_read_by_columns() -> None:
    dataset = read_dataset(ROOT / "schemas" / "orders")
    documents = [json.dumps(order(total=f"{number}.50")).encode() for number in range(50)]
    assert ColumnarReader(dataset.record).read(documents).indices == range(50)
    assert both_ways(dataset, documents) == 50


@pytest.mark.parametrize(("count", "tried"), [(9, []), (10, [10])])
def test_the_columnar_path_begins_at_as_many_documents_as_the_dataset_says(
    count: int, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `fast`, it never does."""
    given = list[int]()

    def read(_: ColumnarReader, documents: list[bytes], *__: object) -> None:
        given.append(len(documents))
        raise Unreadable

    monkeypatch.setattr(ColumnarReader, "read", read)
    dataset = read_dataset(ROOT / "schemas" / "orders")
    dataset = msgspec.structs.replace(dataset, fewest_by_columns=10)
    chunk = chunk_of(*(json.dumps(order()).encode() for _ in range(count)))
    assert len(convert(chunk, dataset, fast=False)[0]) == count
    assert given == []
    assert len(convert(chunk, dataset)[0]) == count
    assert given == tried


def test_plans_are_kept_for_a_few_spellings_alone() -> None:
    """Twenty optional decimals are spelled in a million ways; a warm function meets many."""
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    names = [f"d{number}" for number in range(8)]
    things = dataset(*({"name": name, "type": ["null", decimal]} for name in names))
    reader = ColumnarReader(things.record)  # whether or not fast paths are switched on
    for spelled in range(2 * PLANS_KEPT):
        numbers = {name: 1.25 for bit, name in enumerate(names) if spelled >> bit & 1}
        reader.read([json.dumps(numbers).encode()])
    kept = reader._plan.cache_info(), reader._spelling._nonplain.cache_info()
    assert [info.currsize for info in kept] == [PLANS_KEPT, PLANS_KEPT]

"""What a field reads beside its strict form, where its schema says so, beside Python's readers."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from random import Random
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from generated.readings import READINGS
from generated.scalars import JSON_TYPES, Scalar, Unfit
from generated.spelling import read_json
from hypothesis import given
from hypothesis import strategies as st
from support import chunk_of, dataset

from pipeline.authoring.evolution import changes_refused
from pipeline.authoring.generate import documents_of
from pipeline.core.convert import convert
from pipeline.core.errors import DatasetError
from pipeline.core.rules import check_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.dataset import Dataset

TIMESTAMP = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}
DATE = {"type": "int", "logicalType": "date"}
TIME = {"type": "long", "logicalType": "time-micros"}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}
NOW = 1_795_426_200_000_000
NAIVE_YEARS = (datetime(1900, 1, 1), datetime(2037, 12, 31))  # noqa: DTZ001 - by any clock
TWO_DIGIT_YEARS = (datetime(1969, 1, 1), datetime(2068, 12, 31))  # noqa: DTZ001 - by any clock
INSTANT = datetime(2026, 11, 23, 9, 30, 0, 123_000, tzinfo=UTC)


def of_field(avro: Any, **attributes: Any) -> Dataset:
    """Make a dataset of one field, `v`."""
    return dataset({"name": "v", "type": avro, **attributes})


def read(made: Dataset, texts: Sequence[str]) -> list[Any]:
    """Return the values of JSON texts, or the reasons of their rejection; equal by both paths."""
    documents = [f'{{"v": {text} }}'.encode() for text in texts]
    found = [_read(path, documents) for path in (made.by_rows(), made.by_columns())]
    assert repr(found[0]) == repr(found[1])
    return found[0]


def _read(made: Dataset, documents: list[bytes]) -> list[Any]:
    rows, rejects = convert(chunk_of(*documents), made)
    found: list[Any] = [None] * len(documents)
    for unit, value in zip(rows.unit.to_pylist(), rows.table.column("v").to_pylist(), strict=True):
        found[unit] = value
    for reject in rejects:
        found[reject.unit] = reject.violation.reason.value
        assert reject.violation.message.endswith(".")
        assert reject.violation.path.startswith("$")
    return found


def refusal(avro: Any, **attributes: Any) -> str:
    """Return the sentence that refuses a field, without its file and name."""
    with pytest.raises(DatasetError) as caught:
        of_field(avro, **attributes)
    return str(caught.value).removeprefix("schemas/things/1.avsc, field v: ")


# --------------------------------------------------------- what people send, from public reports


def test_numbers_as_lua_go_and_protobuf_write_them() -> None:
    made = of_field(["null", "long"], default=None, accept=["text", "whole-floats"])
    assert read(made, ["12345.0", "1e+06", '"12345"', "null"]) == [12345, 1_000_000, 12345, None]
    assert read(of_field("double", accept=["text"]), ['"12.5"']) == [12.5]


def test_booleans_of_mysql_and_empty_texts() -> None:
    made = of_field(["null", "boolean"], default=None, accept=["text", "zero-one"])
    assert read(made, ["1", '"true"', '"FALSE"', "0"]) == [True, True, False, False]
    for avro in ("long", TIMESTAMP, "string", MONEY, "boolean", DATE, "bytes"):
        empty = of_field(["null", avro], default=None, accept=["empty-text"])
        assert read(empty, ['""', "null"]) == [None, None]


def test_times_of_jackson_sql_and_text() -> None:
    made = of_field(
        TIMESTAMP, formats=["space", "comma", "no-zone", "basic-offset"], zone="UTC"
    )  # fmt: skip
    texts = (
        "2026-11-23T09:30:00.123+0000", "2026-11-23 09:30:00.123", "2026-11-23 09:30:00,123+00",
        "2026-11-23T10:30:00.123+01:00",
    )  # fmt: skip
    assert read(made, [json.dumps(text) for text in texts]) == [INSTANT] * 4
    millis = of_field(["null", TIMESTAMP], default=None, epoch="millis", accept=["text"])
    assert read(millis, ['"1795426200123"', "1795426200123"]) == [INSTANT] * 2


def test_decimals_of_debezium_are_never_numbers() -> None:
    made = of_field(MONEY, encoding="connect")
    assert read(made, ['"BOI="', '"nQ=="', '"1234"', "12.50"]) == [
        Decimal("12.50"), Decimal("-0.99"), Decimal("-26588.24"), "wrong_type",
    ]  # fmt: skip


def test_any_json_value_is_kept_as_its_text() -> None:
    made = of_field(["null", "string"], default=None, json=True)
    texts = ['{"x": 1.0 , "x":2e3}', '"text"', "42", "1e400", "[true,null]", '"\\u0041"', '""']
    assert read(made, [*texts, "null"]) == [*texts, None]
    assert read(of_field(["null", "long", "string"], json=True), ['"u7"', "42"]) == ['"u7"', "42"]
    item = {"type": "string", "json": True}
    assert read(of_field({"type": "array", "items": item}), ['[1, "a", {"b":2}]']) == [
        ["1", '"a"', '{"b":2}']
    ]


def test_what_is_not_json_is_no_json_text() -> None:
    made = of_field(["null", "string"], json=True)
    texts = ['"\\ud800"', "NaN", '{"a":1,}', "01", '"\t"', "[1 2]", '{"a":-Infinity}', "[nul]"]
    assert read(made, texts) == ["not_json"] * len(texts)


def test_named_types_inside_of_json_text_may_be_used_elsewhere() -> None:
    inner = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
    made = dataset(
        {"name": "any", "type": [inner, {"type": "array", "items": "string"}], "json": True},
        {"name": "v", "type": "R"},
    )
    rows, rejects = convert(chunk_of(b'{"any": [1], "v": {"a": 2}}'), made)
    assert not rejects
    assert rows.table.select(["any", "v"]).to_pylist() == [{"any": "[1]", "v": {"a": 2}}]
    nameless = [{"type": "enum", "name": "1", "symbols": ["A"]}, "string"]
    assert "a type's name is" in refusal(nameless, json=True)


def test_json_text_is_exact_beside_a_repeated_key() -> None:
    """The row path reads such a document a second time, without the repeats."""
    made = dataset({"name": "n", "type": "int"}, {"name": "v", "type": "string", "json": True})
    document = b'{"n": "x", "v": {"a": 1.0,  "a": 2}, "n": 7}'
    rows, rejects = convert(chunk_of(document), made)
    assert not rejects
    assert rows.table.column("v").to_pylist() == ['{"a": 1.0,  "a": 2}']


def test_times_of_day_as_debezium_counts_them() -> None:
    made = of_field(TIME, accept=["number"])
    assert read(made, ["34200000001", '"09:30:00.000001"', "-1"])[:2] == [time(9, 30, 0, 1)] * 2


def test_nanoseconds_are_cut_downwards() -> None:
    made = of_field(TIMESTAMP, epoch="nanos", accept=["text"])
    assert read(made, ["1795426200123000999", '"1795426200123000999"']) == [INSTANT] * 2
    assert (
        read(made, ["-1", '"-1"']) == [datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)] * 2
    )


@pytest.mark.parametrize(
    ("unit", "wrong"),
    [
        ("millis", [1_795_426_200, 315_532_800, 4_102_444_799]),
        ("micros", [1_795_426_200, 1_795_426_200_123, 315_532_800_000, 4_102_444_799_999]),
        ("nanos", [1_795_426_200, 1_795_426_200_123, 1_795_426_200_123_456]),
        ("seconds", [1_795_426_200_123, 1_795_426_200_123_456]),
    ],
)
def test_a_time_in_another_unit_is_rejected(unit: str, wrong: list[int]) -> None:
    made = of_field(TIMESTAMP, epoch=unit)
    assert read(made, [str(number) for number in wrong]) == ["out_of_range"] * len(wrong)
    assert read(made, ["0", "315532799"])[0] == datetime(1970, 1, 1, tzinfo=UTC)
    assert "out_of_range" not in read(made, ["-1795426200", "315532799"])


# ------------------------------------------------------------------ each reading, beside an oracle

_CHARS = st.sampled_from('0123456789-+.eE:T Z,"abtrue/=')


@st.composite
def json_texts(draw: st.DrawFn, scalar: Scalar) -> str:
    """Draw the text of a value, right or wrong, or with a character changed."""
    text = scalar.spelled(draw, scalar.value(draw) if not _ruled(scalar) else _value(draw, scalar))
    wrong = [text for text, _ in scalar.misfits] + list(JSON_TYPES.values())
    text = draw(st.just(text) | st.just(text) | st.sampled_from(wrong))
    if len(text) > 2 and draw(st.integers(0, 3)) == 0:
        index = draw(st.integers(1, len(text) - 2))
        text = text[:index] + draw(_CHARS) + text[index + draw(st.integers(0, 1)) :]
    return text


def _ruled(scalar: Scalar) -> bool:
    return type(scalar).value is Scalar.value


def _value(draw: st.DrawFn, scalar: Scalar) -> Any:
    from generated.rules import NO_RULES

    return scalar.ruled(draw, NO_RULES)


@pytest.mark.parametrize("scalar", READINGS, ids=lambda scalar: json.dumps(scalar.avro))
@given(data=st.data())
def test_each_reading_reads_what_its_oracle_reads(scalar: Scalar, data: st.DataObject) -> None:
    texts = data.draw(st.lists(json_texts(scalar), min_size=1, max_size=8))
    texts = [text for text in texts if is_value(text)]
    found = read(of_field(["null", scalar.avro]), texts)
    for text, value in zip(texts, found, strict=True):
        expected = judged(scalar, text)
        if expected is Unfit:
            assert isinstance(value, str), (text, value)
        else:
            assert shown(value) == shown(expected), text


def shown(value: Any) -> str:
    """Show a value, its type and digits too; zones by their time in UTC, zeros without a sign."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return repr(value).replace("-0.0", "0.0")


def is_value(text: str) -> bool:
    """Whether a text is JSON."""
    try:
        read_json(f'{{"v":{text}}}')
    except (ValueError, RecursionError):
        return False
    return True


def judged(scalar: Scalar, text: str) -> Any:
    """Return the value that a text is, by the oracle; `Unfit` if it is none."""
    value = read_json(text)
    if value is None:
        return None
    try:
        found = scalar.read(value)
    except (ValueError, OverflowError):
        return Unfit
    kind = type(scalar.read(read_json(_good(scalar))))
    bits = getattr(scalar, "bits", 64)
    out = kind is int and not -(2 ** (bits - 1)) <= found < 2 ** (bits - 1)
    return Unfit if type(found) is not kind or out else found


def _good(scalar: Scalar) -> str:
    """Return one text that a scalar reads, for the type of its values."""
    for text in ("7", "1", '"BOI="', '"00:00:00"', '"2026-11-23T00:00:00Z"', '"2026-11-23 00:00"'):
        try:
            scalar.read(read_json(text))
        except ValueError:
            continue
        return text
    raise AssertionError(scalar)


def test_the_misfits_of_each_reading_have_their_reasons() -> None:
    for scalar in READINGS:
        texts = [text for text, _ in scalar.misfits]
        found = read(of_field(scalar.avro), texts)
        assert found == [reason for _, reason in scalar.misfits], scalar.avro


@given(st.datetimes(NAIVE_YEARS[0], timezones=st.timezones()))
def test_rfc_2822_is_read_as_python_reads_it(moment: datetime) -> None:
    try:
        text = format_datetime(moment)
        expected = parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return  # at the ends of the calendar
    if not text[-4:].isdigit() or text[-5] not in "+-":
        return  # a zone of seconds, as of the nineteenth century
    made = of_field(TIMESTAMP, formats=["rfc2822"])
    assert read(made, [json.dumps(text), json.dumps(text + " (CET)")]) == [expected] * 2


def test_rfc_2822_as_it_is_met() -> None:
    made = of_field(TIMESTAMP, formats=["rfc2822"])
    texts = [
        "Mon, 23 Nov 2026 09:30:00 GMT", "23 Nov 2026 09:30 +0000", "mon, 23 nov 2026 04:30:00 est",
        "Mon, 23 Nov 2026 09:30:00", "Mon, 31 Feb 2026 09:30:00 GMT", "2026-11-23T09:30:00Z",
    ]  # fmt: skip
    whole = INSTANT.replace(microsecond=0)
    assert read(made, [json.dumps(text) for text in texts]) == [
        whole, whole, whole, "bad_format", "out_of_range", whole,
    ]  # fmt: skip


_ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
)


@given(st.sampled_from(_ZONES), st.datetimes(*NAIVE_YEARS))
def test_local_times_are_read_as_zoneinfo_reads_them(zone: str, local: datetime) -> None:
    _check_zone(zone, local)


@given(st.sampled_from(_ZONES), st.integers(-90, 90), st.sampled_from((2004, 2018, 2026)))
def test_local_times_around_changes_of_the_clocks(zone: str, minutes: int, year: int) -> None:
    info = ZoneInfo(zone)
    hour = datetime(year, 1, 1, tzinfo=UTC)
    for _ in range(366 * 24):
        later = hour + timedelta(hours=1)
        if hour.astimezone(info).utcoffset() != later.astimezone(info).utcoffset():
            local = later.astimezone(info).replace(tzinfo=None)
            _check_zone(zone, local + timedelta(minutes=minutes))
            return
        hour = later


def _check_zone(zone: str, local: datetime) -> None:
    info = ZoneInfo(zone)
    instants = {local.replace(tzinfo=info, fold=fold).astimezone(UTC) for fold in (0, 1)}
    there = {moment for moment in instants if moment.astimezone(info).replace(tzinfo=None) == local}
    made = of_field(TIMESTAMP, formats=["no-zone", "space"], zone=zone)
    (found,) = read(made, [json.dumps(local.isoformat(" "))])
    assert found == (there.pop() if len(there) == 1 else "out_of_range")


def test_zones_at_the_ends_of_the_calendar() -> None:
    for zone, first, last in (
        ("Europe/Berlin", "out_of_range", datetime(9999, 12, 31, 22, 59, tzinfo=UTC)),
        ("America/New_York", datetime(1, 1, 1, 4, 56, 2, tzinfo=UTC), "out_of_range"),
        ("+01:00", "out_of_range", datetime(9999, 12, 31, 22, 59, tzinfo=UTC)),
    ):
        made = of_field(TIMESTAMP, formats=["no-zone"], zone=zone)
        assert read(made, ['"0001-01-01T00:00:00"', '"9999-12-31T23:59:00"']) == [first, last]


@pytest.mark.parametrize(
    "zone", ["", "Europe", "../etc/passwd", "+24:00", "+1", "tzdata.zi", "ABC"]
)
def test_what_is_no_zone_is_refused(zone: str) -> None:
    assert "is not a time zone" in refusal(TIMESTAMP, formats=["no-zone"], zone=zone)


def test_skipped_and_repeated_hours_are_rejected_in_a_sentence() -> None:
    made = of_field(TIMESTAMP, formats=["no-zone"], zone="Europe/Berlin")
    texts = [b'{"v": "2026-03-29T02:30:00"}', b'{"v": "2026-10-25T02:30:00"}']
    _, rejects = convert(chunk_of(*texts), made)
    how = "as clocks are changed there; it has no one instant."
    assert [reject.violation.message for reject in rejects] == [
        f"The local time is skipped in Europe/Berlin, {how}",
        f"The local time occurs twice in Europe/Berlin, {how}",
    ]


_DATES = (
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%m/%d/%y",
    "%d %b %Y",
    "%B %d, %Y",
    "%Y%m%d",
    "%a, %d %b %Y",
    "%Y%j",
)
_CLOCKS = ("%H:%M:%S", "%I:%M %p", "%H%M%S", "%H:%M:%S.%f", "%T", "%I:%M:%S%p")


@given(
    st.sampled_from(_DATES), st.sampled_from(_CLOCKS), st.sampled_from(("", "%z", " %z")),
    st.datetimes(*TWO_DIGIT_YEARS), st.integers(-1_439, 1_439),
)  # fmt: skip
def test_patterns_are_read_as_strptime_reads_them(
    day: str, clock: str, zone: str, moment: datetime, minutes: int
) -> None:
    pattern = f"{day} {clock}{zone}"
    distance = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    text = moment.strftime(pattern.replace("%z", distance).replace("%T", "%H:%M:%S"))
    expected = datetime.strptime(text, pattern.replace("%T", "%H:%M:%S"))  # noqa: DTZ007 - some have none
    made = of_field(TIMESTAMP if zone else LOCAL, formats=[pattern])
    (found,) = read(made, [json.dumps(text)])
    assert found == (expected.astimezone(UTC) if zone else expected)


@given(st.sampled_from(_DATES), st.dates(date(1969, 1, 1), date(2068, 12, 31)))
def test_dates_are_read_as_strptime_reads_them(pattern: str, day: date) -> None:
    text = day.strftime(pattern)
    assert read(of_field(DATE, formats=[pattern]), [json.dumps(text)]) == [day]


def test_patterns_are_exact() -> None:
    made = of_field(DATE, formats=["%-d.%-m.%Y"])
    texts = [
        "1.2.2026",
        "01.02.2026",
        "31.2.2026",
        " 1.2.2026",
        "1.2.26",
        "2026-02-01",
        "1.2.2026\n",
    ]
    first = date(2026, 2, 1)
    assert read(made, [json.dumps(text) for text in texts]) == [
        first, first, "out_of_range", "bad_format", "bad_format", first, "bad_format",
    ]  # fmt: skip
    clock = of_field(TIME, formats=["%I:%M %p"])
    assert read(clock, ['"12:00 am"', '"12:00 PM"', '"13:00 PM"', '"00:10 AM"'])[2:] == [
        "out_of_range", "out_of_range",
    ]  # fmt: skip
    names = of_field(DATE, formats=["%d %b %Y"])
    assert read(names, ['"23 nov 2026"', '"23 \u017fep 2026"', '"２３ Nov 2026"']) == [
        date(2026, 11, 23), "bad_format", "bad_format",
    ]  # fmt: skip
    day = of_field(DATE, formats=["%Y%j"])
    assert read(day, ['"2026366"', '"2024366"', '"2026000"']) == [
        "out_of_range", date(2024, 12, 31), "out_of_range",
    ]  # fmt: skip


@given(st.binary(min_size=1, max_size=20))
def test_connect_decimals_are_read_as_java_writes_them(data: bytes) -> None:
    import base64

    number = int.from_bytes(data, "big", signed=True)
    avro = {"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 7}
    (found,) = read(
        of_field(avro, encoding="connect"), [json.dumps(base64.b64encode(data).decode())]
    )
    fits = abs(number) < 10**40
    expected = Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -7))
    assert found == (expected if fits else "decimal_misfit")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.lists(st.tuples(_JSON, st.booleans(), st.sampled_from((None, 1, "\t"))), max_size=5))
def test_any_json_text_is_kept_exactly(values: list[tuple[Any, bool, Any]]) -> None:
    texts = [
        json.dumps(value, ensure_ascii=ascii_only, indent=indent)
        for value, ascii_only, indent in values
    ]
    found = read(of_field(["null", "string"], json=True), texts)
    assert found == [None if text == "null" else text for text in texts]


# ---------------------------------------------------------------- rules, defaults, partitions


def test_rules_defaults_and_empty_texts_work_as_on_strict_fields() -> None:
    made = of_field("long", accept=["text", "empty-text"], default="5", minimum=3)
    assert read(made, ['""', "null", '"7"', "8"]) == [5, 5, 7, 8]
    rows, _ = convert(chunk_of(b'{"v": "2"}', b'{"v": "3"}'), made)
    _, rejects = check_rules(rows, made)
    assert [reject.violation.reason.value for reject in rejects] == ["below_minimum"]
    assert refusal("long", accept=["text"], default="x") == (
        "its default: The string is not a number as JSON writes it."
    )
    lengths = of_field("string", json=True, maxLength=4)
    rows, _ = convert(chunk_of(b'{"v": "ab"}', b'{"v": "abc"}'), lengths)
    _, rejects = check_rules(rows, lengths)
    assert [reject.violation.reason.value for reject in rejects] == ["too_long"]


def test_event_time_and_partitions_work_as_on_strict_fields() -> None:
    made = dataset(
        {"name": "v", "type": TIMESTAMP, "formats": ["%d.%m.%Y %H:%M"], "zone": "UTC"},
        {"name": "id", "type": "long", "accept": ["text"]},
        config='partition_by = ["date(v)", "id"]\nevent_time = "v"\nevent_time_window = ["-1d", "+1d"]',
    )
    assert [column.name for column in made.partition_by] == ["date", "by_id"]


def test_empty_text_of_records_arrays_and_items() -> None:
    record = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
    made = of_field(["null", record], accept=["empty-text"])
    assert read(made, ['""', '{"a":1}', '"x"', "[]"]) == [
        None,
        {"a": 1},
        "wrong_type",
        "wrong_type",
    ]
    items = ["null", {"type": "long", "accept": ["empty-text", "text"]}]
    assert read(of_field({"type": "array", "items": items}), ['["", "1", null]']) == [
        [None, 1, None]
    ]
    enum = {"type": "enum", "name": "E", "symbols": ["A"]}
    assert read(of_field(["null", enum], accept=["empty-text"]), ['""', '"A"', '"b"']) == [
        None, "A", "unknown_symbol",
    ]  # fmt: skip


GENERATED: list[tuple[Any, dict[str, Any]]] = [
    ("int", {"accept": ["text", "whole-floats"]}),
    ("double", {"accept": ["text"]}),
    ("boolean", {"accept": ["text", "zero-one"]}),
    (TIME, {"accept": ["number"]}),
    (TIME, {"formats": ["comma", "%I:%M:%S %p"], "accept": ["number"]}),
    ({"type": "int", "logicalType": "time-millis"}, {"accept": ["number"]}),
    (MONEY, {"encoding": "connect"}),
    (DATE, {"formats": ["%-d.%-m.%Y"]}),
    (TIMESTAMP, {"formats": ["space", "no-zone", "rfc2822"], "zone": "Europe/Berlin"}),
    (TIMESTAMP, {"epoch": "millis", "accept": ["text"], "formats": ["basic-offset"]}),
    (LOCAL, {"formats": ["%Y%m%dT%H%M%S"]}),
    (TIMESTAMP, {"epoch": "nanos", "accept": ["text"]}),
    ("string", {"json": True}),
    ("string", {"json": True, "minLength": 5, "maxLength": 9}),
]


@pytest.mark.parametrize(("avro", "attributes"), GENERATED, ids=json.dumps)
def test_the_generator_makes_values_of_each_form(avro: Any, attributes: dict[str, Any]) -> None:
    subject = of_field(avro, **attributes)
    make = documents_of(subject, Random(7))
    documents = [make(NOW + number) for number in range(300)]
    rows, rejects = convert(chunk_of(*documents), subject)
    assert not rejects
    assert len({type(json.loads(document)["v"]) for document in documents}) > (
        "accept" in attributes or attributes == {"json": True}
    )
    by_rows, _ = convert(chunk_of(*documents), subject.by_rows())
    assert rows.table.equals(by_rows.table)


def test_a_string_may_not_become_json_text() -> None:
    plain, text = of_field("string"), of_field("string", json=True)
    assert changes_refused(plain.record, text.record, positional=False)
    assert not changes_refused(
        of_field("long").record, of_field("long", accept=["text"]).record, positional=False
    )


# ------------------------------------------------------------------------------------ refusals

REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (["null", "long", "string"], {}, '"json": true reads any value as its JSON text.'),
    ("long", {"json": True}, '"json" belongs on a string, or on a union of several types.'),
    ("string", {"json": "yes"}, '"json" is true or false.'),
    ("string", {"json": True, "accept": ["text"]}, 'leave out "accept".'),
    ("long", {"accept": ["floats"]}, '"accept" is a list of "text", "whole-floats"'),
    ("long", {"accept": "text"}, '"accept" is a list of "text", "whole-floats"'),
    ("string", {"accept": ["text"]}, '"accept": "text" belongs on booleans, numbers'),
    ("double", {"accept": ["whole-floats"]}, '"whole-floats" belongs on int, long'),
    ("long", {"accept": ["zero-one"]}, '"zero-one" belongs on booleans.'),
    ("long", {"accept": ["empty-text"]}, "this may not be null."),
    ({"type": "map", "values": "int"}, {"accept": ["text"]}, '"accept": "text" belongs on'),
    ("long", {"formats": ["space"]}, '"formats" belongs on dates, times and timestamps.'),
    (TIMESTAMP, {"formats": []}, '"formats" is a list of names'),
    (TIMESTAMP, {"formats": ["iso"]}, "'iso' is unknown; there are space, comma"),
    (TIMESTAMP, {"formats": ["space", "space"]}, "'space' twice."),
    (TIMESTAMP, {"formats": ["no-zone"]}, "'no-zone' names no time zone; give it by \"zone\""),
    (TIMESTAMP, {"formats": ["no-zone"], "zone": "Mars/Base"}, "'Mars/Base' is not a time zone"),
    (TIMESTAMP, {"formats": ["space"], "zone": "UTC"}, '"zone" belongs on a timestamp with'),
    (TIMESTAMP, {"zone": "UTC"}, '"zone" belongs on timestamps, beside "formats".'),
    (LOCAL, {"formats": ["basic-offset"]}, "'basic-offset' does not belong on a local timestamp."),
    (LOCAL, {"formats": ["%F %T%z"]}, "says the zone; a local timestamp has none."),
    (DATE, {"formats": ["%H:%M"]}, "does not say the year of a date."),
    (DATE, {"formats": ["%F %H:%M"]}, "says the hour; a date has none."),
    (TIME, {"formats": ["rfc2822"]}, "'rfc2822' does not belong on a time."),
    (DATE, {"formats": ["%d.%m.%Y", "%m.%d.%Y"]}, "read '03.02.2001' as different times"),
    (LOCAL, {"formats": ["%Y-%d-%mT%H:%M:%S"]}, "'%Y-%d-%mT%H:%M:%S' and 'ISO 8601' read"),
    (
        TIMESTAMP,
        {"formats": ["%Y%m%d%H%M"], "zone": "UTC", "epoch": "seconds", "accept": ["text"]},
        "texts of '%Y%m%d%H%M' are numbers, as those",
    ),
    (DATE, {"formats": ["%Q"]}, "has '%Q'; there are %Y %y"),
    (DATE, {"formats": ["%Y%"]}, "has '%'; there are"),
    (DATE, {"formats": ["%Y-%m-%d %Y"]}, "says the year twice."),
    (DATE, {"formats": ["%m-%d"]}, "says the month, but not the year."),
    (DATE, {"formats": ["%Y-%m"]}, "says the year, but not the day."),
    (DATE, {"formats": ["%-d%m%Y"]}, "has digits right after %-d"),
    (TIME, {"formats": ["%I:%M"]}, "has one of %I and %p, which need each other."),
    (TIME, {"formats": ["%H:%S"]}, "says the second, but not the minute."),
    ("bytes", {"encoding": "connect"}, '"encoding" belongs on decimals.'),
    (MONEY, {"encoding": "base64"}, '"encoding" of a decimal is "connect".'),
]


@pytest.mark.parametrize(("avro", "attributes", "why"), REFUSED, ids=json.dumps)
def test_what_does_not_fit_is_refused_in_a_sentence(
    avro: Any, attributes: dict[str, Any], why: str
) -> None:
    sentence = refusal(avro, **attributes)
    assert why in sentence
    assert sentence.endswith(".")

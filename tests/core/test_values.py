"""The leaf converters, each beside another reader of the same notation."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.core.reasons import Reason
from pipeline.core.schema import values
from pipeline.core.schema.values import ConversionError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FRACTIONS = st.from_regex(r"\A(\.[0-9]{1,9})?\Z")
OFFSETS = st.from_regex(r"\A(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])\Z")
SECONDS = st.datetimes().map(lambda moment: moment.replace(microsecond=0))
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?\Z")


def reason_of(misfit: pytest.ExceptionInfo[ConversionError], value: object) -> Reason:
    """Return why a value was refused; the sentence must not quote it."""
    assert str(misfit.value).endswith(".")
    assert len(str(value)) < 4 or str(value) not in str(misfit.value)
    return misfit.value.reason


# --------------------------------------------------------------------------------- times


@given(SECONDS, FRACTIONS, OFFSETS)
@example(datetime(1, 1, 1), "", "+00:01")  # noqa: DTZ001 - the year 0 in UTC
@example(datetime(9999, 12, 31, 23, 59, 59), ".999999999", "-00:01")  # noqa: DTZ001
def test_a_timestamp_is_what_python_reads(moment: datetime, fraction: str, offset: str) -> None:
    """Digits beyond microseconds are cut; what UTC puts outside 0001 to 9999 is refused."""
    text = f"{moment.isoformat()}{fraction}{offset}"
    try:
        expected = (datetime.fromisoformat(text).astimezone(UTC) - EPOCH) // MICROSECOND
    except OverflowError:
        with pytest.raises(ConversionError) as misfit:
            values.timestamp(text)
        assert reason_of(misfit, text) is Reason.OUT_OF_RANGE
    else:
        assert values.timestamp(text) == expected


@given(SECONDS, FRACTIONS)
def test_a_local_timestamp_is_what_python_reads(moment: datetime, fraction: str) -> None:
    text = f"{moment.isoformat()}{fraction}"
    expected = (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // MICROSECOND
    assert values.local_timestamp(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2027-11-23T09:30:00", "2026-11-23 09:30:00Z", "2026-11-23t09:30:00z", "2027-11-23",
        "2026-11-23T09:30Z", "2026-11-23T09:30:00+01", "2026-11-23T09:30:00+0100",
        "2026-11-23T09:30:00,5Z", "2026-11-23T09:30:00.Z", "2026-11-23T09:30:00.1234567890Z",
        "20261123T093000Z", "26-11-23T09:30:00Z", "+2026-11-23T09:30:00Z", "2026-11-23T09:30:00Z ",
        "２０２６-11-23T09:30:00Z", "2026-11-23T09:30:00Z\n", "", "now",
    ],
)  # fmt: skip
def test_a_timestamp_in_another_notation_is_refused(text: str) -> None:
    with pytest.raises(ConversionError) as misfit:
        values.timestamp(text)
    assert reason_of(misfit, text) is Reason.BAD_FORMAT


def test_a_timestamp_without_zone_is_rejected_as_such() -> None:
    with pytest.raises(ConversionError, match="it has no time zone"):
        values.timestamp("2026-11-23T09:30:00")


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "0000-01-01T00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T23:60:00Z",
        "2026-12-31T23:59:60Z", "2026-11-23T09:30:00+24:00", "2026-11-23T09:30:00+01:60",
    ],
)  # fmt: skip
def test_a_timestamp_that_is_on_no_clock_or_calendar_is_refused(text: str) -> None:
    with pytest.raises(ConversionError) as misfit:
        values.timestamp(text)
    assert reason_of(misfit, text) is Reason.OUT_OF_RANGE


@given(st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z") | st.dates().map(str) | st.text())
def test_a_date_is_what_python_reads(text: str) -> None:
    """In the one notation that is allowed."""
    try:
        expected = date.fromisoformat(text)
    except ValueError:
        expected = None
    if expected is None or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        with pytest.raises(ConversionError):
            values.day(text)
    else:
        assert values.day(text) == (expected - date(1970, 1, 1)).days


@given(st.integers(-(2**31), 2**31 - 1))
@example(values.FIRST_DAY)
@example(values.LAST_DAY)
@example(values.FIRST_DAY - 1)
@example(values.LAST_DAY + 1)
def test_an_epoch_day_lies_within_the_calendar(days: int) -> None:
    try:
        date(1970, 1, 1) + timedelta(days)
    except OverflowError:
        with pytest.raises(ConversionError):
            values.epoch_day(days)
    else:
        assert values.epoch_day(days) == days


@given(st.times().map(lambda clock: clock.replace(microsecond=0)), FRACTIONS)
def test_a_time_of_day_is_what_python_reads(clock: time, fraction: str) -> None:
    text = f"{clock.isoformat()}{fraction}"
    read = time.fromisoformat(text)
    seconds = (read.hour * 60 + read.minute) * 60 + read.second
    micros = seconds * 1_000_000 + read.microsecond
    assert values.time_of_day(1)(text) == micros
    assert values.time_of_day(1_000)(text) == micros // 1_000


@pytest.mark.parametrize("text", ["09:30", "9:30:00", "24:00:00", "09:30:60", "09:30:00Z", ""])
def test_what_is_not_a_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ConversionError):
        values.time_of_day(1)(text)


@given(
    st.floats(-1e18, 1e18) | st.integers(-(10**18), 10**18).map(float),
    st.sampled_from(["seconds", "millis", "micros"]),
)
@example(-62135596800.0, "seconds")
@example(253402300800.0, "seconds")
@example(253402300799.99997, "seconds")
@example(0.5, "micros")
@example(1.5, "micros")
@example(-0.0, "micros")
def test_an_epoch_is_a_double_times_its_unit_rounded_half_to_even(value: float, unit: str) -> None:
    """`Fraction` rounds half to even, exactly."""
    if _is_likely_in_a_coarser_unit(value, unit):
        with pytest.raises(ConversionError) as misfit:
            values.epoch_timestamp(unit)(value)
        assert reason_of(misfit, value) is Reason.OUT_OF_RANGE
        return
    micros = round(Fraction(value * {"seconds": 1e6, "millis": 1e3, "micros": 1.0}[unit]))
    try:
        EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        with pytest.raises(ConversionError) as misfit:
            values.epoch_timestamp(unit)(value)
        assert reason_of(misfit, value) is Reason.OUT_OF_RANGE
    else:
        assert values.epoch_timestamp(unit)(value) == micros


def _is_likely_in_a_coarser_unit(value: float, unit: str) -> bool:
    """Whether a number is a time of 1980 to 2100 in a unit that is coarser."""
    seconds = [value, value / 1_000][: {"seconds": 0, "millis": 1, "micros": 2}[unit]]
    low, high = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1980, 2100))
    return any(low <= count < high for count in seconds)


# ------------------------------------------------------------------------------- numbers


def decimal(text: str, precision: int, scale: int) -> Decimal | None:
    """Read one JSON token as a decimal field does."""
    return values.decimal_of(precision, scale)(msgspec.Raw(text.encode()))


@given(NUMBERS, st.integers(1, 38), st.integers(0, 38), st.booleans())
@example("1.100", 3, 2, True)
@example("1.101", 3, 2, False)
@example("10.00", 3, 2, False)
@example("1e2", 3, 0, False)
@example("-0", 1, 0, False)
@example("0e99", 1, 0, False)
@example("0e-99", 1, 0, True)
def test_a_decimal_keeps_its_value_exactly_or_is_refused(
    number: str, precision: int, scale: int, quoted: bool
) -> None:
    """`Fraction` knows which values fit: whole steps of the scale, within the precision."""
    scale = min(scale, precision)
    steps = Fraction(Decimal(number)) * 10**scale
    token = f'"{number}"' if quoted else number
    if steps.denominator == 1 and abs(steps) < 10**precision:
        read = decimal(token, precision, scale)
        assert read is not None
        assert Fraction(read) == Fraction(Decimal(number))
        assert read.as_tuple().exponent == -scale
    else:
        with pytest.raises(ConversionError) as misfit:
            decimal(token, precision, scale)
        assert reason_of(misfit, number) is Reason.DECIMAL_MISFIT


@pytest.mark.parametrize(
    "text", ["", " 1.10", "1.10 ", "1_0.0", "NaN", "Infinity", "+1", "01", "1.", ".5", "1e", "١"]
)
def test_a_string_that_is_not_a_json_number_is_not_a_decimal(text: str) -> None:
    """Python's Decimal accepts most of these."""
    with pytest.raises(ConversionError) as misfit:
        decimal(f'"{text}"', 10, 2)
    assert reason_of(misfit, text) is Reason.BAD_FORMAT


def test_null_is_neither_a_decimal_nor_a_violation() -> None:
    assert decimal("null", 10, 2) is None


@pytest.mark.parametrize("exponent", ["99999999999999999999", "-99999999999999999999"])
def test_zero_fits_whatever_its_exponent(exponent: str) -> None:
    """Python's Decimal has no room for such exponents."""
    assert decimal(f"0e{exponent}", 3, 2) == 0


@pytest.mark.parametrize("number", ["1e99999999999999999999", "1e-99999999999999999999"])
def test_a_number_too_large_or_small_for_any_reader_does_not_fit(number: str) -> None:
    with pytest.raises(ConversionError) as misfit:
        decimal(number, 38, 19)
    assert reason_of(misfit, number) is Reason.DECIMAL_MISFIT


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(3.4028234663852886e38)
@example(3.4028235677973366e38)
@example(3.4028235677973362e38)
@example(-1e39)
def test_a_float32_is_what_stays_finite_in_32_bits(value: float) -> None:
    try:
        struct.pack("<f", value)
    except OverflowError:
        with pytest.raises(ConversionError) as misfit:
            values.float32(value)
        assert reason_of(misfit, value) is Reason.OUT_OF_RANGE
    else:
        assert values.float32(value) == value


# --------------------------------------------------------------------------------- texts


@given(st.uuids(), st.booleans())
def test_a_uuid_is_kept_in_lower_case(value: UUID, upper: bool) -> None:
    assert values.uuid(str(value).upper() if upper else str(value)) == str(value)


@pytest.mark.parametrize(
    "text",
    [
        "7c9e6679742540de944be07fc1f90ae7", "{7c9e6679-7425-40de-944b-e07fc1f90ae7}",
        "urn:uuid:7c9e6679-7425-40de-944b-e07fc1f90ae7", "7c9e6679-7425-40de-944b-e07fc1f90ae",
        "7c9e6679-7425-40de-944b-e07fc1f90aeg", "7c9e66797-425-40de-944b-e07fc1f90ae7", "",
    ],
)  # fmt: skip
def test_a_uuid_in_another_notation_is_refused(text: str) -> None:
    """Python's UUID accepts the first three."""
    with pytest.raises(ConversionError):
        values.uuid(text)


@given(
    st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode())
    | st.text("AQZaz09+/=-_ \né", max_size=10)
)
def test_base64_is_what_the_standard_library_takes_strictly(text: str) -> None:
    """Padded, the standard alphabet, nothing between."""
    read = values.base64(None)
    try:
        expected = base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error is one
        with pytest.raises(ConversionError) as misfit:
            read(text)
        assert misfit.value.reason is Reason.BAD_FORMAT
    else:
        if base64.b64encode(expected).decode() != text:  # with padding that Python lets pass
            with pytest.raises(ConversionError):
                read(text)
            return
        assert read(text) == expected


@pytest.mark.parametrize("text", ["=", "A===", "AA==AA==", "====", "AA=A", "A", "AA", "AAA"])
def test_base64_with_padding_in_the_wrong_place_is_refused(text: str) -> None:
    with pytest.raises(binascii.Error):
        binascii.a2b_base64(text, strict_mode=True)
    with pytest.raises(ConversionError):
        values.base64(None)(text)


@given(st.binary(max_size=8), st.integers(0, 8))
def test_a_fixed_has_its_exact_size(data: bytes, size: int) -> None:
    text = base64.b64encode(data).decode()
    if len(data) == size:
        assert values.base64(size)(text) == data
    else:
        with pytest.raises(ConversionError, match=f"holds {len(data)} bytes, not {size}"):
            values.base64(size)(text)


def test_time_zones_do_not_matter_to_an_instant() -> None:
    """One instant, written in every whole-hour zone."""
    moment = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    texts = [
        moment.astimezone(timezone(timedelta(hours=hours))).isoformat() for hours in range(-23, 24)
    ]
    assert {values.timestamp(text) for text in texts} == {(moment - EPOCH) // MICROSECOND}

"""Forms of times, by the names that a schema's `"formats"` gives: read to microseconds, exactly.

Some names loosen the strict ISO form, and do so together: `["space", "comma"]` reads both of
`2026-11-23 09:30:00Z` and `2026-11-23T09:30:00,5Z`, and `2026-11-23 09:30:00,5Z`. The others are
forms of their own: `rfc2822`, and patterns (`time_patterns`). The strict form is always read, too.
The first form that a text is of decides; two forms that read one text as different times are
refused when the schema is read.

A text without a zone is a time by the clocks of `"zone"`. What those clocks skip or show twice,
when they are put forward or back, is rejected.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal, cast

import msgspec

from pipeline.core.reasons import Reason
from pipeline.core.schema.time_patterns import (
    DAYS,
    MONTHS,
    Parts,
    Pattern,
    UnusablePattern,
    offset_of,
    parse_pattern,
)
from pipeline.core.schema.values import (
    ConversionError,
    days_of,
    instant,
    micros_of,
    within_years,
)

Kind = Literal["timestamp", "local timestamp", "date", "time"]
LOOSER: dict[str, tuple[str, frozenset[Kind]]] = {
    "space": ("a space for the T", frozenset({"timestamp", "local timestamp"})),
    "comma": (
        "a comma before the fraction",
        frozenset({"timestamp", "local timestamp", "time"}),
    ),
    "no-seconds": (
        "a time without seconds",
        frozenset({"timestamp", "local timestamp", "time"}),
    ),
    "basic-offset": ("a zone as `+0100` or `+01`", frozenset({"timestamp"})),
    "no-zone": ('no zone, where it is that of `"zone"`', frozenset({"timestamp"})),
}
"""The names that loosen the ISO form: what each accepts, and where."""
RFC2822 = "rfc2822"

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - by any clock
_MICRO = timedelta(microseconds=1)
_DATE = "([0-9]{4})-([0-9]{2})-([0-9]{2})"
_rfc2822 = re.compile(
    rf"(?:(?i:{'|'.join(day[:3] for day in DAYS)}), )?([0-9]{{1,2}}) "
    rf"((?i:{'|'.join(month[:3] for month in MONTHS)})) ([0-9]{{4}}) "
    r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))? "
    r"([+-][0-9]{4}|(?i:UT|UTC|GMT|[ECMP][SD]T))(?: \([^()]*\))?",
    re.ASCII,
)
_AMERICAN = {"E": -5, "C": -6, "M": -7, "P": -8}  # hours, in winter
# Moments whose parts are hard to tell apart: by them the forms of a field are held together.
_MOMENTS = tuple(
    datetime(*parts)  # noqa: DTZ001 - by any clock
    for parts in (
        (2001, 2, 3, 4, 5, 6), (2003, 2, 1, 6, 5, 4), (2002, 3, 1, 1, 2, 3),
        (2010, 11, 12, 9, 8, 7),
        (2012, 11, 10, 7, 8, 9), (2007, 8, 9, 10, 11, 12), (2026, 11, 23, 22, 33, 44),
        (1999, 12, 31, 23, 59, 58), (2020, 2, 20, 20, 20, 2), (2011, 12, 10, 12, 11, 10),
    )
)  # fmt: skip
_EXAMPLES = {
    "timestamp": "2026-11-23T09:30:00.123456Z",
    "local timestamp": "2026-11-23T09:30:00.123456",
    "date": "2026-11-23",
    "time": "09:30:00.123",
}
_Read = Callable[[str], Parts | None]
_Write = Callable[[datetime], str]


class UnusableFormats(Exception):
    """The formats, or the zone, of a field are not usable; the message says why."""


class _Form(msgspec.Struct, frozen=True):
    """One form: `says_zone` is whether every text of it names its zone."""

    name: str
    says_zone: bool
    read: _Read
    write: _Write


class TimeForms(msgspec.Struct, frozen=True):
    """The forms of one field. `zone` is that of texts that name none."""

    kind: Kind
    names: tuple[str, ...]
    zone: tzinfo | None
    zone_name: str
    forms: tuple[_Form, ...]

    def read(self, text: str) -> int:
        """Return microseconds since 1970 (of a time: since midnight; of a date: at its midnight).

        Raises `ConversionError`.
        """
        for form in self.forms:
            parts = form.read(text)
            if parts is not None:
                return self.moment(parts)
        names = ", ".join((*self.names, f"ISO 8601 (as {_EXAMPLES[self.kind]})"))
        message = f"The string is in none of the forms of this {self.kind}: {names}."
        raise ConversionError(Reason.BAD_FORMAT, message)

    def moment(self, parts: Parts) -> int:
        """Bring the parts of a text to UTC, where its kind has a zone."""
        if parts.offset is not None:
            return within_years(parts.local - parts.offset)
        if self.zone is None:
            return parts.local
        return within_years(parts.local - _offset_in(self.zone, self.zone_name, parts.local))

    def all_names(self) -> tuple[str, ...]:
        """Return the name of each form, the ISO form first."""
        return tuple(form.name for form in self.forms)

    def texts(self) -> tuple[Callable[[int], str], ...]:
        """Return a writer of each form, for moments in microseconds since 1970 (UTC)."""
        return tuple(self._writer(form) for form in self.forms)

    def loosened(self) -> frozenset[str]:
        """Return the names, if they only loosen ISO 8601 and a missing zone is UTC; else none."""
        alone = self.zone in (None, UTC) and all(name in LOOSER for name in self.names)
        return frozenset(self.names) if alone else frozenset()

    def _writer(self, form: _Form) -> Callable[[int], str]:
        zone = self.zone if self.zone is not None and not form.says_zone else UTC

        def write(micros: int) -> str:
            moment = _EPOCH.replace(tzinfo=UTC) + timedelta(microseconds=micros)
            return form.write(moment.astimezone(zone))

        return write


def time_forms(kind: Kind, names: Sequence[str], zone: str | None) -> TimeForms:
    """Make the forms of a field of these names. Raises `UnusableFormats`."""
    for name in names:
        if names.count(name) > 1:
            raise UnusableFormats(f'"formats" has {name!r} twice.')
    loose = frozenset(name for name in names if name in LOOSER)
    for name in loose:
        if kind not in LOOSER[name][1]:
            raise UnusableFormats(f'"formats": {name!r} does not belong on a {kind}.')
    forms = [_iso(kind, loose)]
    forms += [_named(kind, name) for name in names if name not in loose]
    silent = [form.name for form in forms if not form.says_zone]
    if kind == "timestamp" and silent and zone is None:
        raise UnusableFormats(
            f'"formats": {silent[0]!r} names no time zone; give it by "zone", as in "zone": "UTC" '
            'or "zone": "Europe/Berlin".'
        )
    if zone is not None and (kind != "timestamp" or not silent):
        raise UnusableFormats(
            '"zone" belongs on a timestamp with "formats" whose texts name no zone, as "no-zone".'
        )
    found = None if zone is None else zone_of(zone)
    made = TimeForms(kind, tuple(names), found, zone or "", tuple(forms))
    _refuse_ambiguity(made)
    return made


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name, or as `+01:00`. Raises `UnusableFormats`."""
    if name in ("UTC", "Etc/UTC", "Z"):
        return UTC
    if re.fullmatch("[+-][0-9]{2}:[0-9]{2}", name, re.ASCII):
        try:
            return timezone(offset_of(name) * _MICRO)
        except (ConversionError, ValueError):
            pass
    import zoneinfo  # noqa: PLC0415 - few datasets have zones, and it costs a start

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        message = (
            f'"zone": {name!r} is not a time zone of the IANA database of this machine, such as '
            '"Europe/Berlin", nor a distance such as "+01:00".'
        )
        raise UnusableFormats(message) from None


def _offset_in(zone: tzinfo, name: str, local: int) -> int:
    """Return a zone's distance to UTC at a local time. Raises `ConversionError`."""
    clock = (_EPOCH + local * _MICRO).replace(tzinfo=zone)
    before = cast("timedelta", clock.utcoffset())
    after = cast("timedelta", clock.replace(fold=1).utcoffset())
    if before == after:
        return before // _MICRO
    how = "is skipped" if before < after else "occurs twice"
    message = f"The local time {how} in {name}, as clocks are changed there; it has no one instant."
    raise ConversionError(Reason.OUT_OF_RANGE, message)


def _iso(kind: Kind, loose: frozenset[str]) -> _Form:
    """Make the ISO form, loosened by these names."""
    point = "[.,]" if "comma" in loose else r"\."
    seconds = rf":([0-9]{{2}})(?:{point}([0-9]{{1,9}}))?"
    if "no-seconds" in loose:
        seconds = f"(?:{seconds})?"
    clock = f"([0-9]{{2}}):([0-9]{{2}}){seconds}"
    zone = "(Z|[+-][0-9]{2}:[0-9]{2})"
    if "basic-offset" in loose:
        zone = "(Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
    if "no-zone" in loose:
        zone += "?"
    between = "[T ]" if "space" in loose else "T"
    whole = {
        "timestamp": f"{_DATE}{between}{clock}{zone}",
        "local timestamp": f"{_DATE}{between}{clock}()",
        "date": f"{_DATE}()()()()()",
        "time": f"()()(){clock}()",
    }[kind]
    match = re.compile(whole, re.ASCII).fullmatch

    def read(text: str) -> Parts | None:
        found = match(text)
        if found is None:
            return None
        year, month, day, *clock, zone = found.groups()
        local = instant(year, month, day, *clock) if year else micros_of(*_four(clock))
        return Parts(local, offset_of(zone) if zone else None)

    name = "no-zone" if "no-zone" in loose else "ISO 8601"
    says_zone = kind == "timestamp" and "no-zone" not in loose
    return _Form(name, says_zone, read, _iso_writer(kind, loose))


def _four(clock: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    hours, minutes, seconds, fraction = clock
    return hours, minutes, seconds, fraction


def _iso_writer(kind: Kind, loose: frozenset[str]) -> _Write:
    """Return a writer of the loosest form: what it can leave out or change, it does."""
    between = " " if "space" in loose else "T"
    zone = {True: "%z", False: "+00:00"}["basic-offset" in loose] if kind == "timestamp" else ""
    zone = "" if "no-zone" in loose else zone

    def write(moment: datetime) -> str:
        date, clock = (
            f"{moment.year:04}-{moment.month:02}-{moment.day:02}",
            moment.strftime("%H:%M:%S"),
        )
        clock += f"{',' if 'comma' in loose else '.'}{moment.microsecond:06}"
        if "no-seconds" in loose and not moment.second and not moment.microsecond:
            clock = clock[:5]
        end = "+0000" if zone == "%z" else zone
        if kind in ("date", "time"):
            return date if kind == "date" else clock
        return f"{date}{between}{clock}{end}"

    return write


def _named(kind: Kind, name: str) -> _Form:
    """Make a form of its own: `rfc2822`, or a pattern."""
    if name == RFC2822:
        if kind != "timestamp":
            raise UnusableFormats(f'"formats": {name!r} does not belong on a {kind}.')
        return _Form(name, says_zone=True, read=_read_rfc2822, write=_write_rfc2822)
    if "%" not in name:
        known = ", ".join((*LOOSER, RFC2822))
        raise UnusableFormats(
            f'"formats": {name!r} is unknown; there are {known}, and patterns such as "%d.%m.%Y".'
        )
    try:
        pattern = parse_pattern(name)
    except UnusablePattern as error:
        raise UnusableFormats(f'"formats": {name!r} {error}.') from None
    _check_kind(kind, pattern)
    return _Form(name, "zone" in pattern.parts, pattern.read, pattern.write)


def _check_kind(kind: Kind, pattern: Pattern) -> None:
    """Refuse a pattern that says less, or more, than values of a kind are."""
    wanted = {"time": "hour"}.get(kind, "year")
    if wanted not in pattern.parts:
        raise UnusableFormats(f'"formats": {pattern.text!r} does not say the {wanted} of a {kind}.')
    unwanted = {
        "timestamp": (), "local timestamp": ("zone",), "date": ("hour",), "time": ("year", "zone"),
    }[kind]  # fmt: skip
    for part in unwanted:
        if part in pattern.parts:
            raise UnusableFormats(
                f'"formats": {pattern.text!r} says the {part}; a {kind} has none.'
            )


def _read_rfc2822(text: str) -> Parts | None:
    found = _rfc2822.fullmatch(text)
    if found is None:
        return None
    day, month, year, hours, minutes, seconds, zone = found.groups()
    number = [known[:3].lower() for known in MONTHS].index(month.lower()) + 1
    days = days_of(year, str(number), day)
    local = days * 86_400_000_000 + micros_of(hours, minutes, seconds, None)
    if zone[1:].upper() in ("ST", "DT"):
        hours_off = _AMERICAN[zone[0].upper()] + (zone[1].upper() == "D")
        return Parts(local, hours_off * 3_600_000_000)
    return Parts(local, offset_of(zone))


def _write_rfc2822(moment: datetime) -> str:
    day, month = DAYS[moment.weekday()][:3], MONTHS[moment.month - 1][:3]
    clock = moment.strftime("%H:%M:%S")
    return f"{day}, {moment.day:02} {month} {moment.year:04} {clock} +0000"


def _refuse_ambiguity(made: TimeForms) -> None:
    """Refuse forms of which one reads what another writes as another time."""
    for form in made.forms:
        for moment in _MOMENTS:
            text = form.write(moment)
            meant = _tried(made, form, text)
            for other in made.forms:
                found = _tried(made, other, text)
                if meant is not None and found is not None and found != meant:
                    raise UnusableFormats(
                        f'"formats": {form.name!r} and {other.name!r} read {text!r} as different '
                        "times; leave one of them out."
                    )


def _tried(made: TimeForms, form: _Form, text: str) -> int | None:
    try:
        parts = form.read(text)
        return None if parts is None else made.moment(parts)
    except ConversionError:
        return None

"""Times as producers write them: by which of the forms that a schema can name they are read."""

import functools
import re
from dataclasses import dataclass

from pipeline.authoring.infer.forms import Fit, fitting_forms
from pipeline.core.schema.time_forms import Kind, TimeForms, time_forms
from pipeline.core.schema.values import ConversionError

_YEAR = re.compile(r"(?:19|20)[0-9]{2}|[0-9] ?[aApP][mM]$")
_NUMBER = re.compile(r"[-+0-9.eE]+")
_FEWEST_DIGITS = 3
_LONGEST = 64  # characters
_EPOCH = re.compile(r"[0-9]{9,10}(?:\.[0-9]{1,9})?|[0-9]{13}|[0-9]{16}|[0-9]{19}")
_YEARS = (5e8, 5e9)  # seconds: 1985 to 2128
_EPOCH_UNITS = {10: "seconds", 13: "millis", 16: "micros", 19: "nanos"}  # by their digits
_SLASHES = re.compile(r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}.*|[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}.*")
# By the name of a looser ISO form: what a text that needs it looks like.
_NEEDS = {
    "space": re.compile(r".{10} .*"),
    "comma": re.compile(r".*,.*"),
    "no-seconds": re.compile(r".{11}[0-9]{2}:[0-9]{2}(?:[^:0-9].*)?"),
    "basic-offset": re.compile(r".{16,}[+-][0-9]{2}(?:[0-9]{2})?"),
}


@dataclass(frozen=True, slots=True)
class TimeForm:
    """A form: the logical type that it is drafted as, and what reads it.

    `names` are those of `"formats"`; of `loose`, the looser ISO forms, those that texts need are.
    """

    logical: str
    reader: TimeForms
    names: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()


def _form(kind: Kind, *names: str, loose: bool = False) -> TimeForm:
    logical = "timestamp-micros" if kind == "timestamp" else "local-timestamp-micros"
    fixed, optional = ((), names) if loose else (names, ())
    return TimeForm(logical, time_forms(kind, names, None), fixed, optional)


FORMS: dict[str, TimeForm] = {
    "zoned": _form("timestamp", *_NEEDS, loose=True),
    "local": _form("local timestamp", "space", "comma", "no-seconds", loose=True),
    "rfc2822": _form("timestamp", "rfc2822"),
}
"""The forms by which times are drafted by majority, beside the strict one."""


def forms_of(text: str) -> list[str]:
    """Return the forms that a text is of."""
    if not text[:1].isalnum() or len(text) > _LONGEST or text.isdecimal():
        return []
    return [name for name, form in FORMS.items() if _reads(form.reader, text)]


def _reads(reader: TimeForms, text: str) -> bool:
    try:
        reader.read(text)
    except ConversionError:
        return False
    return True


def may_be_time(text: str) -> bool:
    """Say whether a text has a year, or a clock of twelve hours, and is not a number."""
    if len(text) > _LONGEST or not _YEAR.search(text) or _NUMBER.fullmatch(text):
        return False
    return sum(map(str.isdigit, text)) >= _FEWEST_DIGITS


@functools.lru_cache(maxsize=64)
def pattern_of(texts: tuple[str, ...]) -> Fit | None:
    """Return the one pattern by which all texts are times that need no more to be said."""
    for fit in fitting_forms(texts):
        formats = fit.attributes.get("formats", ())
        if not fit.needs_zone and any("%" in name for name in formats):
            return fit
    return None


def looser(text: str) -> list[str]:
    """Return the looser ISO forms that a time in ISO's form needs."""
    return [name for name, pattern in _NEEDS.items() if pattern.fullmatch(text)]


def hint_of(text: str) -> str | None:
    """Say what a text that is not of any form may still be, as a time."""
    whole = text.partition(".")[0]
    if _EPOCH.fullmatch(text):
        unit = _EPOCH_UNITS[max(10, len(whole))]
        low, high = _YEARS
        if low <= int(whole) / 10 ** (max(10, len(whole)) - 10) <= high:
            return f'{unit} since 1970, as text: "epoch": "{unit}" with "accept": ["text"] reads it'
    if _SLASHES.fullmatch(text):
        return 'a date, and only you know its order: "formats" with a pattern reads it'
    return None

"""Which readings by choice fit a list of texts: what inference may propose for a string field.

A reading fits if it reads every text. Of names that loosen the ISO form only those are kept that
the texts need. Patterns are tried from a list of known ones; where two of them read the texts as
different times (`03/04/2026`), neither fits, as only the producer knows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from pipeline.core.schema.logical_types import Definition, find_definition
from pipeline.core.schema.readings import TEXT, WHOLE_FLOATS, with_readings
from pipeline.core.schema.time_forms import LOOSER, RFC2822, Kind, UnusableFormats, time_forms
from pipeline.core.schema.values import NUMBER, ConversionError

_ANY_ZONE = "UTC"
_TYPES: dict[Kind, tuple[str, str]] = {
    "timestamp": ("long", "timestamp-micros"),
    "local timestamp": ("long", "local-timestamp-micros"),
    "date": ("int", "date"),
    "time": ("long", "time-micros"),
}
_DAYS = (
    "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%-d.%-m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%Y",
    "%m/%d/%Y", "%-d/%-m/%Y", "%-m/%-d/%Y", "%d %b %Y", "%-d %b %Y", "%b %-d, %Y", "%B %-d, %Y",
    "%d-%b-%Y", "%d %B %Y",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S,%f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_MOMENTS = (
    "%d/%b/%Y:%H:%M:%S", "%a %b %e %H:%M:%S %Y", "%Y%m%dT%H%M%S", "%Y%m%d%H%M%S",
    "%a %b %e %H:%M:%S UTC %Y", "%a, %d %b %Y %H:%M:%S", "%Y-%m-%d %H:%M:%S UTC",
    *(f"{day} {clock}" for day in ("%Y-%m-%d", *_DAYS) for clock in _CLOCKS),
)  # fmt: skip
_ZONES = (" %z", "%z")
PATTERNS: dict[Kind, tuple[str, ...]] = {
    "timestamp": (
        *(f"{moment}{zone}" for moment in _MOMENTS for zone in _ZONES),
        "%a %b %e %H:%M:%S %z %Y",
        *_MOMENTS,
    ),
    "local timestamp": _MOMENTS,
    "date": _DAYS,
    "time": ("%I:%M:%S %p", "%I:%M %p", "%H%M%S"),
}
"""The patterns that are tried, by what they are tried for."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A type and the attributes beside a field's name that read every text.

    `needs_zone`: the texts name no zone, and the one in `attributes` stands for any.
    """

    type: Any
    attributes: dict[str, Any] = field(default_factory=dict)
    needs_zone: bool = False


def fitting_forms(texts: Sequence[str]) -> list[Fit]:
    """Return what reads all of these texts, the most exact first; nothing if only a string does.

    A type that needs no attribute (a strict timestamp) is among them, with none.
    """
    if not texts:
        return []
    distinct = list(dict.fromkeys(texts))
    return [*_plain(distinct), *(fit for kind in _TYPES for fit in _times(kind, distinct))]


def _plain(texts: Sequence[str]) -> Iterator[Fit]:
    """Yield numbers and booleans in text."""
    if all(text.lower() in ("true", "false") for text in texts):
        yield Fit("boolean", {"accept": [TEXT]})
    if not all(map(NUMBER.fullmatch, texts)):
        return
    for accept in ([TEXT], [TEXT, WHOLE_FLOATS]):
        if _reads("long", accept, texts):
            yield Fit("long", {"accept": accept})
            break
    if _reads("double", [TEXT], texts):
        yield Fit("double", {"accept": [TEXT]})


def _reads(kind: str, accept: list[str], texts: Sequence[str]) -> bool:
    definition = cast("Definition", find_definition(kind, None, None))
    scalar = with_readings(definition.make({}), {"accept": accept})
    convert = cast("Callable[[msgspec.Raw], Any]", scalar.convert)
    try:
        for text in texts:
            convert(msgspec.Raw(f'"{text}"'.encode()))
    except ConversionError:
        return False
    return True


def _times(kind: Kind, texts: Sequence[str]) -> Iterator[Fit]:
    """Yield a kind of time with the fewest names, or with one pattern, that read all texts."""
    primitive, logical = _TYPES[kind]
    avro = {"type": primitive, "logicalType": logical}
    loose = [name for name in LOOSER if kind in LOOSER[name][1]]
    if _moments(kind, loose, texts) is not None:
        for name in list(loose):
            fewer = [other for other in loose if other != name]
            if _moments(kind, fewer, texts) is not None:
                loose = fewer
        yield _fit(avro, loose, kind)
    elif kind == "timestamp" and _moments(kind, [RFC2822], texts) is not None:
        yield _fit(avro, [RFC2822], kind)
    else:
        found = [(name, _moments(kind, [name], texts[:1])) for name in PATTERNS[kind]]
        fits = [(name, _moments(kind, [name], texts)) for name, first in found if first is not None]
        readings = {moments: name for name, moments in reversed(fits) if moments is not None}
        if len(readings) == 1:
            yield _fit(avro, list(readings.values()), kind)


def _fit(avro: dict[str, str], names: list[str], kind: Kind) -> Fit:
    if not names:
        return Fit(avro)
    zone = _zone_for(kind, names)
    attributes: dict[str, Any] = {"formats": names} | ({} if zone is None else {"zone": zone})
    return Fit(avro, attributes, needs_zone=zone is not None)


def _zone_for(kind: Kind, names: Sequence[str]) -> str | None:
    """Return a zone where the forms of these names need one."""
    silent = any(
        name == "no-zone"
        or ("%" in name and not {"%z", "%Z"} & {name[i : i + 2] for i in range(len(name))})
        for name in names
    )
    return _ANY_ZONE if kind == "timestamp" and silent else None


def _moments(kind: Kind, names: Sequence[str], texts: Sequence[str]) -> tuple[int, ...] | None:
    """Return the moments of all texts; None if one is not of these forms."""
    try:
        read = time_forms(kind, names, _zone_for(kind, names)).read
        return tuple(map(read, texts))
    except (ConversionError, UnusableFormats):
        return None

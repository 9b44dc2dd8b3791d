"""Times as producers write them, in forms that no type accepts as it is."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
_ZONE = r"(?:Z|z| ?UTC| ?[+-][0-9]{2}(?::?[0-9]{2})?)"
_ISO = re.compile(rf"({_DATE})([T ])({_TIME})({_ZONE})?")
_SLASHES = re.compile(
    rf"[0-9]{{1,4}}/(?:[0-9]{{1,2}}|[A-Z][a-z]{{2}})/[0-9]{{2,4}}(?:[ :]{_TIME}{_ZONE}?)?"
)
_MAIL = re.compile(r"(?:[A-Z][a-z]{2}, )?[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} .{5,20}")
_COMPACT = re.compile(r"[0-9]{8}T[0-9]{6}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?")
_EPOCH = re.compile(r"[0-9]{9,10}(?:\.[0-9]{1,9})?|[0-9]{13}|[0-9]{16}|[0-9]{19}")
_YEARS = (5e8, 5e9)  # seconds: 1985 to 2128


def _is_iso(text: str) -> bool:
    match = _ISO.fullmatch(text)
    if match is None:
        return False
    try:
        datetime.fromisoformat(f"{match[1]}T{match[3][:5]}").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def _is_zoned(text: str) -> bool:
    match = _ISO.fullmatch(text)
    return match is not None and match[4] is not None and _is_iso(text)


def _is_local(text: str) -> bool:
    match = _ISO.fullmatch(text)
    return match is not None and match[4] is None and _is_iso(text)


def _is_mail(text: str) -> bool:
    if not _MAIL.fullmatch(text):
        return False
    try:
        parsedate_to_datetime(text)
    except ValueError:
        return False
    return True


def _is_epoch(text: str) -> bool:
    if not _EPOCH.fullmatch(text):
        return False
    whole = text.partition(".")[0]
    seconds = int(whole) / 10 ** max(0, len(whole) - 10)
    low, high = _YEARS
    return low <= seconds <= high


OTHER_FORMS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "zoned": ("2026-11-23 09:30:00+0000, or so, with a zone", _is_zoned),
    "local": ("2026-11-23 09:30:00, or so, without a zone", _is_local),
    "mail": ("Mon, 23 Nov 2026 09:30:00 GMT (RFC 2822)", _is_mail),
    "compact": ("20261123T093000Z", lambda text: _COMPACT.fullmatch(text) is not None),
    "slashes": (
        "23/Nov/2026:09:30:00 +0000, or so",
        lambda text: _SLASHES.fullmatch(text) is not None,
    ),
    "epoch": ("seconds or their parts since 1970, as text", _is_epoch),
}
"""Each form by its name: how it looks, and whether a text has it."""


def fits_form(name: str, text: str) -> bool:
    """Say whether a text has a form."""
    return OTHER_FORMS[name][1](text)

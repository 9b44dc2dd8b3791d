"""Values as JSON that tells them apart, whatever classes a reader has for them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal
from typing import Any

_PAIR = 2
_EVERY_DIGIT = Context(prec=100)


def canonical(value: Any) -> Any:  # noqa: C901, PLR0911, PLR0912 - one line a type
    """Return a value as JSON; maps and records are objects, instants are in UTC."""
    kind = type(value).__name__
    if value is None or kind in ("NAType", "NaTType"):
        return None
    if kind in ("bool", "bool_"):
        return bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, Decimal):
        return {"decimal": str(value.normalize(_EVERY_DIGIT)) if value else "0"}
    if isinstance(value, datetime):
        if kind == "Timestamp":
            value = value.to_pydatetime(warn=False)  # type: ignore[attr-defined]  # pandas'
        if value.tzinfo is None:
            return {"local": value.isoformat(timespec="microseconds")}
        return {"instant": value.astimezone(UTC).isoformat(timespec="microseconds")}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if isinstance(value, time):
        return {"time": value.isoformat(timespec="microseconds")}
    if isinstance(value, dict) and not value:
        return []  # as an empty list of pairs
    if isinstance(value, dict):
        return {"object": {str(key): canonical(item) for key, item in sorted(value.items())}}
    if hasattr(value, "asDict"):
        return canonical(value.asDict())
    if hasattr(value, "tolist"):
        return canonical(value.tolist())
    if isinstance(value, list | tuple):
        if value and all(type(item) is tuple and len(item) == _PAIR for item in value):
            return canonical(dict(value))
        return [canonical(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return int(value)

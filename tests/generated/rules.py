"""Rules of a field, as a schema writes them and as Python checks them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from generated.spelling import Literal


@dataclass(frozen=True)
class Pattern:
    """An RE2 pattern, the same in Python's notation, a string that matches and one that does not."""

    re2: str
    python: str
    sample: str
    broken: str


PATTERNS = (
    Pattern("^[a-c]+$", r"\A[a-c]+\Z", "abc", "abc\n"),
    Pattern("b", "b", "abc", "ac"),
    Pattern(r"^\p{Lu}\d$", r"\A[A-ZÉ][0-9]\Z", "É7", "É٧"),
    Pattern("(?i)^straße", "(?i)^straße", "STRAßE 1", "x"),
    Pattern("^$", r"\A\Z", "", "\n"),
    Pattern("^(a+)+$", r"\Aa+\Z", "a" * 30, "a" * 30 + "b"),
    Pattern("^.$", r"\A.\Z", "😀", "😀😀"),
    Pattern('["\\\\]', '["\\\\]', '"', "'"),
)


@dataclass(frozen=True)
class Rules:
    """The rules of a field; None where there is none."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: Pattern | None = None

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the rules as a schema writes them."""
        given = {
            "minimum": None if self.minimum is None else Literal(str(self.minimum)),
            "maximum": None if self.maximum is None else Literal(str(self.maximum)),
            "minLength": self.min_length,
            "maxLength": self.max_length,
            "pattern": None if self.pattern is None else self.pattern.re2,
        }
        return {name: value for name, value in given.items() if value is not None}

    def kept_by(self, value: Any) -> bool:
        """Return whether a value keeps them; null keeps all."""
        if value is None:
            return True
        # A limit of floats is the nearest double.
        number = float if isinstance(value, float) else Decimal
        return not (
            (self.minimum is not None and value < number(self.minimum))
            or (self.maximum is not None and value > number(self.maximum))
            or (self.min_length is not None and len(value) < self.min_length)
            or (self.max_length is not None and len(value) > self.max_length)
            or (self.pattern is not None and not re.search(self.pattern.python, value))
        )


NO_RULES = Rules()

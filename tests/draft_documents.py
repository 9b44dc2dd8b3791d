"""Documents for drafts: generated ones that have something in common."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

UUID = "7C9E6679-7425-40de-944b-e07fc1f90ae7"
KEYS = st.sampled_from(
    ["a", "A", "b", "ts", "@ts", "id", "date", "_source", "at", "", "ü", 'q"', "1", "22", "price"]
)
TEXTS = st.sampled_from(
    ["", "x", UUID, "2026-11-23", "2026-11-23T09:30:00Z", "2026-11-23T09:30:00", "09:30:00", "1.5"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1588205199.5, 0, 1])
    | TEXTS
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
PLACES = st.dictionaries(KEYS, st.sampled_from([SCALARS, TEXTS, VALUES]), min_size=1, max_size=5)


@st.composite
def like_documents(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Documents that have something in common: each key's values are of one kind or two."""
    values = {
        key: draw(st.lists(kind, min_size=1, max_size=3)) for key, kind in draw(PLACES).items()
    }
    some = st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in values.items()})
    return draw(st.lists(some, min_size=1, max_size=6))


_NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
_STAMPS = st.datetimes().map(lambda moment: moment.isoformat(sep=" "))
_OF_ONE_TYPE: list[st.SearchStrategy[Any]] = [
    st.booleans(),
    st.integers(0, 2**64 - 1),
    _NUMBERS,
    st.integers().map(str),
    _STAMPS,
    st.datetimes().map(lambda moment: f"{moment.isoformat()}+0000"),
    st.dates().map(str),
    st.uuids().map(str),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.dictionaries(st.integers(0, 99).map(str), _NUMBERS, min_size=1, max_size=3),
    st.lists(st.integers(0, 9) | st.none(), max_size=3),
]


@st.composite
def typed_documents(draw: st.DrawFn, repeat: int = 1) -> list[dict[str, Any]]:
    """Documents of which each key has values of one type, some of them in a nested object."""
    keys = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
    types = {key: draw(st.sampled_from(_OF_ONE_TYPE)) for key in keys}
    inner = st.fixed_dictionaries({}, optional=types)
    whole = st.fixed_dictionaries(
        types, optional={"inner": inner, "some": st.lists(inner, max_size=2)}
    )
    return draw(st.lists(whole, min_size=1, max_size=4)) * repeat

"""Unions, as far as one column can hold them: null and one type, and numbers of one kind."""

from typing import Any

from pipeline.core.schema.logical_types import UnusableType

# Whatever is one of these is the last of them, too.
_WIDENED = ({"int", "long"}, "long"), ({"float", "double"}, "double")


def read_union(branches: list[Any]) -> tuple[Any, bool]:
    """Return the one type of a union's values, and whether null is in it. Raises `UnusableType`.

    `["int", "long"]` is long and `["float", "double"]` is double: JSON writes both alike.
    """
    kinds = [_kind(branch) for branch in branches]
    twice = next((kind for kind in kinds if kind is not None and kinds.count(kind) > 1), None)
    if twice is not None:
        raise UnusableType(f"a union has {twice!r} twice.")
    nullable = "null" in kinds
    others = [branch for branch, kind in zip(branches, kinds, strict=True) if kind != "null"]
    if not others:
        raise UnusableType(
            "a union needs a type other than null; a column of nulls alone says nothing."
        )
    if len(others) == 1:
        return others[0], nullable
    plain = {_kind(branch) for branch in others if not _has_logical_type(branch)}
    for kinds_of_one, widest in _WIDENED:
        if plain == kinds_of_one and len(others) == len(plain):
            return widest, nullable
    raise UnusableType(
        "a union must be of null and one other type (int and long together are long, float and "
        "double are double). Beside the field's name, "
        '"json": true reads any value as its JSON text.'
    )


def _kind(branch: Any) -> str | None:
    """Name a branch's type, as two of one union may not have it; None where that has a name."""
    if isinstance(branch, str):
        return branch
    kind = branch.get("type") if isinstance(branch, dict) else None
    return kind if isinstance(kind, str) and kind not in {"record", "enum", "fixed"} else None


def _has_logical_type(branch: Any) -> bool:
    return isinstance(branch, dict) and "logicalType" in branch

"""No byte of what is read is ever printed, whatever it is."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from attack.inputs import MARK
from attack.measure import run
from attack.recipes import KINDS, LEAVES, Recipe, changed, first_of

from pipeline.core.documents import row_decoder

_SMALL = 2_000  # bytes


def small_recipes(kind: str, count: int) -> list[Recipe]:
    """Return recipes of a kind, one changed into the next, and all small."""
    random = Random(f"{kind} 1")
    recipes = [first_of(kind, random)]
    while len(recipes) < count:
        recipes.append(changed(recipes[-1], random))
    return [
        msgspec.structs.replace(
            recipe,
            size=_SMALL,
            length=min(recipe.length, 300),
            members=min(recipe.members, 10),
            payloads=min(recipe.payloads, 3),
            elements=min(recipe.elements, 10),
            kept=min(recipe.kept, 100),
        )
        for recipe in recipes
    ]


def test_the_same_seed_makes_the_same_recipes() -> None:
    for kind in KINDS:
        assert small_recipes(kind, 20) == small_recipes(kind, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_a_payload_is_printed_or_logged(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Law 9, over everything that the search tries: values are marked, and looked for."""
    for recipe in small_recipes(kind, 60):
        cost = run(recipe)
        assert not cost.leaked, recipe
        assert not cost.failed, recipe
    out, err = capfd.readouterr()
    assert MARK not in out + err


@pytest.mark.parametrize("leaf", LEAVES)
def test_no_leaf_is_printed_or_logged(leaf: str, capfd: pytest.CaptureFixture[str]) -> None:
    for document in ("object", "leaf", "unknown members"):
        for schema in ("long", "times", "decimals", "rules", "reject"):
            cost = run(Recipe("schemas", document, leaf, schema=schema, size=_SMALL, length=40))
            assert not cost.leaked, (document, schema)
    out, err = capfd.readouterr()
    assert MARK not in out + err


def test_a_planted_leak_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A property that no defect can break would prove nothing."""

    def quoting(*_: Any) -> Any:
        raise ValueError(MARK)

    assert not run(Recipe("documents", size=_SMALL)).leaked
    monkeypatch.setattr("pipeline.handlers.invocation.place_of", str)
    monkeypatch.setattr(row_decoder.RowDecoder, "decode", quoting)
    monkeypatch.setattr(row_decoder.RowDecoder, "decode_closed", quoting)
    monkeypatch.setattr(row_decoder.RowDecoder, "find_violations", quoting)
    assert run(Recipe("documents", leaf="garbage", size=_SMALL)).leaked

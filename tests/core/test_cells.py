"""The cells of CSV: Arrow writes most of them, and what it would write otherwise is ours."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.cells import flattened

TEXTS = st.one_of(st.none(), st.text(max_size=5), st.sampled_from(['"', "\\", "\n", "\x1f", "é"]))
DECIMALS = st.one_of(
    st.none(), st.decimals(-9, 9, places=9), st.sampled_from([Decimal("0E-9"), Decimal("1E-9")])
)
COLUMNS = st.one_of(
    st.lists(DECIMALS, max_size=4).map(lambda values: pa.array(values, pa.decimal128(12, 9))),
    st.lists(st.none() | st.lists(TEXTS, max_size=3), max_size=3).map(
        lambda values: pa.array(values, pa.list_(pa.string()))
    ),
    st.lists(
        st.none() | st.lists(st.fixed_dictionaries({"s": TEXTS, "d": DECIMALS}), max_size=3),
        max_size=3,
    ).map(
        lambda values: pa.array(
            values, pa.list_(pa.struct([("s", pa.string()), ("d", pa.decimal128(12, 9))]))
        )
    ),
)


@given(COLUMNS)
def test_the_fast_way_writes_the_same_cells(array: pa.Array) -> None:
    (fast,), (exact,) = (flattened("a", array, fast=on).values() for on in (True, False))
    assert fast.equals(exact)


@given(st.lists(st.lists(TEXTS, max_size=3), max_size=3))
def test_lists_of_text_are_json(values: list[list[Any]]) -> None:
    (cells,) = flattened("a", pa.array(values, pa.list_(pa.string()))).values()
    assert [json.loads(cell) for cell in cells.to_pylist()] == values


def test_small_decimals_have_no_exponent() -> None:
    array = pa.array([Decimal("1E-9"), None, Decimal("1.5")], pa.decimal128(12, 9))
    (cells,) = flattened("a", array).values()
    assert cells.to_pylist() == ["0.000000001", None, "1.500000000"]

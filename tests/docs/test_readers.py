"""docs/readers.md is what the tables of the conformance tests say, of the readers that are locked."""

from __future__ import annotations

import re

import readers
from conformance.differences import READERS
from support import ROOT


def test_the_page_is_what_the_tables_say() -> None:
    assert readers.PAGE.read_text("utf-8") == readers.page(), "run `make reference`"


def test_the_versions_that_the_page_names_are_those_that_are_locked() -> None:
    named = {
        (reader.script, reader.own, found[1])
        for reader in READERS
        if (found := re.search(r"(?:DuckDB|Spark) ([\d.]+)", reader.title))
    }
    assert len(named) == 4
    for script, own, version in named:
        lock = (ROOT / "requirements" / ("dev.txt" if own else "readers.txt")).read_text("utf-8")
        assert f"\n{'pyspark' if script == 'spark' else script}=={version}." in lock

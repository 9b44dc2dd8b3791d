"""Output formats: one table, and everything that depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.core.formats import FORMATS, Format

if TYPE_CHECKING:
    from typecheck import CheckedCopy

# Where somebody who adds a format has something to say about it.
PLACES = {
    "authoring/ddl/athena.py",
    "authoring/ddl/duckdb.py",
    "authoring/ddl/hive.py",
    "authoring/ddl/spark.py",
    "core/encode/__init__.py",
    "demo/count.py",
}


def test_a_format_is_found_by_its_name() -> None:
    assert FORMATS == {"parquet": Format.PARQUET, "csv": Format.CSV}
    assert [FORMATS[name].value for name in FORMATS] == list(FORMATS)


def test_names_suffixes_and_media_types_are_unlike_each_other() -> None:
    for fact in ("value", "suffix", "content_type"):
        assert len({getattr(as_format, fact) for as_format in Format}) == len(Format)


@pytest.mark.xdist_group("mypy")
def test_mypy_lists_what_lacks_when_a_format_is_added(checked_copy: CheckedCopy) -> None:
    """No branch gives it silently what another format has."""
    entry = '    ORC = "orc", "orc", "application/vnd.apache.orc", False\n'
    faults = checked_copy.faults("core/formats.py", {"    CSV = ": f"{entry}    CSV = "})
    assert {fault.path for fault in faults} == PLACES
    for fault in faults:
        assert fault.line == "assert_never(as_format)"
        assert "Format.ORC" in fault.message

"""Output formats: one table, and everything that depends on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.core.formats import FORMATS, Format

PACKAGE = Path(pipeline.__file__).parent
# Where somebody who adds a format has something to say about it.
PLACES = {
    "authoring/ddl/athena.py": 1,
    "authoring/ddl/duckdb.py": 1,
    "authoring/ddl/hive.py": 1,
    "authoring/ddl/spark.py": 1,
    "core/encode/__init__.py": 1,
    "demo/count.py": 1,
}


def test_a_format_is_found_by_its_name() -> None:
    assert FORMATS == {"parquet": Format.PARQUET, "csv": Format.CSV}
    assert [FORMATS[name].value for name in FORMATS] == list(FORMATS)


def test_names_suffixes_and_media_types_are_unlike_each_other() -> None:
    for fact in ("value", "suffix", "content_type"):
        assert len({getattr(as_format, fact) for as_format in Format}) == len(Format)


@pytest.mark.xdist_group("mypy")
def test_mypy_lists_what_lacks_when_a_format_is_added(tmp_path: Path) -> None:
    """No branch gives it silently what another format has."""
    copy = tmp_path / "pipeline"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "schemas"))
    table = copy / "core" / "formats.py"
    entry = '    ORC = "orc", "orc", "application/vnd.apache.orc", False\n'
    table.write_text(re.sub(r"(?m)^(?=    CSV = )", entry, table.read_text()))
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "pipeline"]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(
        r'(?m)^pipeline/(\S+?):\d+: error: .*assert_never.*"Literal\[Format.ORC\]"', run.stdout
    )
    assert {place: found.count(place) for place in found} == PLACES, run.stdout

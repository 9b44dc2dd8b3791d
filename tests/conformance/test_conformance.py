"""Each reader shows of each case what was stored, or something else that a sentence tells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conformance.cases import CASES
from conformance.csv_cases import CSV_CASES
from conformance.differences import DIFFERENCES, READERS, Reader, difference, pairs
from conformance.lake import build, datasets, expected
from pipeline.core.errors import DatasetError
from pipeline.core.stored_layout import check_recorded, layout_of

if TYPE_CHECKING:
    from conformance.cases import Case

SCRIPTS = Path(__file__).parent / "readers"
# The environment of the readers; `make conformance` names it.
PYTHON = os.environ.get("PIPELINE_READERS", "")
JAVA = shutil.which("java") is not None
SECONDS = 400  # that one reader may take

Results = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Run every reader over all cases, two at a time: what each shows, by its name and the case's."""
    root = tmp_path_factory.mktemp("lake")
    cases = build(root)
    # The slow ones first.
    scripts = sorted({(one.java, one.script, one.own) for one in READERS}, reverse=True)
    wanted = [(script, own) for java, script, own in scripts if JAVA or not java]

    def run(reader: tuple[str, bool]) -> dict[str, Any]:
        script, own = reader
        file = root / f"{script}-{own}.json"
        python = sys.executable if own else PYTHON
        command = [python, str(SCRIPTS / "run.py"), script, str(cases), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, f"{script}: {done.stderr[-2000:]}"
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return found

    with ThreadPoolExecutor(2) as pool:
        ran = dict(zip(wanted, pool.map(run, wanted), strict=True))
    return {
        reader.name: ran[reader.script, reader.own][reader.mode]
        for reader in READERS
        if (reader.script, reader.own) in ran
    }


@pytest.mark.parametrize(
    ("reader", "case"), pairs((*CASES, *CSV_CASES)), ids=lambda one: str(one.name)
)
def test_a_reader_shows_what_was_stored(reader: Reader, case: Case, results: Results) -> None:
    if reader.java and not JAVA:
        assert "PIPELINE_JAVA_REQUIRED" not in os.environ, "There is no java on PATH."
        pytest.skip("There is no java on PATH, which Spark needs.")
    found = results[reader.name][case.name]
    rows = sorted(expected(case, reader.mode), key=lambda row: str(row["id"]))
    sentence = difference(reader.name, case.name)
    if sentence is None:
        assert found.get("rows") == rows, found.get("error")
    else:
        assert found.get("rows") != rows, f"It shows what was stored: take out {sentence!r}"


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name.startswith("layout_")], ids=lambda case: case.name
)
def test_directories_of_two_layouts_are_refused(case: Case) -> None:
    before, after = datasets(case)
    with pytest.raises(DatasetError, match="rows are stored already with partition_by = "):
        check_recorded(after, layout_of(before).text())


def test_every_difference_is_of_a_reader_and_a_case() -> None:
    for one in DIFFERENCES:
        assert [
            (reader.name, case.name)
            for reader, case in pairs((*CASES, *CSV_CASES))
            if one.covers(reader.name, case.name)
        ], one

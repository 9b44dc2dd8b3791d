"""The module that starts the command line, where an application's own `pipeline` is in front."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import kinesis_s3_pipeline

STARTER = Path(kinesis_s3_pipeline.__file__)


def start(*python: str, folder: Path, pythonpath: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, "--version"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": pythonpath},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("name", ["pipeline.py", "pipeline/__init__.py"])
def test_another_pipeline_is_named(name: str, tmp_path: Path) -> None:
    other = tmp_path / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("STEPS = 1\n")
    ended = start("-m", "kinesis_s3_pipeline", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"pipeline: {other} is imported in place of the package `pipeline` of kinesis-s3-pipeline, in "
        f"{STARTER.with_name('pipeline')}. Rename it; or keep its folder out of Python's search: unset "
        "PYTHONPATH, and start Python with -P.\n"
    )


def test_the_script_names_what_pythonpath_puts_in_front(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("STEPS = 1\n")
    script = Path(sys.executable).with_name("kinesis-s3-pipeline")
    ended = start(str(script), folder=tmp_path, pythonpath=str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"pipeline: {tmp_path / 'pipeline.py'} is imported in place of")


@pytest.mark.parametrize("script", ["kinesis-s3-pipeline", "pipeline"])
def test_the_scripts_do_not_look_into_the_folder_they_are_in(script: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("STEPS = 1\n")
    ended = start(str(Path(sys.executable).with_name(script)), folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("pipeline ")


def test_a_folder_that_is_no_package_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    assert start("-m", "kinesis_s3_pipeline", folder=tmp_path).returncode == 0


def test_without_the_folder_in_the_search_it_starts(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("STEPS = 1\n")
    assert start("-P", "-m", "kinesis_s3_pipeline", folder=tmp_path).returncode == 0

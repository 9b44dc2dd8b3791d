"""Looks into what was built: `contents.py DIST`, in a clone; says what is missing or too much."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

# What only developers of the repository need, and what is made while building.
_NOT_IN_SDIST = (".ci/",)
_MADE = {"PKG-INFO"}
_SCRIPTS = (
    "kinesis-s3-pipeline = kinesis_s3_pipeline:main",
    "pipeline = kinesis_s3_pipeline:main",
)


def main(dist: Path) -> int:
    """Print every fault; return the exit code."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, encoding="utf-8", check=True
    ).stdout.split("\n")[:-1]
    faults = [*_of_wheel(wheel, tracked), *_of_sdist(sdist, tracked)]
    for fault in faults:
        print(fault)
    print(f"{wheel.name}, {sdist.name}: {len(faults)} faults")
    return 1 if faults else 0


def _of_wheel(wheel: Path, tracked: Iterable[str]) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = {
            name.rpartition("/")[2]: archive.read(name).decode()
            for name in names
            if ".dist-info/" in name
        }
    expected = {name for name in tracked if name.startswith("pipeline/")}
    expected |= {"pipeline/" + name for name in tracked if name.startswith("schemas/")}
    expected.add("kinesis_s3_pipeline.py")
    yield from _differences(
        wheel.name, {name for name in names if ".dist-info/" not in name}, expected
    )
    yield from (
        f"{wheel.name}: no script {script}"
        for script in _SCRIPTS
        if script not in about["entry_points.txt"]
    )
    if "Apache License" not in about["LICENSE"]:
        yield f"{wheel.name}: no licence"
    if "Description-Content-Type: text/markdown" not in about["METADATA"]:
        yield f"{wheel.name}: README.md is not its description"


def _of_sdist(sdist: Path, tracked: Iterable[str]) -> Iterator[str]:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    expected = {name for name in tracked if not name.startswith(_NOT_IN_SDIST)}
    yield from _differences(sdist.name, names, expected | _MADE)


def _differences(archive: str, found: set[str], expected: set[str]) -> Iterator[str]:
    yield from (f"{archive}: {name} is missing" for name in sorted(expected - found))
    yield from (f"{archive}: {name} is too much" for name in sorted(found - expected))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

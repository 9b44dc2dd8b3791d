"""Build the Lambda artifact and the template that deploys it: `make package`.

    python infra/package.py [--arch arm64 x86_64] [--schemas DIR] [--out DIR]
        [--template-only | --image URI]

For each architecture it makes a folder with `function.zip` (the pinned requirements, our modules
and the datasets), `scheduled.zip` (the same for the functions that run by a schedule) and
`template.yaml` (infra/template.yaml and the datasets' tables). Where dead letters of a dataset are
sealed, what seals them is among the requirements. The same inputs, the same Pythons and the same
zlib give the same bytes, on any machine and in any folder.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import uv
from contents import SCHEDULED, Reached, reached, wanted
from elf import loaded
from tables import deployable, of_image

import pipeline
from pipeline.adapters.schemas import dataset_folders, read_datasets, read_stream
from pipeline.core.errors import DatasetError
from pipeline.core.payload_format import SUFFIX
from pipeline.core.stored_layout import LAYOUT_FILE
from pipeline.core.stream import NAME as STREAM_FILE

Arch = Literal["arm64", "x86_64"]
ROOT = Path(__file__).resolve().parent.parent
RUNTIME = "3.13"  # the Python of the function; infra/template.yaml names it, too
# Lambda's Python 3.13 has glibc 2.34; pyarrow needs 2.28.
_PLATFORMS: dict[Arch, str] = {
    "arm64": "aarch64-manylinux_2_28",
    "x86_64": "x86_64-manylinux_2_28",
}
_ECR = re.compile(
    r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9._/-]+"
    r"(:[A-Za-z0-9_.-]{1,128}|@sha256:[0-9a-f]{64})"
)
_WHERE_IT_RUNS = "/var/task"
# Unchecked: Lambda's disk is read-only, and the sources beside the bytecode are these.
_COMPILE = f"""
import compileall, sys
from py_compile import PycInvalidationMode
done = compileall.compile_dir(
    sys.argv[1], quiet=1, maxlevels=99, stripdir=sys.argv[1], prependdir={_WHERE_IT_RUNS!r},
    invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
)
sys.exit(not done)
"""
# Which Python it is, and where. A named one may be a script that starts it, as pyenv's are, and
# needs variables that the compilation does not have.
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"
_LEVEL = 6
_OLDEST = (1980, 1, 1, 0, 0, 0)  # the earliest time in a zip file


@dataclass(frozen=True, slots=True)
class Artifact:
    """What goes into an artifact: the lock file of its requirements, and which of our modules.

    It may have so many bytes `unpacked`, and `zipped`; Lambda takes 250 MB unpacked.
    """

    requirements: str
    unpacked: int
    zipped: int
    also: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()


_RUNTIME, _WITH_SEALING = "runtime.txt", "privacy.txt"
ARTIFACTS = {
    "function.zip": Artifact(_RUNTIME, 130_000_000, 48_000_000, without=SCHEDULED),
    "scheduled.zip": Artifact("lake.txt", 200_000_000, 70_000_000, also=SCHEDULED),
}


class PackageError(Exception):
    """The artifact cannot be built; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an artifact runs. `compiler` is a Python of that version, for the bytecode."""

    arch: Arch
    python: str
    compiler: Path


def main(arguments: list[str] | None = None) -> int:
    """Build what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arch", nargs="+", choices=_PLATFORMS, default=list(_PLATFORMS))
    parser.add_argument("--python", default=RUNTIME, help="the function's Python (%(default)s)")
    parser.add_argument("--compiler", type=Path, help="a Python of that version, if none is found")
    parser.add_argument("--schemas", type=Path, default=ROOT / "schemas")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument(
        "--template-only",
        action="store_true",
        help="write template.yaml alone, with these datasets' tables, beside artifacts",
    )
    parser.add_argument(
        "--image",
        metavar="URI",
        type=_image,
        help="write template.yaml alone, for a container image in ECR (infra/Dockerfile)",
    )
    options = parser.parse_args(arguments)
    try:
        if options.image:
            for arch in options.arch:
                out = options.out / f"image-{arch}"
                print(write_template_of_image(options.image, arch, options.schemas, out))
            return 0
        if options.template_only:
            for arch in options.arch:
                print(write_template(arch, options.schemas, options.out / f"lambda-{arch}"))
            return 0
        compiler = find_python(options.python, options.compiler)
        for arch in options.arch:
            target = Target(arch, options.python, compiler)
            print(build(target, options.schemas, options.out / f"lambda-{arch}"))
        for folder in dataset_folders(options.schemas):
            if not (folder / LAYOUT_FILE).exists():
                print(
                    f"{folder.name}: how its rows are stored is not recorded. `pipeline check "
                    f"{options.schemas} --write` does that, once: a later change that readers of "
                    "these rows would trip over is then refused."
                )
    except DatasetError as error:
        print(f"The datasets of {options.schemas} cannot be packaged: {error}", file=sys.stderr)
        return 1
    except PackageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def write_template(arch: Arch, schemas: Path, out: Path) -> str:
    """Write `template.yaml` beside artifacts that read their datasets from S3; return a sentence.

    They need not be built again for other datasets: only the tables and alarms are theirs.
    """
    for name in ARTIFACTS:
        if not (out / name).exists():
            raise PackageError(f"{out / name} is missing: build it once, with `make package`.")
    template = (ROOT / "infra" / "template.yaml").read_text(encoding="utf-8")
    text = deployable(template, schemas, arch)
    (out / "template.yaml").write_text(text, encoding="utf-8")
    return f"{out / 'template.yaml'}: with the tables and alarms of {schemas}."


def write_template_of_image(image: str, arch: Arch, schemas: Path, out: Path) -> str:
    """Write the `template.yaml` that deploys a container image; return a sentence."""
    template = (ROOT / "infra" / "template.yaml").read_text(encoding="utf-8")
    text = of_image(deployable(template, schemas, arch), image)
    out.mkdir(parents=True, exist_ok=True)
    (out / "template.yaml").write_text(text, encoding="utf-8")
    return f"{out / 'template.yaml'}: all functions are of {image}."


def _image(text: str) -> str:
    """Read where an image is. Lambda takes it from ECR alone, of the function's region."""
    if not _ECR.fullmatch(text):
        message = (
            f"{text!r} is not an image in ECR; give "
            "ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG, or …@sha256:DIGEST"
        )
        raise argparse.ArgumentTypeError(message)
    return text


def build(target: Target, schemas: Path, out: Path) -> str:
    """Write the artifacts and `template.yaml` into `out`; return a sentence about each artifact.

    All or none: an artifact beside another one's template would deploy tables of datasets that it
    does not have.
    """
    template = (ROOT / "infra" / "template.yaml").read_text(encoding="utf-8")
    text = deployable(template, schemas, target.arch)  # first, as it reads every dataset
    contents = artifacts(target, schemas)
    out.mkdir(parents=True, exist_ok=True)
    made = {out / name: out / f"{name}.part" for name in contents}
    sentences = []
    try:
        for (archive, part), files in zip(made.items(), contents.values(), strict=True):
            write_zip(part, files)
            unpacked, body = sum(map(len, files.values())), part.read_bytes()
            _check_size(archive, ARTIFACTS[archive.name], unpacked, len(body))
            digest, sizes = hashlib.sha256(body).hexdigest(), (unpacked / 1e6, len(body) / 1e6)
            sentences.append(
                f"{archive}: {sizes[0]:.1f} MB, {sizes[1]:.1f} MB zipped, SHA-256 {digest}"
            )
    except PackageError:
        for part in made.values():
            part.unlink(missing_ok=True)
        raise
    for archive, part in made.items():
        part.replace(archive)
    (out / "template.yaml").write_text(text, encoding="utf-8")
    return "\n".join(sentences)


def _check_size(archive: Path, limits: Artifact, unpacked: int, zipped: int) -> None:
    if unpacked > limits.unpacked or zipped > limits.zipped:
        raise PackageError(
            f"{archive} would be too large: {unpacked:,} bytes unpacked (the limit is "
            f"{limits.unpacked:,}) and {zipped:,} zipped (the limit is {limits.zipped:,}). "
            "Leave out more, in infra/contents.py."
        )


def artifacts(target: Target, schemas: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of each artifact: each one's body by its path."""
    package = Path(pipeline.__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        found = {}
        for name, made_of in ARTIFACTS.items():
            requirements = made_of.requirements
            if requirements == _RUNTIME and _seals(schemas):
                requirements = _WITH_SEALING
            installed = Path(scratch) / requirements
            if not installed.exists():
                _install(target, installed, requirements)
            modules = reached(package, also=made_of.also, without=made_of.without)
            files = _requirements(installed, modules) | _own(modules) | _datasets(schemas)
            sources = {path: body for path, body in files.items() if path.endswith(".py")}
            found[name] = files | _bytecode(sources, target, Path(scratch) / f"{name}.sources")
        return found


def _seals(schemas: Path) -> bool:
    """Whether dead letters of a dataset have sealed originals, which takes another library."""
    return any(
        dataset.private is not None and dataset.withheld == "encrypt"
        for dataset in read_datasets(schemas)
    )


def _install(target: Target, folder: Path, requirements: str) -> None:
    """Install a target's pinned requirements, whatever this machine is."""
    command: list[str | Path] = [
        uv.find_uv_bin(), "pip", "install", "--quiet", "--no-config", "--no-deps",
        "--require-hashes", "--requirements", ROOT / "requirements" / requirements,
        "--only-binary", ":all:", "--python-version", target.python,
        "--python-platform", _PLATFORMS[target.arch], "--target", folder,
    ]  # fmt: skip
    environment = os.environ | {"UV_SYSTEM_CERTS": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackageError(
            f"The requirements for Python {target.python} on {target.arch} could not be installed; "
            f"see requirements/{requirements} and what uv says:\n{done.stderr}"
        )


def _requirements(installed: Path, found: Reached) -> dict[str, bytes]:
    return {
        path: loaded(file.read_bytes()) for path, file in _walk(installed) if wanted(path, found)
    }


def _own(found: Reached) -> dict[str, bytes]:
    package = Path(pipeline.__file__).parent
    modules = {
        file.relative_to(package.parent).as_posix(): file.read_bytes()
        for file in found.modules.values()
    }
    presets = {
        file.relative_to(package.parent).as_posix(): file.read_bytes()
        for file in sorted(package.glob("adapters/presets/*.toml"))
    }
    return modules | presets | {"LICENSE": (ROOT / "LICENSE").read_bytes()}


def _datasets(schemas: Path) -> dict[str, bytes]:
    """Return the datasets' schemas and settings, and the stream's, as the function will read them.

    A folder may be a link, so the reader of datasets finds the folders: a walk follows no links.
    """
    stream = schemas / STREAM_FILE
    found = {f"schemas/{STREAM_FILE}": stream.read_bytes()} if stream.exists() else {}
    payload = read_stream(schemas).payload
    if payload is not None and payload.schemas:
        folder = schemas / payload.schemas
        for file in sorted(folder.glob(f"*{SUFFIX[payload.format]}")):
            found[f"schemas/{folder.name}/{file.name}"] = file.read_bytes()
    return found | {
        f"schemas/{folder.name}/{file.name}": file.read_bytes()
        for folder in dataset_folders(schemas)
        for file in (*sorted(folder.glob("*.avsc")), folder / "dataset.toml", folder / LAYOUT_FILE)
        if file.name != LAYOUT_FILE or file.exists()
    }


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(folder).as_posix(), file


def _bytecode(sources: dict[str, bytes], target: Target, folder: Path) -> dict[str, bytes]:
    """Compile sources as the target's Python would on Lambda, whose disk is read-only."""
    for path, body in sources.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    # Without a fixed seed, sets among the constants have another order each time.
    command: list[str | Path] = [target.compiler, "-S", "-c", _COMPILE, folder]
    done = subprocess.run(
        command, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        output = f"{done.stdout}{done.stderr}"
        raise PackageError(f"{target.compiler} could not compile the sources:\n{output}")
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*.pyc"))
    }


def write_zip(archive: Path, files: dict[str, bytes]) -> None:
    """Write a zip file of names and bodies alone: no times, no owner, no order of a disk."""
    with zipfile.ZipFile(archive, "w") as zip_file:
        for path, body in sorted(files.items()):
            entry = zipfile.ZipInfo(path, _OLDEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever it was built
            entry.external_attr = 0o100644 << 16
            zip_file.writestr(entry, body, compresslevel=_LEVEL)


def find_python(version: str, named: Path | None = None) -> Path:
    """Find a Python of a version, like "3.13", on this machine; `named` is tried alone."""
    if named is not None:
        if found := _python(named, version):
            return found
        raise PackageError(
            f"{named} is not a Python {version}, and only that version can compile the bytecode "
            f"that Lambda's Python {version} reads: name another one, or none, to search for one."
        )
    for candidate in _pythons(version):
        if found := _python(candidate, version):
            return found
    raise PackageError(
        f"No Python {version} was found, and only that version can compile the bytecode that "
        f"Lambda's Python {version} reads. Install one with "
        f"`.venv/bin/uv python install {version}`, or name one with "
        f"`make package ARGS='--compiler /path/to/python{version}'`."
    )


def _python(candidate: str | Path, version: str) -> Path | None:
    """Return the interpreter itself, if it is of this version."""
    try:
        done = subprocess.run(
            [candidate, "-c", _VERSION], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    found, _, executable = done.stdout.strip().partition("\n")
    return Path(executable) if done.returncode == 0 and found == version else None


def _pythons(version: str) -> Iterator[str | Path]:
    yield sys.executable
    if on_path := shutil.which(f"python{version}"):
        yield on_path
    yield from sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python"))
    command = [uv.find_uv_bin(), "python", "find", "--managed-python", "--no-config", version]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        yield found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

"""infra/Dockerfile, followed as far as it goes without docker: the root file system that it describes.

Not run here: docker itself, AWS' base image (its Python and pip, its Linux), and the compilation of
what is not ours. pip's command is run by uv, with the same words, for this machine's processor and Python: of the other
processor's wheels, test_package looks at the same ones.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import package
import pytest
import uv
from samtranslator.yaml_helper import yaml_parse
from stack import REGION, deployed_text
from support import ROOT
from tables import of_image

pytestmark = [
    pytest.mark.xdist_group("package"),
    pytest.mark.skipif(sys.platform != "linux", reason="the image is Linux"),
]

TEXT = (ROOT / "infra" / "Dockerfile").read_text("utf-8")
IGNORED = (ROOT / "infra" / "Dockerfile.dockerignore").read_text("utf-8")
BASE = f"public.ecr.aws/lambda/python:{package.RUNTIME}"
HERE: package.Arch = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
MACHINES = {"arm64": 0xB7, "x86_64": 0x3E}
IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/pipeline:1"


def instructions() -> Iterator[tuple[str, str]]:
    lines = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        yield name, rest.strip()


def in_context(path: str) -> bool:
    """Whether the build sees a file of the checkout: the last line of the ignore file decides."""
    found = True
    for line in IGNORED.splitlines():
        pattern = line.removeprefix("!")
        if not line or line.startswith("#"):
            continue
        parts = PurePosixPath(path).parts
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        name = pattern.removeprefix("**/")
        matched = name in parts if name != pattern else any(fnmatchcase(p, pattern) for p in above)
        if matched:
            found = line.startswith("!")
    return found


@dataclass
class Image:
    """What a Dockerfile describes, in folders: each stage's own files, without its base image's."""

    folder: Path
    arch: package.Arch
    python: str
    stages: list[Path] = field(default_factory=list)
    named: dict[str, Path] = field(default_factory=dict)
    bases: list[str] = field(default_factory=list)
    command: str = ""

    @property
    def root(self) -> Path:
        return self.stages[-1]

    def build(self) -> Image:
        for name, rest in instructions():
            match name:
                case "FROM":
                    self.stages.append(self.folder / str(len(self.stages)))
                    self.root.mkdir()
                    self.bases.append(rest.split()[0])
                    if " AS " in rest:
                        self.named[rest.rpartition(" ")[2]] = self.root
                case "COPY":
                    self._copy(shlex.split(rest))
                case "RUN":
                    self._run(shlex.split(rest))
                case "CMD":
                    self.command = rest
                case _:
                    pytest.fail(f"{name} is not followed here")
        return self

    def _copy(self, words: list[str]) -> None:
        context = ROOT
        if words[0].startswith("--from="):
            name = words.pop(0).removeprefix("--from=")
            context = ROOT / "schemas" if name == "schemas" else self.named[name]
        *sources, target = words
        into = self.root / target.strip("/")
        for source in sources:
            path = context / source.strip("/")
            files = [path] if path.is_file() else sorted(path.rglob("*"))
            for file in files:
                if not file.is_file():
                    continue
                if context == ROOT and not in_context(file.relative_to(ROOT).as_posix()):
                    assert "__pycache__" in file.parts, f"the build does not see {file}"
                    continue
                end = into / (file.name if path.is_file() else file.relative_to(path))
                end.parent.mkdir(parents=True, exist_ok=True)
                if context in self.named.values():
                    os.link(file, end)
                else:
                    shutil.copyfile(file, end)

    def _run(self, words: list[str]) -> None:
        assert words[:2] == ["python", "-m"]
        words = [
            str(self.root / word.strip("/")) if word.startswith("/build") else word
            for word in words[2:]
        ]
        if words[0] == "compileall":
            task = words.pop()
            command = [sys.executable, "-m", *words, f"{task}/pipeline"]
        else:
            assert words[:2] == ["pip", "install"]
            platforms = package._PLATFORMS[self.arch]
            of_pip = {"--no-cache-dir", "--disable-pip-version-check", "--no-compile"}
            command = [
                uv.find_uv_bin(), *(word for word in words if word not in of_pip), "--quiet",
                "--no-config", "--python-version", self.python, "--python-platform", platforms,
            ]  # fmt: skip
        environment = os.environ | {"UV_SYSTEM_CERTS": "true"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image of this machine's processor, for this Python."""
    folder = tmp_path_factory.mktemp("image")
    yield Image(folder, HERE, PYTHON).build()
    shutil.rmtree(folder)


def pins(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text("utf-8")
    return {found.replace("-", "_").lower() for found in re.findall(r"(?m)^([\w.-]+)==", text)}


def test_the_image_has_what_is_locked_for_its_processor_and_nothing_else(image: Image) -> None:
    task = image.root / "var" / "task"
    installed = {
        each.name.partition("-")[0].replace(".", "_").lower() for each in task.glob("*.dist-info")
    }
    locked = pins("lake.txt") | pins("privacy.txt")
    assert installed <= locked
    assert installed >= {"boto3", "fastavro", "msgspec", "pyarrow", "pyiceberg", "cryptography"}
    assert not installed & (pins("dev.txt") - locked)
    machines = list[int]()
    for path in task.rglob("*.so*"):
        with path.open("rb") as file:
            head = file.read(20)
        if head.startswith(b"\x7fELF"):
            machines += struct.unpack_from("<H", head, 18)
    assert len(machines) > 20
    assert set(machines) == {MACHINES[HERE]}


def test_the_image_has_our_package_and_the_datasets_where_the_template_says(image: Image) -> None:
    assert image.bases == [BASE, BASE]
    assert image.command == '["pipeline.handlers.kinesis"]'
    assert {path.name for path in image.root.iterdir()} == {"var"}
    task = image.root / "var" / "task"
    for name in ("pipeline", "schemas"):
        ours = {
            path.relative_to(ROOT)
            for path in (ROOT / name).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        there = {
            path.relative_to(task)
            for path in (task / name).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert there == ours
    assert (task / "LICENSE").is_file()
    assert list((task / "pipeline").rglob("*.pyc"))
    assert not [
        name for name in ("tests", "infra", "requirements", ".git") if (task / name).exists()
    ]


RUN = """
import sys
sys.path[:0] = [sys.argv[1]]
from pipeline import handlers
assert handlers.__file__.startswith(sys.argv[1])
for name in sys.argv[2:]:
    module, _, function = name.rpartition(".")
    assert callable(getattr(sys.modules[module], function)), name
import pipeline.handlers._commit, pipeline.handlers._tables, pipeline.core.protection.sealing
event = {"Records": [{
    "eventSource": "aws:kinesis", "eventID": "shardId-000000000000:1", "awsRegion": "eu-central-1",
    "eventSourceARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/shop",
    "kinesis": {"sequenceNumber": "1", "partitionKey": "a", "data": "e30=",
                "approximateArrivalTimestamp": 1764240000.0},
}]}
print(handlers.kinesis(event, type("Context", (), {
    "aws_request_id": "x", "get_remaining_time_in_millis": lambda self: 60000})()))
"""


def test_every_handler_of_the_template_starts_from_the_image_alone(
    image: Image, tmp_path: Path
) -> None:
    task = image.root / "var" / "task"
    handlers = re.findall(r"Command: \[(\S+)\]", of_image(deployed_text(), IMAGE))
    assert len(handlers) == 5
    environment = {
        "PIPELINE_OUTPUT": (tmp_path / "rows").as_uri(),
        "PIPELINE_DEAD_LETTERS": (tmp_path / "dead").as_uri(),
        "PIPELINE_SCHEMAS": str(task / "schemas"),
    }
    # Without this machine's packages: -S, and from nowhere else: -I.
    command = [sys.executable, "-I", "-S", "-c", RUN, str(task), *handlers]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "{'batchItemFailures': []}"
    assert [path for path in (tmp_path / "dead").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("pipeline/flow.py", True),
        ("requirements/lake.txt", True),
        ("LICENSE", True),
        ("pipeline/core/__pycache__/x.pyc", False),
        ("requirements/dev.txt", False),
        (".git/config", False),
        (".venv/bin/python", False),
        ("tests/support.py", False),
    ],
)
def test_the_build_sees_what_it_needs_and_no_more(path: str, seen: bool) -> None:
    assert in_context(path) == seen


def test_the_template_of_an_image_has_no_archive() -> None:
    text = of_image(deployed_text(), IMAGE)
    assert ".zip" not in text.partition("Resources:")[2]
    functions = {
        name: each["Properties"]
        for name, each in yaml_parse(text)["Resources"].items()
        if each["Type"] == "AWS::Serverless::Function"
    }
    for each in functions.values():
        assert (each["PackageType"], each["ImageUri"]) == ("Image", IMAGE)
        assert not {"CodeUri", "Handler", "Runtime"} & each.keys()


def test_a_template_whose_functions_are_written_otherwise_is_refused() -> None:
    text = deployed_text().replace("      Runtime: python3.13\n", "", 1)
    with pytest.raises(ValueError, match="lines in another order"):
        of_image(text, IMAGE)


def test_the_command_writes_the_template_of_an_image_and_refuses_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--arch", "arm64", "--out", str(tmp_path), "--image"]
    assert package.main([*words, IMAGE]) == 0
    written = tmp_path / "image-arm64" / "template.yaml"
    assert capsys.readouterr().out == f"{written}: all functions are of {IMAGE}.\n"
    assert f"ImageUri: {IMAGE}\n" in written.read_text()
    for wrong in (
        "pipeline",
        "docker.io/x/pipeline:1",
        IMAGE.removesuffix(":1"),
        f"{IMAGE}\n x: y",
    ):
        with pytest.raises(SystemExit):
            package.main([*words, wrong])
        assert "is not an image in ECR; give ACCOUNT.dkr.ecr.REGION" in capsys.readouterr().err

"""The lists in CONTRIBUTING.md and other pages are complete."""

import re
from pathlib import Path

import places
import pytest
from support import ROOT

import pipeline

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize("page", places.PAGES, ids=lambda page: page.parent.name + page.name)
def test_the_lists_are_what_the_code_says(page: Path) -> None:
    text = page.read_text("utf-8")
    assert places.fill(text) == text, "run `make reference`"


def test_every_room_is_on_the_map() -> None:
    package = Path(pipeline.__file__).parent
    rooms = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").is_file()}
    rooms |= {path.name for path in package.glob("[!_]*.py")}
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"\[([a-z_]+(?:/|\.py))\]\(\.\./pipeline/", page))
    assert rooms <= named


def test_every_kind_has_a_checklist() -> None:
    sections = re.findall(r"^### … an? (\w+)$", PAGE, re.MULTILINE)
    assert sections == list(places.PROBES) == re.findall(r"<!-- places: (\w+) -->", PAGE)


@pytest.mark.parametrize("kind", places.PROBES)
def test_every_kind_is_known_somewhere(kind: str) -> None:
    assert places.places(kind)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("TYPES = {'uuid': 1}", True),
        ("import uuid", False),
        ("text = 'a uuid'", False),
        ("from types import LogicalType as T", True),
        ("match kind:\n    case LogicalType.UUID: pass", True),
    ],
)
def test_a_probe_finds_tables_and_their_users(source: str, found: bool) -> None:
    assert places.PROBES["type"].finds(places.parse(source)) == found


def test_every_module_with_a_reason_is_in_its_list() -> None:
    """A search that is simpler than the page's own finds no more."""
    package = Path(pipeline.__file__).parent
    naming = {
        Path("pipeline") / path.relative_to(package)
        for path in package.rglob("*.py")
        if re.search(r"\bReason\.[A-Z]", path.read_text("utf-8"))
    }
    assert naming <= set(places.places("reason"))
    assert len(naming) > 5


def test_the_hooks_run_what_the_checks_run() -> None:
    """A hook that is weaker than `make check` would let a commit pass that CI refuses."""
    recipe = re.search(
        r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    )
    assert recipe
    checks = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    config = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert re.findall(r"entry: (.+)", config) == checks
    assert set(re.findall(r"repo: (.+)", config)) == {"local"}

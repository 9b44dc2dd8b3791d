"""Links of the pages lead to files and headings that exist."""

import re
from pathlib import Path

import pytest
from support import ROOT

import pipeline

PACKAGE = Path(pipeline.__file__).parent  # the wheel's, where that is what is tested
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "infra/*.md", "schemas/*.md")
    for path in ROOT.glob(pattern)
    if "templates" not in path.parts
)
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = _CODE.sub(lambda code: "-" * len(code[0]), page.read_text("utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = located(page.parent / path) if path else page
        assert target.exists(), link
        if heading:
            assert heading in headings(target), link


def test_the_pages_are_found() -> None:
    assert len(PAGES) > 20


def located(path: Path) -> Path:
    """Return where a linked file is: of the package, beside the code that is tested."""
    path = path.resolve()
    package = (ROOT / "pipeline").resolve()
    return PACKAGE / path.relative_to(package) if path.is_relative_to(package) else path


def headings(page: Path) -> set[str]:
    """Return the names that a page's headings have in links."""
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in found}

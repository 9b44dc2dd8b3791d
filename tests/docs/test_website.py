"""The site: built strictly, read as from a folder without a network."""

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import drawings
import pytest
import website
from support import ROOT

pytestmark = pytest.mark.xdist_group("website")

_FETCHED = {"audio", "embed", "iframe", "img", "link", "object", "script", "source", "video"}


class Page(HTMLParser):
    """The links of a page, what it fetches by itself, and the names that links may have."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.names: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.names |= {found[name] for name in ("id", "name") if name in found}
        address = found.get("href") or found.get("src") or found.get("data")
        if address:
            self.links.append(address)
            if tag in _FETCHED:
                self.fetched.append(address)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    website.collect(folder)
    return folder


@pytest.fixture(scope="module")
def site(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert website.build(source, folder) == []
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_page_is_there(source: Path, site: Path) -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    named = set(re.findall(r"([\w/-]+\.md)$", nav, re.MULTILINE))
    written = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.md")
        if path.relative_to(source).parts[0] != "code"
    }
    records = {name for name in written if re.match(r"decisions/\d", name)}
    assert named == written - records
    assert len(records) > 15
    assert all((site / name).with_suffix(".html").is_file() for name in written)


def test_nothing_comes_from_elsewhere(pages: dict[Path, Page]) -> None:
    from_elsewhere = {
        address
        for page in pages.values()
        for address in page.fetched
        if re.match(r"[a-z]+:|//", address) and not address.startswith("data:")
    }
    assert from_elsewhere == set()


def test_every_link_leads_somewhere(pages: dict[Path, Page]) -> None:
    assert len(pages) > 100
    assert list(broken(pages)) == []


def broken(pages: dict[Path, Page]) -> Iterator[str]:
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:|//", link):
                continue
            address, _, name = unquote(link).partition("#")
            target = (path.parent / address).resolve() if address else path
            if not target.is_file() or (
                name and target in pages and name not in pages[target].names | {"__top"}
            ):
                yield f"{path.name}: {link}"


def test_the_search_needs_no_server(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text("utf-8")
    assert index.startswith("var __index =")
    assert "parallelization factor" in index
    assert "code/pipeline" not in index


def test_a_broken_link_ends_it(source: Path, tmp_path: Path) -> None:
    broken_source = tmp_path / "source"
    shutil.copytree(source, broken_source)
    with (broken_source / "limits.md").open("a", encoding="utf-8") as page:
        page.write("\n[a](no-such-page.md) [b](bounds.md#no-such-heading)\n")
    complaints = "\n".join(website.build(broken_source, tmp_path / "site"))
    assert "no-such-page.md" in complaints
    assert "no-such-heading" in complaints


@pytest.mark.parametrize("name", drawings.DRAWINGS)
def test_the_drawings_are_what_is_drawn(name: str) -> None:
    drawn = drawings.draw(drawings.DRAWINGS[name])
    assert (drawings.FOLDER / f"{name}.svg").read_text("utf-8") == drawn

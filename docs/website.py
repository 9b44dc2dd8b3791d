"""Builds the site from the pages that are here: `make site`, into build/site.

The pages are written for a reader of the repository: they lie in many folders, and link to code.
Here they are collected into one folder, with their links changed: code that a page links to becomes
a page. mkdocs then builds strictly, which a broken link ends.
"""

import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pipeline

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "site"
SOURCE = ROOT / "build" / "site-source"
_PACKAGE = Path(pipeline.__file__).parent

# Where a page of the repository is on the site; those of docs/ are where they are in docs/.
_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/results/README.md": "benchmarks.md",
    "docs/decisions/README.md": "decisions/index.md",
    "infra/README.md": "infra.md",
    "schemas/README.md": "schemas.md",
}
_PICTURES = {".svg", ".png"}
_LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".avsc": "json", ".json": "json"}
_WORKER = Path(__file__).with_name("frame-worker.js")
_CODE = re.compile(r"^( *)```.*?^\1```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?\[(?:\\.|[^\]\\])*\])\(([^)\s]+)\)")
_STYLE = """\
/* Pictures of a terminal and drawings have their own background, in both schemes. */
.md-typeset img { border-radius: 6px; }
.md-typeset table:not([class]) td { min-width: 5rem; }
.md-typeset thead:not(:has(th:not(:empty))) { display: none; }
.md-typeset pre > code { font-size: 0.78em; }
"""


def collect(folder: Path = SOURCE) -> None:
    """Write all pages, and what they link to, into one folder."""
    shutil.rmtree(folder, ignore_errors=True)
    pending = [*_PAGES, *_pages_of_docs()]
    done: set[str] = set()
    while pending:
        path = pending.pop()
        if path in done:
            continue
        done.add(path)
        target = folder / _place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = _located(path)
        if source.suffix in _PICTURES:
            shutil.copy(source, target)
        elif source.suffix == ".md":
            text, links = _page(path, source.read_text("utf-8"))
            target.write_text(text, "utf-8")
            pending += links
        else:
            target.write_text(_code_page(path, source.read_text("utf-8")), "utf-8")
    (folder / "site.css").write_text(_STYLE, "utf-8")
    (folder / "search").mkdir()
    shutil.copy(_WORKER, folder / "search" / "iframe-worker.js")


def build(source: Path = SOURCE, site: Path = SITE) -> list[str]:
    """Build the site from what was collected; return what mkdocs complains of."""
    # Not --quiet: what it does not say, it does not count either.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean"]
    done = subprocess.run(
        [*command, "--site-dir", str(site)],
        cwd=ROOT,
        env=os.environ
        | {"NO_COLOR": "1", "NO_MKDOCS_2_WARNING": "1", "PIPELINE_SITE_SOURCE": str(source)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if re.match(r"WARNING|ERROR|Aborted", line)]
    return said if done.returncode else []


def _pages_of_docs() -> Iterator[str]:
    for path in sorted((ROOT / "docs").rglob("*.md")):
        if "templates" not in path.parts:
            yield path.relative_to(ROOT).as_posix()


def _located(path: str) -> Path:
    """Return where a file of the repository is: of the package, where that is installed."""
    if path.startswith("pipeline/"):
        return _PACKAGE / path.removeprefix("pipeline/")
    return ROOT / path


def _place(path: str) -> str:
    """Return where something of the repository is on the site."""
    if path in _PAGES:
        return _PAGES[path]
    if path.endswith(".md") or Path(path).suffix in _PICTURES:
        return path.removeprefix("docs/").removeprefix("benchmarks/results/")
    return f"code/{path}.md"


def _page(path: str, text: str) -> tuple[str, list[str]]:
    """Return a page with the links of the site, and the files that it links to."""
    links: list[str] = []
    # Code may look like a link, and may be the label of one.
    hidden = _CODE.sub(lambda code: "-" * len(code[0]), text)
    pieces, end = list[str](), 0
    for found in _LINK.finditer(hidden):
        label = text[found.start(1) : found.end(1)]
        pieces += [text[end : found.start()], _relinked(path, label, found[2], links)]
        end = found.end()
    page = "".join([*pieces, text[end:]])
    return _wider(_CODE.sub(_block, page)), links


def _relinked(path: str, label: str, link: str, links: list[str]) -> str:
    """Return a link as the site has it; a file that it leads to is added to `links`."""
    address, _, heading = link.partition("#")
    if not address or re.match(r"[a-z]+:", address):
        return f"{label}({link})"
    file = posixpath.normpath(posixpath.join(posixpath.dirname(path), address))
    if _located(file).is_dir():
        return label[1:-1]  # there is nothing to show
    if _located(file).is_file():
        links.append(file)
    here = posixpath.dirname(_place(path)) or "."
    there = posixpath.relpath(_place(file), here)
    return f"{label}({there}{'#' if heading else ''}{heading})"


def _block(code: re.Match[str]) -> str:
    """Return code as mkdocs takes it: a block in a list stands four characters in."""
    if not code[0].lstrip().startswith("```"):
        return code[0]
    if not code[1]:
        return re.sub(r"^```(\w+) .*", r"```\1", code[0])
    lines = code[0].splitlines()
    return "\n" + "\n".join(f"    {line.removeprefix(code[1])}".rstrip() for line in lines) + "\n"


def _wider(text: str) -> str:
    """Put lists in lists, and blank lines before lists, as mkdocs wants them."""
    text = re.sub(r"^ {2,3}([-*] )", r"    \1", text, flags=re.MULTILINE)
    return re.sub(r"^(?![ \-*|#>\d]|$)(.+:)\n(?=- |1\. )", r"\1\n\n", text, flags=re.MULTILINE)


def _code_page(path: str, text: str) -> str:
    """Return a page of a file's text, which the search leaves out."""
    language = _LANGUAGES.get(Path(path).suffix, "text")
    title = path.replace("_", "\\_")
    heading = f"---\nsearch:\n  exclude: true\n---\n\n# {title}\n"
    return f"{heading}\n``````{language}\n{text.rstrip()}\n``````\n"


if __name__ == "__main__":
    collect()
    if complaints := build():
        sys.exit("\n".join(complaints))
    print(f"{SITE}/index.html")

"""The lists in pages that are otherwise written by hand, made by searching the code.

A list is between `<!-- places: kind -->`, `<!-- floors -->` or `<!-- decisions -->`, and
`<!-- end -->`. `make reference` makes it again, and a test compares it: a checklist cannot forget a
file.
"""

import ast
import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pipeline

ROOT = Path(__file__).parent.parent
_DECISIONS = ROOT / "docs" / "decisions"
PAGES = (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md", _DECISIONS / "README.md")
_PACKAGE = Path(pipeline.__file__).parent
_BLOCK = re.compile(r"(<!-- (?:places: )?(\w+) -->)\n.*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Module:
    """The names that a module uses or defines, and the strings in it."""

    names: frozenset[str]
    strings: frozenset[str]


@dataclass(frozen=True, slots=True)
class Probe:
    """What gives away that a module knows a kind: strings in it, or names."""

    strings: str = "(?!)"
    names: frozenset[str] = frozenset()

    def finds(self, module: Module) -> bool:
        """Return whether a module is one of those."""
        matches = re.compile(self.strings, re.DOTALL).fullmatch
        return bool(self.names & module.names) or any(map(matches, module.strings))


# Two members of a table give away whoever has a table of the same things.
PROBES = {
    "type": Probe("uuid|time-millis", frozenset({"LogicalType"})),
    "format": Probe("parquet|csv", frozenset({"Format", "FORMATS"})),
    "rule": Probe("minLength|min_length", frozenset({"min_length", "FIELD_RULES"})),
    "reason": Probe(names=frozenset({"Reason"})),
    "trigger": Probe(r"aws:(s3|sns|sqs|kinesis)|.*pipeline\.handlers\.(s3|alert).*"),
    "command": Probe(names=frozenset({"COMMANDS"})),
    "setting": Probe("PIPELINE_(OUTPUT|MAX_DEPTH|ALERT_TOPIC)", frozenset({"LIMITS"})),
}


def parse(source: str) -> Module:
    """Read a module's text."""
    names: set[str] = set()
    strings: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)):
                strings.add(text)
            case ast.Name(id=name) | ast.keyword(arg=str(name)) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Attribute(attr=name) | ast.alias(name=name):
                names.add(name)
            case _:
                pass
    return Module(frozenset(names), frozenset(strings))


@functools.cache
def _read(path: Path) -> Module:
    return parse(path.read_text("utf-8"))


def places(kind: str) -> list[Path]:
    """Return the modules that know a kind, as paths of the repository."""
    modules = [(Path("pipeline"), _PACKAGE), (Path("infra"), ROOT / "infra")]
    return [
        folder / path.relative_to(root)
        for folder, root in modules
        for path in sorted(root.rglob("*.py"))
        if PROBES[kind].finds(_read(path))
    ]


def _line(path: Path) -> str:
    return f"- [{path.as_posix()}]({path.as_posix()})"


def floors() -> list[str]:
    """Return the floors as the import contract has them, the highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "floors")
    return [layer.replace("(", "").replace(")", "") for layer in layers]


def decisions() -> list[str]:
    """Return the index of the decisions: number and title of each record."""
    rows = ["| | decision |", "| --- | --- |"]
    for path in sorted(_DECISIONS.glob("[0-9]*.md")):
        number, _, title = path.read_text("utf-8").partition("\n")[0].lstrip("# ").partition(": ")
        rows.append(f"| [{number}]({path.name}) | {title} |")
    return rows


def fill(page: str) -> str:
    """Make the lists in a page again."""
    return _BLOCK.sub(lambda block: "\n".join([block[1], *_list(block[2]), block[3]]), page)


def _list(kind: str) -> list[str]:
    match kind:
        case "floors":
            return ["```", *floors(), "```"]
        case "decisions":
            return decisions()
        case _:
            return [_line(path) for path in places(kind)]


def write() -> None:
    """Make the lists in all pages again."""
    for page in PAGES:
        page.write_text(fill(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write()

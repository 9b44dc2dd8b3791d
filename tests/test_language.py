"""The language of docs/glossary.md: variables are nouns, and sentences are plain English.

Read from the syntax tree of every Python file of the repository: names of variables and
parameters everywhere, sentences in the string literals and docstrings of `pipeline`, which users
and readers see.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

import pipeline

# The installed package, which is not beside the tests where the wheel is tested.
PACKAGE = Path(pipeline.__file__).parent
TREES = {"pipeline": PACKAGE} | {name: ROOT / name for name in ("infra", "benchmarks", "tests")}
NOT_OURS = {"node_modules", "__pycache__"}

# Prepositions and pronouns say nothing of a value. (`Error.at(...)` is a method: it may be.)
BANNED_NAMES = {"of", "told", "mine", "theirs", "these", "what", "at"}

# "X is not a Y", never "X is no Y"; "there is no Y", "has no Y" and "is no longer" are English.
IS_NO = re.compile(r"(?<!\bthere )\b(?:is|are) no (?!longer\b)", re.IGNORECASE)

# Folders that are still to be cleaned. One that has become clean must be taken out of here.
NOT_YET: set[str] = set()


def folder_of(path: Path) -> str:
    """Return the room of a file, of its path from the root: a folder of the first two levels."""
    return "/".join(path.parts[:-1][:2])


def python_files() -> dict[str, list[tuple[Path, Path]]]:
    """Return by folder the files, each by its path from the root and where it is."""
    files = defaultdict(list)
    for name, tree in TREES.items():
        for file in sorted(tree.rglob("*.py")):
            inside = file.relative_to(tree)
            if NOT_OURS.isdisjoint(inside.parts):
                files[folder_of(name / inside)].append((name / inside, file))
    return files


FILES = python_files()


def names_of(node: ast.AST) -> Iterator[str]:
    """Yield the names of variables and parameters that a node of the syntax tree introduces."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            yield name
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name
        case ast.MatchStar(name=str(name)) | ast.alias(asname=str(name)):
            yield name
        case _:
            pass


def text_of(node: ast.AST) -> str:
    """Return the text of a string literal; of an f-string with `{}` for each expression."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) or "{}" for value in values)
        case _:
            return ""


def findings_in(source: str, *, sentences: bool) -> list[tuple[int, str]]:
    """Return what is wrong in a source, by line; in its sentences only if they are checked."""
    found = []
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        line = getattr(node, "lineno", 0)
        found += [
            (line, f"a variable named {name!r}") for name in names_of(node) if name in BANNED_NAMES
        ]
        text = text_of(node) if sentences else ""
        for match in IS_NO.finditer(text):
            below = text.count("\n", 0, match.start())
            found.append((line + below, f'"{text[match.start() :][:30].splitlines()[0]}"'))
        inside = ast.iter_child_nodes(node)
        # The pieces of an f-string are read together, as one text.
        nodes += [child for child in inside if not (text and isinstance(child, ast.Constant))]
    return sorted(found)


def findings(folder: str) -> list[str]:
    """Return what is wrong in a folder, each with its file and line."""
    sentences = folder.partition("/")[0] == "pipeline"
    return [
        f"{name.as_posix()}:{line}: {finding}"
        for name, file in FILES[folder]
        for line, finding in findings_in(file.read_text("utf-8"), sentences=sentences)
    ]


@pytest.mark.parametrize("folder", sorted(FILES.keys() - NOT_YET))
def test_variables_are_nouns_and_sentences_are_plain(folder: str) -> None:
    found = findings(folder)
    assert not found, "\n".join(["See docs/glossary.md.", *found])


def test_a_folder_is_taken_out_of_not_yet_when_it_is_clean() -> None:
    clean = sorted(folder for folder in NOT_YET if folder not in FILES or not findings(folder))
    assert not clean, f"Clean now, to be taken out of NOT_YET: {', '.join(clean)}."


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f(of): return of", [1]),
        ("x = [\n    at\n    for at in ()\n]", [3]),
        ("for told, (mine, _) in (): pass", [1, 1]),
        ("class C:\n    what: str", [2]),
        ("lambda *, these: these", [1]),
        ("try: f()\nexcept E as theirs: pass", [2]),
        ("match x:\n    case [1, at]: pass", [2]),
        ("import x as of", [1]),
        ("class E:\n    @classmethod\n    def at(cls): return x.at, x.of()", []),
        ("f(of=1)", []),
        ("'It is no number.'", [1]),
        ("f'{x} is no {y}.'", [1]),
        ('def f():\n    """One.\n\n    This is no list.\n    """', [4]),
        ("f'{g(\"is no list\")}'", [1]),
        ("'There is no file.', 'It has no rows.', 'It is no longer there.'", []),
        ("f'there is no {x}'", []),
    ],
)  # fmt: skip
def test_what_is_found(source: str, lines: list[int]) -> None:
    assert [line for line, _ in findings_in(source, sentences=True)] == lines


def test_sentences_are_checked_in_the_package_alone() -> None:
    assert findings_in("'It is no number.'", sentences=False) == []
    assert {"pipeline/core", "infra", "benchmarks", "tests", "tests/laws"} <= FILES.keys()

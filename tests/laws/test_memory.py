"""Whatever outlives an invocation is bounded: shown by a soak, and each cache by its own text."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak.measure import Sample, growth

import pipeline

# What has no bound in its decorator, and why it has one all the same.
BOUNDED_OTHERWISE = {
    "core/simple_aggregates.py": "functools.cache of 129 heads, each of at most 1,024 lengths",
    "page/server.py": "functools.cache of functions without parameters: one page, one policy",
}
_MOST_ENTRIES = 8_192
# Dictionaries, lists and sets that live as long as the process, and what bounds them.
GLOBAL = {
    ("adapters/iceberg/file_io.py", "_kept"): "one client at most",
    ("core/aggregates.py", "_steps"): "three bytes, of which the last two are a short length",
}
# The command line ends before any of this matters.
SHORT_LIVED = ("authoring/", "commands/", "demo/", "measure/")
BATCHES = 1_200  # in CI; `make soak` has 20,000


def modules() -> Iterator[tuple[str, ast.Module]]:
    home = Path(pipeline.__file__).parent
    for path in sorted(home.rglob("*.py")):
        name = path.relative_to(home).as_posix()
        if not name.startswith(SHORT_LIVED):
            yield name, ast.parse(path.read_text("utf-8"))


def called(node: ast.expr) -> str:
    return ast.unparse(node).removeprefix("functools.")


def unbounded_caches(tree: ast.Module) -> Iterator[str]:
    """Yield the caches without a bound, or with one that is no number of a few thousand."""
    limits = {
        target.id: statement.value.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    with_limits = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in with_limits:
        if called(call.func) == "lru_cache":
            given = [keyword.value for keyword in call.keywords if keyword.arg == "maxsize"]
            text = ast.unparse(given[0]) if given else "128"
            limit = int(text) if text.isdigit() else limits.get(text)
            # A name may be imported: then its own module is held to it.
            if not (isinstance(limit, int) and limit <= _MOST_ENTRIES) and text != "PLANS_KEPT":
                yield ast.unparse(call)
    names = {called(call.func) for call in with_limits}
    decorators = {
        called(decorator)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
    }
    yield from {"cache"} & (names | decorators)
    yield from {"lru_cache"} & decorators


def test_every_cache_has_a_bound() -> None:
    found = {name: list(unbounded_caches(tree)) for name, tree in modules()}
    assert {name for name, caches in found.items() if caches} == BOUNDED_OTHERWISE.keys()


@pytest.mark.parametrize(
    "text",
    [
        "f = lru_cache(maxsize=None)(g)",
        "@functools.cache\ndef f(): ...",
        "@lru_cache(maxsize=10**9)\ndef f(): ...",
        "f = functools.cache(g)",
    ],
)
def test_a_cache_without_a_bound_is_found(text: str) -> None:
    assert list(unbounded_caches(ast.parse(text)))


def growing_globals(tree: ast.Module) -> Iterator[str]:
    """Yield the module's own empty dictionaries, lists and sets: they are there to be filled."""
    for statement in tree.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case _:
                continue
        if ast.unparse(value) in {"{}", "[]", "set()", "dict()", "list()"}:
            yield name


def test_what_a_module_gathers_is_known_and_bounded() -> None:
    found = {(name, each) for name, tree in modules() for each in growing_globals(tree)}
    constants = {("core/parts.py", "_NONE")}  # of Mapping, so that nobody fills it
    assert found - constants == GLOBAL.keys()


def test_memory_is_flat_over_batches_that_are_never_alike() -> None:
    command = [sys.executable, "-m", "soak", "--batches", str(BATCHES)]
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("MB. flat\n")


def test_growth_is_seen_behind_what_fills_up_first() -> None:
    flat = [Sample(n, min(100.0, 60 + 10 * n)) for n in range(40)]
    assert growth(flat) == 0
    assert growth([Sample(n, 60 + n) for n in range(40)]) == 20

"""Where a path like `$.lines[].sku` leads, in a schema's text and in what was seen."""

from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.authoring.infer.draft import observe
from pipeline.authoring.infer.observed import Seen
from pipeline.authoring.infer.sample import Sample
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.jsontext import read_exactly
from pipeline.core.member_path import read_path

Node = dict[str, Any]
"""A record, a field or another object of a schema's text."""


def _named_types(schema: Any, namespace: str = "") -> Iterator[tuple[str, Node]]:
    """Yield the named types of a schema, each by its name and by its full name."""
    if isinstance(schema, list):
        for part in schema:
            yield from _named_types(part, namespace)
    if not isinstance(schema, dict):
        return
    if schema.get("type") in ("record", "enum", "fixed") and "name" in schema:
        namespace = schema.get("namespace", namespace)
        yield schema["name"], schema
        yield f"{namespace}.{schema['name']}", schema
    for part in schema.values():
        if isinstance(part, dict | list):
            yield from _named_types(part, namespace)


def type_names(schema: Node) -> list[str]:
    """Return the names of a schema's named types, in lower case and without namespaces."""
    return [name.rpartition(".")[2].lower() for name, _ in _named_types(schema)]


def not_null(kind: Any) -> Any:
    """Return a type; of a union with null, the first other branch, None if there is none."""
    if isinstance(kind, list):
        return next((branch for branch in kind if branch != "null"), None)
    return kind


def _resolved(schema: Node, kind: Any) -> Any:
    """Look through unions with null, and through names."""
    kind = not_null(kind)
    if isinstance(kind, str):
        return dict(_named_types(schema)).get(kind, {"type": kind})
    return kind


def _steps(path: str) -> list[str]:
    """Cut a schema's path into its segments."""
    _steps, rest = list[str](), path.removeprefix("$")
    while rest:
        if rest.startswith(("[]", "{}")):
            size = 2
        elif rest.startswith('["'):
            size = rest.index('"]', 2) + 2
        else:
            ends = [rest.find(mark, 1) for mark in ".[{"]
            size = min((end for end in ends if end > 0), default=len(rest))
        _steps.append(rest[:size])
        rest = rest[size:]
    return _steps


def entry_at(schema: Node, path: str) -> Node | None:
    """Return the field that a path leads to, items and values aside."""
    steps = _steps(path)
    node, entry = schema, _entry_by_path(schema, steps)
    if entry is not None:
        node, steps = _resolved(schema, entry["type"]), steps[len(_path_of(entry)) :]
    for step in steps:
        if step in ("[]", "{}"):
            node = _resolved(schema, node.get("items", node.get("values")))
            continue
        entry = next(
            (
                entry
                for entry in node.get("fields", ())
                if "path" not in entry
                and path_segment(entry.get("jsonName", entry["name"])) == step
            ),
            None,
        )
        if entry is None:
            return None
        node = _resolved(schema, entry["type"])
    return entry


def _path_of(entry: Node) -> list[str]:
    """Return the segments of the path that a field gives; none where it has a key."""
    return list(map(path_segment, read_path(entry.get("path")) or ()))


def _entry_by_path(schema: Node, steps: list[str]) -> Node | None:
    """Return the field whose path leads to a place, or to something around it."""
    for entry in schema.get("fields", ()):
        segments = _path_of(entry)
        if segments and steps[: len(segments)] == segments:
            found: Node = entry
            return found
    return None


def _is_around_paths(schema: Node, steps: list[str]) -> bool:
    """Tell whether fields' paths lead through an object, which the schema itself does not have."""
    paths = map(_path_of, schema.get("fields", ()))
    return any(len(path) > len(steps) and path[: len(steps)] == steps for path in paths)


def node_at(schema: Node, path: str) -> Node:
    """Return the record that a path leads to; the outermost, where fields' paths lead through."""
    if path == "$" or _is_around_paths(schema, _steps(path)):
        return schema
    entry = entry_at(schema, path)
    node: Any = _resolved(schema, entry["type"]) if entry is not None else None
    for step in reversed(_steps(path)):
        if step not in ("[]", "{}"):
            break
        node = _resolved(schema, node.get("items", node.get("values")))
    if not isinstance(node, dict) or "fields" not in node:
        message = f"the schema's record at {path} was not found"
        raise KeyError(message)
    return node


def merged(one: Seen, other: Seen | None) -> Seen:
    """Return what was seen at two places as if at one; neither is changed."""
    together = Seen()
    together.merge(one)
    if other is not None:
        together.merge(other)
    return together


def values_at(documents: Iterable[Sample], path: str) -> Seen:
    """Return what was seen at a path."""
    seen: Seen | None = observe(read_exactly(document.text) for document in documents)
    for step in _steps(path):
        if seen is None:
            break
        if step == "[]":
            seen = seen.item
        elif step == "{}":
            seen = seen.any_value()
        else:
            keys = {path_segment(key): inner for key, inner in seen.keys.items()}
            seen = keys.get(step)
    return seen or Seen()

"""Changes by which a field reads what it does not read yet: each an attribute, or new symbols."""

from collections.abc import Callable, Iterator, Sequence

from pipeline.authoring.infer.names import is_name
from pipeline.authoring.infer.sample import Sample
from pipeline.authoring.infer.times import FORMS
from pipeline.authoring.places import Node, not_null, values_at


def _symbols(entry: Node, path: str, documents: Sequence[Sample]) -> Iterator[str]:
    """Add the symbols that were seen to an enum."""
    kind = entry["type"]
    inner = not_null(kind)
    texts = values_at(documents, path).texts
    if not isinstance(inner, dict) or inner.get("type") != "enum" or texts is None:
        return
    new = [text for text in texts.symbols or () if text not in inner["symbols"] and is_name(text)]
    if new:
        inner["symbols"] = [*inner["symbols"], *new]
        yield ", ".join(new)


def _accepting(*names: str) -> "Repair":
    """Return a repair that adds names to `accept`."""

    def change(entry: Node, path: str, documents: Sequence[Sample]) -> Iterator[str]:
        del path, documents
        given = list(entry.get("accept", ()))
        new = [name for name in names if name not in given]
        if new:
            entry["accept"] = [*given, *new]
            yield ", ".join(new)

    return change


def _forms(entry: Node, path: str, documents: Sequence[Sample]) -> Iterator[str]:
    """Add the forms of times that were seen."""
    texts = values_at(documents, path).texts
    if texts is None:
        return
    given = list(entry.get("formats", ()))
    names = [
        name
        for form in texts.forms
        for name in (*FORMS[form].names, *(name for name in FORMS[form].loose if texts.loose[name]))
    ]
    new = [name for name in dict.fromkeys(names) if name not in given]
    if new:
        entry["formats"] = [*given, *new]
        yield ", ".join(new)


Repair = Callable[[Node, str, Sequence[Sample]], Iterator[str]]
"""Changes the field at a path, for what documents hold there; yields words for what is new."""
REPAIRS: tuple[tuple[str, Repair], ...] = (
    ("new symbols", _symbols),
    ("formats", _forms),
    ("accept", _accepting("text")),
    ("accept", _accepting("whole-floats")),
    ("accept", _accepting("zero-one")),
    ("accept", _accepting("empty-text")),
    ("accept", _accepting("text", "whole-floats")),
    ("accept", _accepting("text", "empty-text")),
    ("accept", _accepting("text", "whole-floats", "empty-text")),
)

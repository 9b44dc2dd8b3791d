"""What all dialects share: how nested types are spelled, comments, and `<dataset>_once`."""

import keyword
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa

from pipeline.authoring.ddl.columns import IDENTITY_NAMES, free, path_columns
from pipeline.core.dataset import ARRIVED_AT, Dataset

LONGEST_DECIMAL = 38  # digits, in every reader here


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a dialect writes types; `scalar` gives None for what the dialect lacks."""

    scalar: Callable[[pa.DataType], str | None]
    array: str
    map: str
    struct: str
    member: Callable[[str, str], str]

    def spell(self, given: pa.DataType) -> str | None:
        """Spell a type, without the parts that the dialect lacks; None if nothing is left."""
        if pa.types.is_struct(given):
            members = [(member.name, self.spell(member.type)) for member in given]
            spelled = [self.member(name, kind) for name, kind in members if kind]
            return self.struct.format(", ".join(spelled)) if spelled else None
        if pa.types.is_list(given):
            return self._around(self.array, given.value_type)
        if pa.types.is_map(given):
            return self._around(self.map, given.item_type)
        return self.scalar(given)

    def _around(self, outer: str, inner: pa.DataType) -> str | None:
        spelled = self.spell(inner)
        return outer.format(spelled) if spelled else None

    def lacks(self, fields: Iterable[pa.Field]) -> list[str]:
        """Name what is left out of these fields, with its type."""
        return [
            f"{path} ({kind_of(kind)})"
            for field in fields
            for path, kind in scalars(field)
            if not self.scalar(kind)
        ]


def scalars(field: pa.Field) -> Iterator[tuple[str, pa.DataType]]:
    """Yield the scalars of a field at any depth, with their paths."""
    open_ = [(field.name, field.type)]
    while open_:
        path, kind = open_.pop(0)
        if pa.types.is_struct(kind):
            open_ = [(f"{path}.{inner.name}", inner.type) for inner in kind] + open_
        elif pa.types.is_list(kind):
            open_.insert(0, (f"{path}[]", kind.value_type))
        elif pa.types.is_map(kind):
            open_.insert(0, (f"{path}{{}}", kind.item_type))
        else:
            yield path, kind


def changed_text(dataset: Dataset) -> list[str]:
    """Say how the text in the CSV files differs from what was sent."""
    changes = {
        "Text that begins like a formula has an apostrophe before it.": dataset.csv.formula_guard,
        "NUL is removed from text.": dataset.csv.nul == "remove",
        "NUL in text is U+FFFD.": dataset.csv.nul == "replace",
    }
    return [sentence for sentence, holds_here in changes.items() if holds_here]


def kind_of(kind: pa.DataType) -> str:
    """Name a type that some readers lack, as its schema would."""
    if pa.types.is_time(kind):
        return "time-millis" if kind.unit == "ms" else "time-micros"
    return f"decimal of {kind.precision} digits" if pa.types.is_decimal(kind) else str(kind)


def is_wide(kind: pa.DataType) -> bool:
    """Whether a type is a decimal that no reader here can hold."""
    return bool(pa.types.is_decimal(kind) and kind.precision > LONGEST_DECIMAL)


def holds(kind: pa.DataType, predicate: Callable[[pa.DataType], bool]) -> bool:
    """Whether a type, or anything inside it, is such a one."""
    return any(predicate(inner) for _, inner in scalars(pa.field("", kind)))


def is_nested(kind: pa.DataType) -> bool:
    """Whether a CSV cell of this type is JSON text."""
    return bool(pa.types.is_list(kind) or pa.types.is_map(kind))


def comment(*sentences: str) -> str:
    """Write sentences as SQL comments, one paragraph each."""
    lines = [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, 96, break_long_words=False)
    ]
    return "\n".join(f"-- {line}" for line in lines)


def python_comment(*sentences: str) -> str:
    """Write sentences as comments of Python, one paragraph each."""
    return re.sub("^--", "#", comment(*sentences), flags=re.MULTILINE)


def python_name(name: str) -> str:
    """Return a dataset's name as a variable of Python."""
    return f"{name}_" if keyword.iskeyword(name) else name


def local_path(location: str) -> str:
    """Return a location as most readers take it: a URI, or a path that is not encoded."""
    if location.startswith("file://"):
        return unquote(location.removeprefix("file://"))
    return location


def glob_free(path: str) -> str:
    """Return a path with nothing in it that DuckDB takes for a pattern."""
    return re.sub(r"[*?\[]", r"[\g<0>]", path)


def joined(*parts: str) -> str:
    """Write the parts that are not empty below each other."""
    return "\n".join(filter(None, parts))


def ansi(name: str) -> str:
    """Quote an identifier as DuckDB, and Athena in queries, do."""
    return '"' + name.replace('"', '""') + '"'


def ansi_text(text: str) -> str:
    """Quote a string as DuckDB, and Athena in queries, do."""
    return "'" + text.replace("'", "''") + "'"


def backticked(name: str) -> str:
    """Quote an identifier as Spark, and Athena in DDL, do."""
    return "`" + name.replace("`", "``") + "`"


def escaped_text(text: str) -> str:
    """Quote a string as Spark, and Athena in DDL, do."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def listed(lines: Iterable[str]) -> str:
    """Write the items of a list, a line each."""
    return ",\n".join(f"  {line}" for line in lines)


def named(value: str, name: str) -> str:
    """Select a value under a name; both are quoted."""
    return name if value == name else f"{value} AS {name}"


def once(
    dataset: Dataset,
    view: str,
    columns: list[str],
    quote: Callable[[str], str],
    create: str = "CREATE OR REPLACE VIEW",
) -> str:
    """Write the view that shows each identity of `view` once."""
    copy = free("_copy", {name.lower() for name in columns})
    # A document's partition is a function of the document, so that its copies share one. Naming
    # it changes no result, and lets a filter on it through the window: files are skipped.
    keys = dict.fromkeys([*IDENTITY_NAMES, *(column.name for column in path_columns(dataset))])
    names = [quote(name) for name in columns]
    return joined(
        comment(_once_note(dataset)),
        f"{create} {quote(view + '_once')} AS",
        f"SELECT\n{listed(names)}",
        "FROM (",
        "  SELECT *, row_number() OVER (",
        f"    PARTITION BY {', '.join(quote(name) for name in keys)}",
        f"    ORDER BY {quote(ARRIVED_AT.name)}",
        f"  ) AS {quote(copy)}",
        f"  FROM {quote(view)}",
        f") AS {quote('numbered')}",
        f"WHERE {quote(copy)} = 1;",
    )


def _once_note(dataset: Dataset) -> str:
    names = " or ".join(column.name for column in path_columns(dataset))
    return "Each identity once." + (f" A filter on {names} skips files, here too." if names else "")

"""Names for columns and types out of JSON keys, and a dataset's out of a file's."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath

from pipeline.core.dataset import ARRIVED_AT, IDENTITY, REST, UNROUTED

RESERVED = frozenset(field.name for field in (*IDENTITY, ARRIVED_AT, REST))
_LONGEST = 63  # of a dataset's name; columns keep to it, too
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHERS = re.compile(r"[^A-Za-z0-9]+")


def is_name(text: str) -> bool:
    """Say whether Avro accepts a text as a name."""
    return _NAME.fullmatch(text) is not None


def column_names(keys: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """Name the column of each key: the key itself if it can be, else something like it.

    Names differ by more than case; of two keys that clash, the one that needs no change keeps it.
    """
    keys = list(keys)
    taken = set(reserved)
    names: dict[str, str] = {}
    for key in sorted(keys, key=lambda key: not (is_name(key) and len(key) <= _LONGEST)):
        wanted = key if is_name(key) else _plain(key)
        names[key] = _free(wanted[:_LONGEST], taken)
    return {key: names[key] for key in keys}


def type_name(path: Iterable[str], taken: set[str]) -> str:
    """Name a record or an enum after its path, and add the name to `taken`."""
    words = [word for part in path for word in _OTHERS.split(_ascii(part)) if word]
    name = "".join(word[0].upper() + word[1:] for word in words)[:_LONGEST] or "Part"
    return _free(name if is_name(name) else f"_{name}", taken)


def dataset_name(file: str) -> str:
    """Make a dataset's name of a file's: `Web Orders.2026.ndjson.gz` gives `web_orders`."""
    stem = PurePath(file).name.lstrip(".").partition(".")[0]
    plain = _OTHERS.sub("_", _ascii(stem)).strip("_").lower()
    if plain in {"", UNROUTED}:
        return "documents"
    return (plain if plain[0].isalpha() else f"from_{plain}")[:_LONGEST]


def _plain(key: str) -> str:
    name = _OTHERS.sub("_", _ascii(key)).strip("_") or "field"
    return name if is_name(name) else f"_{name}"


def _ascii(text: str) -> str:
    """Take accents off letters, and leave out letters of other scripts."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _free(wanted: str, taken: set[str]) -> str:
    """Put a number behind a name that is taken; `taken` holds lower case."""
    name, number = wanted, 1
    while name.lower() in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name.lower())
    return name


def kind_names(values: Iterable[str | int | bool | None], base: str, *, prefix: bool) -> list[str]:
    """Name a dataset for each value of a key; `base` is that of documents without a value.

    With a `prefix` all of them begin with `base`.
    """
    taken = set[str]()
    names = []
    for value in values:
        if value is None:
            wanted = base
        else:
            kind = dataset_name(str(value).replace("/", " ").replace(".", " ") or "empty").strip(
                "_"
            )
            wanted = f"{base}_{kind}" if prefix else kind
        names.append(_free_dataset(wanted, taken))
    return names


def _free_dataset(wanted: str, taken: set[str]) -> str:
    """Shorten a dataset's name, and put a number behind one that is taken."""
    name, number = wanted[:_LONGEST], 1
    while name in taken:
        number += 1
        name = f"{wanted[: _LONGEST - 8]}_{number}"
    taken.add(name)
    return name

"""Paths of members, as settings and schemas write them: `$.metadata.table-name`, `$["a.b"]`."""

import re
from typing import Any

Path = tuple[str, ...]
"""The keys that lead to a member; none is the document itself."""

NO_KEY = re.compile(r'["\\\x00-\x1f]')
"""What a JSON writer escapes, and msgspec cannot have in its keys."""
PATH_EXAMPLE = 'such as "$.metadata.table-name" or "$[\'a.b\']"'
_SEGMENT = re.compile(r"\.([^.\[\]'\"\s]+)|\[\"([^\"\\\x00-\x1f]+)\"\]|\['([^'\\\x00-\x1f]+)'\]")


def written(path: Path) -> str:
    """Return a path as it is written in a setting."""
    return "$" + "".join(
        f".{key}" if _SEGMENT.fullmatch(f".{key}") else f'["{key}"]' for key in path
    )


def read_path(text: Any) -> Path | None:
    """Read a path such as `$.a.b` or `$["a.b"]`; None for what is not one."""
    if not isinstance(text, str) or not text.startswith("$"):
        return None
    keys, offset = list[str](), 1
    while offset < len(text):
        segment = _SEGMENT.match(text, offset)
        if segment is None:
            return None
        keys.append(segment[1] or segment[2] or segment[3])
        offset = segment.end()
    return None if any(map(NO_KEY.search, keys)) else tuple(keys)

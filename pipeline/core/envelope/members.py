"""Members of a JSON object by their paths, as the exact text that stands in it."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from pipeline.core.integers import all_but
from pipeline.core.member_path import Path

Found = Sequence[bytes | None]
"""The text of the member at each path; None where it is absent."""
Column = list[bytes | None]
"""The text of the members at one path, of many objects."""


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading something that is not JSON, or not what it should be, raises."""


class Members:
    """Finds members of an object at `paths`, and skips all others; of a repeated key, the last.

    `place` says where in what is found each path's member is. Most often, all levels are read at
    once, as the paths expect them; an object that is another one, or null, on the way to a member
    is read again, level by level.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        keys = list(dict.fromkeys(path[0] for path in paths))
        self._levels = [_Level([p[1:] for p in paths if p[0] == key]) for key in keys]
        in_order = [
            (key, *rest)
            for key, level in zip(keys, self._levels, strict=True)
            for rest in level.paths
        ]
        self.place = {path: number for number, path in enumerate(in_order)}
        self._decoder = msgspec.json.Decoder(_struct(keys, [msgspec.Raw] * len(keys)))
        self.struct, self.names = self._at_once(keys)
        self._fast_decoder = msgspec.json.Decoder(self.struct)
        self._fast_found: Callable[[Any], tuple[Any, ...]] = lambda _: ()
        if len(self.names) == 1:
            found = attrgetter(*self.names)
            self._fast_found = lambda object_: (found(object_),)
        elif self.names:
            self._fast_found = attrgetter(*self.names)

    def find(self, document: bytes) -> Column:
        """Find what there is. Raises what msgspec does where there is no object."""
        try:
            raws = self._fast_found(self._fast_decoder.decode(document))
        except msgspec.ValidationError:
            return self._find_by_level(document)
        found = [None if raw is None else bytes(raw) for raw in raws]
        for number, inner, size in self.inner_of_wanted:
            token = found[number]
            if token is not None and token.startswith(b"{"):
                found[number + 1 : number + 1 + size] = inner.find(token)
        return found

    def find_all(self, documents: Sequence[bytes]) -> tuple[Sequence[int], list[Column]]:
        """Find at once what there is in many; return it in columns, and of which documents it is.

        Others are left out, among them those that are not read in one step.
        """
        structs, odd = self._fast_read(documents)
        columns = self.columns_of(structs)
        rows: Sequence[int] = range(len(structs))
        for number, inner, size in self.inner_of_wanted:
            if not any(columns[number]):
                continue
            objects = [row for row in rows if (columns[number][row] or b"").startswith(b"{")]
            found, within = inner.find_all([columns[number][row] or b"" for row in objects])
            for place, column in enumerate(within[:size], number + 1):
                for index, token in zip(found, column, strict=True):
                    columns[place][objects[index]] = token
            if len(found) < len(objects):
                lost = set(objects) - {objects[index] for index in found}
                rows = [row for row in rows if row not in lost]
        indices: Sequence[int] = all_but(odd, len(documents)) if odd else range(len(documents))
        if len(rows) < len(structs):
            indices = [indices[row] for row in rows]
            columns = [[column[row] for row in rows] for column in columns]
        return indices, columns

    def _fast_read(self, documents: Sequence[bytes]) -> tuple[list[Any], list[int]]:
        """Read documents in one step; return the indices of those that this is not possible for."""
        structs, odd = list[Any](), list[int]()
        left, read = iter(documents), self._fast_decoder.decode
        while True:
            try:
                structs.extend(map(read, left))
            except UNREADABLE:
                odd.append(len(structs) + len(odd))
            else:
                return structs, odd

    def columns_of(self, structs: Sequence[Any]) -> list[Column]:
        """Return the members of what was read in one step; those within wanted ones are missing."""
        columns = list[Column]()
        for number, level in enumerate(self._levels):
            members = list(map(attrgetter(f"m{number}"), structs))
            if level.inner is not None and not level.is_wanted:
                columns += level.inner.columns_of(members)
                continue
            columns.append(_texts(members))
            columns += [[None] * len(structs) for _ in level.nothing]
        return columns

    def _at_once(self, keys: Sequence[str]) -> tuple[Any, list[str]]:
        """Return the struct that has all levels, and the attributes that lead to the members.

        Of a member that is wanted itself, what is in it is looked for in its text.
        """
        types, names = list[Any](), list[str]()
        self.inner_of_wanted: list[tuple[int, Members, int]] = []
        for number, level in enumerate(self._levels):
            if level.inner is None or level.is_wanted:
                types.append(msgspec.Raw)
                if level.inner is not None:
                    self.inner_of_wanted.append((len(names), level.inner, len(level.nothing)))
                names += [f"m{number}", *["none"] * len(level.nothing)]
            else:
                types.append(level.inner.struct)
                self.inner_of_wanted += [
                    (len(names) + place, inner, size)
                    for place, inner, size in level.inner.inner_of_wanted
                ]
                names += [f"m{number}.{name}" for name in level.inner.names]
        return _struct(keys, types), names

    def _find_by_level(self, document: bytes) -> Column:
        tops = msgspec.structs.astuple(self._decoder.decode(document))
        found: Column = []
        for top, level in zip(tops, self._levels, strict=True):
            token = None if top is None else bytes(top)
            if level.is_wanted:
                found.append(token)
            if level.inner is not None:
                is_object = token is not None and token.startswith(b"{")
                found += level.inner.find(token) if token and is_object else level.nothing
        return found


class _Level:
    """What is wanted of one member: itself, members within it, or both."""

    def __init__(self, rests: Sequence[Path]) -> None:
        deeper = [rest for rest in dict.fromkeys(rests) if rest]
        self.is_wanted = () in rests
        self.inner = Members(deeper) if deeper else None
        within = [] if self.inner is None else list(self.inner.place)
        self.nothing: Column = [None] * len(within)
        self.paths: list[Path] = [()] * self.is_wanted + within


def _texts(raws: Sequence[Any]) -> Column:
    try:
        return list(map(bytes, raws))
    except TypeError:  # there is a None
        return [None if raw is None else bytes(raw) for raw in raws]


def _struct(keys: Sequence[str], types: Sequence[Any]) -> Any:
    """Define what has the members of these keys; `none` stands for one that is looked for later."""
    fields = [
        (f"m{number}", kind, None if kind is msgspec.Raw else kind())
        for number, kind in enumerate(types)
    ]
    rename = {f"m{number}": key for number, key in enumerate(keys)}
    return msgspec.defstruct(
        "Members", fields, rename=rename, namespace={"none": None}, gc=False, frozen=True
    )

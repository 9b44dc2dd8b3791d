"""The private members of a JSON text, replaced; everything else stays as it is written.

One pass over the text's strings and brackets, linear in the text. Every occurrence of a repeated
key is replaced, however it is written; so are the members of JSON that stands in a string, and
a string as a whole that has JSON among other text.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.jsontext import WHITESPACE, is_json
from pipeline.core.schema.privacy import MASK, PrivateFields

MOST_REPLACED = 1_000
"""Members of one text that something stands for; for further ones, a mask does."""
MOST_TEXTS = 6
"""Texts in texts that are looked into, as each level of them may double what is written."""
MOST_PATHS = 50
OTHERS = "…"
"""Stands for further paths, where there are more."""

_STRING = rb'"(?:[^"\\]|\\.)*+"'
_token = re.compile(_STRING + rb"|[{}\[\],]", re.DOTALL)
_bracket = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_scalar = re.compile(_STRING + rb"|[^,}\] \t\r\n]++", re.DOTALL)
_colon = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+")
_quoted = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # of a text that may end in a string
_key = re.compile(rb'"[^"]{0,512}"(?=[ \t\r\n]*+:)')  # in a text of any kind, at any quote
_may_have_keys = re.compile(rb'\\["u]')
_string = msgspec.json.Decoder(str)
_MASK = msgspec.json.encode(MASK)
_OPEN, _CLOSE = b"{[", b"}]"
_KEY, _ITEMS = "", "[]"

Replace = Callable[[str, bytes], bytes]
"""Returns what stands in the place of a private member, given its key and its text."""


class Redacted(NamedTuple):
    """A text without private values, and the paths of what was replaced (`$.lines[].email`)."""

    text: bytes
    paths: tuple[str, ...]


def redact(text: bytes, fields: PrivateFields, replace: Replace, depth: int = 0) -> Redacted:
    """Replace the private members of a text, which is JSON, and may stand in so many others."""
    scan = _Scan(text, fields, replace, depth)
    scan.run()
    return Redacted(b"".join(scan.pieces), tuple(scan.paths))


class _Scan:
    """Goes over a text, and collects the pieces of what it becomes.

    `stack` has an entry for each open bracket: `_ITEMS` of an array; of an object the key of the
    member that it is in, behind a dot, or `_KEY` where the next string is one.
    """

    def __init__(self, text: bytes, fields: PrivateFields, replace: Replace, depth: int) -> None:
        self.pieces: list[bytes] = []
        self.paths: dict[str, None] = {}
        self._text = text
        self._fields = fields
        self._replace = replace
        self._depth = depth
        self._stack: list[str] = []
        self._done = 0
        self._count = 0

    def run(self) -> None:
        """Go over all of the text."""
        text, stack = self._text, self._stack
        token = _token.search(text)
        while token is not None:
            end, first = token.end(), text[token.start()]
            if first == _STRING[0]:
                if stack and stack[-1] == _KEY:
                    end = self._member(token[0], end)
                elif _may_have_keys.search(token[0]):
                    self._text_within(token[0], end)
            elif first in _OPEN:
                stack.append(_KEY if first == _OPEN[0] else _ITEMS)
            elif first in _CLOSE:
                stack.pop()
            elif stack[-1] != _ITEMS:
                stack[-1] = _KEY
            token = _token.search(text, end)
        self.pieces.append(text[self._done :])

    def _member(self, quoted: bytes, end: int) -> int:
        """Enter the member whose key ends here; return where to go on, behind a private one."""
        key = _string.decode(quoted)
        self._stack[-1] = f".{key}"
        colon = _colon.match(self._text, end)
        begin = end if colon is None else colon.end()
        if not self._fields.has(key):
            return begin
        self._note()
        end = self._end_of_value(begin)
        self._count += 1
        replaced = _MASK
        if self._count <= MOST_REPLACED:
            replaced = self._replace(key, self._text[begin:end])
        self.pieces += self._text[self._done : begin], replaced
        self._done = end
        return end

    def _text_within(self, quoted: bytes, end: int) -> None:
        """Replace the private members of JSON in a string; all of it, where it is JSON in part."""
        inside = _string.decode(quoted).encode()
        if self._depth == MOST_TEXTS:
            replaced = _MASK
        elif is_json(inside):
            inner = redact(inside, self._fields, self._replace, self._depth + 1)
            if not inner.paths:
                return
            replaced = msgspec.json.encode(inner.text.decode())
        elif any(self._fields.has(_word(found)) for found in _may_be_keys(inside)):
            replaced = _MASK
        else:
            return
        self._note()
        self.pieces += self._text[self._done : end - len(quoted)], replaced
        self._done = end

    def _end_of_value(self, begin: int) -> int:
        text = self._text
        if text[begin] not in _OPEN:
            found = _scalar.match(text, begin)
            return len(text) if found is None else found.end()
        depth, end = 1, begin + 1
        while depth:
            token = _bracket.search(text, end)
            if token is None:
                return len(text)
            end, first = token.end(), text[token.start()]
            depth += (first in _OPEN) - (first in _CLOSE)
        return end

    def _note(self) -> None:
        if len(self.paths) < MOST_PATHS:
            segments = (
                entry if entry == _ITEMS else path_segment(entry[1:]) for entry in self._stack
            )
            self.paths["$" + "".join(segments)] = None
        else:
            self.paths[OTHERS] = None


def _may_be_keys(text: bytes) -> Iterator[re.Match[bytes]]:
    """Find strings that may be keys of broken JSON, or of JSON that stands in another text."""
    begins_as_json = text.lstrip(WHITESPACE)[:1] in (b"{", b"[")
    return (_quoted if begins_as_json else _key).finditer(text)


def _word(quoted: re.Match[bytes]) -> str:
    """Return a string of a broken text, as far as it can be read."""
    try:
        return _string.decode(quoted[0])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return quoted[0].strip(b'"').decode(errors="replace")


_segment = re.compile(r'\.([A-Za-z_][A-Za-z0-9_]*)|\[("(?:[^"\\]|\\.)*")\]')


def public_part(path: str, fields: PrivateFields) -> str | None:
    """Return a JSON path up to the private field that it leads into; None if it leads into none."""
    for found in _segment.finditer(path):
        plain, quoted = found.groups()
        key = plain if plain is not None else _string.decode(quoted)
        if fields.has(key):
            return path[: found.end()]
    return None

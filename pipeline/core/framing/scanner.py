"""Goes over one stretch of a text, value by value; see `framing` for what is certain, and why."""

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from pipeline.core.framing.arrays import (
    Elements,
    behind_brackets,
    fast_behind_value,
    is_bounded,
    split_elements,
)
from pipeline.core.framing.fast import fast_lines, fast_objects
from pipeline.core.framing.marks import (
    GOES_ON,
    OPENING,
    Document,
    behind_blanks,
    behind_space,
    has_open_string,
    line_of,
    may_go_on,
    trimmed,
)
from pipeline.core.jsontext import WHITESPACE, is_cut_short, is_json
from pipeline.core.magic import BYTE_ORDER_MARK

_SCALAR = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\s"{}\[\],:\x1e]++', re.DOTALL)
_EMPTY_ARRAY = rb"\[[ \t\r\n,]*+\]"
_EMPTY_ARRAYS = re.compile(rb"%b(?:[ \t\r\n\x1e]*+%b)*+" % (_EMPTY_ARRAY, _EMPTY_ARRAY))
_OBJECT, _ARRAY = b"{["
_HEADERS, _LONGEST_HEADER = b"\x00\x03\xef", 19  # of a registry, or a mark; and "{" behind it
_RUN_BYTES = 2**16
_LOOKED_AT = 2**12
_LONGEST_PIECE = 1_000  # lines: then it is not looked for an end of it any more
_MOST_OF_LINE = 2**17  # values on one line behind a break: of more, none is certain


class Mode(StrEnum):
    """Where a stretch of text begins: what is known of the text before it."""

    SEQUENCE = "sequence"
    """Between two values, and nothing is broken so far."""
    ARRAY = "array"
    """In an array at the outermost level, behind its bracket or a comma."""
    LINES = "lines"
    """At the start of a line, and one before it was broken in itself."""
    REST = "rest"
    """Behind something that may go on: nothing is certain any more."""
    EACH_LINE = "each-line"
    """At the start of a line of a text of which its owner says that each line is a document."""


class Stretch(msgspec.Struct, frozen=True):
    """The documents and pieces that end within a stretch, and where, and as what, it goes on.

    It `is_broken` if any of them is a piece, as far as that was looked at.
    """

    documents: list[Document]
    end: int
    mode: Mode
    is_broken: bool


class Scanner:
    """Goes over one stretch; what it found so far may be taken back when a break is met."""

    def __init__(self, text: bytes, *, ended: bool, enough: int, hold: bool, fast: bool) -> None:
        self.text = text
        self.found: list[Document] = []
        self.is_broken = False
        self._ended = ended
        self._enough = enough
        self._streamed = hold
        self._fast = fast
        self._exact_until = 0  # where many at once are tried again, after they could not be read
        self._exact_lines_until = 0
        self._line = range(0)  # the one that was looked for last, and its end if that shows
        self._line_shown: int | None = None
        self._open_lines: dict[tuple[int, int], bool] = {}
        # Arrays: start, end, number of their first document. Empty ones in a row are one.
        self._arrays: list[tuple[int, int, int]] = []
        self._pieces: tuple[int, int] | None = (
            None  # those found last: offset and number of the first
        )
        self._taken_over = 0

    # ------------------------------------------------------------------------------- sequences

    def sequence(self, start: int) -> tuple[int, Mode]:
        """Read values one after the other, as long as they are whole."""
        while len(self.found) < self._enough:
            start = self._fast_run(self._behind_space(start), (b"\n", b"", b"\r\n"))
            start = self._fast_lines(self._behind_space(start))
            if len(self.found) >= self._enough:
                break
            if start == len(self.text):
                return self._held(start), Mode.SEQUENCE
            end = self._empty_arrays(start) or self._value(start)
            if end is None:
                if self.text[start] == _ARRAY:
                    return start + 1, Mode.ARRAY
                return self._broken(start)
            start = end
        return self._held(start), Mode.SEQUENCE

    def _empty_arrays(self, start: int) -> int | None:
        """Take arrays in a row without anything in them, and return the offset behind the last."""
        run = _EMPTY_ARRAYS.match(self.text, start)
        if run is None:
            return None
        self._arrays.append((start, run.end(), len(self.found)))
        return run.end()

    def _value(self, start: int) -> int | None:
        """Take a whole value, and return the offset behind it; None where there is none."""
        text = self.text
        if text[start] in OPENING:
            end = self._behind_brackets(start)
            if end < 0 or not is_json(text[start:end]):
                return None
            if text[start] == _OBJECT:
                self.found.append((start, text[start:end]))
            elif not self._take_array(start, end):
                return None
            return end
        scalar = _SCALAR.match(text, start)
        if scalar is None or not is_json(scalar.group()):
            return None
        end = scalar.end()
        behind = text[end : end + 1]
        if behind in b',:]}"' if behind else not self._ended:
            return None
        self.found.append((start, scalar.group()))
        return end

    def _behind_brackets(self, start: int) -> int:
        """Return the offset behind a value in brackets, -1 where it does not end."""
        end = fast_behind_value(self.text, start) if self._fast else None
        return behind_brackets(self.text, start + 1) if end is None else end

    def _take_array(self, start: int, end: int) -> bool:
        """Take the elements of a whole array; one without an object in it is one document.

        Takes nothing, and says so, where there are more than is enough: they are read in turn.
        """
        inner = self.text[start + 1 : end]
        found = [(-1, self.text[start:end])] if inner[:-1].strip(WHITESPACE) else []
        if b"{" in inner:  # else it is not cut: it may be millions of numbers
            first = split_elements(inner, self._enough - len(self.found))
            has_object = _has_object(first.found) or _has_object_behind(inner, first)
            if has_object and not first.closed:
                return False
            found = first.found if has_object else found
        self._arrays.append((start, end, len(self.found)))
        self.found += [(start + 1 + offset, element) for offset, element in found]
        return True

    def _fast_run(self, start: int, separators: tuple[bytes, ...]) -> int:
        """Take objects in a row, some hundred at once; return the offset behind them.

        Leaves to `_value` what is not plainly that, and the last one before what is not.
        """
        text = self.text
        while (
            self._fast
            and start >= self._exact_until
            and text[start : start + 1] == b"{"
            and len(self.found) < self._enough
        ):
            if self._ended and len(text) - start <= _RUN_BYTES:
                end = start + len(text[start:].rstrip(WHITESPACE))
            else:
                limit = start + _RUN_BYTES
                seams = (text.rfind(b"}%b{" % by, start, limit) for by in separators)
                end = next((seam + 1 for seam in seams if seam >= 0), 0)
            objects = fast_objects(text[start:end], separators) if end > 0 else None
            if objects is None:
                self._exact_until = start + _RUN_BYTES
                break
            room = self._enough - len(self.found)
            if start or room < len(objects):
                self.found += ((start + offset, found) for offset, found in objects[:room])
            else:
                self.found += objects
            start = start + objects[room][0] if room < len(objects) else self._behind_space(end)
        return start

    def _fast_lines(self, start: int) -> int:
        """Take values of which each is a line, as `_fast_run` takes objects, and more seldom."""
        text = self.text
        while (
            self._fast
            and self._exact_lines_until <= start < len(text)
            and len(self.found) < self._enough
        ):
            end = text.rfind(b"\n", start, start + _RUN_BYTES)
            values = fast_lines(text[start:end]) if end > start else None
            if values is None:
                self._exact_lines_until = start + _RUN_BYTES
                break
            room = self._enough - len(self.found)
            self.found += [(start + offset, value) for offset, value in values[:room]]
            start = start + values[room][0] if room < len(values) else self._behind_space(end)
        return start

    def _held(self, end: int) -> int:
        """Leave the last value for the next stretch, if what comes next may belong to it."""
        if not (self._streamed and self._has_values):
            return end
        behind = self._behind_space(end)
        if behind == len(self.text):
            return end if self._ended else self._take_back()
        # Enough was found, and there is more.
        if len(self.found) > 1 and self._may_belong_to_last(behind):
            return self._take_back()
        return end

    @property
    def _has_values(self) -> bool:
        return bool(self.found or self._arrays)

    def _behind_space(self, start: int) -> int:
        """Return the offset behind what may stand between values."""
        return behind_space(self.text, start)

    def _last(self) -> tuple[int, int]:
        """Return where the last value begins and ends; (0, 0) if there is none."""
        start, end = 0, 0
        if self.found:
            start, last = self.found[-1]
            end = start + len(last)
        if self._arrays and self._arrays[-1][1] >= end:
            start, end, number = self._arrays[-1]
            if number == len(self.found):
                start = self.text.rfind(b"[", start, end)
        return start, end

    def _take_back(self) -> int:
        """Forget the last value, and return where it begins."""
        start, end = self._last()
        if self._arrays and self._arrays[-1][1] == end:
            first, _, number = self._arrays.pop()
            del self.found[number:]
            if first < start:  # of several in a row, the last one
                behind = self.text.rfind(b"]", first, start) + 1
                self._arrays.append((first, behind, number))
        elif self.found:
            self.found.pop()
        return start

    # ------------------------------------------------------------------------ what is not whole

    def _broken(self, start: int) -> tuple[int, Mode]:
        """Decide what is certain around the break at `start`, and go on behind it."""
        text = self.text
        end = start
        if not self._ended and len(text) - start < _LONGEST_HEADER and text[start] in _HEADERS:
            return start, Mode.SEQUENCE
        if text[start] in OPENING:
            end = behind_brackets(text, start + 1)
            if end < 0:
                if not self._ended:
                    return start, Mode.SEQUENCE
                if self._ends_too_early(start):
                    return self._take_rest(start)
                end = start
        line_start, line_end = text.rfind(b"\n", 0, start) + 1, text.find(b"\n", end)
        if line_end < 0:
            if not self._ended:
                while self._last()[1] > line_start:
                    start = self._take_back()
                return start, Mode.SEQUENCE
            line_end = len(text)
        first = self._first_uncertain(line_start, start, line_end)
        if may_go_on(text[first:line_end]):
            return self._take_rest(first)
        pieces = self._values_and_pieces(start, line_end) if first == start else None
        self._add_pieces(pieces or [line_of(text, first, line_end)])
        return min(line_end + 1, len(text)), Mode.LINES

    def _ends_too_early(self, start: int, opened: bytes = b"") -> bool:
        """Tell whether all that is wrong from here on is that it ends: what is before is whole.

        Not where it ends like a document, within a string: then a quote may be what is wrong.
        """
        text = self.text
        if not is_cut_short(opened + text[start:]):
            return False
        line_start = text.rfind(b"\n", 0, len(text.rstrip(WHITESPACE))) + 1
        is_closed = text.rstrip(WHITESPACE)[-1:] in (b"}", b"]")
        return not (is_closed and has_open_string(text[line_start:]))

    def _first_uncertain(self, line_start: int, start: int, line_end: int) -> int:
        """Take back what is not certain before a break; return where the broken piece begins."""
        first = start
        if has_open_string(self.text[line_start:line_end]):
            while self._last()[1] > line_start and self._has_values:
                first = self._take_back()
        while self._has_values and self._may_belong_to_last(first):
            first = self._take_back()
        return first

    def _may_belong_to_last(self, start: int) -> bool:
        """Tell whether a break may be what is left of the value before it, closed too early."""
        if self.text[start] in OPENING:
            return False
        return self.text[start] in GOES_ON or b"\n" not in self.text[self._last()[1] : start]

    def _values_and_pieces(self, start: int, end: int) -> list[Document] | None:
        """Tell whole values from broken ones, where brackets and quotes are whole; else None."""
        text, items = self.text, list[Document]()
        while (start := self._behind_space(start)) < end:
            if text[start] != _OBJECT:
                return None
            behind = behind_brackets(text, start + 1)
            if not 0 < behind <= end:
                return None
            items.append((start, text[start:behind]))
            start = behind
        return items

    def _add_pieces(self, pieces: list[Document]) -> None:
        if self._pieces is None:
            self._pieces = pieces[0][0], len(self.found)
        self.is_broken = True
        self.found += pieces

    def _take_rest(self, start: int) -> tuple[int, Mode]:
        """Take everything from here on as one piece; of a text that goes on, as far as it is here.

        All of the text if nothing in it is certain: then not even white space is left out.
        """
        self.is_broken = True
        start = start if self.found else 0
        self.found.append((start, self.text[start:]))
        return len(self.text), Mode.REST

    def rest(self, start: int) -> tuple[int, Mode]:
        """Take what is left as one piece."""
        if start < len(self.text):
            self.found.append((start, self.text[start:]))
        return len(self.text), Mode.REST

    # ----------------------------------------------------------------------------------- lines

    def lines(self, start: int) -> tuple[int, Mode]:
        """Read values that begin at the start of a line, and lines that are broken in themselves.

        `start` is the start of a line.
        """
        text = self.text
        while start < len(text) and len(self.found) < self._enough:
            run_end = self._fast_run(start, (b"\n", b"\r\n"))
            behind = run_end if run_end > start else self._values_of_lines(start)
            if behind is None:
                break
            if behind > start:
                start, self._pieces, self._taken_over = behind, None, 0
                continue
            line_end = self._line_end(start)
            if line_end is None:
                break
            line = text[start:line_end]
            if line.strip(WHITESPACE):
                first = self._first_of_pieces(start, line)
                # Nothing is open in what is before this line.
                goes_on = may_go_on(line) or self._taken_over > _LONGEST_PIECE
                if goes_on or line[:1] in (b" ", b"\t", b"\r", b"["):
                    return self._take_rest(first)
                self._add_pieces([line_of(text, first, line_end)])
            start = min(line_end + 1, len(text))
        return self._held(start), Mode.LINES

    def _first_of_pieces(self, start: int, line: bytes) -> int:
        """Return where the broken piece that a line belongs to begins; forget what it takes over.

        A line that is broken in itself begins one; one that is not goes on with those before it.
        """
        goes_on = line.lstrip(WHITESPACE)[0] in GOES_ON
        if self._pieces is not None and (goes_on or may_go_on(line) or line[:1] in b" \t\r["):
            start, number = self._pieces
            del self.found[number:]
            self._pieces = None
            self._taken_over += 1
        elif goes_on and self._has_values:
            start = self._take_back()
        return start

    def _line_end(self, start: int) -> int | None:
        """Return where a line ends; None where the stretch does not show it."""
        end = self.text.find(b"\n", start)
        if end < 0:
            return len(self.text) if self._ended else None
        return end

    def _values_of_lines(self, start: int) -> int | None:
        """Take values from the start of a line to the end of one, and return the offset behind.

        Returns `start` where there are none, and None where the stretch does not show their end.
        """
        text, begun, values, line_end = self.text, start, list[Document](), -1
        while text[start : start + 1] == b"{":
            end = behind_brackets(text, start + 1)
            if end < 0:
                return begun if self._ended else None
            if not is_json(text[start:end]):
                return begun
            values.append((start, text[start:end]))
            if len(values) > _MOST_OF_LINE:
                return begun
            if line_end < end:  # a line may hold many values: its end is looked for once
                found = self._line_end(end)
                if found is None:
                    return None
                line_end = found
            if behind_blanks(text, end) >= line_end:
                self.found += values
                return min(line_end + 1, len(text))
            start = self._behind_space(end)
        return begun

    def each_line(self, start: int) -> tuple[int, Mode]:
        """Take each line that is not blank, whatever is in it."""
        text = self.text
        while start < len(text) and len(self.found) < self._enough:
            line_end = self._line_end(start)
            if line_end is None:
                break
            begin = (
                start + len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK, start) else start
            )
            if text[begin:line_end].strip(WHITESPACE):
                self.found.append(line_of(text, begin, line_end))
            start = min(line_end + 1, len(text))
        return start, Mode.EACH_LINE

    # ---------------------------------------------------------------------------------- arrays

    def array(self, start: int) -> tuple[int, Mode]:
        """Read elements from behind the bracket, or behind a comma, of an array."""
        text, room = self.text, self._enough - len(self.found)
        elements = split_elements(text, room, start)
        end, first = elements.end, len(self.found)
        self.found += elements.found[:room]
        for number in sorted(elements.by_hand):
            if first + number >= len(self.found):
                break
            begin, element = self.found[first + number]
            if is_json(element):
                continue
            self.is_broken = True
            line_start, visible = self._lines_around(begin, begin + len(element))
            if visible is None and elements.closed:
                visible = end
            is_certain = text[begin] not in GOES_ON and is_bounded(element)
            if not is_certain or visible is None or self._has_open(line_start, visible):
                del self.found[first + number :]
                return self._take_rest(self._first_uncertain(line_start, begin, len(text)))
        if room < len(elements.found):
            return elements.found[room][0], Mode.ARRAY
        if elements.closed:
            return end, Mode.SEQUENCE
        return self._end_of_array(end)

    def _lines_around(self, begin: int, behind: int) -> tuple[int, int | None]:
        """Return where the first line of an element begins, and the last one ends, if that shows.

        One line may hold all elements, and all may be broken: it is looked for once.
        """
        text, line = self.text, self._line
        if line.start <= begin and behind <= line.stop:
            return line.start, self._line_shown
        shown = self._line_end(behind)
        line_start = text.rfind(b"\n", 0, begin) + 1
        last = text.rfind(b"\n", begin, behind) + 1 or line_start
        self._line, self._line_shown = range(last, len(text) if shown is None else shown), shown
        return line_start, shown

    def _end_of_array(self, end: int) -> tuple[int, Mode]:
        """Take what is behind the last comma of an array that is not closed, if nothing follows."""
        text = self.text
        rest = text[end:].strip(WHITESPACE)
        if not (self._ended and rest and len(self.found) < self._enough):
            return end, Mode.ARRAY
        if is_json(rest):  # the last element, and no bracket behind it
            self.found.append(trimmed(text, end, len(text)))
            return len(text), Mode.ARRAY
        begin = end + len(text[end:]) - len(text[end:].lstrip(WHITESPACE))
        if text[begin] not in GOES_ON and self._ends_too_early(begin, b"["):
            return self._take_rest(begin)
        line_start = text.rfind(b"\n", 0, begin) + 1
        return self._take_rest(self._first_uncertain(line_start, begin, len(text)))

    def _has_open(self, start: int, end: int) -> bool:
        """Tell whether a string is open on these lines, which may hold many broken elements."""
        lines = start, end
        if lines not in self._open_lines:
            self._open_lines = {lines: has_open_string(self.text[start:end])}
        return self._open_lines[lines]


def _has_object(elements: Sequence[Document]) -> bool:
    return any(element[:1] == b"{" for _, element in elements)


def _has_object_behind(array: bytes, elements: Elements) -> bool:
    """Tell whether any of an array's elements behind these is an object, without keeping them."""
    while not elements.closed:
        elements = split_elements(array, _LOOKED_AT, elements.end)
        if _has_object(elements.found):
            return True
    return False

"""Numbers of documents that a stream's rules take out of envelopes.

A document's number says where it stands in its payload: element e of the payload's document n has
the number n * 131,072 + e. So in a payload of one envelope, as nearly all are, the elements are
counted from 0; and the numbers depend on nothing else in the payload, so that an envelope which is
a dead letter now and is sent again later takes nobody's number.

A dead letter may be older than the rules. Then the payload's documents were numbered 0, 1, 2, and
those beside it may be rows by these numbers. So what comes of it has its number, and numbers behind
all others: of document n, element 0 is n, and element e is 2**31 - 2**29 + n * 131,072 + e.
"""

MOST_ELEMENTS = 2**17
"""Elements of one document; the numbers of the next one in its payload begin behind so many."""
_MOST_NUMBERS = 2**31
MOST_OLDER = 2**12
"""Documents of one payload, older than the rules, with numbers for all of their elements."""
_OLDER = _MOST_NUMBERS - MOST_OLDER * MOST_ELEMENTS
MOST_DOCUMENTS = _OLDER // MOST_ELEMENTS
"""Documents of one payload, each with numbers for all of its elements."""

NOT_BY_RULE = -1
"""Stands for the number of an element where no rule took the document out of an envelope."""
OLDER_THAN_RULES = -2
"""Stands for it where the stream had no rules yet."""


def numbers_of_older(document: int, start: int, count: int) -> list[int]:
    """Return the numbers of elements from `start` on of a document that is older than the rules."""
    behind = _OLDER + document * MOST_ELEMENTS
    return [behind + element if element else document for element in range(start, start + count)]


def envelope_of(number: int, element: int) -> int:
    """Return the number of the document that an element stood in."""
    envelope = number - element
    return (envelope - _OLDER) // MOST_ELEMENTS if envelope >= _OLDER else envelope

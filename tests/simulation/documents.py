"""What producers send, and the verdict that each document must get.

The verdicts are written here by hand, from the contract, without asking the product.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from uuid import UUID

from attack.poison import breaking_zstd
from support import order

from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.numbering import MOST_ELEMENTS

Verdict = tuple[str, str]
"""("row", dataset), ("drop", name), or (dataset or "unrouted", reason) of a dead letter."""

ORDER_ROW: Verdict = ("row", "orders")
CLICK_ROW: Verdict = ("row", "clicks")


@dataclass(frozen=True, slots=True)
class Unit:
    """One document, or a record that cannot be opened: its place in a stream record and its verdict.

    `content` is what it is recognised by: the id in a row, the payload of a dead letter.
    """

    sub: int
    document: int
    verdict: Verdict
    content: bytes


@dataclass(frozen=True, slots=True)
class Payload:
    """What a producer puts as one user record: its bytes, and its units as if alone."""

    data: bytes
    units: tuple[Unit, ...]


def by_rules(unit: Unit) -> Unit:
    """Return what a unit is where its stream has rules: documents are numbered by envelopes."""
    verdict = ("drop", "heartbeat") if unit.content == HEARTBEAT else unit.verdict
    return replace(unit, document=unit.document * MOST_ELEMENTS, verdict=verdict)


_TIMES = ("2026-11-23T09:29:00.5Z", "2026-11-22T23:59:59.999999Z", "2026-11-20T01:00:00+02:00")
_BAD_ORDERS: tuple[tuple[dict[str, object], str], ...] = (
    ({"total": "1.005"}, "decimal_misfit"),
    ({"total": "-1"}, "below_minimum"),
    ({"country": "Germany"}, "pattern_mismatch"),
    ({"status": "lost"}, "unknown_symbol"),
    ({"customer": {}}, "missing_field"),
    ({"gift": "yes"}, "wrong_type"),
    ({"placed_at": "2026-01-01T00:00:00Z"}, "outside_window"),
    ({"placed_at": "yesterday"}, "bad_format"),
)
HEARTBEAT = b'{"@stream":"heartbeat"}'
"""What the rules of a stream drop, if it has some; else no dataset takes it."""
RULES = """
[[envelope]]
when = { "$.@stream" = "heartbeat" }
drop = "heartbeat"
"""
_NO_DOCUMENTS: tuple[tuple[bytes, str], ...] = (
    (HEARTBEAT, "no_dataset"),
    (b"{'a': 1}", "not_json"),
    (b'{"@stream":"nobody"}', "no_dataset"),
    (b'{"@stream":"orders","x":"\xff"}', "not_utf8"),
)
# What makes other lines of its payload uncertain, or may be a part of a broken one before it: see
# `pipeline.core.framing`. They get these verdicts where they are alone.
_NO_DOCUMENTS_ALONE: tuple[tuple[bytes, str], ...] = (
    *_NO_DOCUMENTS,
    (b"[1, 2]", "not_object"),
    (b'{"@stream":"orders","items":[', "not_json"),
)
_UNOPENED: tuple[tuple[bytes, str], ...] = (
    (b"", "empty_record"),
    (b" \n\t", "empty_record"),
    (gzip.compress(b'{"@stream":"orders"}', mtime=0)[:-9], "corrupt_compression"),
    (b"\x28\xb5\x2f\xfd\x00", "corrupt_compression"),
    (breaking_zstd(), "corrupt_compression"),
    (gzip.compress(b"{}\n" * 10_001, mtime=0), "too_many_documents"),
)


def some_payload(random: Random) -> Payload:
    """Make one user record: a document, several lines of them, compressed or not, or none."""
    if random.random() < 0.06:
        data, reason = random.choice(_UNOPENED)
        return Payload(data, (Unit(0, 0, ("unrouted", reason), data),))
    count = random.choice((1, 1, 1, 1, 1, 2))
    found = [_document(random, alone=count == 1) for _ in range(count)]
    if count > 1:
        found.append(_click(random))  # no line that is JSON would be one unit, not several
    units = tuple(Unit(0, number, *document[1:]) for number, document in enumerate(found))
    data = b"\n".join(document[0] for document in found)
    return Payload(gzip.compress(data, 1, mtime=0) if random.random() < 0.1 else data, units)


def some_aggregate(random: Random, payloads: list[Payload], hash_key: int) -> Payload:
    """Join user records as KPL does; once in a while the aggregate is broken, and one unit."""
    records = [
        UserRecord(f"key {number}", payload.data, str(hash_key))
        for number, payload in enumerate(payloads)
    ]
    data = aggregate(records)
    if random.random() < 0.05:
        return _broken(random, data)
    units = tuple(
        Unit(sub, unit.document, unit.verdict, unit.content)
        for sub, payload in enumerate(payloads)
        for unit in payload.units
    )
    return Payload(data, units)


def _broken(random: Random, data: bytes) -> Payload:
    cases = (
        (data[:-1] + bytes([data[-1] ^ 1]), "kpl_checksum"),
        (data[: len(KPL_MAGIC) + 9], "kpl_truncated"),
        (KPL_MAGIC, "kpl_truncated"),
        (aggregate([]), "kpl_no_records"),
    )
    broken, reason = random.choice(cases)
    return Payload(broken, (Unit(0, 0, ("unrouted", reason), broken),))


def _document(random: Random, *, alone: bool) -> tuple[bytes, Verdict, bytes]:
    """Make one document: its bytes, its verdict, and its content as in `Unit`.

    Where it is not `alone` in its payload, its verdict and the others' do not hang on each other.
    """
    kind = random.random()
    if kind < 0.45:
        return _order(random, {})
    if kind < 0.6:
        changes, reason = random.choice(_BAD_ORDERS)
        data = _order(random, changes)[0]
        return data, ("orders", reason), data
    if kind < 0.9:
        return _click(random)
    data, reason = random.choice(_NO_DOCUMENTS_ALONE if alone else _NO_DOCUMENTS)
    return data, ("unrouted", reason), data


def _order(random: Random, changes: dict[str, object]) -> tuple[bytes, Verdict, bytes]:
    document = order(
        order_id=_some_id(random),
        placed_at=random.choice(_TIMES),
        country=random.choice(("DE", "DE", "FR")),
    )
    return _as_json(document | changes), ORDER_ROW, document["order_id"].encode()


def _click(random: Random) -> tuple[bytes, Verdict, bytes]:
    document = {"@stream": "clicks", "click_id": _some_id(random)}
    return _as_json(document), CLICK_ROW, document["click_id"].encode()


def _some_id(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128)))


def _as_json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()

"""What AWS's services and Debezium put around documents: payloads, and schemas of what is inside.

A log event has about 330 bytes in all, a row about 310. Each is a document once its preset has
opened its envelope; the plain documents that they are compared with are these very documents.
"""

import random
from collections.abc import Iterator
from typing import Any

import msgspec

Document = dict[str, Any]

LOG_EVENTS = 50
"""Log events of a record."""
_TEXT, _MAYBE = "string", ["null", "string"]


def _fields(**types: Any) -> list[Document]:
    return [{"name": name, "type": kind} for name, kind in types.items()]


_MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
_MICROS = {"type": "long", "logicalType": "timestamp-micros"}
_ROW = _fields(
    id="long", placed_at=_TEXT, customer="long", status=_TEXT, total="double", currency=_TEXT,
    address=_TEXT, city=_TEXT, country=_TEXT, note=_MAYBE,
)  # fmt: skip
LOG_EVENT = [
    *_fields(owner=_TEXT, logGroup=_TEXT, logStream=_TEXT, id=_TEXT),
    {"name": "timestamp", "type": _MILLIS, "epoch": "millis"},
    *_fields(message=_TEXT),
]
DMS_ROW = [
    *_fields(
        dms_timestamp=_MICROS, dms_operation=_TEXT, dms_schema=_TEXT, dms_table=_TEXT,
        dms_transaction=["null", "long"],
    ),
    *_ROW,
]  # fmt: skip
DEBEZIUM_ROW = [
    {"name": "cdc_ts_ms", "type": _MILLIS, "epoch": "millis"},
    *_fields(
        cdc_op=_TEXT, cdc_source_ts_ms=["null", "long"], cdc_database=_MAYBE, cdc_schema=_MAYBE,
        cdc_table=_MAYBE, cdc_lsn=["null", "long"], cdc_file=_MAYBE, cdc_position=["null", "long"],
    ),
    *_ROW,
]  # fmt: skip


def cloudwatch_logs() -> Iterator[bytes]:
    """Make messages of a subscription, uncompressed."""
    chance, number = random.Random(1), 37_000_000_000_000_000_000_000_000_000_000_000_000_000
    while True:
        events = []
        for _ in range(LOG_EVENTS):
            number += chance.getrandbits(60)
            events.append(
                {"id": f"{number:056}", "timestamp": _now(chance), "message": _line(chance)}
            )
        message = {
            "messageType": "DATA_MESSAGE",
            "owner": "123456789012",
            "logGroup": "/ecs/shop/checkout",
            "logStream": f"checkout/{chance.getrandbits(64):016x}",
            "subscriptionFilters": ["to-the-lake"],
            "logEvents": events,
        }
        yield msgspec.json.encode(message)


def dms() -> Iterator[bytes]:
    """Make changes as DMS writes them to Kinesis, unformatted, of one table."""
    chance = random.Random(1)
    while True:
        metadata = {
            "timestamp": f"2026-11-23T09:{chance.randrange(60):02}:00.{chance.randrange(10**6):06}Z",
            "record-type": "data",
            "operation": chance.choice(["load", "insert", "update", "update", "delete"]),
            "partition-key-type": "schema-table",
            "schema-name": "shop",
            "table-name": "orders",
            "transaction-id": chance.randrange(10**13),
        }
        yield msgspec.json.encode({"data": _row(chance), "metadata": metadata})


def debezium() -> Iterator[bytes]:
    """Make changes of PostgreSQL without an embedded schema: half of them are updates."""
    chance = random.Random(1)
    while True:
        operation, now = chance.choice("cuuurd" if chance.random() < 0.75 else "cr"), _now(chance)
        row, before = _row(chance), None
        if operation in "ud":
            before = {**row, "status": "placed"}
        source = {
            "version": "2.7.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": now,
            "snapshot": "false", "db": "shop", "sequence": f'["{now}","{now + 7}"]',
            "schema": "public", "table": "orders", "txId": chance.randrange(10**6),
            "lsn": chance.randrange(10**11), "xmin": None,
        }  # fmt: skip
        change = {
            "before": before, "after": None if operation == "d" else row, "source": source,
            "op": operation, "ts_ms": now + 40, "transaction": None,
        }  # fmt: skip
        yield msgspec.json.encode(change)


def _now(chance: random.Random) -> int:
    return 1_795_426_200_000 + chance.randrange(10**6)


def _line(chance: random.Random) -> str:
    return (
        f"2026-11-23 09:{chance.randrange(60):02}:00,{chance.randrange(1_000):03} INFO  "
        f"[http-nio-{chance.randrange(200)}] c.e.shop.Checkout - order {chance.getrandbits(48):012x} "
        f"of customer {chance.randrange(10**6)} took {chance.randrange(2_000)} ms\n"
    )


def _row(chance: random.Random) -> Document:
    return {
        "id": chance.randrange(10**9),
        "placed_at": f"2026-11-23 09:{chance.randrange(60):02}:00.{chance.randrange(10**6):06}",
        "customer": chance.randrange(10**6),
        "status": chance.choice(["placed", "paid", "sent"]),
        "total": round(chance.random() * 1_000, 2),
        "currency": "EUR",
        "address": f"{chance.randrange(200)} Long Street, second floor, at the back",
        "city": chance.choice(["Oslo", "Kyiv", "Lyon"]),
        "country": "NO",
        "note": None if chance.random() < 0.5 else "leave it with the neighbours",
    }

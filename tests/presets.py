"""Samples of each preset, as its producer writes them: good records, bad ones, and what is dropped."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """Records of one stream, in order, and what they come to in all."""

    records: list[Any]
    rows: int
    dead_letters: int
    drops: dict[str, int]


def _log_events() -> Sample:
    def message(kind: str, *events: Any) -> dict[str, Any]:
        return {
            "messageType": kind,
            "owner": "123456789012",
            "logGroup": "/aws/lambda/checkout",
            "logStream": "2026/11/23/[$LATEST]5c1f",
            "subscriptionFilters": ["to-the-lake"],
            "logEvents": list(events),
        }

    events = [
        {
            "id": f"{37_000_000_000 + n:056}",
            "timestamp": 1_795_426_200_000 + n,
            "message": f"REPORT {n} ms\n",
        }
        for n in range(30)
    ]
    control = message(
        "CONTROL_MESSAGE", {"id": "", "timestamp": 1, "message": "CWL CONTROL MESSAGE"}
    )
    records: list[Any] = [
        *(message("DATA_MESSAGE", *events[n : n + 10]) for n in (0, 10)),
        control,
        message("DATA_MESSAGE", *events[20:], 7),
        message("DATA_MESSAGE"),
        message("DATA_MESSAGE") | {"logEvents": "cut"},
    ]
    return Sample(records, 30, 2, {"control-message": 1, "no-log-events": 1})


def _dms() -> Sample:
    def record(kind: str, operation: str, data: Any) -> dict[str, Any]:
        return {
            "data": data,
            "metadata": {
                "timestamp": "2026-11-23T09:30:00.123456Z",
                "record-type": kind,
                "operation": operation,
                "partition-key-type": "schema-table",
                "schema-name": "shop",
                "table-name": "orders",
                "transaction-id": 12_345,
            },
        }

    rows = [
        record(
            "data", operation, {"id": n, "total": 12.5 + n, "placed_at": "2026-11-23 09:30:00.5"}
        )
        for n, operation in enumerate(["load"] * 8 + ["insert", "update", "delete"])
    ]
    table = record("control", "create-table", None) | {"control": {}}
    return Sample([table, *rows, record("data", "load", "cut")], 11, 1, {"control-record": 1})


def _debezium() -> Sample:
    source = {
        "version": "2.7.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": 1_795_426_200_000,
        "db": "shop", "schema": "public", "table": "orders", "txId": 7, "lsn": 24_023_128,
    }  # fmt: skip

    def change(operation: str, number: int) -> dict[str, Any]:
        row = {"id": number, "total": "BMQ=", "status": "placed"}
        return {
            "before": row if operation in "ud" else None,
            "after": None if operation == "d" else row,
            "source": source,
            "op": operation,
            "ts_ms": 1_795_426_200_123 + number,
        }

    changes = [change(operation, n) for n, operation in enumerate("rrrccuuud")]
    with_schema = {"schema": {"type": "struct", "fields": []}, "payload": change("c", 9)}
    records: list[Any] = [
        *changes,
        None,
        with_schema,
        {"schema": {}, "payload": None},
        change("u", 10) | {"after": 7},
    ]
    return Sample(records, 10, 1, {"tombstone": 2})


def _dynamodb() -> Sample:
    def record(event: str, **images: Any) -> dict[str, Any]:
        return {
            "awsRegion": "eu-central-1",
            "eventID": "5c1f",
            "eventName": event,
            "tableName": "orders",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_795_426_200_000_123,
                "ApproximateCreationDateTimePrecision": "MICROSECOND",
                "Keys": {"id": {"S": "a"}},
                **images,
            },
        }

    def item(number: int) -> dict[str, Any]:
        return {"id": {"S": f"o{number}"}, "total": {"N": f"{number}.50"}, "tags": {"SS": ["a"]}}

    records = [record("INSERT", NewImage=item(n)) for n in range(8)]
    records += [record("REMOVE", OldImage=item(9)), record("INSERT", NewImage={"id": {"N": "NaN"}})]
    return Sample(records, 9, 1, {})


def _eventbridge() -> Sample:
    def event(number: int, detail: Any) -> dict[str, Any]:
        return {
            "version": "0", "id": f"5c1f-{number}", "detail-type": "Order Placed", "source": "shop",
            "account": "123456789012", "time": "2026-11-23T09:30:00Z", "region": "eu-central-1",
            "resources": [], "detail": detail,
        }  # fmt: skip

    good = [event(n, {"order": n, "total": 12.5}) for n in range(8)]
    return Sample([*good, event(9, [])], 8, 1, {})


def _cloudtrail() -> Sample:
    def event(number: int) -> dict[str, Any]:
        return {
            "eventVersion": "1.09", "eventTime": "2026-11-23T09:30:00Z", "eventSource": "s3.amazonaws.com",
            "eventName": "PutObject", "awsRegion": "eu-central-1", "eventID": f"5c1f-{number}",
            "userIdentity": {"type": "AssumedRole", "accountId": "123456789012"},
        }  # fmt: skip

    records = [{"Records": [event(n), event(n + 1)]} for n in (0, 2, 4)]
    return Sample([*records, {"Records": []}, {"Records": [event(6), 7]}], 7, 1, {"no-records": 1})


def _otlp() -> Sample:
    def logs(*records: Any) -> dict[str, Any]:
        scope = {"scope": {"name": "app"}, "logRecords": list(records)}
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
        return {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}

    good = [
        {"timeUnixNano": f"{1_795_426_200_000_000_000 + n}", "severityText": "INFO", "body": {"stringValue": "a"}}
        for n in range(8)
    ]  # fmt: skip
    return Sample([logs(*good[:4]), logs(*good[4:], 7), logs()], 8, 1, {"no-logs": 1})


def _network_firewall() -> Sample:
    def event(inner: Any) -> dict[str, Any]:
        return {
            "firewall_name": "edge", "availability_zone": "eu-central-1a",
            "event_timestamp": "1795426200", "event": inner,
        }  # fmt: skip

    good = [
        event({
            "timestamp": "2026-11-23T09:30:00.000000+0000", "event_type": "netflow", "flow_id": n,
            "src_ip": "10.0.0.1", "src_port": 443, "proto": "TCP",
        })
        for n in range(8)
    ]  # fmt: skip
    return Sample([*good, event(7)], 8, 1, {})


def _segment() -> Sample:
    def track(number: int) -> dict[str, Any]:
        return {
            "type": "track", "event": "Order Placed", "userId": f"u{number}", "messageId": f"m{number}",
            "timestamp": "2026-11-23T09:30:00.000Z", "properties": {"total": 12.5},
        }  # fmt: skip

    batch = {"batch": [track(n) for n in range(6)], "sentAt": "2026-11-23T09:30:01.000Z"}
    return Sample(
        [batch, track(7), {"batch": [track(8), 7]}, {"batch": []}], 8, 1, {"no-messages": 1}
    )


def _firehose() -> Sample:
    def failed(data: bytes) -> dict[str, Any]:
        return {
            "attemptsMade": 4, "arrivalTimestamp": 1_795_426_200_000,
            "errorCode": "Lambda.FunctionError", "errorMessage": "The Lambda function timed out.",
            "attemptEndingTimestamp": 1_795_426_260_000, "rawData": b64encode(data).decode(),
            "lambdaArn": "arn:aws:lambda:eu-central-1:123456789012:function:f:$LATEST",
        }  # fmt: skip

    good = [failed(json.dumps({"order": n, "total": 12.5}).encode()) for n in range(8)]
    return Sample([*good, failed(b"not JSON")], 8, 1, {})


SAMPLES: dict[str, Sample] = {
    "cloudtrail": _cloudtrail(),
    "cloudwatch-logs": _log_events(),
    "debezium": _debezium(),
    "dms": _dms(),
    "dynamodb": _dynamodb(),
    "eventbridge": _eventbridge(),
    "firehose-transform-backup": _firehose(),
    "network-firewall": _network_firewall(),
    "otlp-json": _otlp(),
    "segment": _segment(),
}

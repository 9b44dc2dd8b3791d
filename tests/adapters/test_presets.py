"""Presets: what comes of records as their producers document them, good ones and bad ones."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from support import ROOT

from pipeline.adapters.schemas import preset_names, read_preset
from pipeline.core.envelope.opening import Envelope
from pipeline.core.records import Limits
from pipeline.core.stream import parse_preset


class Case(NamedTuple):
    """A record, and what must come of it: texts, `drop NAME`, or `letter MESSAGE`."""

    preset: str
    record: str
    outcomes: list[str]


DMS_TABLE = '"partition-key-type":"schema-table","schema-name":"shop","table-name":"orders","transaction-id":12345'
DBZ_SOURCE = '{"version":"2.7.0.Final","connector":"mysql","name":"shop","ts_ms":1795426200000,"db":"shop","table":"orders","file":"binlog.000003","pos":805}'
DBZ_KEPT = '"cdc_ts_ms":1795426200123,"cdc_source_ts_ms":1795426200000,"cdc_database":"shop","cdc_table":"orders","cdc_file":"binlog.000003","cdc_position":805'
DDB = '"awsRegion":"eu-central-1","eventID":"e1","userIdentity":null,"recordFormat":"application/json","tableName":"orders","eventSource":"aws:dynamodb"'
CASES = [
    Case(
        "cloudwatch-logs",
        '{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/app","logStream":"i-1","subscriptionFilters":["all"],'
        '"logEvents":[{"id":"36","timestamp":1795426200000,"message":"GET /\\n"},{"id":"37","timestamp":1795426200001,"message":"{\\"logGroup\\": 1}"}]}',
        [
            '{"owner":"123456789012","logGroup":"/app","logStream":"i-1","id":"36","timestamp":1795426200000,"message":"GET /\\n"}',
            '{"owner":"123456789012","logGroup":"/app","logStream":"i-1","id":"37","timestamp":1795426200001,"message":"{\\"logGroup\\": 1}"}',
        ],
    ),
    Case(
        "cloudwatch-logs",
        '{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],'
        '"logEvents":[{"id":"","timestamp":1795426200000,"message":"CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."}]}',
        ["drop control-message"],
    ),
    Case(
        "cloudwatch-logs",
        '{"messageType":"DATA_MESSAGE","logGroup":"/app","logEvents":"cut"}',
        ["letter The envelope should have an array at $.logEvents, as preset cloudwatch-logs, envelope 2 says."],
    ),
    Case(
        "dms",
        '{\n\t"data":\t{"id": 1, "total": 12.50},\n\t"metadata":\t{"timestamp":"2026-11-23T09:30:00.000000Z","record-type":"data","operation":"update",' + DMS_TABLE + "}\n}",
        ['{"dms_timestamp":"2026-11-23T09:30:00.000000Z","dms_operation":"update","dms_schema":"shop","dms_table":"orders","dms_transaction":12345,"id": 1, "total": 12.50}'],
    ),
    Case(
        "dms",
        '{"control":{},"metadata":{"timestamp":"2026-11-23T09:30:00.000000Z","record-type":"control","operation":"create-table",' + DMS_TABLE + "}}",
        ["drop control-record"],
    ),
    Case(
        "dms",
        '{"data":"cut","metadata":{"record-type":"data","operation":"load"}}',
        ["letter The envelope should have an object at $.data, as preset dms, envelope 2 says."],
    ),
    Case(
        "debezium",
        '{"before":null,"after":{"id":7,"total":"BMQ=","op":"own"},"source":' + DBZ_SOURCE + ',"op":"c","ts_ms":1795426200123,"transaction":null}',
        ['{"cdc_op":"c",' + DBZ_KEPT + ',"id":7,"total":"BMQ=","op":"own"}'],
    ),
    Case(
        "debezium",
        '{"schema":{"type":"struct","fields":[]},"payload":{"before":{"id":7},"after":null,"source":' + DBZ_SOURCE + ',"op":"d","ts_ms":1795426200123}}',
        ['{"cdc_op":"d",' + DBZ_KEPT + ',"id":7}'],
    ),
    Case("debezium", '{"schema":{"type":"struct","optional":true},"payload":null}', ["drop tombstone"]),
    Case("debezium", "null", ["drop tombstone"]),
    Case(
        "debezium",
        '{"before":null,"after":null,"source":' + DBZ_SOURCE + ',"op":"u","ts_ms":1795426200123}',
        ["letter The envelope should have an object at $.after, as preset debezium, envelope 5 says."],
    ),
    Case("debezium", '{"schema":{},"payload":{"source":' + DBZ_SOURCE + ',"op":"t","ts_ms":1795426200123}}', ["drop truncate"]),
    Case("debezium", '{"before":null,"after":null,"source":' + DBZ_SOURCE + ',"op":"t"}', ["drop truncate"]),
    Case("debezium", '{"op":"t","after":{"id":7}}', ['{"op":"t","after":{"id":7}}']),
    Case(
        "eventbridge",
        '{"version":"0","id":"5c1f","detail-type":"Order Placed","source":"shop","account":"123456789012","time":"2026-11-23T09:30:00Z","region":"eu-central-1","resources":[],"detail":{"order":1,"source":"web"}}',
        ['{"event_id":"5c1f","event_type":"Order Placed","event_source":"shop","event_account":"123456789012","event_region":"eu-central-1","event_time":"2026-11-23T09:30:00Z","event_resources":[],"order":1,"source":"web"}'],
    ),
    Case("eventbridge", '{"detail-type":"x","detail":[]}', ["letter The envelope should have an object at $.detail, as preset eventbridge, envelope 1 says."]),
    Case(
        "dynamodb",
        "{" + DDB + ',"eventName":"INSERT","dynamodb":{"ApproximateCreationDateTime":1795426200000,"Keys":{"id":{"S":"a"}},"NewImage":'
        '{"id":{"S":"a\\u00e9"},"price":{"N":"12.50"},"big":{"N":"123456789012345678901234567890.12345678"},"ok":{"BOOL":true},"none":{"NULL":true},'
        '"tags":{"SS":["x","y"]},"sizes":{"NS":["1","2.0"]},"raw":{"B":"AAE="},"list":{"L":[{"N":"1"},{"M":{"k":{"S":"v"}}},{"L":[]}]}},"SizeBytes":99}}',
        [
            '{"ddb_table":"orders","ddb_event":"INSERT","ddb_event_id":"e1","ddb_created_at":1795426200000,"id":"a\\u00e9","price":12.50,"big":123456789012345678901234567890.12345678,"ok":true,"none":null,"tags":["x","y"],"sizes":[1,2.0],"raw":"AAE=","list":[1,{"k":"v"},[]]}'
        ],
    ),
    Case(
        "dynamodb",
        "{" + DDB + ',"eventName":"REMOVE","dynamodb":{"Keys":{"id":{"S":"a"}},"OldImage":{"id":{"S":"a"},"n":{"N":"-0.0"}}}}',
        ['{"ddb_table":"orders","ddb_event":"REMOVE","ddb_event_id":"e1","id":"a","n":-0.0}'],
    ),
    Case(
        "dynamodb",
        "{" + DDB + ',"eventName":"MODIFY","dynamodb":{"Keys":{"id":{"N":"1"}}}}',
        ['{"ddb_table":"orders","ddb_event":"MODIFY","ddb_event_id":"e1","id":1}'],
    ),
    *[
        Case(
            "dynamodb",
            "{" + DDB + ',"dynamodb":{"NewImage":{"x":' + value + "}}}",
            ["letter The envelope should have an object of DynamoDB's attribute values at $.dynamodb.NewImage, as preset dynamodb, envelope 1 says."],
        )
        for value in ("7", '{"N":"NaN"}', '{"N":"01"}', '{"N":7}', '{"S":7}', '{"X":"a"}', "{}", '{"S":"a","N":"1"}', '{"L":[1]}')
    ],
    Case("cloudtrail", '{"Records":[{"eventVersion":"1.09","eventName":"PutObject"},{"eventVersion":"1.09"}]}', ['{"eventVersion":"1.09","eventName":"PutObject"}', '{"eventVersion":"1.09"}']),
    Case("cloudtrail", '{"Records":[]}', ["drop no-records"]),
    Case("cloudtrail", '{"Records":[7,{"a":1}]}', ["letter An element of $.Records is not an object.", '{"a":1}']),
    Case(
        "network-firewall",
        '{"firewall_name":"edge","availability_zone":"eu-central-1a","event_timestamp":"1795426200","event":{"timestamp":"2026-11-23T09:30:00.000000+0000","event_type":"alert","src_ip":"10.0.0.1"}}',
        ['{"firewall_name":"edge","availability_zone":"eu-central-1a","event_timestamp":"1795426200","timestamp":"2026-11-23T09:30:00.000000+0000","event_type":"alert","src_ip":"10.0.0.1"}'],
    ),
    Case("network-firewall", '{"firewall_name":"edge","event":7}', ["letter The envelope should have an object at $.event, as preset network-firewall, envelope 1 says."]),
    Case(
        "firehose-transform-backup",
        '{"attemptsMade":4,"arrivalTimestamp":1795426200000,"errorCode":"Lambda.FunctionError","errorMessage":"Task timed out","attemptEndingTimestamp":1795426260000,"rawData":"eyJvcmRlciI6IDd9Cg==","lambdaArn":"arn:aws:lambda:eu-central-1:123456789012:function:f"}',
        ['{"firehose_arrived_at":1795426200000,"firehose_error":"Lambda.FunctionError","firehose_message":"Task timed out","order": 7}'],
    ),
    *[
        Case(
            "firehose-transform-backup",
            '{"attemptsMade":4,"rawData":' + data + "}",
            ["letter The envelope should have a string that is a JSON object in base64 at $.rawData, as preset firehose-transform-backup, envelope 1 says."],
        )
        for data in ('"eyJvcmRlciI6IDd9C"', '"bm90IGpzb24="', '"{}"', "7", '"\u00e9"')
    ],
    Case("segment", '{"batch":[{"type":"track","userId":"u7","sentAt":1},{"type":"page"}],"sentAt":"t"}', ['{"batch_sent_at":"t","type":"track","userId":"u7","sentAt":1}', '{"batch_sent_at":"t","type":"page"}']),
    Case("segment", '{"type":"track","userId":42,"properties":{}}', ['{"type":"track","userId":42,"properties":{}}']),
    Case(
        "otlp-json",
        '{"resourceLogs":[{"resource":{"attributes":[]},"scopeLogs":[{"scope":{"name":"app"},"logRecords":[{"timeUnixNano":"1795426200000000000","body":{"stringValue":"a"}},{"body":{}}]},{"scope":{"name":"db"},"logRecords":[{"body":{"intValue":"1"}}]}]}]}',
        [
            '{"resource":{"attributes":[]},"scope":{"name":"app"},"timeUnixNano":"1795426200000000000","body":{"stringValue":"a"}}',
            '{"resource":{"attributes":[]},"scope":{"name":"app"},"body":{}}',
            '{"resource":{"attributes":[]},"scope":{"name":"db"},"body":{"intValue":"1"}}',
        ],
    ),
    Case(
        "otlp-json",
        '{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":[{"traceId":"5b8e","attributes":[]}]}]}]}',
        ['{"resource":{},"scope":{},"traceId":"5b8e","attributes":[]}'],
    ),
    Case(
        "otlp-json",
        '{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"scope":{},"metrics":[{"name":"hits","unit":"1","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asInt":"3"},{"asInt":"4"}]}}]}]}]}',
        [
            '{"metric":"hits","unit":"1","resource":{},"scope":{},"temporality":2,"monotonic":true,"asInt":"3"}',
            '{"metric":"hits","unit":"1","resource":{},"scope":{},"temporality":2,"monotonic":true,"asInt":"4"}',
        ],
    ),
    Case(
        "otlp-json",
        '{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[7,{"body":{}}]},{"scope":{},"logRecords":[]}]}]}',
        ["letter An element of $.logRecords is not an object.", '{"resource":{},"scope":{},"body":{}}', "drop no-logs"],
    ),
    Case(
        "otlp-json",
        '{"resourceLogs":[{"resource":{},"scopeLogs":[7,{"scope":{},"logRecords":[{"body":{}}]}]}]}',
        ["letter An element of $.scopeLogs is not an object."],
    ),
    Case(
        "otlp-json",
        '{"resourceLogs":[{"resource":{"attributes":[]}},{"resource":{"attributes":[]},"scopeLogs":[{"scope":{}},{"logRecords":[{"flags":1}]}]}]}',
        ["drop no-data", "drop no-data", '{"resource":{"attributes":[]},"flags":1}'],
    ),
    Case(
        "otlp-json",
        '{"resourceMetrics":[{"resource":{"attributes":[]},"scopeMetrics":[{"metrics":[{"name":"a","gauge":{}},{"name":"b","gauge":{"dataPoints":[{"asInt":"3"}]}}]}]}]}',
        ["drop no-data", '{"metric":"b","resource":{"attributes":[]},"asInt":"3"}'],
    ),
    Case("otlp-json", '{"resource":{"attributes":[]},"body":{"stringValue":"a"}}', ['{"resource":{"attributes":[]},"body":{"stringValue":"a"}}']),
]  # fmt: skip


def outcomes_of(envelope: Envelope, record: bytes) -> list[str]:
    found = envelope.open(record)
    return [
        f"drop {found.drops[number]}"
        if number in found.drops
        else f"letter {found.violations[number].message}"
        if number in found.violations
        else text.decode()
        for number, text in enumerate(found.texts)
    ]


def envelope_of(preset: str) -> Envelope:
    return Envelope(parse_preset(read_preset(preset) or "", f"preset {preset}"), Limits())


@pytest.mark.parametrize("number", range(len(CASES)))
def test_what_comes_of_a_record(number: int) -> None:
    case = CASES[number]
    assert outcomes_of(envelope_of(case.preset), case.record.encode()) == case.outcomes


@pytest.mark.parametrize("number", range(len(CASES)))
def test_what_comes_of_it_is_the_same_however_it_is_spaced(number: int) -> None:
    case = CASES[number]
    spaced = json.dumps(json.loads(case.record, parse_float=str), indent=1)
    plain = json.dumps(json.loads(case.record, parse_float=str))
    opened: list[list[Any]] = [
        [json.loads(text) if text.startswith("{") else text for text in outcomes_of(envelope_of(case.preset), record.encode())]
        for record in (spaced, plain)
    ]  # fmt: skip
    assert opened[0] == opened[1]


def test_every_preset_is_tried_and_documented() -> None:
    assert {case.preset for case in CASES} == set(preset_names())
    page = (ROOT / "docs" / "envelopes.md").read_text("utf-8")
    assert [name for name in preset_names() if f"| `{name}` |" not in page] == []

"""`pipeline doctor` says what is wrong, and only that, with everything there and everything missing."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from stack import ACCOUNT, REGION, SCHEMAS, Stack, simulated_account

from pipeline import cli
from pipeline.adapters.aws.account import Account, Answer, Refusal
from pipeline.adapters.schemas import read_datasets
from pipeline.core.magic import KPL_MAGIC
from pipeline.doctor import Findings, Places, look_at_function, look_at_machine
from pipeline.doctor.schemas import look_at_schemas
from pipeline.doctor.stream import SeenStream

pytestmark = pytest.mark.xdist_group("infra")

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/shop"
IDENTITY = f"arn:aws:iam::{ACCOUNT}:role/x"


def found(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, str]]]:
    """Run the command; return its exit code and its findings."""
    code = cli.main(["doctor", "--schemas", str(SCHEMAS), "--json", *words])
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert printed["wrong"] == bool(code)
    findings: list[dict[str, str]] = printed["findings"]
    for finding in findings:
        assert finding["sentence"].rstrip().endswith((".", ")")), finding
        assert finding["level"] != "wrong" or finding["command"], finding
    return code, findings


def wrong(findings: list[dict[str, str]]) -> list[str]:
    return [finding["sentence"] for finding in findings if finding["level"] == "wrong"]


# ------------------------------------------------------------------------ nothing is there


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither credentials, nor a region, nor a profile, nor a machine that would have them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # another test's, with its credentials
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.mark.usefixtures("nobody")
def test_without_credentials_that_is_what_it_says_and_it_asks_no_further(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, findings = found(capsys, "--stream", "shop", "--function", "f", "--out", "s3://b/x")
    assert code == 1
    assert wrong(findings) == [
        "There are no credentials that AWS accepts: Unable to locate credentials."
    ]
    assert findings[-1]["command"] == "aws configure sso"
    assert [finding["about"] for finding in findings] == ["schemas", "credentials"]


def test_without_a_network_that_is_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    code, findings = found(capsys, "--stack", "pipeline")
    assert code == 1
    (sentence,) = wrong(findings)
    assert sentence.startswith(
        "AWS was not reached: the network, a proxy or an endpoint is in the way"
    )


@pytest.mark.parametrize("text", ["", "not json"])
def test_schemas_that_cannot_be_used_are_told_with_the_command_that_says_more(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text:
        (tmp_path / "orders").mkdir()
        (tmp_path / "orders" / "1.avsc").write_text(text)
    with mock_aws():
        code = cli.main(["doctor", "--schemas", str(tmp_path)])
    printed = capsys.readouterr().out
    assert code == 1
    assert "WRONG schemas" in printed
    assert f"pipeline check {tmp_path}" in printed


@mock_aws
def test_names_of_nothing_are_told_one_by_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    code, findings = found(
        capsys, "--stack", "none", "--stream", "none", "--function", "none",
        "--out", "s3://none-rows/lake", "--dead-letters", "s3://none-letters/x",
        "--database", "none",
    )  # fmt: skip
    assert code == 1
    said = wrong(findings)
    for sentence in (
        "There is no stack none in this account and region.",
        "There is no stream none in this account and region.",
        "There is no function none in this account and region.",
        "There is no bucket none-rows.",
        "There is no bucket none-letters.",
        "There is no table none.orders.",
    ):
        assert sentence in said


# ------------------------------------------------------------------------ everything is there


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with simulated_account(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
        ask = Account.ask

        def answered(account: Account, service: str, operation: str, **asked: Any) -> Any:
            if operation != "simulate_principal_policy":  # which moto does not have
                return ask(account, service, operation, **asked)
            return Answer({"EvaluationResults": [{"EvalDecision": "allowed"}]}, NOW, NOW)

        patch.setattr(Account, "ask", answered)
        yield Stack("pipeline", RetentionHours="168")


def test_of_a_stack_as_it_is_deployed_nothing_is_wrong(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    code, findings = found(capsys, "--stack", "pipeline")
    assert wrong(findings) == []
    assert code == 0
    about = {finding["about"] for finding in findings}
    assert about >= {
        "schemas", "credentials", "stack", "stream", "function", "settings", "mapping",
        "permissions", "output", "dead letters", "tables", "records",
    }  # fmt: skip
    tables = [finding for finding in findings if finding["about"] == "tables"]
    assert len(tables) == sum(len(dataset.formats) for dataset in read_datasets(SCHEMAS))
    assert cli.main(["doctor", "--stack", "pipeline", "--schemas", str(SCHEMAS)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" 0 wrong, 2 notes.")


def test_records_that_are_read_say_whether_they_are_aggregates(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    kinesis, name = boto3.client("kinesis"), "sampled"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    for data in (KPL_MAGIC + b"x", b"{}", b"{}"):
        kinesis.put_record(StreamName=name, Data=data, PartitionKey="a")
    _, findings = found(capsys, "--stream", name)
    sentences = [finding["sentence"] for finding in findings]
    assert "1 of 3 records that were read are aggregates of the KPL." in sentences
    # A stream as AWS makes it: a day, and without encryption.
    notes = [finding["sentence"] for finding in findings if finding["level"] == "note"]
    assert notes == [
        "sampled keeps records for 24 hours: a longer outage loses them.",
        "sampled is not encrypted.",
    ]


def test_a_lifecycle_that_eats_the_lake_is_found(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    s3, bucket = boto3.client("s3", region_name="eu-west-1"), "eaten"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    rule: Any = {
        "ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": "la"}, "Expiration": {"Days": 30},
        "Transitions": [{"Days": 10, "StorageClass": "GLACIER"}],
    }  # fmt: skip
    beside: Any = {
        "ID": "other",
        "Status": "Enabled",
        "Filter": {"Prefix": "athena/"},
        "Expiration": {"Days": 1},
    }
    off: Any = {
        "ID": "off",
        "Status": "Disabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": 1},
    }
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [rule, beside, off]}
    )
    stream = stack.outputs["StreamName"]
    _, findings = found(capsys, "--stream", stream, "--out", f"s3://{bucket}/lake")
    assert wrong(findings) == [
        (
            "The bucket eaten is in eu-west-1, the pipeline in eu-central-1: every object crosses "
            "regions, which costs and is slow, and Lambda keeps no failed batch there."
        ),
        "The rule tidy of eaten deletes rows after 30 days.",
        (
            "The rule tidy of eaten moves objects to GLACIER: nobody reads them there before they are "
            "restored."
        ),
    ]


def test_a_table_of_an_older_schema_is_found(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SCHEMAS / "orders", tmp_path / "orders")
    schema = tmp_path / "orders" / "1.avsc"
    text = json.loads(schema.read_text())
    text["fields"].append({"name": "novel", "type": ["null", "string"], "default": None})
    newest = max((tmp_path / "orders").glob("*.avsc"), key=lambda path: int(path.stem))
    newest.write_text(json.dumps(json.loads(newest.read_text()) | {
        "fields": [*json.loads(newest.read_text())["fields"], text["fields"][-1]]
    }))  # fmt: skip
    code = cli.main(["doctor", "--stack", "pipeline", "--schemas", str(tmp_path), "--json"])
    said = wrong(json.loads(capsys.readouterr().out)["findings"])
    assert code == 1
    assert "The table pipeline.orders is not as its schema: it has no column novel." in said


# ------------------------------------------------------------------------ one thing at a time


class Told:
    """An account that answers as it is told, and refuses the rest."""

    def __init__(self, **answers: dict[str, Any] | Refusal | Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []

    def ask(self, service: str, operation: str, **_: Any) -> Answer | Refusal:
        self.asked.append((service, operation))
        answer = self.answers.get(operation, Refusal("AccessDeniedException", "no"))
        return Answer(answer, NOW, NOW) if isinstance(answer, dict) else answer


GOOD: dict[str, Any] = {
    "UUID": "u-1",
    "EventSourceArn": STREAM,
    "State": "Enabled",
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "BisectBatchOnFunctionError": True,
    "MaximumRetryAttempts": -1,
    "MaximumRecordAgeInSeconds": 518_400,
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::letters"}},
}
FUNCTION = {
    "FunctionName": "f",
    "Timeout": 120,
    "MemorySize": 1769,
    "Role": IDENTITY,
    "Environment": {
        "Variables": {
            "PIPELINE_OUTPUT": "s3://rows/lake",
            "PIPELINE_DEAD_LETTERS": "s3://letters/x",
            "PIPELINE_SCHEMAS": "/var/task/schemas",
        }
    },
}


def of_function(
    mapping: dict[str, Any] | None = None,
    stream: SeenStream | None = SeenStream(STREAM, 168, aggregated=True),  # noqa: B008 - frozen
    function: dict[str, Any] = FUNCTION,
    decision: str = "allowed",
) -> list[tuple[str, str]]:
    """Return the levels and sentences of what is not as it should be."""
    mappings = {"EventSourceMappings": [GOOD | mapping] if mapping is not None else []}
    account = Told(
        list_event_source_mappings=mappings,
        simulate_principal_policy={"EvaluationResults": [{"EvalDecision": decision}]},
    )
    findings = Findings()
    places = Places(output="s3://rows/lake", configuration=function)
    look_at_function(places, stream, account, findings)
    return [(one.level, one.sentence) for one in findings.found if one.level != "ok"]


@pytest.mark.parametrize(
    ("change", "level", "sentence"),
    [
        ({"FunctionResponseTypes": []}, "wrong", "ReportBatchItemFailures is off"),
        ({"BisectBatchOnFunctionError": False}, "note", "BisectBatchOnFunctionError is off"),
        ({"State": "Disabled"}, "wrong", "The mapping is Disabled"),
        ({"LastProcessingResult": "PROBLEM: no access"}, "wrong", "last try failed: PROBLEM: no"),
        ({"MaximumRetryAttempts": 3}, "note", "A batch is given up after 3 retries"),
        ({"MaximumRecordAgeInSeconds": -1}, "wrong", "The stream forgets records after 168 hours"),
        ({"MaximumRecordAgeInSeconds": 604_800}, "wrong", "The stream forgets records after 168"),
        ({"DestinationConfig": {}}, "wrong", "There is no on-failure destination"),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:x:1:q"}}},
            "note",
            "only a bucket gets its records",
        ),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "wrong", "it drops them whole"),
        ({"ParallelizationFactor": 10}, "note", "it gains nothing"),
        ({"TumblingWindowInSeconds": 60}, "note", "The mapping has a tumbling window"),
    ],
)
def test_each_flag_of_the_mapping_is_looked_at(
    change: dict[str, Any], level: str, sentence: str
) -> None:
    assert of_function({}) == []
    ((found_level, found_sentence),) = of_function(change)
    assert found_level == level
    assert sentence in found_sentence


def test_what_hurts_aggregates_alone_is_a_note_where_there_are_none() -> None:
    plain = SeenStream(STREAM, 168, aggregated=False)
    filters = {"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}
    assert [level for level, _ in of_function(filters, plain)] == ["note"]
    assert of_function({"ParallelizationFactor": 10}, plain) == []


def test_a_function_without_a_mapping_or_with_that_of_another_stream_gets_nothing() -> None:
    ((level, sentence),) = of_function()
    assert (level, sentence) == ("wrong", "No stream is mapped to f: it gets nothing.")
    ((level, sentence),) = of_function({"EventSourceArn": f"{STREAM}-2"}, None)[:1] or [("", "")]
    other = of_function({"EventSourceArn": STREAM.replace("shop", "other")})
    assert ("wrong", f"f reads {STREAM.replace('shop', 'other')}, and not {STREAM}.") in other


def test_settings_and_permissions_that_are_wrong_are_named() -> None:
    broken = FUNCTION | {"Environment": {"Variables": {"PIPELINE_OUTPUT": "rows"}}, "Timeout": 3}
    said = [sentence for _, sentence in of_function({}, function=broken)]
    assert "f has 3 s, too little for S3 to recover in: give it 120 s." in said
    assert any(sentence.startswith("PIPELINE_OUTPUT is 'rows'") for sentence in said)
    assert any(sentence.startswith("PIPELINE_SCHEMAS is not set") for sentence in said)
    denied = of_function({}, decision="implicitDeny")
    assert ("wrong", (f"The role {IDENTITY} may not s3:PutObject on arn:aws:s3:::rows/lake/x "
            "(implicitDeny).")) in denied  # fmt: skip
    assert len(denied) == 3


def test_what_one_may_not_look_at_is_a_note_and_no_failure() -> None:
    findings = Findings()
    look_at_function(Places(configuration=FUNCTION), None, Told(), findings)
    assert not findings.wrong
    assert [one.sentence for one in findings.found if one.level == "note"] == [
        "Not looked at: the mappings of f. Whoever runs this may not lambda:ListEventSourceMappings."
    ]


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, "ok"), (59, "ok"), (60, "note"), (299, "note"), (300, "wrong")]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_is_wrong_is_told_before_aws_refuses(
    seconds: int, level: str, sign: int
) -> None:
    answer = Answer({"Arn": IDENTITY}, NOW + sign * timedelta(seconds=seconds), NOW)
    findings = Findings()
    look_at_machine(str(SCHEMAS), Told(get_caller_identity=answer), findings)
    (clock,) = [finding for finding in findings.found if finding.about == "clock"]
    assert clock.level == level
    assert f"{seconds:,} s away" in clock.sentence


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("expired", "The credentials have expired"),
        ("clock", "AWS refuses what this machine signs, as its clock is wrong"),
        ("region", "No region is set"),
        ("SomethingElse", "AWS refused to say who this is (SomethingElse)"),
    ],
)
def test_why_nobody_is_recognised_is_told(code: str, sentence: str) -> None:
    findings = Findings()
    look_at_machine(str(SCHEMAS), Told(get_caller_identity=Refusal(code, "x")), findings)
    assert findings.found[-1].sentence == f"{sentence}: x."
    assert findings.found[-1].command


@pytest.mark.parametrize(
    ("code", "message", "found"),
    [
        (
            "SignatureDoesNotMatch",
            "Signature expired: T1 is now earlier than T2 (T3 - 5 min.)",
            "clock",
        ),
        ("SignatureDoesNotMatch", "Signature not yet current: T1 is still later than T2", "clock"),
        ("RequestTimeTooSkewed", "", "clock"),
        ("RequestExpired", "Request has expired.", "clock"),
        ("SignatureDoesNotMatch", "The request signature we calculated differs", "credentials"),
        ("ExpiredToken", "The security token included in the request is expired", "expired"),
    ],
)
def test_a_wrong_clock_is_not_taken_for_wrong_credentials(
    monkeypatch: pytest.MonkeyPatch, code: str, message: str, found: str
) -> None:
    account = Account()

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": message}}, "GetCallerIdentity")

    monkeypatch.setitem(account._clients, "sts", SimpleNamespace(get_caller_identity=refuse))
    answer = account.ask("sts", "get_caller_identity")
    assert isinstance(answer, Refusal)
    assert answer.code == found


# ------------------------------------------------------------------------ schemas on S3


def schemas_of(function: dict[str, Any], **answers: Any) -> list[tuple[str, str, str]]:
    """Return what is found of a function's schemas."""
    findings = Findings()
    configuration = {**function, "LastModified": "2026-11-27T12:00:00.000+0000"}
    look_at_schemas(configuration, Told(**answers), findings)
    return [(one.level, one.sentence, one.command) for one in findings.found]


ON_S3: dict[str, Any] = FUNCTION | {
    "Environment": {"Variables": {"PIPELINE_SCHEMAS": "s3://datasets/v7/"}}
}


def test_schemas_in_the_artifact_are_not_asked_for() -> None:
    assert schemas_of(FUNCTION) == []


@pytest.mark.parametrize(
    ("minutes", "notes"),
    [
        (-1, []),
        (
            1,
            [
                (
                    "note",
                    (
                        "The schemas below s3://datasets/v7/ changed at 2026-11-27 12:01:00 UTC, "
                        "after f was deployed at 2026-11-27 12:00:00: execution environments that "
                        "began before still have the former ones. A deployment gives all of them "
                        "the new ones."
                    ),
                    (
                        "aws lambda update-function-configuration --function-name f --description "
                        "'Schemas of 2026-11-27 12:01:00'"
                    ),
                )
            ],
        ),
    ],
)
def test_schemas_that_changed_under_a_function_are_told(
    minutes: int, notes: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pipeline.doctor.schemas.schema_folder", lambda _: contextlib.nullcontext(SCHEMAS)
    )
    listed = [{"Key": "v7/x", "LastModified": NOW + timedelta(minutes=minutes)}]
    found = schemas_of(ON_S3, list_objects_v2={"Contents": listed})
    names = ", ".join(dataset.name for dataset in read_datasets(SCHEMAS))
    count = len(read_datasets(SCHEMAS))
    assert found == [("ok", f"s3://datasets/v7 has {count} datasets: {names}.", ""), *notes]


def test_schemas_on_s3_that_are_missing_or_broken_are_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (found,) = schemas_of(ON_S3, list_objects_v2=Refusal("NoSuchBucket", "no"))
    assert found == ("wrong", "There is no bucket datasets.", "aws s3 mb s3://datasets")
    (found,) = schemas_of(ON_S3)
    assert found[:2] == (
        "note",
        "Not looked at: what is below s3://datasets/v7/. Whoever runs this may not s3:ListBucket.",
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="datasets")
        (found,) = schemas_of(ON_S3, list_objects_v2={})
    assert found == (
        "wrong",
        (
            "The function's schemas cannot be used: There is nothing below s3://datasets/v7/; copy "
            "the datasets there: aws s3 sync schemas s3://datasets/v7"
        ),
        "aws s3 ls --recursive s3://datasets/v7/",
    )


def test_the_role_is_tried_on_the_schemas_too() -> None:
    denied = [
        sentence for level, sentence in of_function({}, function=ON_S3, decision="implicitDeny")
    ]
    assert any("may not s3:GetObject on arn:aws:s3:::datasets/v7/x" in each for each in denied)
    assert any("may not s3:ListBucket on arn:aws:s3:::datasets (" in each for each in denied)

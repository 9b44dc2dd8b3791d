"""The template attached to what people have: each thing made, or given by its parameter, in moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from policies import MADE, template
from stack import ACCOUNT, INCOMING, REGION, SCHEMAS, Stack, simulated_account, translated
from support import Context, as_json, kinesis_event, order

from pipeline import handlers

pytestmark = pytest.mark.xdist_group("infra")

OTHER = "999999999999"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/have"
THEIR_STREAM = f"arn:aws:kinesis:{REGION}:{OTHER}:stream/have"
KEY = MADE["ObjectKmsKey"]
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
# What each parameter replaces, and the resources that are then not made.
GIVEN: dict[str, tuple[dict[str, str], set[str]]] = {
    "stream": ({"StreamArn": STREAM}, {"Stream"}),
    "stream of another account": ({"StreamArn": THEIR_STREAM}, {"Stream", "StalledAlarm"}),
    "output": ({"OutputBucketName": "have-rows"}, {"OutputBucket", "OutputBucketPolicy"}),
    "dead letters": (
        {"DeadLetterBucketName": "have-letters"},
        {"DeadLetterBucket", "DeadLetterBucketPolicy"},
    ),
    "database": ({"DatabaseName": "alone"}, {"Database"}),
    "no tables": (
        {"Tables": "off"},
        {
            "Database", "TablesErrorsAlarm", "TablesFunction", "TablesRole", "TablesSchedule",
            "ScheduleRole", "ScheduleGroup",
        },
    ),
}  # fmt: skip
# What parameters add or change, and the resources that are then made beside the others.
ADDED: dict[str, tuple[dict[str, str], set[str]]] = {
    "consumer": ({"Consumer": "new"}, {"StreamConsumer"}),
    "stream's key": ({"StreamKmsKey": KEY}, set()),
    "objects' key": ({"ObjectKmsKey": KEY}, {"KeyPolicy"}),
    "log's key": ({"LogKmsKey": KEY}, set()),
    "vpc": ({"SubnetIds": "SUBNET", "SecurityGroupIds": "GROUP"}, {"VpcPolicy"}),
    "boundary": ({"PermissionsBoundary": BOUNDARY}, set()),
    "readers": ({"DeadLetterReaders": f"arn:aws:iam::{ACCOUNT}:role/readers"}, set()),
    "concurrency": ({"ReservedConcurrency": "7"}, set()),
    "schemas": ({"SchemasBucketName": "have-schemas"}, {"SchemasPolicy"}),
    "latest": ({"StartingPosition": "LATEST"}, set()),
}
CASES = GIVEN | ADDED


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    """An account that has everything; returns the ids that only it knows."""
    with simulated_account(), pytest.MonkeyPatch.context() as patch:
        # moto takes a Deny whose condition does not hold, as TlsOnly's, for one that does.
        patch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
        place: Any = {"LocationConstraint": REGION}
        for bucket in ("have-rows", "have-letters"):
            boto3.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
        boto3.client("kinesis").create_stream(StreamName="have", ShardCount=1)
        for database in ("have", "alone"):
            boto3.client("glue").create_database(DatabaseInput={"Name": database})
        all_of_it = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        bound = json.dumps({"Version": "2012-10-17", "Statement": [all_of_it]})
        boto3.client("iam").create_policy(PolicyName="boundary", PolicyDocument=bound)
        ec2 = boto3.client("ec2")
        yield {
            "SUBNET": ec2.describe_subnets()["Subnets"][0]["SubnetId"],
            "GROUP": ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"],
        }


@pytest.fixture(scope="module")
def plain(places: dict[str, str]) -> Stack:
    return Stack("plain")


@pytest.mark.parametrize("case", CASES)
def test_with_one_parameter_the_stack_has_that_and_all_else_as_before(
    case: str, places: dict[str, str], plain: Stack
) -> None:
    parameters, resources = CASES[case]
    given = {name: places.get(value, value) for name, value in parameters.items()}
    stack = Stack(f"one-{list(CASES).index(case)}", **given)
    assert stack.description["StackStatus"] == "CREATE_COMPLETE"
    missing = plain.types.keys() - stack.types.keys()
    if case in GIVEN:
        tables = {name for name, kind in plain.types.items() if kind == "AWS::Glue::Table"}
        assert missing == resources | (tables if case == "no tables" else set())
    else:
        assert missing == set()
        assert stack.types.keys() - plain.types.keys() == resources


ALL = {
    name: value
    for parameters, _ in CASES.values()
    for name, value in parameters.items()
    if (name, value) not in {("Tables", "off"), ("StreamArn", THEIR_STREAM)}
} | {"FilesBucket": INCOMING, "Lake": "on", "ObjectTags": "team=data", "DatabaseName": "have"}


@pytest.fixture(scope="module")
def attached(places: dict[str, str]) -> Stack:
    return Stack("attached", **{name: places.get(value, value) for name, value in ALL.items()})


def test_attached_to_all_that_one_has_the_stack_makes_none_of_it(attached: Stack) -> None:
    made = {*attached.types.values()}
    assert not made & {"AWS::Kinesis::Stream", "AWS::S3::Bucket", "AWS::Glue::Database"}
    assert "AWS::S3::BucketPolicy" not in made  # whose bucket it is, theirs is the policy
    assert attached.outputs["StreamName"] == "have"
    assert attached.outputs["Output"] == "s3://have-rows/lake"
    assert attached.outputs["DeadLetters"] == "s3://have-letters/dead-letters"
    assert attached.outputs["FailedBatches"] == "s3://have-letters/aws/lambda"
    assert attached.outputs["Database"] == "have"
    assert attached.outputs["LakeDatabaseName"] == "have_lake"


def test_the_mapping_reads_the_stream_that_one_has(attached: Stack) -> None:
    mapping = attached.client("lambda").get_event_source_mapping(UUID=attached.ids["Mapping"])
    assert mapping["EventSourceArn"].startswith(f"{STREAM}/consumer/attached")
    assert mapping["StartingPosition"] == "LATEST"
    bucket = "arn:aws:s3:::have-letters"
    assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": bucket}}


def test_the_alarms_and_the_dashboard_watch_the_stream_that_one_has(attached: Stack) -> None:
    watched = {
        (metric["Namespace"], pair["Name"], pair["Value"])
        for name in ("StalledAlarm", "BatchFailedAlarm", "DeadLettersAlarm", "PartitionsAlarm")
        for alarm in [attached.alarm(name)]
        for metric in [alarm, *(each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each)]
        for pair in metric.get("Dimensions", ())
        if pair["Name"].startswith("Stream")
    }  # fmt: skip
    assert watched == {("AWS/Kinesis", "StreamName", "have"), ("Pipeline", "Stream", "have")}
    cloudwatch = attached.client("cloudwatch")
    body = cloudwatch.get_dashboard(DashboardName=attached.ids["Dashboard"])["DashboardBody"]
    json.loads(body)
    assert '"Stream", "have"' in body
    assert '"StreamName", "have"' in body


def test_the_functions_run_in_the_vpc_and_the_roles_within_the_boundary(
    attached: Stack, places: dict[str, str]
) -> None:
    for name, kind in attached.types.items():
        if kind == "AWS::Lambda::Function":
            found = attached.client("lambda").get_function(FunctionName=attached.ids[name])
            vpc = found["Configuration"]["VpcConfig"]
            assert vpc["SubnetIds"] == [places["SUBNET"]]
            assert vpc["SecurityGroupIds"] == [places["GROUP"]]
        elif kind == "AWS::IAM::Role":
            role = attached.client("iam").get_role(RoleName=attached.ids[name])["Role"]
            assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY
    concurrency = attached.client("lambda").get_function_concurrency(
        FunctionName=attached.ids["Function"]
    )
    assert concurrency["ReservedConcurrentExecutions"] == 7


def test_the_tables_lie_over_the_buckets_that_one_has(attached: Stack) -> None:
    tables = attached.client("glue").get_tables(DatabaseName="have")["TableList"]
    found = {table["StorageDescriptor"]["Location"].split("/")[2] for table in tables}
    assert found == {"have-rows", "have-letters"}
    assert {"orders", "dead_letters_text"} <= {table["Name"] for table in tables}


def test_what_is_made_is_encrypted_with_the_keys_that_one_has(places: dict[str, str]) -> None:
    keys = {"ObjectKmsKey": KEY, "StreamKmsKey": KEY, "LogKmsKey": KEY}
    stack = Stack("keyed", **keys)
    for name in ("OutputBucket", "DeadLetterBucket"):
        found = stack.client("s3").get_bucket_encryption(Bucket=stack.ids[name])
        (rule,) = found["ServerSideEncryptionConfiguration"]["Rules"]
        default = rule["ApplyServerSideEncryptionByDefault"]
        assert (default["SSEAlgorithm"], default["KMSMasterKeyID"]) == ("aws:kms", KEY)
    # moto keeps neither of these.
    assert template(**keys)["Resources"]["Log"]["Properties"]["KmsKeyId"] == KEY
    encryption = template(**keys)["Resources"]["Stream"]["Properties"]["StreamEncryption"]
    assert encryption == {"EncryptionType": "KMS", "KeyId": KEY}


def test_readers_alone_read_the_dead_letters(places: dict[str, str]) -> None:
    readers = [f"arn:aws:iam::{ACCOUNT}:role/a", f"arn:aws:iam::{ACCOUNT}:role/b*"]
    stack = Stack("confidential", DeadLetterReaders=",".join(readers))
    policy = stack.client("s3").get_bucket_policy(Bucket=stack.ids["DeadLetterBucket"])["Policy"]
    _, statement = json.loads(policy)["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Action"] == ["s3:GetObject", "s3:GetObjectVersion"]
    assert statement["Condition"] == {"ArnNotLike": {"aws:PrincipalArn": readers}}
    rows = stack.client("s3").get_bucket_policy(Bucket=stack.ids["OutputBucket"])["Policy"]
    assert len(json.loads(rows)["Statement"]) == 1


# ------------------------------------------------------------------------ several stacks


def names_of(stack: Stack) -> set[tuple[str, str]]:
    """Return the resources of a stack as the account knows them."""
    return {(stack.types[name], found) for name, found in stack.ids.items() if found}


def deliver(stack: Stack, patch: pytest.MonkeyPatch, stream: str, document: bytes) -> None:
    found = stack.client("lambda").get_function(FunctionName=stack.ids["Function"])
    variables = found["Configuration"]["Environment"]["Variables"]
    for name, value in (variables | {"PIPELINE_SCHEMAS": str(SCHEMAS)}).items():
        patch.setenv(name, value)
    handlers.forget()
    arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}"
    answer = handlers.kinesis(kinesis_event([document], arn=arn), Context(60.0))
    assert answer == {"batchItemFailures": []}


def dimensions_of(capsys: pytest.CaptureFixture[str]) -> set[tuple[tuple[str, str], ...]]:
    """Return what the metrics that were written are by."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {
        tuple((name, line[name]) for name in directive["Dimensions"][0])
        for line in lines
        if "_aws" in line
        for directive in line["_aws"]["CloudWatchMetrics"]
    }


def test_two_stacks_in_one_account_have_nothing_in_common(
    places: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a name, nor a metric; so neither do their alarms."""
    parameters = {"FilesBucket": INCOMING, "Lake": "on", "Consumer": "new"}
    stacks = [Stack(name, **parameters) for name in ("first-one", "second-one")]
    one, other = map(names_of, stacks)
    tables = {(kind, name) for kind, name in one if kind == "AWS::Glue::Table"}
    assert one & other == tables  # in a database each
    assert [stack.outputs["Database"] for stack in stacks] == ["first_one", "second_one"]
    assert [stack.outputs["LakeDatabaseName"] for stack in stacks] == [
        "first_one_lake",
        "second_one_lake",
    ]
    written = []
    for stack in stacks:
        deliver(stack, monkeypatch, stack.outputs["StreamName"], as_json(order()))
        written.append(dimensions_of(capsys))
    assert not written[0] & written[1]
    assert all(len(dimensions) >= 2 for dimensions in written)


def test_two_streams_have_one_output_and_its_tables_are_of_the_first_stack(
    places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sequence numbers, the same dataset, the same partition: and yet two objects."""
    first = Stack("shop")
    second = Stack(
        "shop-returns",
        OutputBucketName=first.ids["OutputBucket"],
        DeadLetterBucketName=first.ids["DeadLetterBucket"],
        Tables="off",
    )
    assert second.outputs["Output"] == first.outputs["Output"]
    for stack in (first, second):
        deliver(stack, monkeypatch, stack.outputs["StreamName"], as_json(order()))
        deliver(stack, monkeypatch, stack.outputs["StreamName"], b"{")
    s3 = first.client("s3")
    for bucket, prefix in (("OutputBucket", "lake/orders/"), ("DeadLetterBucket", "dead-letters/")):
        listed = s3.list_objects_v2(Bucket=first.ids[bucket], Prefix=prefix)
        parquet = [
            each["Key"]
            for each in listed["Contents"]
            if not each["Key"].endswith((".csv", ".csv.gz"))
        ]
        assert len(parquet) == 2
    assert not [name for name in second.outputs if name.startswith(("Database", "Tables"))]


def test_a_second_stack_with_the_database_of_the_first_is_told_of_the_tables(
    places: dict[str, str],
) -> None:
    """Its tables would have the names of the first one's."""
    first = Stack("owner")
    with pytest.raises(ClientError, match="AlreadyExists"):
        Stack("intruder", DatabaseName=first.outputs["Database"])


def test_there_is_a_case_for_each_parameter_that_takes_what_one_has() -> None:
    declared = translated()["Parameters"]
    optional = {
        name
        for name, each in declared.items()
        if each["Default"] == "" and name not in {"AlarmEmail", "ObjectStorageClass"}
    }
    tried = {name for parameters, _ in CASES.values() for name in parameters} | ALL.keys()
    # moto has one account's buckets: test_policies. The secrets: test_infra.
    assert optional - tried == {
        "BucketAccount", "PrivacyKey", "PrivacyKmsKey", "RegistryCredentials", "RegistryKmsKey",
    }  # fmt: skip

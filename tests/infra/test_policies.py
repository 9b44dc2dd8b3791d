"""Who may do what in the stack, decided by an evaluator that honours conditions, which moto does not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from policies import (
    ACCOUNT,
    BOUNDARY,
    GIVEN,
    KEY,
    MADE,
    READERS,
    REGION,
    REGISTRY_KEY,
    REGISTRY_SECRET,
    SECRET,
    SECRETS_KEY,
    STRANGER,
    STREAM_KEY,
    Request,
    Template,
    arn_of,
    decide,
    need_evaluator,
    template,
)

from pipeline.core.layout import PROGRESS

QUEUE, DEAD_QUEUE = map(arn_of, ("FilesQueue", "FilesDeadLetterQueue"))
ALARMS, ALERTS = map(arn_of, ("AlarmTopic", "AlertTopic"))
INCOMING, OTHER = "arn:aws:s3:::incoming", "arn:aws:s3:::somebody-elses"
DATASETS, BELOW = f"arn:aws:s3:::{MADE['SchemasBucketName']}", MADE["SchemasPrefix"]
HERE = f"{REGION}:{ACCOUNT}"
GROUP_OF_LOG = f"arn:aws:logs:{HERE}:log-group:/aws/lambda/pipeline"
LOG = f"{GROUP_OF_LOG}:log-stream:x"
GLUE = f"arn:aws:glue:{HERE}"
SCHEMA = f"arn:aws:glue:{HERE}:schema/shop/things"
INTERFACE = f"arn:aws:ec2:{HERE}:network-interface/*"
COMMIT = "CommitRole"
LAMBDA, S3, CLOUDWATCH = "lambda.amazonaws.com", "s3.amazonaws.com", "cloudwatch.amazonaws.com"
SCHEDULER, SNS = "scheduler.amazonaws.com", "sns.amazonaws.com"
# Each with what else it is called in: all that the stack makes, and all that it is given instead.
DEPLOYMENTS = {"made": MADE, "given": GIVEN}
STACKS = {name: template(**given) for name, given in DEPLOYMENTS.items()}
ROLES = [
    name for name, each in STACKS["made"]["Resources"].items() if each["Type"] == "AWS::IAM::Role"
]


def listing(prefix: str) -> dict[str, str]:
    return {"s3:prefix": prefix}


def on_behalf(arn: str, account: str = ACCOUNT) -> dict[str, str]:
    """What a service says of whom it acts for; the confused deputy acts for somebody else."""
    return {"aws:SourceArn": arn, "aws:SourceAccount": account}


ALARM = f"arn:aws:cloudwatch:{HERE}:alarm:pipeline-ErrorsAlarm"
OTHER_ALARM = f"arn:aws:cloudwatch:{REGION}:{STRANGER}:alarm:x"
HTTP = {"aws:SecureTransport": "false"}
VIA_KINESIS = {"kms:ViaService": f"kinesis.{REGION}.amazonaws.com"}
VIA_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
VIA_SECRETS = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
KEEPERS = ["FunctionRole", "FilesRole"]
"""Who replaces the values of private fields."""
STARTERS = ["FunctionRole", "FilesRole", "TablesRole", COMMIT]
"""Who reads the datasets."""
GROUP = f"arn:aws:scheduler:{HERE}:schedule-group"
# Somebody else may take the name of a bucket that was deleted.
TAKEN = {"s3:ResourceAccount": STRANGER}


@dataclass(frozen=True)
class Places:
    """What the stack's roles are about: made by the stack, or given to it."""

    rows: str
    letters: str
    stream: str
    consumer: str
    database: str


PLACES = {
    "made": Places(
        arn_of("OutputBucket"),
        arn_of("DeadLetterBucket"),
        arn_of("Stream"),
        arn_of("StreamConsumer"),
        "pipeline",
    ),
    "given": Places(
        f"arn:aws:s3:::{GIVEN['OutputBucketName']}",
        f"arn:aws:s3:::{GIVEN['DeadLetterBucketName']}",
        GIVEN["StreamArn"],
        GIVEN["Consumer"],
        GIVEN["DatabaseName"],
    ),
}


def allowed(places: Places) -> list[Request]:
    """What the roles, and services on their behalf, have to do."""
    rows, letters, stream = places.rows, places.letters, places.stream
    consumer, database = places.consumer, places.database
    return [
        # The function of the stream, and Lambda in its name.
        Request("FunctionRole", "kinesis:GetRecords", stream),
        Request("FunctionRole", "kinesis:DescribeStreamSummary", stream),
        Request("FunctionRole", "kinesis:ListShards", stream),
        Request("FunctionRole", "s3:PutObject", f"{rows}/lake/orders/x.parquet"),
        Request("FunctionRole", "s3:PutObject", f"{letters}/dead-letters/orders/x"),
        Request("FunctionRole", "s3:PutObject", f"{letters}/aws/lambda/x"),
        Request("FunctionRole", "s3:ListBucket", letters),
        Request("FunctionRole", "s3:PutObjectTagging", f"{rows}/lake/x"),
        Request("FunctionRole", "kms:GenerateDataKey", KEY),
        Request("FunctionRole", "logs:PutLogEvents", LOG),
        # The function of files.
        Request("FilesRole", "sqs:ReceiveMessage", QUEUE),
        Request("FilesRole", "s3:GetObject", f"{INCOMING}/a.ndjson"),
        Request("FilesRole", "s3:GetObjectVersion", f"{INCOMING}/a.ndjson"),
        Request("FilesRole", "s3:ListBucket", INCOMING),
        Request("FilesRole", "s3:PutObject", f"{rows}/lake/{PROGRESS}x"),
        Request("FilesRole", "s3:ListBucket", rows, listing(f"lake/{PROGRESS}")),
        Request("FilesRole", "s3:ListBucket", rows, listing(f"lake/{PROGRESS}abc/0")),
        Request("FilesRole", "s3:PutObject", f"{letters}/dead-letters/x"),
        # The others.
        Request("TablesRole", "s3:ListBucket", rows, listing("lake/orders/")),
        Request("TablesRole", "s3:ListBucket", letters, listing("dead-letters/orders/")),
        Request("TablesRole", "glue:GetTable", f"{GLUE}:table/{database}/orders"),
        Request(COMMIT, "s3:ListBucket", rows, listing("lake/orders/")),
        Request(COMMIT, "s3:GetObject", f"{rows}/lake/orders/x"),
        Request(COMMIT, "s3:DeleteObject", f"{rows}/lake/orders/x"),
        Request(COMMIT, "s3:PutObject", f"{rows}/lake/_lake/x"),
        Request(COMMIT, "glue:UpdateTable", f"{GLUE}:table/{database}_lake/orders"),
        Request(COMMIT, "kms:Decrypt", KEY),
        Request(COMMIT, "s3:PutObjectTagging", f"{rows}/lake/_lake/x"),
        Request("AlertRole", "sns:Publish", ALERTS),
        Request("AlertRole", "logs:FilterLogEvents", f"{GROUP_OF_LOG}:*"),
        Request("ScheduleRole", "lambda:InvokeFunction", arn_of("TablesFunction")),
        Request("ScheduleRole", "lambda:InvokeFunction", arn_of("CommitFunction")),
        # Services on behalf of what is the stack's.
        Request(S3, "sqs:SendMessage", QUEUE, on_behalf(INCOMING)),
        Request(CLOUDWATCH, "sns:Publish", ALARMS, on_behalf(ALARM)),
        Request(CLOUDWATCH, "sns:Publish", ALERTS, on_behalf(ALARM)),
        Request(SNS, "lambda:InvokeFunction", arn_of("AlertFunction"), on_behalf(ALARMS)),
        *(
            Request(LAMBDA, "sts:AssumeRole", arn_of(role), {"aws:SourceAccount": ACCOUNT})
            for role in ROLES
            if role != "ScheduleRole"
        ),
        Request(
            SCHEDULER, "sts:AssumeRole", arn_of("ScheduleRole"), on_behalf(f"{GROUP}/pipeline")
        ),
        # What parameters ask for.
        Request("FunctionRole", "kinesis:SubscribeToShard", consumer),
        Request("FunctionRole", "kinesis:DescribeStreamConsumer", consumer),
        Request("FunctionRole", "kms:Decrypt", STREAM_KEY, VIA_KINESIS),
        *(Request(role, "secretsmanager:GetSecretValue", SECRET) for role in KEEPERS),
        *(Request(role, "kms:Decrypt", SECRETS_KEY, VIA_SECRETS) for role in KEEPERS),
        Request("FunctionRole", "glue:GetSchemaVersion", SCHEMA),
        Request("FunctionRole", "secretsmanager:GetSecretValue", REGISTRY_SECRET),
        Request("FunctionRole", "kms:Decrypt", REGISTRY_KEY, VIA_SECRETS),
        *(Request(role, "s3:ListBucket", DATASETS, listing(f"{BELOW}/")) for role in STARTERS),
        *(Request(role, "s3:GetObject", f"{DATASETS}/{BELOW}/orders/1.avsc") for role in STARTERS),
        *(
            Request(role, "ec2:CreateNetworkInterface", INTERFACE)
            for role in ROLES
            if role != "ScheduleRole"
        ),
    ]


def denied(places: Places) -> list[Request]:
    """What nobody may do, wherever the stack's data are."""
    rows, letters, stream = places.rows, places.letters, places.stream
    consumer, database = places.consumer, places.database
    return [
        # No role reads what was rejected, or what was stored; none deletes it.
        *(Request(role, "s3:GetObject", f"{letters}/dead-letters/x") for role in ROLES),
        *(Request(role, "s3:GetObject", f"{letters}/aws/lambda/x") for role in ROLES),
        # But for the one that commits rows to tables.
        *(Request(role, "s3:GetObject", f"{rows}/lake/x") for role in ROLES if role != COMMIT),
        *(Request(role, "s3:DeleteObject", f"{rows}/lake/x") for role in ROLES if role != COMMIT),
        *(Request(role, "s3:DeleteObject", f"{letters}/dead-letters/x") for role in ROLES),
        *(Request(role, "kms:Decrypt", KEY) for role in ROLES if role != COMMIT),
        # Elsewhere in the same buckets, and in others.
        Request("FunctionRole", "s3:PutObject", f"{rows}/athena/x"),
        Request("FunctionRole", "s3:PutObject", f"{rows}/lakes/x"),
        Request("FunctionRole", "s3:PutObject", f"{letters}/x"),
        Request("FunctionRole", "s3:PutObject", f"{OTHER}/lake/x"),
        Request("FunctionRole", "s3:ListBucket", rows, listing("lake/")),
        Request("FunctionRole", "kinesis:PutRecord", stream),
        Request("FunctionRole", "kinesis:GetRecords", f"{stream}-2"),
        Request("FunctionRole", "sqs:ReceiveMessage", QUEUE),
        # What is stored of files may be listed, and nothing else.
        Request("FilesRole", "s3:ListBucket", rows),
        Request("FilesRole", "s3:ListBucket", rows, listing("")),
        Request("FilesRole", "s3:ListBucket", rows, listing("lake/")),
        Request("FilesRole", "s3:ListBucket", rows, listing("lake/_part")),
        Request("FilesRole", "s3:ListBucket", rows, listing("lake/orders/")),
        Request("FilesRole", "s3:ListBucket", letters),
        Request("FilesRole", "s3:GetObject", f"{OTHER}/a.ndjson"),
        Request("FilesRole", "s3:PutObject", f"{INCOMING}/a.ndjson"),
        Request("FilesRole", "s3:PutObject", f"{letters}/aws/lambda/x"),
        Request("FilesRole", "sqs:ReceiveMessage", DEAD_QUEUE),
        Request("FilesRole", "sqs:SendMessage", QUEUE),
        Request("FilesRole", "kinesis:GetRecords", stream),
        Request("TablesRole", "s3:ListBucket", rows, listing("athena/")),
        Request("TablesRole", "s3:ListBucket", rows, listing("")),
        Request("TablesRole", "s3:ListBucket", letters, listing("aws/lambda/")),
        Request("TablesRole", "s3:PutObject", f"{rows}/lake/x"),
        Request("TablesRole", "glue:GetTable", f"{GLUE}:table/others/x"),
        Request("TablesRole", "glue:DeleteTable", f"{GLUE}:table/{database}/orders"),
        Request(COMMIT, "s3:ListBucket", rows, listing("athena/")),
        Request(COMMIT, "s3:ListBucket", letters, listing("dead-letters/")),
        Request(COMMIT, "s3:GetObject", f"{rows}/athena/x"),
        Request(COMMIT, "s3:DeleteObject", f"{rows}/athena/x"),
        Request(COMMIT, "s3:PutObject", f"{rows}/lake/orders/x"),
        Request(COMMIT, "glue:UpdateTable", f"{GLUE}:table/{database}/orders"),
        Request(COMMIT, "glue:DeleteTable", f"{GLUE}:table/{database}_lake/orders"),
        Request("AlertRole", "sns:Publish", ALARMS),
        Request("AlertRole", "logs:FilterLogEvents", f"{GROUP_OF_LOG}2:*"),
        Request("FunctionRole", "logs:FilterLogEvents", f"{GROUP_OF_LOG}:*"),
        Request("AlertRole", "s3:PutObject", f"{rows}/lake/x"),
        Request("ScheduleRole", "lambda:InvokeFunction", arn_of("Function")),
        # The confused deputy: a service that acts for somebody else.
        Request(S3, "sqs:SendMessage", QUEUE, on_behalf(OTHER)),
        Request(S3, "sqs:SendMessage", QUEUE, on_behalf(INCOMING, STRANGER)),
        Request(S3, "sqs:SendMessage", QUEUE),
        Request(S3, "sqs:SendMessage", DEAD_QUEUE, on_behalf(INCOMING)),
        Request(SNS, "sqs:SendMessage", QUEUE, on_behalf(INCOMING)),
        *(
            Request(CLOUDWATCH, "sns:Publish", topic, context)
            for topic in (ALARMS, ALERTS)
            for context in (
                on_behalf(OTHER_ALARM, STRANGER),
                on_behalf(OTHER_ALARM),
                on_behalf(ALARM, STRANGER),
                on_behalf(INCOMING),
                {},
            )
        ),
        Request(S3, "sns:Publish", ALARMS, on_behalf(ALARM)),
        Request(SNS, "lambda:InvokeFunction", arn_of("AlertFunction"), on_behalf(ALERTS)),
        Request(SNS, "lambda:InvokeFunction", arn_of("AlertFunction")),
        Request(S3, "lambda:InvokeFunction", arn_of("AlertFunction"), on_behalf(ALARMS)),
        *(Request("ec2.amazonaws.com", "sts:AssumeRole", arn_of(role)) for role in ROLES),
        *(
            Request(LAMBDA, "sts:AssumeRole", arn_of(role), context)
            for role in ROLES
            for context in ({"aws:SourceAccount": STRANGER}, {})
        ),
        *(
            Request(SCHEDULER, "sts:AssumeRole", arn_of("ScheduleRole"), context)
            for context in (
                on_behalf(f"{GROUP}/pipeline", STRANGER),
                on_behalf(f"{GROUP}/default"),
                {"aws:SourceAccount": ACCOUNT},
                {},
            )
        ),
        # A bucket of the right name in the wrong account.
        Request("FunctionRole", "s3:PutObject", f"{rows}/lake/x", TAKEN),
        Request("FunctionRole", "s3:PutObject", f"{letters}/dead-letters/x", TAKEN),
        Request("FunctionRole", "s3:PutObject", f"{letters}/aws/lambda/x", TAKEN),
        Request("FunctionRole", "s3:ListBucket", letters, TAKEN),
        Request("FunctionRole", "s3:PutObjectTagging", f"{rows}/lake/x", TAKEN),
        Request("FilesRole", "s3:GetObject", f"{INCOMING}/a.ndjson", TAKEN),
        Request("FilesRole", "s3:ListBucket", INCOMING, TAKEN),
        Request("FilesRole", "s3:PutObject", f"{rows}/lake/x", TAKEN),
        Request("FilesRole", "s3:PutObject", f"{letters}/dead-letters/x", TAKEN),
        Request("FilesRole", "s3:ListBucket", rows, listing(f"lake/{PROGRESS}") | TAKEN),
        Request("TablesRole", "s3:ListBucket", rows, listing("lake/orders/") | TAKEN),
        Request("TablesRole", "s3:ListBucket", letters, listing("dead-letters/orders/") | TAKEN),
        Request(COMMIT, "s3:ListBucket", rows, listing("lake/orders/") | TAKEN),
        Request(COMMIT, "s3:GetObject", f"{rows}/lake/x", TAKEN),
        Request(COMMIT, "s3:DeleteObject", f"{rows}/lake/x", TAKEN),
        Request(COMMIT, "s3:PutObject", f"{rows}/lake/_lake/x", TAKEN),
        Request(COMMIT, "s3:PutObjectTagging", f"{rows}/lake/_lake/x", TAKEN),
        # The stream's key decrypts what Kinesis hands out, and nothing else.
        Request("FunctionRole", "kms:Decrypt", STREAM_KEY, VIA_S3),
        Request("FunctionRole", "kms:GenerateDataKey", STREAM_KEY, VIA_KINESIS),
        Request("FunctionRole", "kinesis:SubscribeToShard", f"{consumer}2"),
        Request("FilesRole", "kinesis:SubscribeToShard", consumer),
        Request("ScheduleRole", "ec2:CreateNetworkInterface", INTERFACE),
        # The key of private fields: read by those alone who replace their values.
        *(
            Request(role, "secretsmanager:GetSecretValue", SECRET)
            for role in ROLES
            if role not in KEEPERS
        ),
        *(Request(role, "secretsmanager:PutSecretValue", SECRET) for role in ROLES),
        *(Request(role, "secretsmanager:GetSecretValue", f"{SECRET}x") for role in KEEPERS),
        *(Request(role, "kms:Decrypt", SECRETS_KEY) for role in ROLES),
        *(
            Request(role, "kms:Decrypt", SECRETS_KEY, VIA_SECRETS)
            for role in ROLES
            if role not in KEEPERS
        ),
        # The registry of schemas: read by the function of the stream alone.
        *(
            request
            for role in ROLES
            if role != "FunctionRole"
            for request in (
                Request(role, "glue:GetSchemaVersion", SCHEMA),
                Request(role, "secretsmanager:GetSecretValue", REGISTRY_SECRET),
                Request(role, "kms:Decrypt", REGISTRY_KEY, VIA_SECRETS),
            )
        ),
        Request("FunctionRole", "kms:Decrypt", REGISTRY_KEY),
        Request("FunctionRole", "glue:RegisterSchemaVersion", SCHEMA),
        Request("FunctionRole", "secretsmanager:PutSecretValue", REGISTRY_SECRET),
        # The datasets: what is below the prefix, and only to read it.
        *(
            Request(role, action, resource, context)
            for role in STARTERS
            for action, resource, context in (
                ("s3:ListBucket", DATASETS, listing("")),
                ("s3:ListBucket", DATASETS, listing("v7/")),
                ("s3:ListBucket", DATASETS, {}),
                ("s3:ListBucket", DATASETS, listing(f"{BELOW}/") | TAKEN),
                ("s3:ListBucket", OTHER, listing(f"{BELOW}/")),
                ("s3:GetObject", f"{DATASETS}/{BELOW}/orders/1.avsc", TAKEN),
                ("s3:GetObject", f"{DATASETS}/v7/others/1.avsc", {}),
                ("s3:GetObject", f"{DATASETS}/{BELOW}2/1.avsc", {}),
                ("s3:PutObject", f"{DATASETS}/{BELOW}/orders/1.avsc", {}),
                ("s3:DeleteObject", f"{DATASETS}/{BELOW}/orders/1.avsc", {}),
            )
        ),
        Request("AlertRole", "s3:GetObject", f"{DATASETS}/{BELOW}/orders/1.avsc"),
        # People of other accounts.
        Request(f"arn:aws:iam::{STRANGER}:user/x", "s3:GetObject", f"{letters}/dead-letters/x"),
        Request(f"arn:aws:iam::{STRANGER}:user/x", "sqs:SendMessage", QUEUE),
        Request(f"arn:aws:iam::{STRANGER}:user/x", "sns:Publish", ALARMS),
        Request(f"arn:aws:iam::{STRANGER}:role/x", "sts:AssumeRole", arn_of("FunctionRole")),
    ]


ROWS, LETTERS = PLACES["made"].rows, PLACES["made"].letters
SOMEBODY = f"arn:aws:iam::{ACCOUNT}:role/somebody"
# What the policies of the buckets deny, as far as the stack makes the buckets.
DENIED_BY_BUCKETS = [
    # Without TLS nothing, by nobody.
    Request("FunctionRole", "s3:PutObject", f"{ROWS}/lake/x", HTTP),
    Request("FunctionRole", "s3:PutObject", f"{LETTERS}/dead-LETTERS/x", HTTP),
    Request("FunctionRole", "s3:ListBucket", LETTERS, HTTP),
    Request("FilesRole", "s3:ListBucket", ROWS, {**listing(f"lake/{PROGRESS}"), **HTTP}),
    # Dead letters hold payloads: only readers read them, even of those who may read all of S3.
    Request(SOMEBODY, "s3:GetObject", f"{LETTERS}/dead-letters/x"),
    Request(SOMEBODY, "s3:GetObjectVersion", f"{LETTERS}/aws/lambda/x"),
]
READ = [
    Request(READERS, "s3:GetObject", f"{LETTERS}/dead-letters/x"),
    Request(READERS, "s3:GetObject", f"{LETTERS}/aws/lambda/x"),
    Request(SOMEBODY, "s3:GetObject", f"{ROWS}/lake/x"),
    Request(SOMEBODY, "s3:PutObject", f"{LETTERS}/dead-letters/x"),
]


def asked(where: str) -> tuple[list[Request], list[Request]]:
    """Return what is to be allowed, and what is to be denied."""
    made = where == "made"
    return (
        [*allowed(PLACES[where]), *(READ if made else ())],
        [*denied(PLACES[where]), *(DENIED_BY_BUCKETS if made else ())],
    )


@pytest.fixture(autouse=True)
def _evaluator() -> None:
    need_evaluator()


def wrong(where: str, stack: Template) -> list[str]:
    """Return the requests that are decided otherwise than they should be."""
    right, refused = asked(where)
    decisions = decide(stack, [*right, *refused])
    expected = [True] * len(right) + [False] * len(refused)
    requests = zip([*right, *refused], decisions, expected, strict=True)
    return [request.sentence for request, found, should in requests if found != should]


def changed(where: str) -> Template:
    """Return a stack to be changed at will."""
    return copy.deepcopy(STACKS[where])


@pytest.mark.parametrize("where", STACKS)
def test_everyone_may_do_their_work_and_nothing_else(where: str) -> None:
    assert wrong(where, STACKS[where]) == []
    right, refused = asked(where)
    assert len(right) + len(refused) > 180


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every statement with a condition in the template."""
    if isinstance(value, dict):
        if "Effect" in value and "Condition" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from statements(item)


CONDITIONS = [
    (where, number, operator)
    for where, stack in STACKS.items()
    for number, statement in enumerate(statements(stack))
    for operator in statement["Condition"]
]


@pytest.mark.parametrize(("where", "number", "operator"), CONDITIONS)
def test_without_any_one_condition_something_is_decided_wrongly(
    where: str, number: int, operator: str
) -> None:
    """So each condition is needed, and each is looked at."""
    stack = changed(where)
    statement = list(statements(stack))[number]
    del statement["Condition"][operator]
    assert wrong(where, stack)


def documents_of(stack: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every policy document of a role, or beside the roles, with the resource it is of."""
    for name, resource in stack["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Role":
            for policy in properties["Policies"]:
                yield name, policy["PolicyDocument"]
        elif resource["Type"] in {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}:
            yield name, properties["PolicyDocument"]


STATEMENTS = [
    (where, name, statement["Sid"])
    for where, stack in STACKS.items()
    for name, document in documents_of(stack)
    for statement in document["Statement"]
    if statement["Sid"] != "WriteLog"
]


@pytest.mark.parametrize(("where", "name", "sid"), STATEMENTS)
def test_without_any_one_statement_some_work_is_refused(where: str, name: str, sid: str) -> None:
    stack = changed(where)
    for owner, document in documents_of(stack):
        if owner == name:
            document["Statement"] = [each for each in document["Statement"] if each["Sid"] != sid]
    found = wrong(where, stack)
    assert found
    assert all(sentence.startswith(f"{name} ") for sentence in found) or name not in ROLES


def test_every_role_is_within_the_boundary_and_none_is_without_one() -> None:
    for where, bound in (("given", BOUNDARY), ("made", None)):
        roles = [STACKS[where]["Resources"][role]["Properties"] for role in ROLES]
        assert [role.get("PermissionsBoundary") for role in roles] == [bound] * len(ROLES)


def test_without_parameters_no_role_has_what_they_ask_for() -> None:
    """So each of these permissions is there only for somebody who asked for what needs it."""
    plain = template()
    granted = [
        action
        for _, document in documents_of(plain)
        for statement in document["Statement"]
        for action in statement["Action"]
        if not isinstance(statement["Action"], str)
    ]
    assert not [action for action in granted if action.startswith(("ec2:", "kms:", "sqs:"))]
    assert not {"kinesis:SubscribeToShard", "kinesis:DescribeStreamConsumer"} & set(granted)

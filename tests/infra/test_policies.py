"""Who may do what in the stack, decided by an evaluator that honours conditions, which moto does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from policies import (
    ACCOUNT,
    KEY,
    REGION,
    SECRET,
    SECRETS_KEY,
    Request,
    Template,
    arn_of,
    decide,
    need_evaluator,
    template,
)

from pipeline.core.layout import PROGRESS

ROWS, LETTERS, STREAM = map(arn_of, ("OutputBucket", "DeadLetterBucket", "Stream"))
QUEUE, DEAD_QUEUE = map(arn_of, ("FilesQueue", "FilesDeadLetterQueue"))
ALARMS, ALERTS = map(arn_of, ("AlarmTopic", "AlertTopic"))
INCOMING, OTHER = "arn:aws:s3:::incoming", "arn:aws:s3:::somebody-elses"
HERE = f"{REGION}:{ACCOUNT}"
LOG = f"arn:aws:logs:{HERE}:log-group:/aws/lambda/pipeline:log-stream:x"
GLUE = f"arn:aws:glue:{HERE}"
STRANGER = "999999999999"
ROLES = [name for name, each in template()["Resources"].items() if each["Type"] == "AWS::IAM::Role"]
COMMIT = "CommitRole"
LAMBDA, S3, CLOUDWATCH = "lambda.amazonaws.com", "s3.amazonaws.com", "cloudwatch.amazonaws.com"
SCHEDULER, SNS = "scheduler.amazonaws.com", "sns.amazonaws.com"


def listing(prefix: str) -> dict[str, str]:
    return {"s3:prefix": prefix}


def on_behalf(arn: str, account: str = ACCOUNT) -> dict[str, str]:
    """What a service says of whom it acts for; the confused deputy acts for somebody else."""
    return {"aws:SourceArn": arn, "aws:SourceAccount": account}


ALARM = f"arn:aws:cloudwatch:{HERE}:alarm:pipeline-ErrorsAlarm"
OTHER_ALARM = f"arn:aws:cloudwatch:{REGION}:{STRANGER}:alarm:x"
HTTP = {"aws:SecureTransport": "false"}
VIA_SECRETS = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
KEEPERS = ["FunctionRole", "FilesRole"]
"""Who replaces the values of private fields."""

ALLOWED = [
    # The function of the stream, and Lambda in its name.
    Request("FunctionRole", "kinesis:GetRecords", STREAM),
    Request("FunctionRole", "kinesis:DescribeStreamSummary", STREAM),
    Request("FunctionRole", "kinesis:ListShards", STREAM),
    Request("FunctionRole", "s3:PutObject", f"{ROWS}/lake/orders/x.parquet"),
    Request("FunctionRole", "s3:PutObject", f"{LETTERS}/dead-letters/orders/x"),
    Request("FunctionRole", "s3:PutObject", f"{LETTERS}/aws/lambda/x"),
    Request("FunctionRole", "s3:ListBucket", LETTERS),
    Request("FunctionRole", "s3:PutObjectTagging", f"{ROWS}/lake/x"),
    Request("FunctionRole", "kms:GenerateDataKey", KEY),
    Request("FunctionRole", "logs:PutLogEvents", LOG),
    # The function of files.
    Request("FilesRole", "sqs:ReceiveMessage", QUEUE),
    Request("FilesRole", "s3:GetObject", f"{INCOMING}/a.ndjson"),
    Request("FilesRole", "s3:GetObjectVersion", f"{INCOMING}/a.ndjson"),
    Request("FilesRole", "s3:ListBucket", INCOMING),
    Request("FilesRole", "s3:PutObject", f"{ROWS}/lake/{PROGRESS}x"),
    Request("FilesRole", "s3:ListBucket", ROWS, listing(f"lake/{PROGRESS}")),
    Request("FilesRole", "s3:ListBucket", ROWS, listing(f"lake/{PROGRESS}abc/0")),
    Request("FilesRole", "s3:PutObject", f"{LETTERS}/dead-letters/x"),
    # The others.
    Request("TablesRole", "s3:ListBucket", ROWS, listing("lake/orders/")),
    Request("TablesRole", "s3:ListBucket", LETTERS, listing("dead-letters/orders/")),
    Request("TablesRole", "glue:GetTable", f"{GLUE}:table/pipeline/orders"),
    Request(COMMIT, "s3:ListBucket", ROWS, listing("lake/orders/")),
    Request(COMMIT, "s3:GetObject", f"{ROWS}/lake/orders/x"),
    Request(COMMIT, "s3:DeleteObject", f"{ROWS}/lake/orders/x"),
    Request(COMMIT, "s3:PutObject", f"{ROWS}/lake/_lake/x"),
    Request(COMMIT, "glue:UpdateTable", f"{GLUE}:table/pipeline_lake/orders"),
    Request(COMMIT, "kms:Decrypt", KEY),
    Request("AlertRole", "sns:Publish", ALERTS),
    Request("ScheduleRole", "lambda:InvokeFunction", arn_of("TablesFunction")),
    Request("ScheduleRole", "lambda:InvokeFunction", arn_of("CommitFunction")),
    # The key of private fields.
    *(Request(role, "secretsmanager:GetSecretValue", SECRET) for role in KEEPERS),
    *(Request(role, "kms:Decrypt", SECRETS_KEY, VIA_SECRETS) for role in KEEPERS),
    # Services on behalf of what is the stack's.
    Request(S3, "sqs:SendMessage", QUEUE, on_behalf(INCOMING)),
    Request(CLOUDWATCH, "sns:Publish", ALARMS, on_behalf(ALARM)),
    Request(CLOUDWATCH, "sns:Publish", ALERTS, on_behalf(ALARM)),
    Request(SNS, "lambda:InvokeFunction", arn_of("AlertFunction"), on_behalf(ALARMS)),
    *(Request(LAMBDA, "sts:AssumeRole", arn_of(role)) for role in ROLES if role != "ScheduleRole"),
    Request(SCHEDULER, "sts:AssumeRole", arn_of("ScheduleRole"), {"aws:SourceAccount": ACCOUNT}),
]

DENIED = [
    # No role reads what was rejected, or what was stored; none deletes it.
    *(Request(role, "s3:GetObject", f"{LETTERS}/dead-letters/x") for role in ROLES),
    *(Request(role, "s3:GetObject", f"{LETTERS}/aws/lambda/x") for role in ROLES),
    # But for the one that commits rows to tables.
    *(Request(role, "s3:GetObject", f"{ROWS}/lake/x") for role in ROLES if role != COMMIT),
    *(Request(role, "s3:DeleteObject", f"{ROWS}/lake/x") for role in ROLES if role != COMMIT),
    *(Request(role, "s3:DeleteObject", f"{LETTERS}/dead-letters/x") for role in ROLES),
    *(Request(role, "kms:Decrypt", KEY) for role in ROLES if role != COMMIT),
    # Elsewhere in the same buckets, and in others.
    Request("FunctionRole", "s3:PutObject", f"{ROWS}/athena/x"),
    Request("FunctionRole", "s3:PutObject", f"{ROWS}/lakes/x"),
    Request("FunctionRole", "s3:PutObject", f"{LETTERS}/x"),
    Request("FunctionRole", "s3:PutObject", f"{OTHER}/lake/x"),
    Request("FunctionRole", "s3:ListBucket", ROWS, listing("lake/")),
    Request("FunctionRole", "kinesis:PutRecord", STREAM),
    Request("FunctionRole", "kinesis:GetRecords", f"{STREAM}-2"),
    Request("FunctionRole", "sqs:ReceiveMessage", QUEUE),
    # What is stored of files may be listed, and nothing else.
    Request("FilesRole", "s3:ListBucket", ROWS),
    Request("FilesRole", "s3:ListBucket", ROWS, listing("")),
    Request("FilesRole", "s3:ListBucket", ROWS, listing("lake/")),
    Request("FilesRole", "s3:ListBucket", ROWS, listing("lake/_part")),
    Request("FilesRole", "s3:ListBucket", ROWS, listing("lake/orders/")),
    Request("FilesRole", "s3:ListBucket", LETTERS),
    Request("FilesRole", "s3:GetObject", f"{OTHER}/a.ndjson"),
    Request("FilesRole", "s3:PutObject", f"{INCOMING}/a.ndjson"),
    Request("FilesRole", "s3:PutObject", f"{LETTERS}/aws/lambda/x"),
    Request("FilesRole", "sqs:ReceiveMessage", DEAD_QUEUE),
    Request("FilesRole", "sqs:SendMessage", QUEUE),
    Request("FilesRole", "kinesis:GetRecords", STREAM),
    Request("TablesRole", "s3:ListBucket", ROWS, listing("athena/")),
    Request("TablesRole", "s3:ListBucket", ROWS, listing("")),
    Request("TablesRole", "s3:ListBucket", LETTERS, listing("aws/lambda/")),
    Request("TablesRole", "s3:PutObject", f"{ROWS}/lake/x"),
    Request("TablesRole", "glue:GetTable", f"{GLUE}:table/others/x"),
    Request("TablesRole", "glue:DeleteTable", f"{GLUE}:table/pipeline/orders"),
    Request(COMMIT, "s3:ListBucket", ROWS, listing("athena/")),
    Request(COMMIT, "s3:ListBucket", LETTERS, listing("dead-letters/")),
    Request(COMMIT, "s3:GetObject", f"{ROWS}/athena/x"),
    Request(COMMIT, "s3:DeleteObject", f"{ROWS}/athena/x"),
    Request(COMMIT, "s3:PutObject", f"{ROWS}/lake/orders/x"),
    Request(COMMIT, "glue:UpdateTable", f"{GLUE}:table/pipeline/orders"),
    Request(COMMIT, "glue:DeleteTable", f"{GLUE}:table/pipeline_lake/orders"),
    Request("AlertRole", "sns:Publish", ALARMS),
    Request("AlertRole", "s3:PutObject", f"{ROWS}/lake/x"),
    Request("ScheduleRole", "lambda:InvokeFunction", arn_of("Function")),
    # The key of private fields: by those alone who replace their values, and nothing else with it.
    *(
        Request(role, action, SECRET)
        for role in ROLES
        for action in ("secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue")
        if role not in KEEPERS or action != "secretsmanager:GetSecretValue"
    ),
    *(Request(role, "secretsmanager:GetSecretValue", f"{SECRET}x") for role in KEEPERS),
    *(Request(role, "kms:Decrypt", SECRETS_KEY) for role in ROLES),
    *(
        Request(role, "kms:Decrypt", SECRETS_KEY, VIA_SECRETS)
        for role in ROLES
        if role not in KEEPERS
    ),
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
    Request(SCHEDULER, "sts:AssumeRole", arn_of("ScheduleRole"), {"aws:SourceAccount": STRANGER}),
    Request(SCHEDULER, "sts:AssumeRole", arn_of("ScheduleRole")),
    # Without TLS nothing, by nobody.
    Request("FunctionRole", "s3:PutObject", f"{ROWS}/lake/x", HTTP),
    Request("FunctionRole", "s3:PutObject", f"{LETTERS}/dead-letters/x", HTTP),
    Request("FunctionRole", "s3:ListBucket", LETTERS, HTTP),
    Request("FilesRole", "s3:ListBucket", ROWS, {**listing(f"lake/{PROGRESS}"), **HTTP}),
    # People of other accounts.
    Request(f"arn:aws:iam::{STRANGER}:user/x", "s3:GetObject", f"{LETTERS}/dead-letters/x"),
    Request(f"arn:aws:iam::{STRANGER}:user/x", "sqs:SendMessage", QUEUE),
    Request(f"arn:aws:iam::{STRANGER}:user/x", "sns:Publish", ALARMS),
    Request(f"arn:aws:iam::{STRANGER}:role/x", "sts:AssumeRole", arn_of("FunctionRole")),
]


@pytest.fixture(autouse=True)
def _evaluator() -> None:
    need_evaluator()


def wrong(stack: Template) -> list[str]:
    """Return the requests that are decided otherwise than they should be."""
    decisions = decide(stack, [*ALLOWED, *DENIED])
    expected = [True] * len(ALLOWED) + [False] * len(DENIED)
    requests = zip([*ALLOWED, *DENIED], decisions, expected, strict=True)
    return [request.sentence for request, found, right in requests if found != right]


def test_everyone_may_do_their_work_and_nothing_else() -> None:
    assert wrong(template()) == []
    assert len(ALLOWED) + len(DENIED) > 100


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
    (number, operator)
    for number, statement in enumerate(statements(template()))
    for operator in statement["Condition"]
]


@pytest.mark.parametrize(("number", "operator"), CONDITIONS)
def test_without_any_one_condition_something_is_decided_wrongly(number: int, operator: str) -> None:
    """So each condition is needed, and each is looked at."""
    stack = template()
    statement = list(statements(stack))[number]
    del statement["Condition"][operator]
    assert wrong(stack)


@pytest.mark.parametrize(
    ("role", "sid"),
    [
        (role, statement["Sid"])
        for role in ROLES
        for policy in template()["Resources"][role]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Sid"] != "WriteLog"
    ],
)
def test_without_any_one_statement_some_work_is_refused(role: str, sid: str) -> None:
    stack = template()
    (policy,) = stack["Resources"][role]["Properties"]["Policies"]
    document = policy["PolicyDocument"]
    document["Statement"] = [each for each in document["Statement"] if each["Sid"] != sid]
    found = wrong(stack)
    assert found
    assert all(sentence.startswith(f"{role} ") for sentence in found)

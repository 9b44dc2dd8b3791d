"""infra/template.yaml, deployed: translated as AWS does, linted, and created in moto."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import msgspec
import package
import pytest
import yaml
from botocore.exceptions import ClientError
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from moto import settings
from moto.awslambda.models import LambdaBackend
from moto.core.authorization import ActionAuthenticatorMixin
from moto.glue.models import glue_backends
from moto.iam.access_control import IAMRequest, PermissionResult
from moto.s3.models import FakeBucket
from samtranslator.yaml_helper import yaml_parse
from stack import (
    ACCOUNT,
    CODE,
    INCOMING,
    REGION,
    SCHEDULED_CODE,
    SCHEMAS,
    SOURCE,
    Stack,
    deployed_text,
    properties,
    simulated_account,
    translated,
)
from support import (
    ARN,
    ORDERS,
    Context,
    Stored,
    as_json,
    deliver,
    kinesis_event,
    order,
    report_of,
)
from tables import dataset_alarms, deployable, tables

from pipeline import handlers
from pipeline.adapters.aws.logs import LogGroup
from pipeline.adapters.schemas import read_datasets
from pipeline.adapters.stopwatch import Stopwatch
from pipeline.adapters.telemetry import FILE_METRICS, LAKE_METRICS, METRICS, Telemetry
from pipeline.authoring.ddl import dead_letter_statements, statements
from pipeline.bucket_settings import S3Settings
from pipeline.core.errors import DatasetError, NotifyError, StoreRefused, TablesNotRegistered
from pipeline.core.layout import PROGRESS
from pipeline.files.notifications import ObjectReference, notify_of
from pipeline.settings import AlertSettings, CommitSettings, Settings, TableSettings

pytestmark = pytest.mark.xdist_group("infra")

PERIOD = 300


RESOURCES = {
    "AlarmMail": "AWS::SNS::Subscription",
    "AlarmTopic": "AWS::SNS::Topic",
    "AlarmTopicPolicy": "AWS::SNS::TopicPolicy",
    "AlertErrorsAlarm": "AWS::CloudWatch::Alarm",
    "AlertFunction": "AWS::Lambda::Function",
    "AlertPermission": "AWS::Lambda::Permission",
    "AlertRole": "AWS::IAM::Role",
    "AlertSubscription": "AWS::SNS::Subscription",
    "AlertTopic": "AWS::SNS::Topic",
    "AlertTopicPolicy": "AWS::SNS::TopicPolicy",
    "AuditSchedule": "AWS::Scheduler::Schedule",
    "BatchFailedAlarm": "AWS::CloudWatch::Alarm",
    "CommitErrorsAlarm": "AWS::CloudWatch::Alarm",
    "CommitFunction": "AWS::Lambda::Function",
    "CommitRole": "AWS::IAM::Role",
    "CommitSchedule": "AWS::Scheduler::Schedule",
    "Dashboard": "AWS::CloudWatch::Dashboard",
    "Database": "AWS::Glue::Database",
    "DeadLetterBucket": "AWS::S3::Bucket",
    "DeadLetterBucketPolicy": "AWS::S3::BucketPolicy",
    "DeadLettersAlarm": "AWS::CloudWatch::Alarm",
    "ErrorsAlarm": "AWS::CloudWatch::Alarm",
    "FailedBatchesAlarm": "AWS::CloudWatch::Alarm",
    "FilesDeadLetterQueue": "AWS::SQS::Queue",
    "FilesDeadLettersAlarm": "AWS::CloudWatch::Alarm",
    "FilesErrorsAlarm": "AWS::CloudWatch::Alarm",
    "FilesFailedAlarm": "AWS::CloudWatch::Alarm",
    "FilesFunction": "AWS::Lambda::Function",
    "FilesGivenUpAlarm": "AWS::CloudWatch::Alarm",
    "FilesMapping": "AWS::Lambda::EventSourceMapping",
    "FilesPartitionsAlarm": "AWS::CloudWatch::Alarm",
    "FilesQueue": "AWS::SQS::Queue",
    "FilesQueuePolicy": "AWS::SQS::QueuePolicy",
    "FilesRole": "AWS::IAM::Role",
    "FilesWaitingAlarm": "AWS::CloudWatch::Alarm",
    "Function": "AWS::Lambda::Function",
    "FunctionRole": "AWS::IAM::Role",
    "IteratorAgeAlarm": "AWS::CloudWatch::Alarm",
    "LakeConflictsAlarm": "AWS::CloudWatch::Alarm",
    "LakeDuplicatesAlarm": "AWS::CloudWatch::Alarm",
    "LakeLagAlarm": "AWS::CloudWatch::Alarm",
    "LakeObjectsRefusedAlarm": "AWS::CloudWatch::Alarm",
    "LakeRowsMissingAlarm": "AWS::CloudWatch::Alarm",
    "Log": "AWS::Logs::LogGroup",
    "LogOfLakeConflicts": "AWS::Logs::MetricFilter",
    "LogOfLakeDuplicates": "AWS::Logs::MetricFilter",
    "LogOfLakeLag": "AWS::Logs::MetricFilter",
    "LogOfLakeObjectsRefused": "AWS::Logs::MetricFilter",
    "LogOfLakeRows": "AWS::Logs::MetricFilter",
    "LogOfLakeRowsMissing": "AWS::Logs::MetricFilter",
    "LogOfMemory": "AWS::Logs::MetricFilter",
    "LostBatchesAlarm": "AWS::CloudWatch::Alarm",
    "Mapping": "AWS::Lambda::EventSourceMapping",
    "NearMemoryLimitAlarm": "AWS::CloudWatch::Alarm",
    "NearTimeoutAlarm": "AWS::CloudWatch::Alarm",
    "OutputBucket": "AWS::S3::Bucket",
    "OutputBucketPolicy": "AWS::S3::BucketPolicy",
    "PartitionsAlarm": "AWS::CloudWatch::Alarm",
    "ScheduleGroup": "AWS::Scheduler::ScheduleGroup",
    "ScheduleRole": "AWS::IAM::Role",
    "StalledAlarm": "AWS::CloudWatch::Alarm",
    "Stream": "AWS::Kinesis::Stream",
    "TablesErrorsAlarm": "AWS::CloudWatch::Alarm",
    "TablesFunction": "AWS::Lambda::Function",
    "TablesRole": "AWS::IAM::Role",
    "TablesSchedule": "AWS::Scheduler::Schedule",
    "ThrottlesAlarm": "AWS::CloudWatch::Alarm",
    "UnknownFieldsAlarm": "AWS::CloudWatch::Alarm",
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with simulated_account():
        yield Stack("pipeline", AlarmEmail="on-call@example.com", FilesBucket=INCOMING, Lake="on")


# -------------------------------------------------------------------------------- the template


def findings(template: dict[str, Any]) -> list[str]:
    """Return the errors and warnings that `cfn-lint` shows."""
    text, asked = json.dumps(template, indent=1), ManualArgs(regions=[REGION])
    return [f"{match.rule.id} {match.message}" for match in lint(text, config=asked)]


def test_the_translated_template_has_no_lint() -> None:
    assert findings(translated()) == []


@pytest.mark.parametrize(
    ("resource", "key", "value"),
    [
        ("Mapping", "BatchSize", "x"),
        ("Mapping", "StartingPosition", "EARLIEST"),
        ("Stream", "Retention", 1),
    ],
)
def test_the_linter_finds_a_mistake_in_the_translation(resource: str, key: str, value: Any) -> None:
    template = translated()
    template["Resources"][resource]["Properties"][key] = value
    assert findings(template)


def test_the_template_has_no_anchors_which_cloudformation_refuses() -> None:
    tokens = list(yaml.scan(deployed_text()))
    assert not [token for token in tokens if isinstance(token, (yaml.AnchorToken, yaml.AliasToken))]


def test_every_parameter_has_a_default_and_says_what_it_is_for() -> None:
    parameters = translated()["Parameters"]
    assert all(
        "Default" in parameter and len(parameter["Description"]) > 20
        for parameter in parameters.values()
    )


def test_no_table_has_a_projection_which_only_athena_knows() -> None:
    for table in tables(SCHEMAS).values():
        given = table["Properties"]["TableInput"]
        assert given["PartitionKeys"]
        assert not [key for key in given["Parameters"] if "projection" in key]
        assert "MSCK" not in given["Description"]


@pytest.mark.parametrize("arch", ["arm64", "x86_64"])
def test_a_deployable_template_takes_only_the_architecture_of_its_artifact(arch: str) -> None:
    parameter = yaml_parse(deployed_text(arch))["Parameters"]["Architecture"]
    assert (parameter["Default"], parameter["AllowedValues"]) == (arch, [arch])


def test_a_template_without_the_place_for_the_tables_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must have these lines exactly once"):
        deployable(
            SOURCE.read_text(encoding="utf-8").replace("# -- the tables", "#"), SCHEMAS, "arm64"
        )


def test_each_table_is_a_resource_of_its_own(tmp_path: Path) -> None:
    for name in ("clicks2", "clicks_2", "clicks_b"):
        shutil.copytree(SCHEMAS / "clicks", tmp_path / name)
        config = tmp_path / name / "dataset.toml"
        config.write_text(config.read_text().replace('"clicks"', f'"{name}"'))
    found = tables(tmp_path)
    named = {table["Properties"]["TableInput"]["Name"] for table in found.values()}
    assert named == {"clicks2", "clicks_2", "clicks_b", "dead_letters_text"}
    assert all(name.isalnum() for name in found)
    assert {"TableClicks2", "TableClicksB"} < found.keys()


def test_two_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("orders", "orders_csv_text"):
        shutil.copytree(SCHEMAS / "orders", tmp_path / name)
        config = tmp_path / name / "dataset.toml"
        config.write_text(config.read_text().replace('equals = "orders"', f'equals = "{name}"'))
    with pytest.raises(DatasetError, match="Two tables would be named orders_csv_text; rename"):
        tables(tmp_path)


# ------------------------------------------------------------------------------- the resources


def test_every_resource_is_created(stack: Stack) -> None:
    tables = {name: kind for name, kind in stack.types.items() if kind == "AWS::Glue::Table"}
    assert stack.description["StackStatus"] == "CREATE_COMPLETE"
    of_datasets = dict.fromkeys(dataset_alarms(SCHEMAS), "AWS::CloudWatch::Alarm")
    assert stack.types == RESOURCES | tables | of_datasets
    declared = translated()["Resources"].items()
    unmet = {
        "Credentialed", "CredentialsKeyed", "GlueSchemas", "InVpc", "Keyed", "KeyedLake",
        "NewConsumer", "Private", "PrivateKeyed", "SchemasOnS3", "Tagged", "TaggedLake",
    }  # fmt: skip
    left_out = {name for name, each in declared if each.get("Condition") in unmet}
    assert left_out == {
        "GlueSchemasPolicy", "KeyPolicy", "LakeKeyPolicy", "LakeTagsPolicy", "PrivacyKeyPolicy",
        "PrivacyPolicy", "RegistryKeyPolicy", "RegistryPolicy", "SchemasPolicy", "StreamConsumer",
        "TagsPolicy", "VpcPolicy",
    }  # fmt: skip
    assert stack.types.keys() | left_out == {name for name, _ in declared}


def test_the_mapping_never_loses_a_batch(stack: Stack) -> None:
    mapping = stack.client("lambda").get_event_source_mapping(UUID=stack.ids["Mapping"])
    account = f"{REGION}:{ACCOUNT}"
    assert mapping["EventSourceArn"] == f"arn:aws:kinesis:{account}:stream/{stack.ids['Stream']}"
    assert mapping["FunctionArn"] == f"arn:aws:lambda:{account}:function:{stack.ids['Function']}"
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRetryAttempts"] == -1
    assert mapping["MaximumRecordAgeInSeconds"] == 6 * 24 * 3600
    bucket = f"arn:aws:s3:::{stack.ids['DeadLetterBucket']}"
    assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": bucket}}
    assert mapping["BatchSize"] == 10_000
    assert mapping["MaximumBatchingWindowInSeconds"] == 60
    assert mapping["MetricsConfig"] == {"Metrics": ["EventCount"]}
    # The one splits a shard by the key that all aggregates share, the other drops aggregates.
    assert not {"ParallelizationFactor", "FilterCriteria"} & properties("Mapping").keys()


def test_records_grow_too_old_a_day_before_the_stream_forgets_them() -> None:
    template = translated()
    hours = template["Parameters"]["RetentionHours"]["AllowedValues"]
    ages = {key: age["Seconds"] for key, age in template["Mappings"]["RecordAge"].items()}
    assert ages.pop("24") == 12 * 3600  # a day less would be nothing
    hours.remove("24")
    assert ages == {kept: min((int(kept) - 24) * 3600, 7 * 24 * 3600) for kept in hours}


def test_the_stream_keeps_seven_days_and_is_encrypted(stack: Stack) -> None:
    name = stack.ids["Stream"]
    summary = stack.client("kinesis").describe_stream_summary(StreamName=name)
    assert summary["StreamDescriptionSummary"]["RetentionPeriodHours"] == 7 * 24
    stream = properties("Stream")  # moto keeps neither of these
    key = {"Fn::If": ["StreamKeyed", {"Ref": "StreamKmsKey"}, "alias/aws/kinesis"]}
    assert stream["StreamEncryption"] == {"EncryptionType": "KMS", "KeyId": key}
    assert stream["StreamModeDetails"] == {"StreamMode": {"Ref": "StreamMode"}}
    assert translated()["Parameters"]["StreamMode"]["Default"] == "ON_DEMAND"


def test_a_provisioned_stream_has_the_shards_asked_for(stack: Stack) -> None:
    other = Stack("other", StreamMode="PROVISIONED", ShardCount="3", RetentionHours="48")
    shards = stack.client("kinesis").list_shards(StreamName=other.ids["Stream"])["Shards"]
    assert len(shards) == 3
    mapping = stack.client("lambda").get_event_source_mapping(UUID=other.ids["Mapping"])
    assert mapping["MaximumRecordAgeInSeconds"] == 24 * 3600
    assert "AlarmMail" not in other.types


def test_without_a_bucket_of_files_there_is_nothing_for_files(stack: Stack) -> None:
    other = Stack("without-files")
    assert {name for name in stack.types if name.startswith("Files")} == {
        name
        for name, resource in translated()["Resources"].items()
        if resource.get("Condition") == "Files"
    }
    assert not [name for name in [*other.types, *other.outputs] if name.startswith("Files")]
    assert "Files" not in json.dumps(dashboard_body(other))


def test_without_a_lake_there_is_nothing_for_it_and_partitions_are_registered(
    stack: Stack,
) -> None:
    other = Stack("without-lake")
    of_lake = {
        name
        for name, resource in translated()["Resources"].items()
        if resource.get("Condition") == "Lake"
    }
    assert stack.types.keys() >= of_lake
    assert not of_lake & other.types.keys()
    assert not [name for name in other.outputs if name.startswith(("Lake", "Commit"))]
    assert "Lake" not in json.dumps(dashboard_body(other))
    (statement,) = policy_of(other, SCHEDULERS)["Statement"]
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{other.ids['TablesFunction']}"
    assert statement["Resource"] == [arn]
    assert properties("OutputBucket")["LifecycleConfiguration"]["Rules"][0][
        "NoncurrentVersionExpiration"
    ] == {"NoncurrentDays": {"Fn::If": ["Lake", 1, 7]}}


def test_the_function_is_the_artifact_for_which_it_is_built(stack: Stack) -> None:
    found = stack.client("lambda").get_function(FunctionName=stack.ids["Function"])
    function = found["Configuration"]
    assert function["Runtime"] == f"python{package.RUNTIME}"
    assert (function["MemorySize"], function["Timeout"]) == (1_769, 120)
    assert properties("Function")["Architectures"] == [{"Ref": "Architecture"}]
    assert properties("Function")["Code"] == CODE
    module, _, name = function["Handler"].rpartition(".")
    assert callable(getattr(sys.modules[module], name))
    iam = stack.client("iam").get_role(RoleName=stack.ids["FunctionRole"])
    assert function["Role"] == iam["Role"]["Arn"]


@pytest.mark.parametrize(
    ("name", "handler", "code"),
    [
        ("FilesFunction", "s3", CODE),
        ("AlertFunction", "alert", CODE),
        ("TablesFunction", "tables", SCHEDULED_CODE),
        ("CommitFunction", "commit", SCHEDULED_CODE),
    ],
)
def test_the_other_functions_are_their_artifacts_with_another_handler(
    stack: Stack, name: str, handler: str, code: dict[str, str]
) -> None:
    same = ("Runtime", "Architectures")
    declared, of_stream = properties(name), properties("Function")
    assert [declared[key] for key in same] == [of_stream[key] for key in same]
    assert declared["Code"] == code
    assert declared["Handler"] == f"pipeline.handlers.{handler}"
    assert callable(getattr(handlers, handler))
    role = name.replace("Function", "Role")
    iam = stack.client("iam").get_role(RoleName=stack.ids[role])
    assert configuration(stack, name)["Role"] == iam["Role"]["Arn"]
    # All in one log, where an alert sends its reader; but only the stream's reports of memory.
    assert declared["LoggingConfig"] == of_stream["LoggingConfig"] | {"SystemLogLevel": "WARN"}


def configuration(stack: Stack, name: str) -> dict[str, Any]:
    found = stack.client("lambda").get_function(FunctionName=stack.ids[name])
    settings: dict[str, Any] = found["Configuration"]
    return settings


def test_the_function_for_files_stores_where_the_streams_does(stack: Stack) -> None:
    files, function = (configuration(stack, name) for name in ("FilesFunction", "Function"))
    variables = dict(function["Environment"]["Variables"])
    of_the_stream = {
        "PIPELINE_FUSE_PERCENT": "0",
        "PIPELINE_FUSE_COUNT": "100",
        "PIPELINE_REGISTRY_CREDENTIALS": "",
    }
    for name, value in of_the_stream.items():
        assert variables.pop(name) == value
    assert files["Environment"]["Variables"] == variables
    assert (files["MemorySize"], files["Timeout"]) == (1_769, 300)
    assert translated()["Parameters"]["FilesMemoryMegabytes"]["MinValue"] >= 1_024


def test_the_function_for_alarms_starts_with_its_settings(stack: Stack) -> None:
    variables = configuration(stack, "AlertFunction")["Environment"]["Variables"]
    given = AlertSettings.from_environment(variables)
    assert given.topic == stack.ids["AlertTopic"] != stack.ids["AlarmTopic"]
    assert given.dead_letters == stack.outputs["DeadLetters"]
    assert given.log_group == stack.ids["Log"]
    console = f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}"
    assert given.dashboard == f"{console}#dashboards/dashboard/{stack.ids['Dashboard']}"


def attributes(stack: Stack, name: str) -> dict[str, str]:
    found: dict[str, str] = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.ids[name], AttributeNames=["All"]
    )["Attributes"]
    return found


def test_a_file_is_tried_again_for_days_and_then_kept(stack: Stack) -> None:
    queue, dead = (attributes(stack, name) for name in ("FilesQueue", "FilesDeadLetterQueue"))
    wait, timeout = int(queue["VisibilityTimeout"]), properties("FilesFunction")["Timeout"]
    assert wait >= 6 * timeout
    redrive = json.loads(queue["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == dead["QueueArn"]
    tried = redrive["maxReceiveCount"] * wait
    kept = int(queue["MessageRetentionPeriod"])
    assert 2 * 24 * 3600 <= tried <= kept / 2
    assert kept == int(dead["MessageRetentionPeriod"]) == 14 * 24 * 3600
    assert queue["SqsManagedSseEnabled"] == dead["SqsManagedSseEnabled"] == "true"
    assert stack.outputs["FilesQueueArn"] == queue["QueueArn"]
    assert stack.outputs["FilesDeadLetterQueueArn"] == dead["QueueArn"]


def test_the_mapping_of_files_never_loses_one(stack: Stack) -> None:
    mapping = stack.client("lambda").get_event_source_mapping(UUID=stack.ids["FilesMapping"])
    assert mapping["EventSourceArn"] == stack.outputs["FilesQueueArn"]
    name = stack.outputs["FilesFunctionName"]
    assert name == stack.ids["FilesFunction"]
    assert mapping["FunctionArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == 1
    concurrency = properties("FilesMapping")["ScalingConfig"]  # moto refuses to keep it
    assert concurrency == {"MaximumConcurrency": {"Ref": "FilesConcurrency"}}


def test_only_the_bucket_of_files_may_send_to_the_queue(stack: Stack) -> None:
    (statement,) = json.loads(attributes(stack, "FilesQueue")["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Resource"] == stack.outputs["FilesQueueArn"]
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{INCOMING}"},
    }


def test_the_function_starts_with_its_settings(stack: Stack) -> None:
    found = stack.client("lambda").get_function(FunctionName=stack.ids["Function"])
    given = Settings.from_environment(found["Configuration"]["Environment"]["Variables"])
    assert given.output == stack.outputs["Output"]
    assert given.output == f"s3://{stack.ids['OutputBucket']}/lake"
    assert given.dead_letters == stack.outputs["DeadLetters"]
    assert given.dead_letters == f"s3://{stack.ids['DeadLetterBucket']}/dead-letters"
    assert given.schemas == "/var/task/schemas"
    assert given.metrics_namespace == "Pipeline"


KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:privacy-a1B2c3"
REGISTRY_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:registry-d4E5f6"
SECRETS_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/5678abcd-12ab-34cd-56ef-1234567890ab"
DEMANDS = {"ObjectKmsKey": KEY, "ObjectStorageClass": "STANDARD_IA", "ObjectTags": "team=data"}


def test_objects_are_as_the_parameters_say(stack: Stack) -> None:
    """Both functions send what is demanded, and their roles may; neither without the parameters."""
    plain = [configuration(stack, name) for name in ("Function", "FilesFunction")]
    demanded = Stack("demanded", FilesBucket=INCOMING, **DEMANDS)
    given = [configuration(demanded, name) for name in ("Function", "FilesFunction")]
    for found, expected in [
        *((one, S3Settings()) for one in plain),
        *(
            (
                one,
                S3Settings(
                    "aws:kms", KEY, True, None, False, None, "STANDARD_IA", (("team", "data"),)
                ),
            )
            for one in given
        ),
    ]:
        variables = found["Environment"]["Variables"]
        assert Settings.from_environment(variables).s3 == expected
    rows, letters = demanded.ids["OutputBucket"], demanded.ids["DeadLetterBucket"]
    written = [f"arn:aws:s3:::{rows}/lake/*", f"arn:aws:s3:::{letters}/dead-letters/*"]
    iam = demanded.client("iam")
    for role in ("FunctionRole", "FilesRole"):
        granted = dict[str, Any]()
        for name in ("key", "tags"):
            found = iam.get_role_policy(RoleName=demanded.ids[role], PolicyName=name)
            policy = yaml.safe_load(str(found["PolicyDocument"]))
            assert audited(policy) == ""
            granted |= {each["Action"]: each["Resource"] for each in policy["Statement"]}
        assert granted == {"kms:GenerateDataKey": KEY, "s3:PutObjectTagging": written}


def test_the_functions_that_replace_private_values_may_read_their_key(stack: Stack) -> None:
    """Without the parameters there is no permission, and no setting."""
    for name in ("Function", "FilesFunction"):
        variables = configuration(stack, name)["Environment"]["Variables"]
        assert Settings.from_environment(variables).privacy_key is None
    given = {"PrivacyKey": SECRET, "PrivacyKmsKey": SECRETS_KEY}
    private = Stack("private", FilesBucket=INCOMING, **given)
    iam = private.client("iam")
    for name, role in (("Function", "FunctionRole"), ("FilesFunction", "FilesRole")):
        variables = configuration(private, name)["Environment"]["Variables"]
        assert Settings.from_environment(variables).privacy_key == f"secretsmanager:{SECRET}"
        granted = dict[str, Any]()
        for policy_name in ("privacy", "privacy-key"):
            found = iam.get_role_policy(RoleName=private.ids[role], PolicyName=policy_name)
            policy = yaml.safe_load(str(found["PolicyDocument"]))
            assert audited(policy) == ""
            granted |= {each["Action"]: each["Resource"] for each in policy["Statement"]}
        assert granted == {"secretsmanager:GetSecretValue": SECRET, "kms:Decrypt": SECRETS_KEY}


def test_the_function_of_the_stream_may_ask_the_registry_that_is_named(stack: Stack) -> None:
    """Without the parameters there is no permission, and no setting; the other function has none."""
    given = {
        "GlueSchemas": "on",
        "RegistryCredentials": REGISTRY_SECRET,
        "RegistryKmsKey": SECRETS_KEY,
    }
    asking = Stack("asking", FilesBucket=INCOMING, **given)
    for which, name, credentials in (
        (stack, "Function", ""),
        (asking, "Function", REGISTRY_SECRET),
        (asking, "FilesFunction", ""),
    ):
        variables = configuration(which, name)["Environment"]["Variables"]
        assert Settings.from_environment(variables).registry_credentials == credentials
    iam, granted = asking.client("iam"), dict[str, Any]()
    for policy_name in ("glue-schemas", "registry", "registry-key"):
        found = iam.get_role_policy(RoleName=asking.ids["FunctionRole"], PolicyName=policy_name)
        policy = yaml.safe_load(str(found["PolicyDocument"]))
        granted |= {each["Action"]: each["Resource"] for each in policy["Statement"]}
    assert granted == {
        "glue:GetSchemaVersion": "*",
        "secretsmanager:GetSecretValue": REGISTRY_SECRET,
        "kms:Decrypt": SECRETS_KEY,
    }
    others = iam.list_role_policies(RoleName=asking.ids["FilesRole"])["PolicyNames"]
    assert not {"glue-schemas", "registry", "registry-key"} & set(others)


def test_the_log_is_kept_for_a_while_in_a_form_that_the_memory_is_read_from(stack: Stack) -> None:
    logs = stack.client("logs")
    (group,) = logs.describe_log_groups(logGroupNamePrefix=stack.ids["Log"])["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == ("/aws/lambda/pipeline", 30)
    filters = logs.describe_metric_filters(logGroupName=stack.ids["Log"])["metricFilters"]
    (memory,) = [each for each in filters if "memorySizeMB" in each["filterPattern"]]
    # The sizes of functions are told apart, as alarms are percentages of one.
    report = '{ $.type = "platform.report" && $.record.metrics.memorySizeMB = 1769 }'
    assert memory["filterPattern"] == report
    assert memory["metricTransformations"] == [
        {
            "metricNamespace": "Pipeline/pipeline",
            "metricName": "MaxMemoryUsed",
            "metricValue": "$.record.metrics.maxMemoryUsedMB",
            "unit": "Megabytes",
        }
    ]
    assert properties("Function")["LoggingConfig"] == {
        "LogGroup": {"Ref": "Log"},
        "LogFormat": "JSON",
        "SystemLogLevel": "INFO",
        "ApplicationLogLevel": "INFO",
    }


@pytest.mark.parametrize("name", ["OutputBucket", "DeadLetterBucket"])
def test_a_bucket_is_encrypted_private_tls_only_and_outlives_the_stack(
    stack: Stack, name: str
) -> None:
    s3, bucket = stack.client("s3"), stack.ids[name]
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    rule = encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert rule == {"SSEAlgorithm": "AES256"}
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert policy["Statement"] == [
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    declared = properties(name)  # moto keeps none of these
    assert set(declared["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(declared["PublicAccessBlockConfiguration"]) == 4
    assert declared["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert declared["VersioningConfiguration"] == {"Status": "Enabled"}
    kept = translated()["Resources"][name]
    assert kept["DeletionPolicy"] == "RetainExceptOnCreate"
    assert kept["UpdateReplacePolicy"] == "Retain"


def test_rows_are_never_expired_and_dead_letters_only_after_their_time() -> None:
    rows, answers = properties("OutputBucket")["LifecycleConfiguration"]["Rules"]
    (letters,) = properties("DeadLetterBucket")["LifecycleConfiguration"]["Rules"]
    for rule, days in ((rows, {"Fn::If": ["Lake", 1, 7]}), (letters, 7)):
        assert rule["Status"] == "Enabled"
        assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": days}
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert not {"ExpirationInDays", "ExpirationDate"} & rows.keys()
    assert letters["ExpirationInDays"] == {"Ref": "DeadLetterDays"}
    # Athena's, which infra/README.md puts beside the rows.
    assert answers.items() >= {"Prefix": "athena/", "ExpirationInDays": 7}.items()


def test_the_tables_are_those_of_pipeline_ddl(stack: Stack) -> None:
    glue = stack.client("glue")
    location = stack.outputs["Output"]
    datasets = read_datasets(SCHEMAS)
    expected = [
        json.loads(statements(dataset, location, "glue", [as_format], None))
        for dataset in datasets
        for as_format in dataset.formats
    ]
    names, letters = [dataset.name for dataset in datasets], stack.outputs["DeadLetters"]
    expected.append(json.loads(dead_letter_statements(names, letters, "glue", None)))
    assert stack.outputs["Database"] == "pipeline"
    found = {
        table["Name"]: table for table in glue.get_tables(DatabaseName="pipeline")["TableList"]
    }
    assert found.keys() == {table["Name"] for table in expected}
    for table in expected:
        assert {key: found[table["Name"]][key] for key in table} == table


def test_alarms_reach_the_function_and_its_messages_reach_people(stack: Stack) -> None:
    found = stack.client("sns").list_subscriptions()["Subscriptions"]
    ours = {
        subscription["Protocol"]: subscription
        for subscription in found
        if subscription["TopicArn"] in stack.ids.values()
    }
    assert ours.keys() == {"lambda", "email"}
    assert ours["lambda"]["TopicArn"] == stack.ids["AlarmTopic"] == stack.outputs["AlarmTopic"]
    assert ours["lambda"]["Endpoint"].endswith(f":function:{stack.ids['AlertFunction']}")
    assert ours["email"]["TopicArn"] == stack.ids["AlertTopic"] == stack.outputs["AlertTopic"]
    assert ours["email"]["Endpoint"] == "on-call@example.com"


def test_sns_may_invoke_the_function_for_alarms_from_their_topic_alone() -> None:
    assert properties("AlertPermission") == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": {"Ref": "AlertFunction"},
        "Principal": "sns.amazonaws.com",
        "SourceArn": {"Ref": "AlarmTopic"},
    }


@pytest.mark.parametrize("name", ["AlarmTopic", "AlertTopic"])
def test_alarms_of_this_account_may_reach_a_topic(stack: Stack, name: str) -> None:
    topic = stack.client("sns").get_topic_attributes(TopicArn=stack.ids[name])
    (statement,) = json.loads(topic["Attributes"]["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Action"] == "sns:Publish"
    assert statement["Resource"] == stack.ids[name]
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    # With the AWS managed key, CloudWatch could not publish.
    assert "KmsMasterKeyId" not in topic["Attributes"]


# ---------------------------------------------------------------------------------- the alarms

# Of each alarm: namespace, metric, its dimension, statistic, threshold, how many of how many.
OF_LAMBDA, OF_MAPPING, OF_STREAM = "FunctionName", "EventSourceMappingUUID", "Stream"
OF_BUCKET, OF_QUEUE, OF_KINESIS = "Bucket", "QueueName", "StreamName"
ALARMS = {
    "IteratorAgeAlarm": ("AWS/Lambda", "IteratorAge", OF_LAMBDA, "Maximum", 15, 1, 1),
    "StalledAlarm": ("AWS/Kinesis", "IncomingRecords", OF_KINESIS, "Sum", 0, 3, 3),
    "BatchFailedAlarm": ("Pipeline", "BatchFailed", OF_STREAM, "Sum", 0, 2, 3),
    "ErrorsAlarm": ("AWS/Lambda", "Errors", OF_LAMBDA, "Sum", 0, 1, 1),
    "ThrottlesAlarm": ("AWS/Lambda", "Throttles", OF_LAMBDA, "Sum", 0, 2, 3),
    "DeadLettersAlarm": ("Pipeline", "Rejects", OF_STREAM, "Sum", 1, 1, 1),
    "UnknownFieldsAlarm": ("Pipeline", "UnknownFields", OF_STREAM, "Sum", 10, 1, 12),
    "PartitionsAlarm": ("Pipeline", "Partitions", OF_STREAM, "Maximum", 1_000, 1, 1),
    "FailedBatchesAlarm": (
        "AWS/Lambda", "OnFailureDestinationDeliveredEventCount", OF_MAPPING, "Sum", 0, 1, 1,
    ),
    "LostBatchesAlarm": ("AWS/Lambda", "DroppedEventCount", OF_MAPPING, "Sum", 0, 1, 1),
    "NearTimeoutAlarm": ("AWS/Lambda", "Duration", OF_LAMBDA, "Maximum", 80, 1, 1),
    "NearMemoryLimitAlarm": ("Pipeline/pipeline", "MaxMemoryUsed", None, "Maximum", 80, 1, 1),
    "TablesErrorsAlarm": ("AWS/Lambda", "Errors", OF_LAMBDA, "Sum", 0, 3, 9),
    # Of the committer each metric is of all datasets, from the log.
    "LakeLagAlarm": ("Pipeline/pipeline", "LakeLagSeconds", None, "Maximum", 30, 12, 12),
    "LakeDuplicatesAlarm": ("Pipeline/pipeline", "LakeDuplicates", None, "Sum", 0, 3, 3),
    "LakeConflictsAlarm": ("Pipeline/pipeline", "LakeConflicts", None, "Sum", 5, 3, 3),
    "LakeObjectsRefusedAlarm": ("Pipeline/pipeline", "LakeObjectsRefused", None, "Sum", 0, 1, 3),
    # Written once an hour.
    "LakeRowsMissingAlarm": ("Pipeline/pipeline", "LakeRowsMissing", None, "Sum", 0, 1, 15),
    "CommitErrorsAlarm": ("AWS/Lambda", "Errors", OF_LAMBDA, "Sum", 0, 3, 9),
    # Files come again after half an hour, and shall not end and begin the alarm each time.
    "FilesFailedAlarm": ("Pipeline", "FilesFailed", OF_BUCKET, "Sum", 0, 1, 12),
    "FilesErrorsAlarm": ("AWS/Lambda", "Errors", OF_LAMBDA, "Sum", 0, 1, 12),
    "FilesDeadLettersAlarm": ("Pipeline", "Rejects", OF_BUCKET, "Sum", 1, 1, 1),
    "FilesPartitionsAlarm": ("Pipeline", "Partitions", OF_BUCKET, "Maximum", 1_000, 1, 1),
    # Longer than a file that needs two or three invocations waits for them.
    "FilesWaitingAlarm": (
        "AWS/SQS", "ApproximateAgeOfOldestMessage", OF_QUEUE, "Maximum", 120, 1, 1,
    ),
    "FilesGivenUpAlarm": (
        "AWS/SQS", "ApproximateNumberOfMessagesVisible", OF_QUEUE, "Maximum", 0, 1, 1,
    ),
    "AlertErrorsAlarm": ("AWS/Lambda", "Errors", OF_LAMBDA, "Sum", 0, 1, 1),
}  # fmt: skip
# What an alarm looks at beside its own metric.
BESIDE = {
    "StalledAlarm": ("AWS/Lambda", "IteratorAge", OF_LAMBDA, "SampleCount"),
    "AlertErrorsAlarm": ("AWS/Lambda", "Throttles", OF_LAMBDA, "Sum"),
    "DeadLettersAlarm": ("Pipeline", "Documents", OF_STREAM, "Sum"),
    "FilesDeadLettersAlarm": ("Pipeline", "Documents", OF_BUCKET, "Sum"),
    "LakeDuplicatesAlarm": ("Pipeline/pipeline", "LakeRows", None, "Sum"),
}
EXPRESSIONS = {
    # Nothing was taken: what has no values in a period is filled, or the sum had none either.
    "StalledAlarm": ["IF(incoming > 0 AND FILL(taken, 0) == 0, 1, 0)"],
    "AlertErrorsAlarm": ["FILL(errors, 0) + FILL(throttles, 0)"],
    "IteratorAgeAlarm": ["age / 60000"],  # milliseconds to minutes
    "FilesWaitingAlarm": ["age / 60"],  # seconds to minutes
    "LakeLagAlarm": ["lag / 60"],
    "DeadLettersAlarm": ["IF(rejects > 10, 100 * rejects / documents, 0)"],
    "FilesDeadLettersAlarm": ["IF(rejects > 10, 100 * rejects / documents, 0)"],
    "LakeDuplicatesAlarm": ["IF(duplicates > rows, 1, 0)"],
    "NearTimeoutAlarm": ["duration / (10 * 120)"],  # percent: milliseconds of seconds
    "NearMemoryLimitAlarm": ["100 * memory / 1769"],
}


Watched = tuple[str, str, dict[str, str], str, int]


def watched(alarm: dict[str, Any]) -> list[Watched]:
    """Return the metrics that an alarm looks at: each itself, its statistic, its period."""
    if "MetricName" in alarm:
        found = [(alarm, alarm["Statistic"], alarm["Period"])]
    else:
        stats = [metric["MetricStat"] for metric in alarm["Metrics"] if "MetricStat" in metric]
        found = [(stat["Metric"], stat["Stat"], stat["Period"]) for stat in stats]
    return [
        (metric["Namespace"], metric["MetricName"], dimensions_of(metric), statistic, period)
        for metric, statistic, period in found
    ]


def dimensions_of(metric: dict[str, Any]) -> dict[str, str]:
    return {dimension["Name"]: dimension["Value"] for dimension in metric.get("Dimensions", ())}


def identifies(stack: Stack, alarm: str, dimension: str | None) -> dict[str, str]:
    """Return the dimension that an alarm looks at, with what it is in the stack."""
    functions = {
        "FilesErrorsAlarm": "FilesFunction",
        "AlertErrorsAlarm": "AlertFunction",
        "TablesErrorsAlarm": "TablesFunction",
        "CommitErrorsAlarm": "CommitFunction",
    }
    queues = {"FilesGivenUpAlarm": "FilesDeadLetterQueue"}
    named = {
        None: "",
        OF_LAMBDA: stack.ids[functions.get(alarm, "Function")],
        OF_MAPPING: stack.ids["Mapping"],
        OF_STREAM: stack.ids["Stream"],
        OF_KINESIS: stack.ids["Stream"],
        OF_BUCKET: INCOMING,
        OF_QUEUE: attributes(stack, queues.get(alarm, "FilesQueue"))["QueueArn"].rpartition(":")[2],
    }
    return {} if dimension is None else {dimension: named[dimension]}


def test_there_is_a_case_for_each_alarm() -> None:
    kinds = translated()["Resources"].items()
    assert ALARMS.keys() == {
        name for name, resource in kinds if resource["Type"] == "AWS::CloudWatch::Alarm"
    } - set(dataset_alarms(SCHEMAS))


def test_each_dataset_tells_that_nothing_comes_and_that_all_is_refused(stack: Stack) -> None:
    datasets = [dataset.name for dataset in read_datasets(SCHEMAS)]
    alarms = [stack.alarm(name) for name in dataset_alarms(SCHEMAS)]
    assert len(alarms) == 2 * len(datasets) == 14
    for dataset, silent, refused in zip(datasets, alarms[::2], alarms[1::2], strict=True):
        dimensions = {"Stream": stack.ids["Stream"], "Dataset": dataset}
        assert watched(silent) == [("Pipeline", "Documents", dimensions, "Sum", 3600)]
        assert watched(refused) == [
            ("Pipeline", name, dimensions, "Sum", 3600) for name in ("Rejects", "Documents")
        ]
        (returned,) = [each for each in refused["Metrics"] if each.get("ReturnData", True)]
        assert returned["Expression"] == "IF(documents > 2 AND rejects >= documents, 1, 0)"
        # No number of documents is below 0: only their absence changes its state.
        assert (silent["ComparisonOperator"], silent["Threshold"]) == ("LessThanThreshold", 0)
        assert (silent["TreatMissingData"], silent["EvaluationPeriods"]) == ("missing", 24)
        assert silent["InsufficientDataActions"] == silent["OKActions"] == [stack.ids["AlarmTopic"]]
        assert not refused.get("InsufficientDataActions")
    assert not [
        name for name in Stack("no-alarms", DatasetAlarms="off").types if name.startswith("Dataset")
    ]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_what_it_is_named_for(stack: Stack, name: str) -> None:
    namespace, metric, dimension, statistic, threshold, enough, periods = ALARMS[name]
    alarm = stack.alarm(name)
    looks_at = [(namespace, metric, dimension, statistic)]
    looks_at += [BESIDE[name]] if name in BESIDE else []
    assert watched(alarm) == [
        (space, shown, identifies(stack, name, by), how, PERIOD)
        for space, shown, by, how in looks_at
    ]
    assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (threshold, periods)
    assert alarm.get("DatapointsToAlarm", periods) == enough
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    # What is written every few minutes is missing where nothing writes it.
    missing = "breaching" if name == "LakeLagAlarm" else "notBreaching"
    assert alarm["TreatMissingData"] == missing
    # What cannot tell of itself goes past it.
    topic = "AlertTopic" if name == "AlertErrorsAlarm" else "AlarmTopic"
    assert alarm["AlarmActions"] == alarm["OKActions"] == [stack.ids[topic]]
    assert alarm["AlarmDescription"].endswith(".")
    returned = [metric for metric in alarm["Metrics"] if metric.get("ReturnData", True)]
    assert [metric["Expression"] for metric in returned] == EXPRESSIONS.get(name, [])


def own_metrics(stream: str) -> set[tuple[str, str, str]]:
    """Return name and dimension of each metric that an invocation writes, stored or not.

    Of a batch of the stream, and of a file; that the handlers write the files' is in their tests.
    """
    lines: list[str] = []
    telemetry = Telemetry(lines.append, lambda: 1.8e9)
    arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}"
    file = f"s3://{INCOMING}/orders.ndjson?version"
    event = kinesis_event([as_json(order()), b"{"], arn=arn)
    report = report_of(event, [ORDERS], Stored())
    telemetry.stored(report, None)
    telemetry.failed("store_failed", "", report.batch, Stopwatch(lambda: 0.0), 0, None)
    batch = msgspec.structs.replace(report.batch, source=file)
    telemetry.stored(msgspec.structs.replace(report, batch=batch), None)
    telemetry.file("stored", file, dict.fromkeys(FILE_METRICS, 1), None)
    written = [line for line in map(json.loads, lines) if "_aws" in line]
    return {
        (metric["Name"], dimension, line[dimension])
        for line in written
        for directive in line["_aws"]["CloudWatchMetrics"]
        for (dimension,) in [names for names in directive["Dimensions"] if len(names) == 1]
        for metric in directive["Metrics"]
    }


def test_alarms_and_dashboard_show_metrics_that_exist(stack: Stack) -> None:
    own = own_metrics(stack.ids["Stream"])
    shown = [metric for _, metric in dashboard_metrics(stack)]
    alarmed = [entry[:3] for name in ALARMS for entry in watched(stack.alarm(name))]
    ours = [entry for entry in [*shown, *alarmed] if entry[0] == "Pipeline"]
    assert len(ours) > 15
    for _, name, dimensions in ours:
        assert name in METRICS | FILE_METRICS
        ((dimension, value),) = dimensions.items()
        # These are reported where there are any, and these datasets have no envelopes.
        assert (name, dimension, value) in own or name in {"Drops", "UnkeptMembers"}
    from_log = {
        resource["Properties"]["MetricTransformations"][0]["MetricName"]
        for resource in translated()["Resources"].values()
        if resource["Type"] == "AWS::Logs::MetricFilter"
    }
    others = [entry for entry in [*shown, *alarmed] if entry[0] == "Pipeline/pipeline"]
    assert sorted(name for _, name, _ in others) == sorted([*from_log, *from_log])
    assert all(dimensions == {} for _, _, dimensions in others)
    assert from_log == LAKE_METRICS.keys() | {"MaxMemoryUsed"}


def dashboard_body(stack: Stack) -> dict[str, Any]:
    cloudwatch = stack.client("cloudwatch")
    text = cloudwatch.get_dashboard(DashboardName=stack.ids["Dashboard"])["DashboardBody"]
    assert "${" not in text
    body: dict[str, Any] = json.loads(text)
    return body


def dashboard_metrics(stack: Stack) -> list[tuple[str, tuple[str, str, dict[str, str]]]]:
    """Return the metrics of the dashboard, each with the title of its widget."""
    found = []
    for widget in dashboard_body(stack)["widgets"]:
        for line in widget["properties"].get("metrics", ()):
            namespace, name, *pairs = [part for part in line if isinstance(part, str)]
            dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
            found.append((widget["properties"]["title"], (namespace, name, dimensions)))
    return found


def test_the_dashboard_shows_every_metric_of_a_stream_and_every_alarm(stack: Stack) -> None:
    shown = {metric[1] for _, metric in dashboard_metrics(stack)}
    assert METRICS.keys() | FILE_METRICS.keys() <= shown
    first, *_, last = dashboard_body(stack)["widgets"]
    alarms = {stack.alarm(name)["AlarmArn"] for name in ALARMS}
    assert set(first["properties"]["alarms"]) == alarms
    assert last["properties"]["query"].startswith(f"SOURCE '{stack.ids['Log']}' | ")


def test_the_dashboards_log_query_asks_for_fields_that_the_log_has() -> None:
    lines: list[str] = []
    report = report_of(kinesis_event([as_json(order())]), [ORDERS], Stored())
    watch = Stopwatch(lambda: 0.0)
    telemetry = Telemetry(lines.append, lambda: 1.8e9)
    telemetry.failed("store_failed", "It is down.", report.batch, watch, 0, None)
    line = json.loads(lines[0])
    assert line["level"] == "ERROR"
    assert {"outcome", "message", "source", "first", "last"} <= line.keys()
    # Without a time, Lambda takes a line for one of level INFO.
    assert line["timestamp"] == "2027-01-15T08:00:00.000Z"
    telemetry.file("failed", "s3://incoming/orders.ndjson", {}, None, "It is down.")
    assert json.loads(lines[-1])["timestamp"] == line["timestamp"]


# ------------------------------------------------------------------------------------ the role


ROLES = ["FunctionRole", "FilesRole", "AlertRole", "TablesRole", "CommitRole"]
SCHEDULERS = "ScheduleRole"


def policy_of(stack: Stack, name: str = "FunctionRole") -> dict[str, Any]:
    iam = stack.client("iam")
    role = stack.ids[name]
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["pipeline"]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    policy = iam.get_role_policy(RoleName=role, PolicyName="pipeline")["PolicyDocument"]
    # moto hands out CloudFormation's documents as the text of a dictionary.
    found: dict[str, Any] = yaml.safe_load(policy) if isinstance(policy, str) else dict(policy)
    return found


def audited(policy: dict[str, Any]) -> str:
    """Return what parliament says of a policy: a line a finding."""
    program = Path(sys.executable).with_name("parliament")
    command: list[str | Path] = [
        sys.executable,
        "-W",
        "ignore",
        program,
        "--string",
        json.dumps(policy),
        "--json",
    ]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.stdout


def test_there_is_a_case_for_each_role() -> None:
    kinds = translated()["Resources"].items()
    roles = {name for name, resource in kinds if resource["Type"] == "AWS::IAM::Role"}
    assert {*ROLES, SCHEDULERS} == roles


@pytest.mark.parametrize("role", [*ROLES, SCHEDULERS])
def test_the_policy_checker_finds_nothing_in_a_role(stack: Stack, role: str) -> None:
    assert audited(policy_of(stack, role)) == ""


@pytest.mark.parametrize(
    ("sid", "change", "finding"),
    [
        ("WriteRows", {"Action": "s3:PutObjct"}, "UNKNOWN_ACTION"),
        ("WriteRows", {"Resource": "arn:aws:s3:::bucket"}, "RESOURCE_MISMATCH"),
        ("ReadStream", {"Resource": "*"}, "RESOURCE_STAR"),
    ],
)
def test_the_policy_checker_finds_a_mistake(
    stack: Stack, sid: str, change: dict[str, str], finding: str
) -> None:
    policy = policy_of(stack)
    (statement,) = [statement for statement in policy["Statement"] if statement["Sid"] == sid]
    statement.update(change)
    assert finding in audited(policy)


@pytest.mark.parametrize("role", ROLES)
def test_lambda_alone_may_take_a_role(stack: Stack, role: str) -> None:
    found = stack.client("iam").get_role(RoleName=stack.ids[role])["Role"]
    assert found["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }
    ]


def test_the_scheduler_of_this_account_alone_may_take_its_role_and_start_its_functions(
    stack: Stack,
) -> None:
    found = stack.client("iam").get_role(RoleName=stack.ids[SCHEDULERS])["Role"]
    schedules = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule"
    assert found["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "scheduler.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
                "ArnEquals": {"aws:SourceArn": f"{schedules}-group/pipeline"},
            },
        }
    ]
    (statement,) = policy_of(stack, SCHEDULERS)["Statement"]
    assert statement["Action"] == "lambda:InvokeFunction"
    scheduled = {
        "TablesSchedule": ("TablesFunction", "rate(5 minutes)"),
        "CommitSchedule": ("CommitFunction", "rate(5 minutes)"),
    }
    arns = [
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{stack.ids[function]}"
        for function, _ in scheduled.values()
    ]
    assert statement["Resource"] == arns
    for (name, (_, rate)), arn in zip(scheduled.items(), arns, strict=True):
        schedule = stack.client("scheduler").get_schedule(
            GroupName="pipeline", Name=stack.ids[name]
        )
        assert (schedule["ScheduleExpression"], schedule["State"]) == (rate, "ENABLED")
        assert (schedule["Target"]["Arn"], schedule["Target"]["RoleArn"]) == (arn, found["Arn"])


def test_the_tables_are_held_against_their_ledger_every_hour(stack: Stack) -> None:
    commits, audits = (
        stack.client("scheduler").get_schedule(GroupName="pipeline", Name=stack.ids[name])
        for name in ("CommitSchedule", "AuditSchedule")
    )
    assert (audits["ScheduleExpression"], audits["State"]) == ("rate(1 hour)", "ENABLED")
    assert json.loads(audits["Target"].pop("Input")) == {"audit_hours": 2}
    assert audits["Target"] == commits["Target"]


def test_the_function_for_tables_starts_with_its_settings(stack: Stack) -> None:
    variables = configuration(stack, "TablesFunction")["Environment"]["Variables"]
    given = TableSettings.from_environment(variables)
    assert given.database == stack.outputs["Database"]
    assert (given.output, given.dead_letters) == (
        stack.outputs["Output"],
        stack.outputs["DeadLetters"],
    )
    assert (given.schemas, given.minutes) == ("/var/task/schemas", 5)


def test_the_function_that_commits_starts_with_its_settings_and_ends_before_the_next_run(
    stack: Stack,
) -> None:
    found = configuration(stack, "CommitFunction")
    given = CommitSettings.from_environment(found["Environment"]["Variables"])
    assert given.output == stack.outputs["Output"]
    assert given.catalog == f"glue:{stack.outputs['LakeDatabaseName']}" == "glue:pipeline_lake"
    assert (given.schemas, given.metrics_namespace) == ("/var/task/schemas", "Pipeline")
    minutes = translated()["Parameters"]["LakeMinutes"]["MinValue"]
    assert found["Timeout"] < 60 * minutes


def test_the_committers_lines_in_the_log_are_what_its_metrics_are_read_from() -> None:
    lines: list[str] = []
    values = dict.fromkeys(LAKE_METRICS, 0.0)
    Telemetry(lines.append, lambda: 1.8e9).committed("s3://rows/lake", "orders", values, None)
    found = [line for line in map(json.loads, lines) if "dataset" in line]
    assert len(found) == 1 < len(lines)  # not of the metrics by dataset, which are lines, too
    for name, resource in translated()["Resources"].items():
        if name.startswith("LogOfLake"):
            (made,) = resource["Properties"]["MetricTransformations"]
            metric = made["MetricName"]
            assert made["MetricValue"] == f"$.{metric}"
            assert resource["Properties"]["FilterPattern"] == (
                f'{{ $.dataset = "*" && $.{metric} >= 0 }}'
            )
            assert metric in found[0]
            assert made["Unit"] == LAKE_METRICS[metric].unit


# moto enforces resources for S3 alone and asks for "*" elsewhere, which no good policy grants: what
# these services' requests are about is read from them here.
def asked_about(request: IAMRequest) -> str:
    if request._service == "sns":  # the one of them that does not speak JSON
        return str(request._data["TopicArn"][0])
    asked = json.loads(request._body)
    if "StreamARN" in asked:
        return str(asked["StreamARN"])
    if "QueueUrl" in asked:
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{asked['QueueUrl'].rpartition('/')[2]}"
    if request._service == "glue" and "DatabaseName" not in asked:
        database = asked.get("DatabaseInput", asked)["Name"]
        return f"arn:aws:glue:{REGION}:{ACCOUNT}:database/{database}"
    if "DatabaseName" in asked:
        given = asked.get("TableInput", asked)
        table = given.get("TableName") or given["Name"]
        return f"arn:aws:glue:{REGION}:{ACCOUNT}:table/{asked['DatabaseName']}/{table}"
    if "logStreamName" not in asked:
        return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{asked['logGroupName']}:*"
    group, stream = asked["logGroupName"], asked["logStreamName"]
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:{stream}"


class As:
    """AWS, with IAM enforced, for one who has this policy as the function's role."""

    function, role = "Function", "FunctionRole"

    def __init__(self, stack: Stack, policy: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        iam, role = stack.client("iam"), stack.ids[self.role]
        iam.put_role_policy(RoleName=role, PolicyName="pipeline", PolicyDocument=json.dumps(policy))
        arn = iam.get_role(RoleName=role)["Role"]["Arn"]
        session = stack.client("sts").assume_role(RoleArn=arn, RoleSessionName="function")
        given = session["Credentials"]
        variables = configuration(stack, self.function)["Environment"]["Variables"]
        environment = variables | {
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "PIPELINE_SCHEMAS": str(SCHEMAS),
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        handlers.forget()
        patch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        patch.setattr(ActionAuthenticatorMixin, "request_count", 0)
        # moto takes a Deny whose condition does not hold, as TlsOnly's, for one that does.
        patch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
        check = IAMRequest.check_action_permitted
        patch.setattr(
            IAMRequest,
            "check_action_permitted",
            lambda request, _: check(request, asked_about(request)),
        )

    def tasks(self) -> dict[str, Callable[[], object]]:
        """All that is done in its name: a batch from the stream to the end, and a failed one."""
        return {
            "see the stream": self.see_stream,
            "read the stream": self.read_stream,
            "store rows": partial(self.store, as_json(order())),
            "store dead letters": partial(self.store, b"{"),
            "see the bucket of failed batches": self.see_bucket,
            "keep a failed batch": self.keep_batch,
            "write the log": self.write_log,
        }

    def refused(self) -> set[str]:
        """Do all of it; return what was refused."""
        return {name for name, task in self.tasks().items() if not self.allowed(task)}

    @staticmethod
    def allowed(task: Callable[[], object]) -> bool:
        try:
            return task() is not False
        except ClientError as error:
            # moto's refusals are XML, whatever the service speaks: their code is in the text.
            if "AccessDenied" not in str(error):
                raise
            return False

    @property
    def stream_arn(self) -> str:
        return f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{self.stack.ids['Stream']}"

    def see_stream(self) -> None:
        kinesis = boto3.client("kinesis")
        kinesis.describe_stream(StreamARN=self.stream_arn)
        kinesis.describe_stream_summary(StreamARN=self.stream_arn)

    def read_stream(self) -> None:
        kinesis, arn = boto3.client("kinesis"), self.stream_arn
        (shard,) = kinesis.list_shards(StreamARN=arn)["Shards"]
        start = kinesis.get_shard_iterator(
            StreamARN=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        kinesis.get_records(StreamARN=arn, ShardIterator=start["ShardIterator"])

    def store(self, document: bytes) -> bool:
        """Invoke the real handler; return whether it stored the batch."""
        event = kinesis_event([document], arn=self.stream_arn)
        answer = handlers.kinesis(event, Context(20.0))
        return answer == {"batchItemFailures": []}

    def see_bucket(self) -> None:
        boto3.client("s3").list_objects_v2(Bucket=self.stack.ids["DeadLetterBucket"])

    def keep_batch(self) -> None:
        bucket = self.stack.ids["DeadLetterBucket"]
        key = f"aws/lambda/{self.stack.ids['Mapping']}/shardId-000000000000/2026/11/23/batch"
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"{}")

    def write_log(self) -> None:
        logs, group = boto3.client("logs"), self.stack.ids["Log"]
        name = uuid.uuid4().hex
        logs.create_log_stream(logGroupName=group, logStreamName=name)
        line: Any = {"timestamp": 1_795_000_000_000, "message": "{}"}
        logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=[line])


class AsFiles(As):
    """The same for the function for files, with a file and a notification for each task."""

    function, role = "FilesFunction", "FilesRole"

    def __init__(self, stack: Stack, policy: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
        s3 = stack.client("s3")
        self.found: dict[str, ObjectReference] = {}
        for key, body in (("good.ndjson", as_json(order())), ("bad.ndjson", b"{")):
            put = s3.put_object(Bucket=INCOMING, Key=key, Body=body)
            self.found[key] = ObjectReference(INCOMING, key, put["VersionId"], put["ETag"])
        self.queue = stack.outputs["FilesQueueUrl"]
        # moto would take the message to the function at once, in a container.
        patch.setattr(LambdaBackend, "send_sqs_batch", lambda *_, **__: False)
        stack.client("sqs").send_message(QueueUrl=self.queue, MessageBody="{}")
        super().__init__(stack, policy, patch)

    def tasks(self) -> dict[str, Callable[[], object]]:
        good, bad = self.found["good.ndjson"], self.found["bad.ndjson"]
        return {
            "see the queue": self.see_queue,
            "take a message": self.take_message,
            "store rows": partial(self.store_file, good),
            # As `pipeline backfill` names it.
            "store dead letters": partial(
                self.store_file, msgspec.structs.replace(bad, version_id=None)
            ),
            "see the bucket of files": partial(boto3.client("s3").list_objects_v2, Bucket=INCOMING),
            "write the log": self.write_log,
        }

    def see_queue(self) -> None:
        boto3.client("sqs").get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])

    def take_message(self) -> None:
        sqs = boto3.client("sqs")
        (message,) = sqs.receive_message(QueueUrl=self.queue)["Messages"]
        sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])

    def store_file(self, file: ObjectReference) -> bool:
        """Invoke the real handler with a message of the queue; return whether it stored the file."""
        body = json.dumps(notify_of([file]))
        message = {"messageId": "m-1", "eventSource": "aws:sqs", "body": body}
        return handlers.s3({"Records": [message]}, Context(20.0)) == {"batchItemFailures": []}


class AsTables(As):
    """The same for the function that registers partitions: new ones, and ones of older columns."""

    function, role = "TablesFunction", "TablesRole"

    def __init__(self, stack: Stack, policy: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
        patch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
        s3, day = stack.client("s3"), f"date=2026-11-{uuid.uuid4().hex}"
        bucket, letters = stack.ids["OutputBucket"], stack.ids["DeadLetterBucket"]
        s3.put_object(Bucket=bucket, Key=f"lake/zeek_dns/parquet/{day}/1.parquet", Body=b"")
        s3.put_object(Bucket=letters, Key=f"dead-letters/clicks/{day}/hour=09/1.gz", Body=b"")
        storage: Any = {"Location": f"s3://{bucket}/lake/zeek_dns/parquet/date=old/"}
        self.day = day.partition("=")[2]
        given: Any = {"Values": [f"old{self.day}"], "StorageDescriptor": storage}
        stack.client("glue").create_partition(
            DatabaseName="pipeline", TableName="zeek_dns", PartitionInput=given
        )
        super().__init__(stack, policy, patch)

    def tasks(self) -> dict[str, Callable[[], object]]:
        return {
            "show rows": partial(self.shows, "zeek_dns"),
            "show dead letters": partial(self.shows, "dead_letters_text"),
            "bring columns up to date": self.updates,
            "write the log": self.write_log,
        }

    def run(self) -> None:
        """Invoke the real handler; what one table is refused, does not keep others from theirs."""
        try:
            handlers.tables({}, Context(60.0))
        except TablesNotRegistered as error:
            if "AccessDenied" not in str(error):
                raise

    def shows(self, table: str) -> bool:
        self.run()
        return any(self.day in found["Values"] for found in self.partitions(table))

    def updates(self) -> bool:
        self.run()
        values = [f"old{self.day}"]
        (old,) = [found for found in self.partitions("zeek_dns") if found["Values"] == values]
        return "Columns" in old["StorageDescriptor"]

    def partitions(self, table: str) -> Any:
        """Ask as somebody else, whom nobody asks for permissions."""
        backend = glue_backends[ACCOUNT][REGION]
        return [found.as_dict() for found in backend.get_partitions("pipeline", table, "")]


class AsCommit(As):
    """The same for the function that commits: what has landed, to a table that is there or not."""

    function, role = "CommitFunction", "CommitRole"
    schemas = SCHEMAS

    def __init__(self, stack: Stack, policy: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
        patch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
        self.bucket = stack.ids["OutputBucket"]
        # Rows that no table has, and no table, and no database.
        landed = deliver(kinesis_event([as_json(order())], arn=f"{ARN}-{uuid.uuid4()}"), [ORDERS])
        for key, body in landed.output.objects.items():
            stack.client("s3").put_object(Bucket=self.bucket, Key=f"lake/{key}", Body=body)
        with contextlib.suppress(ClientError):  # there is none the first time
            stack.client("glue").delete_database(Name="pipeline_lake")
        super().__init__(stack, policy, patch)
        patch.setenv("PIPELINE_SCHEMAS", str(self.schemas))

    def tasks(self) -> dict[str, Callable[[], object]]:
        return {"commit rows": self.commit, "write the log": self.write_log}

    def commit(self) -> bool:
        """Invoke the real handler; return whether it committed, and removed what it did."""
        try:
            answer = handlers.commit({}, Context(60.0))
        except StoreRefused as error:
            if "AccessDenied" not in str(error):
                raise
            return False
        committed: float = answer["datasets"]["orders"]["LakeRows"]
        return committed > 0


class AsAlert(As):
    """The same for the function for alarms."""

    function, role = "AlertFunction", "AlertRole"

    def tasks(self) -> dict[str, Callable[[], object]]:
        return {
            "tell people": self.tell,
            "say which documents": self.details,
            "write the log": self.write_log,
        }

    def details(self) -> bool:
        """Ask the log as the handler does."""
        now = datetime.now(UTC)
        try:
            LogGroup(self.stack.ids["Log"]).lines("", now - timedelta(hours=1), now)
        except NotifyError as error:
            if "AccessDenied" not in str(error):
                raise
            return False
        return True

    def tell(self) -> bool:
        """Invoke the real handler with an alarm; return whether it could publish."""
        alarm = {
            "AlarmName": "pipeline-ErrorsAlarm",
            "NewStateValue": "ALARM",
            "StateChangeTime": "2026-11-23T09:30:00.250+0000",
            "Trigger": {"MetricName": "Errors", "Namespace": "AWS/Lambda"},
        }
        sns = {"TopicArn": self.stack.ids["AlarmTopic"], "Message": json.dumps(alarm)}
        try:
            answer = handlers.alert({"Records": [{"Sns": sns}]}, Context(20.0))
        except NotifyError as error:
            if "SNS answered AccessDenied" not in str(error):
                raise
            return False
        return answer == {"alarms": 1, "unreadable": 0}


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as context:
        yield context
    handlers.forget()


@pytest.fixture(scope="module", autouse=True)
def orders_with_a_table(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have the orders, of those datasets that are shipped, committed to a table."""
    AsCommit.schemas = tmp_path_factory.mktemp("schemas")
    shutil.copytree(SCHEMAS / "orders", AsCommit.schemas / "orders")
    config = AsCommit.schemas / "orders" / "dataset.toml"
    config.write_text(f"{config.read_text()}\n[lake]\n")


@pytest.fixture
def policies(stack: Stack) -> Iterator[dict[str, dict[str, Any]]]:
    """The roles' policies; whatever a test gives a role, it has its own again afterwards."""
    given = {role: policy_of(stack, role) for role in ROLES}
    yield copy.deepcopy(given)
    for role, policy in given.items():
        stack.client("iam").put_role_policy(
            RoleName=stack.ids[role], PolicyName="pipeline", PolicyDocument=json.dumps(policy)
        )


FILES = {"store rows", "store dead letters"}
NEEDED_FOR: dict[type[As], dict[str, set[str]]] = {
    As: {
        "ReadStream": {"see the stream", "read the stream"},
        "WriteRows": {"store rows"},
        "WriteDeadLetters": {"store dead letters"},
        "KeepFailedBatches": {"keep a failed batch"},
        "SeeBucketOfFailedBatches": {"see the bucket of failed batches"},
        "WriteLog": {"write the log"},
    },
    AsFiles: {
        "ReceiveNotifications": {"see the queue", "take a message"},
        "ReadFiles": FILES,
        "SeeWhichFilesAreGone": {"see the bucket of files"},
        "WriteRows": FILES,  # which parts are stored stands beside them
        "SeeStoredParts": FILES,
        "WriteDeadLetters": {"store dead letters"},
        "WriteLog": {"write the log"},
    },
    AsTables: {
        "SeeWhatHasLanded": {"show rows"},
        "SeeDeadLetters": {"show dead letters"},
        "RegisterPartitions": {"show rows", "show dead letters", "bring columns up to date"},
        "WriteLog": {"write the log"},
    },
    AsCommit: {
        "SeeWhatHasLanded": {"commit rows"},
        "ReadRows": {"commit rows"},
        "RemoveWhatIsCommitted": {"commit rows"},
        "WriteTables": {"commit rows"},
        "CommitToTables": {"commit rows"},
        "WriteLog": {"write the log"},
    },
    AsAlert: {
        "TellPeople": {"tell people"},
        "SeeReasons": {"say which documents"},
        "WriteLog": {"write the log"},
    },
}


@pytest.mark.parametrize("who", NEEDED_FOR)
def test_with_its_role_a_function_does_all_its_work(
    stack: Stack,
    policies: dict[str, dict[str, Any]],
    patch: pytest.MonkeyPatch,
    who: type[As],
) -> None:
    before = stored_versions(stack)
    role = who(stack, policies[who.role], patch)
    assert role.refused() == set()
    assert len(role.tasks()) >= 2
    patch.undo()
    if "store rows" in role.tasks():
        assert all(one < other for one, other in zip(before, stored_versions(stack), strict=True))


def stored_versions(stack: Stack) -> list[int]:
    """Return how often rows, and how often dead letters, were stored."""
    s3 = stack.client("s3")
    found = []
    for name, prefix in [("OutputBucket", "lake/orders/"), ("DeadLetterBucket", "dead-letters/")]:
        listed = s3.list_object_versions(Bucket=stack.ids[name], Prefix=prefix)
        found.append(len(listed.get("Versions", ())))
    return found


@pytest.mark.parametrize(
    ("who", "sid"), [(who, sid) for who, needed in NEEDED_FOR.items() for sid in needed]
)
def test_without_one_statement_the_work_that_needs_it_is_refused(
    stack: Stack,
    policies: dict[str, dict[str, Any]],
    patch: pytest.MonkeyPatch,
    who: type[As],
    sid: str,
) -> None:
    policy = policies[who.role]
    assert {statement["Sid"] for statement in policy["Statement"]} == NEEDED_FOR[who].keys()
    policy["Statement"] = [
        statement for statement in policy["Statement"] if statement["Sid"] != sid
    ]
    assert who(stack, policy, patch).refused() == NEEDED_FOR[who][sid]


@pytest.mark.parametrize(
    ("who", "action"),
    [
        (As, "kinesis:DescribeStream"),
        (As, "kinesis:DescribeStreamSummary"),
        (As, "kinesis:GetRecords"),
        (As, "kinesis:GetShardIterator"),
        (As, "kinesis:ListShards"),
        (As, "logs:CreateLogStream"),
        (As, "logs:PutLogEvents"),
        (AsFiles, "s3:GetObject"),
        (AsFiles, "s3:GetObjectVersion"),
        (AsFiles, "sqs:DeleteMessage"),
        (AsFiles, "sqs:GetQueueAttributes"),
        (AsFiles, "sqs:ReceiveMessage"),
        (AsTables, "glue:BatchCreatePartition"),
        (AsTables, "glue:BatchUpdatePartition"),
        (AsTables, "glue:GetPartitions"),
        (AsTables, "glue:GetTable"),
        (AsCommit, "glue:CreateDatabase"),
        (AsCommit, "glue:CreateTable"),
        (AsCommit, "glue:GetDatabase"),
        (AsCommit, "glue:GetTable"),
        (AsCommit, "glue:UpdateTable"),
    ],
)
def test_without_one_action_of_several_some_work_is_refused(
    stack: Stack,
    policies: dict[str, dict[str, Any]],
    patch: pytest.MonkeyPatch,
    who: type[As],
    action: str,
) -> None:
    policy = policies[who.role]
    several = [statement for statement in policy["Statement"] if action in statement["Action"]]
    assert len(several) == 1
    several[0]["Action"].remove(action)
    assert who(stack, policy, patch).refused()


def test_the_role_can_do_nothing_else_to_what_it_writes(
    stack: Stack, policies: dict[str, dict[str, Any]], patch: pytest.MonkeyPatch
) -> None:
    role = As(stack, policies["FunctionRole"], patch)
    rows, letters = stack.ids["OutputBucket"], stack.ids["DeadLetterBucket"]
    s3 = boto3.client("s3")
    kinesis = partial(boto3.client("kinesis").put_record, Data=b"{}", PartitionKey="a")
    forbidden: list[Callable[[], object]] = [
        partial(s3.put_object, Bucket=rows, Key="elsewhere/x", Body=b""),
        partial(s3.put_object, Bucket=letters, Key="elsewhere/x", Body=b""),
        partial(s3.put_object, Bucket=CODE["S3Bucket"], Key="lake/x", Body=b""),
        partial(s3.get_object, Bucket=rows, Key="lake/x"),
        partial(s3.delete_object, Bucket=rows, Key="lake/x"),
        partial(s3.list_objects_v2, Bucket=rows),
        partial(kinesis, StreamARN=role.stream_arn),
    ]
    assert [role.allowed(task) for task in forbidden] == [False] * len(forbidden)


def test_the_role_for_files_can_do_nothing_else(
    stack: Stack, policies: dict[str, dict[str, Any]], patch: pytest.MonkeyPatch
) -> None:
    role = AsFiles(stack, policies["FilesRole"], patch)
    rows, letters = stack.ids["OutputBucket"], stack.ids["DeadLetterBucket"]
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    dead = stack.outputs["FilesDeadLetterQueueUrl"]
    forbidden: list[Callable[[], object]] = [
        partial(s3.put_object, Bucket=INCOMING, Key="good.ndjson", Body=b""),
        partial(s3.delete_object, Bucket=INCOMING, Key="good.ndjson"),
        partial(s3.put_object, Bucket=letters, Key="aws/lambda/x", Body=b""),
        partial(s3.get_object, Bucket=rows, Key="lake/x"),
        partial(s3.list_objects_v2, Bucket=letters),
        partial(sqs.receive_message, QueueUrl=dead),
        partial(sqs.send_message, QueueUrl=role.queue, MessageBody="{}"),
    ]
    assert [role.allowed(task) for task in forbidden] == [False] * len(forbidden)
    # moto does not look at conditions.
    (listing,) = [
        statement
        for statement in policies["FilesRole"]["Statement"]
        if statement["Sid"] == "SeeStoredParts"
    ]
    own = {"StringEquals": {"s3:ResourceAccount": ACCOUNT}}
    assert listing["Condition"] == own | {"StringLike": {"s3:prefix": f"lake/{PROGRESS}*"}}


def test_the_role_for_tables_can_do_nothing_else(
    stack: Stack, policies: dict[str, dict[str, Any]], patch: pytest.MonkeyPatch
) -> None:
    role = AsTables(stack, policies["TablesRole"], patch)
    rows, letters = stack.ids["OutputBucket"], stack.ids["DeadLetterBucket"]
    s3, glue = boto3.client("s3"), boto3.client("glue")
    forbidden: list[Callable[[], object]] = [
        partial(s3.get_object, Bucket=rows, Key="lake/x"),
        partial(s3.put_object, Bucket=rows, Key="lake/x", Body=b""),
        partial(s3.delete_object, Bucket=letters, Key="dead-letters/x"),
        partial(s3.list_objects_v2, Bucket=INCOMING),
        partial(glue.delete_table, DatabaseName="pipeline", Name="clicks"),
        partial(glue.get_table, DatabaseName="elsewhere", Name="clicks"),
    ]
    assert [role.allowed(task) for task in forbidden] == [False] * len(forbidden)
    # moto does not look at conditions.
    conditions = {
        statement["Sid"]: statement["Condition"]
        for statement in policies["TablesRole"]["Statement"]
        if "Condition" in statement
    }
    own = {"StringEquals": {"s3:ResourceAccount": ACCOUNT}}
    assert conditions == {
        "SeeWhatHasLanded": own | {"StringLike": {"s3:prefix": "lake/*"}},
        "SeeDeadLetters": own | {"StringLike": {"s3:prefix": "dead-letters/*"}},
    }


def test_the_role_that_commits_can_do_nothing_else(
    stack: Stack, policies: dict[str, dict[str, Any]], patch: pytest.MonkeyPatch
) -> None:
    role = AsCommit(stack, policies["CommitRole"], patch)
    letters = stack.ids["DeadLetterBucket"]
    s3, glue = boto3.client("s3"), boto3.client("glue")
    table: Any = {"Name": "orders"}
    forbidden: list[Callable[[], object]] = [
        partial(s3.put_object, Bucket=role.bucket, Key="lake/orders/parquet/x", Body=b""),
        partial(s3.put_object, Bucket=role.bucket, Key="elsewhere/x", Body=b""),
        partial(s3.delete_object, Bucket=role.bucket, Key="athena/x"),
        partial(s3.get_object, Bucket=letters, Key="dead-letters/x"),
        partial(s3.list_objects_v2, Bucket=letters),
        partial(glue.update_table, DatabaseName="pipeline", TableInput=table),
        partial(glue.delete_table, DatabaseName="pipeline_lake", Name="orders"),
    ]
    assert [role.allowed(task) for task in forbidden] == [False] * len(forbidden)
    # moto does not look at conditions.
    conditions = [each.get("Condition") for each in policies["CommitRole"]["Statement"]]
    own = {"StringEquals": {"s3:ResourceAccount": ACCOUNT}}
    listing = own | {"StringLike": {"s3:prefix": "lake/*"}}
    assert conditions == [listing, own, own, own, None, None]


def test_the_role_for_alarms_reaches_no_other_topic(
    stack: Stack, policies: dict[str, dict[str, Any]], patch: pytest.MonkeyPatch
) -> None:
    role, sns = AsAlert(stack, policies["AlertRole"], patch), boto3.client("sns")
    other = partial(sns.publish, TopicArn=stack.ids["AlarmTopic"], Message="x")
    assert not role.allowed(other)

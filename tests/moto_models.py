"""Resources that moto's CloudFormation leaves out of a stack, made by the services' own APIs.

With them every resource of the template exists; its properties are checked by botocore's models
and read back as the service keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto.awslambda.models import LambdaBackend
from moto.cloudformation import parsing
from moto.cloudformation.parsing import get_model_map

Maker = Callable[[str, dict[str, Any]], tuple[str, str]]
"""Makes a resource of this generated name and these properties; returns its `Ref` and its ARN."""


class Made:
    """A resource, as far as a template may refer to it; in the shape of moto's own models."""

    make: Maker

    def __init__(self, name: str, arn: str) -> None:
        self.physical_resource_id = name
        self.arn = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], *_: str, **__: Any
    ) -> Made:
        return cls(*cls.make(resource_name, cloudformation_json["Properties"]))

    def is_created(self) -> bool:
        return True

    def get_cfn_attribute(self, attribute: str) -> str:
        assert attribute == "Arn"
        return self.arn


def _alarm(name: str, properties: dict[str, Any]) -> tuple[str, str]:
    watch = boto3.client("cloudwatch")
    threshold = float(properties["Threshold"])
    watch.put_metric_alarm(AlarmName=name, **(properties | {"Threshold": threshold}))
    (alarm,) = watch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return name, alarm["AlarmArn"]


def _bucket_policy(_: str, properties: dict[str, Any]) -> tuple[str, str]:
    bucket = properties["Bucket"]
    policy = json.dumps(properties["PolicyDocument"])
    boto3.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    return bucket, ""


def _database(_: str, properties: dict[str, Any]) -> tuple[str, str]:
    boto3.client("glue").create_database(**properties)
    return properties["DatabaseInput"]["Name"], ""


def _queue_policy(name: str, properties: dict[str, Any]) -> tuple[str, str]:
    policy = json.dumps(properties["PolicyDocument"])
    for queue in properties["Queues"]:
        boto3.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    return name, ""


def _table(_: str, properties: dict[str, Any]) -> tuple[str, str]:
    boto3.client("glue").create_table(**properties)
    return properties["TableInput"]["Name"], ""


def _schedule_group(_: str, properties: dict[str, Any]) -> tuple[str, str]:
    made = boto3.client("scheduler").create_schedule_group(**properties)
    return properties["Name"], made["ScheduleGroupArn"]


def _consumer(_: str, properties: dict[str, Any]) -> tuple[str, str]:
    made = boto3.client("kinesis").register_stream_consumer(**properties)
    arn = made["Consumer"]["ConsumerARN"]
    return arn, arn


def _schedule(name: str, properties: dict[str, Any]) -> tuple[str, str]:
    made = boto3.client("scheduler").create_schedule(Name=name, **properties)
    return name, made["ScheduleArn"]


def _topic_policy(name: str, properties: dict[str, Any]) -> tuple[str, str]:
    policy = json.dumps(properties["PolicyDocument"])
    for topic in properties["Topics"]:
        boto3.client("sns").set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=policy
        )
    return name, ""


def _subscription(_: str, properties: dict[str, Any]) -> tuple[str, str]:
    arn = boto3.client("sns").subscribe(**properties)["SubscriptionArn"]
    return arn, arn


def _metric_filter(name: str, properties: dict[str, Any]) -> tuple[str, str]:
    boto3.client("logs").put_metric_filter(filterName=name, **_camel_case(properties))
    return name, ""


def _camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: _camel_case(child) for key, child in value.items()}
    return [_camel_case(child) for child in value] if isinstance(value, list) else value


MAKERS: dict[str, Maker] = {
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::Glue::Database": _database,
    "AWS::Glue::Table": _table,
    "AWS::Logs::MetricFilter": _metric_filter,
    "AWS::Kinesis::StreamConsumer": _consumer,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SNS::Subscription": _subscription,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::Scheduler::ScheduleGroup": _schedule_group,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SQS::QueuePolicy": _queue_policy,
}


@contextmanager
def _no_values_left_out() -> Iterator[None]:
    """Have moto leave AWS::NoValue out of lists, as CloudFormation does; it makes null of it."""
    clean = parsing.clean_json

    def cleaned(value: Any, resources: Any) -> Any:
        found = clean(value, resources)
        return [item for item in found if item is not None] if isinstance(found, list) else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "clean_json", cleaned)
        yield


@contextmanager
def _any_stream_is_mapped() -> Iterator[None]:
    """Let a mapping read by a consumer, or a stream of another account, of which moto knows nothing.

    There has to be a stream of the same name in this account.
    """
    create = LambdaBackend.create_event_source_mapping

    def created(backend: LambdaBackend, spec: dict[str, Any]) -> Any:
        arn = spec["EventSourceArn"]
        if ":kinesis:" not in arn:
            return create(backend, spec)
        name = arn.partition("/consumer/")[0].rpartition("/")[2]
        here = f"arn:aws:kinesis:{backend.region_name}:{backend.account_id}:stream/{name}"
        mapping = create(backend, spec | {"EventSourceArn": here})
        mapping.event_source_arn = arn
        return mapping

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LambdaBackend, "create_event_source_mapping", created)
        yield


@contextmanager
def all_types() -> Iterator[None]:
    """Teach moto's CloudFormation these types while the context lasts."""
    with _no_values_left_out(), _any_stream_is_mapped(), _models():
        yield


@contextmanager
def _models() -> Iterator[None]:
    models = get_model_map()
    known = dict(models)
    assert not known.keys() & MAKERS.keys(), "moto has learnt some: drop them here"
    for kind, make in MAKERS.items():
        models[kind] = type("Made", (Made,), {"make": staticmethod(make)})
    try:
        yield
    finally:
        models.clear()
        models.update(known)

"""infra/template.yaml as a stack: translated as AWS does, and created in moto."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto_models import all_types
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse
from support import ROOT
from tables import deployable

REGION = "eu-central-1"
ACCOUNT = "123456789012"
SCHEMAS = ROOT / "schemas"
SOURCE = ROOT / "infra" / "template.yaml"
CODE = {"S3Bucket": "artifacts", "S3Key": "function.zip"}
SCHEDULED_CODE = {"S3Bucket": "artifacts", "S3Key": "scheduled.zip"}
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
INCOMING = "incoming"


class Stack:
    """A stack that moto has created."""

    def __init__(self, name: str, **parameters: str) -> None:
        self.client = partial(boto3.client, region_name=REGION)
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(translated()),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
        )
        (self.description,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        listed = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        # moto lists what a condition leaves out, too, without a name.
        listed = [resource for resource in listed if resource["LogicalResourceId"]]
        self.types = {
            resource["LogicalResourceId"]: resource["ResourceType"] for resource in listed
        }
        self.ids = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in listed
        }

    @property
    def outputs(self) -> dict[str, str]:
        return {
            output["OutputKey"]: output["OutputValue"] for output in self.description["Outputs"]
        }

    def alarm(self, name: str) -> dict[str, Any]:
        found = self.client("cloudwatch").describe_alarms(AlarmNames=[self.ids[name]])
        alarm: dict[str, Any] = found["MetricAlarms"][0]
        return alarm


def deployed_text(arch: str = "arm64") -> str:
    """Return the template as `make package` writes it."""
    return deployable(SOURCE.read_text(encoding="utf-8"), SCHEMAS, arch)


def translated() -> dict[str, Any]:
    """Return what CloudFormation deploys: the template translated."""
    return copy.deepcopy(_translated())


@functools.cache
def _translated() -> dict[str, Any]:
    # What `sam deploy` writes for the artifacts, once they are uploaded.
    text = deployed_text().replace("CodeUri: ", "CodeUri: s3://artifacts/")

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        template: dict[str, Any] = transform(yaml_parse(text), {}, NoPolicies())
    return template


def properties(name: str) -> dict[str, Any]:
    """Return the properties that a resource is declared with."""
    found: dict[str, Any] = translated()["Resources"][name]["Properties"]
    return found


@contextmanager
def simulated_account() -> Iterator[None]:
    """Simulate an account that has the artifacts, and a bucket of files."""
    with pytest.MonkeyPatch.context() as patch, mock_aws(), all_types():
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        s3 = boto3.client("s3", region_name=REGION)
        place: Any = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=CODE["S3Bucket"], CreateBucketConfiguration=place)
        for code in (CODE, SCHEDULED_CODE):
            s3.put_object(Bucket=code["S3Bucket"], Key=code["S3Key"], Body=EMPTY_ZIP)
        s3.create_bucket(Bucket=INCOMING, CreateBucketConfiguration=place)
        s3.put_bucket_versioning(Bucket=INCOMING, VersioningConfiguration={"Status": "Enabled"})
        yield

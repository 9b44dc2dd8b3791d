"""The policies of infra/template.yaml, with the stack's names in them, and what IAM decides by them.

What decides is `@cloud-copilot/iam-simulate`, which honours conditions; moto does not. It comes from
npm (`make evaluator`), runs in a process of its own, and is no part of what is shipped.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse
from support import ROOT

ACCOUNT, REGION = "123456789012", "eu-central-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# As the parameter asks for: it leaves to the account's own policies who may use it.
_KEY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:privacy-a1B2c3"
REGISTRY_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:registry-d4E5f6"
REGISTRY_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/registry"
SECRETS_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/secrets"
STREAM_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/streams"
STRANGER = "999999999999"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
READERS = f"arn:aws:iam::{ACCOUNT}:role/readers"
# All that the stack makes itself, and all that it can be given instead.
MADE = {
    "FilesBucket": "incoming",
    "ObjectKmsKey": KEY,
    "ObjectTags": "team=data",
    "Lake": "on",
    "StreamKmsKey": STREAM_KEY,
    "Consumer": "new",
    "DeadLetterReaders": READERS,
    "SubnetIds": "subnet-1,subnet-2",
    "SecurityGroupIds": "sg-1",
    "PrivacyKey": SECRET,
    "PrivacyKmsKey": SECRETS_KEY,
    "GlueSchemas": "on",
    "RegistryCredentials": REGISTRY_SECRET,
    "RegistryKmsKey": REGISTRY_KEY,
    "SchemasBucketName": "datasets",
    "SchemasPrefix": "v7/shop",
}
_GIVEN_STREAM = f"arn:aws:kinesis:{REGION}:{STRANGER}:stream/given"
GIVEN = MADE | {
    "StreamArn": _GIVEN_STREAM,
    "Consumer": f"{_GIVEN_STREAM}/consumer/ours:1",
    "OutputBucketName": "given-rows",
    "DeadLetterBucketName": "given-letters",
    "BucketAccount": "888888888888",
    "DatabaseName": "given",
    "PermissionsBoundary": BOUNDARY,
}
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": "pipeline",
}
_EVALUATOR = Path(__file__).parent / "npm_iam"

Template = dict[str, Any]
Policy = dict[str, Any]


@functools.cache
def _template() -> Template:
    template: Template = yaml_parse((ROOT / "infra" / "template.yaml").read_text("utf-8"))
    return template


class _Nothing:
    """What AWS::NoValue stands for."""


@dataclass(frozen=True)
class Deployment:
    """The template with these parameters: what CloudFormation makes of each of its values."""

    given: dict[str, str]

    @property
    def template(self) -> Template:
        """Return the resources that there are, with everything in them resolved."""
        declared = copy.deepcopy(_template()["Resources"])
        made = {
            name: resource
            for name, resource in declared.items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }
        return {"Resources": {name: self.resolved(each) for name, each in made.items()}}

    def parameter(self, name: str) -> Any:
        declared = _template()["Parameters"][name]
        value = self.given.get(name, declared["Default"])
        return str(value).split(",") if declared["Type"] == "CommaDelimitedList" else value

    def holds(self, condition: str) -> bool:
        found: bool = self._judged(_template()["Conditions"][condition])
        return found

    def _judged(self, condition: dict[str, Any]) -> bool:
        ((function, argument),) = condition.items()
        match function:
            case "Condition":
                return self.holds(argument)
            case "Fn::Not":
                return not self._judged(argument[0])
            case "Fn::And":
                return all(map(self._judged, argument))
            case "Fn::Or":
                return any(map(self._judged, argument))
        assert function == "Fn::Equals"
        one, other = map(self.resolved, argument)
        return bool(one == other)

    def resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            found = map(self.resolved, value)
            return [item for item in found if item is not _Nothing]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref":
                return self.reference(argument)
            if function == "Fn::If":
                return self.resolved(argument[1 if self.holds(argument[0]) else 2])
            if function.startswith("Fn::"):
                return self._computed(function, argument)
        members = {key: self.resolved(item) for key, item in value.items()}
        return {key: item for key, item in members.items() if item is not _Nothing}

    def _computed(self, function: str, argument: Any) -> Any:
        match function:
            case "Fn::GetAtt":
                name, attribute = argument.split(".") if isinstance(argument, str) else argument
                return arn_of(name) if attribute == "Arn" else f"{name}.{attribute}"
            case "Fn::Sub":
                text, variables = (argument, {}) if isinstance(argument, str) else argument
                variables = self.resolved(variables)
                return re.sub(
                    r"\$\{([\w:.]+)\}",
                    lambda found: str(
                        variables[found[1]] if found[1] in variables else self._substitute(found[1])
                    ),
                    text,
                )
            case "Fn::FindInMap":
                return "found"
        given = self.resolved(argument)
        match function:
            case "Fn::Join":
                return given[0].join(given[1])
            case "Fn::Split":
                return given[1].split(given[0])
            case "Fn::Select":
                return given[1][int(given[0])]
        raise AssertionError(function)

    def _substitute(self, name: str) -> str:
        resource, _, attribute = name.partition(".")
        if attribute:
            return arn_of(resource) if attribute == "Arn" else name
        return str(self.reference(name))

    def reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _Nothing
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name in _template()["Parameters"]:
            return self.parameter(name)
        resource = _template()["Resources"][name]
        match resource["Type"]:
            case "AWS::Logs::LogGroup":
                return self.resolved(resource["Properties"]["LogGroupName"])
            case "AWS::Glue::Database":
                return self.resolved(resource["Properties"]["DatabaseInput"]["Name"])
            case "AWS::SNS::Topic" | "AWS::Kinesis::StreamConsumer" | "AWS::IAM::ManagedPolicy":
                return arn_of(name)
            case "AWS::Scheduler::ScheduleGroup":
                return self.resolved(resource["Properties"]["Name"])
        return name.lower() if resource["Type"] == "AWS::S3::Bucket" else name


def template(**parameters: str) -> Template:
    """Return the template as it is deployed with these parameters, to be changed at will."""
    return Deployment(parameters).template


def need_evaluator() -> None:
    """Skip where the evaluator is not installed; fail where it must be, as in CI."""
    if shutil.which("node") and (_EVALUATOR / "node_modules").is_dir():
        return
    sentence = (
        "The tests of policies did not run: they need node, npm, and `make evaluator`, which "
        "installs from npm what decides IAM requests."
    )
    if os.environ.get("PIPELINE_NODE_REQUIRED"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def arn_of(name: str) -> str:
    """Return the ARN of a resource of the stack."""
    kind = _template()["Resources"][name]["Type"].removeprefix("AWS::")
    here = f"{REGION}:{ACCOUNT}"
    return {
        "S3::Bucket": f"arn:aws:s3:::{name.lower()}",
        "Kinesis::StreamConsumer": f"arn:aws:kinesis:{here}:stream/Stream/consumer/pipeline:1",
        "IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/{name}",
        "Scheduler::ScheduleGroup": f"arn:aws:scheduler:{here}:schedule-group/pipeline",
        "CloudWatch::Alarm": f"arn:aws:cloudwatch:{here}:alarm:{name}",
        "Kinesis::Stream": f"arn:aws:kinesis:{here}:stream/{name}",
        "SQS::Queue": f"arn:aws:sqs:{here}:{name}",
        "SNS::Topic": f"arn:aws:sns:{here}:{name}",
        "IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{name}",
        "Serverless::Function": f"arn:aws:lambda:{here}:function:{name}",
    }[kind]


def policies_of_role(stack: Template, role: str) -> list[Policy]:
    """Return the policies that a role has, those that parameters add to it included."""
    resources = stack["Resources"]
    properties = resources[role]["Properties"]
    added = [
        resource["Properties"]
        for name, resource in resources.items()
        if (resource["Type"] == "AWS::IAM::Policy" and role in resource["Properties"]["Roles"])
        or (
            resource["Type"] == "AWS::IAM::ManagedPolicy"
            and arn_of(name) in properties.get("ManagedPolicyArns", ())
        )
    ]
    return [policy["PolicyDocument"] for policy in (*properties.get("Policies", ()), *added)]


def policy_of_resource(stack: Template, arn: str) -> Policy | None:
    """Return the policy on a resource that a request is about: who may do what with it."""
    if arn in {KEY, STREAM_KEY, SECRETS_KEY, REGISTRY_KEY}:
        return _KEY_POLICY
    for name, resource in stack["Resources"].items():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::S3::BucketPolicy":
                named = [f"arn:aws:s3:::{properties['Bucket']}"]
            case "AWS::SQS::QueuePolicy":
                named = [arn_of(queue) for queue in properties["Queues"]]
            case "AWS::SNS::TopicPolicy":
                named = properties["Topics"]
            case "AWS::IAM::Role" if arn_of(name) == arn:
                trust: Policy = properties["AssumeRolePolicyDocument"]
                return trust
            case "AWS::Lambda::Permission" if properties["FunctionName"] in arn:
                return _permission(properties, arn)
            case _:
                continue
        if any(arn == each or arn.startswith(f"{each}/") for each in named):
            document: Policy = properties["PolicyDocument"]
            return document
    return None


def _permission(properties: dict[str, Any], arn: str) -> Policy:
    """Return what Lambda makes of a permission: a statement in the function's policy."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": properties["Principal"]},
        "Action": properties["Action"],
        "Resource": arn,
        "Condition": {"ArnLike": {"AWS:SourceArn": properties["SourceArn"]}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


@dataclass(frozen=True)
class Request:
    """Somebody asks to do something: a role of the stack by its name, or else as a principal."""

    who: str
    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Say what is asked."""
        return f"{self.who} {self.action} {self.resource} {self.context or ''}".strip()


def simulation(stack: Template, request: Request) -> dict[str, Any]:
    """Return a request with all policies that decide it, as the evaluator takes it."""
    is_role = request.who in stack["Resources"]
    owned = policies_of_role(stack, request.who) if is_role else []
    if request.who.startswith(f"arn:aws:iam::{ACCOUNT}:role/"):  # people, who may do anything
        owned = [_MAY_ALL]
    owner = _owner_of(request.resource)
    context = {"aws:SecureTransport": "true"}
    if request.action.startswith("s3:"):
        context["s3:ResourceAccount"] = owner
    principal = arn_of(request.who) if is_role else request.who
    if principal.startswith("arn:"):
        context["aws:PrincipalArn"] = principal
    simulated: dict[str, Any] = {
        "request": {
            "principal": principal,
            "action": request.action,
            "resource": {"resource": request.resource, "accountId": owner},
            "contextVariables": context | request.context,
        },
        "identityPolicies": [
            {"name": f"policy{number}", "policy": policy} for number, policy in enumerate(owned)
        ],
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
    }
    policy = policy_of_resource(stack, request.resource)
    if owner != ACCOUNT and is_role:  # who owns it has allowed whatever the role itself may
        policy = _allows(arn_of(request.who))
    return simulated if policy is None else simulated | {"resourcePolicy": policy}


def _owner_of(arn: str) -> str:
    """Return the account that a resource is of; of what is given, it is another one."""
    bucket = arn.removeprefix("arn:aws:s3:::").partition("/")[0]
    if bucket in {GIVEN["OutputBucketName"], GIVEN["DeadLetterBucketName"]}:
        return GIVEN["BucketAccount"]
    return arn.split(":")[4] or ACCOUNT


_MAY_ALL: Policy = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


def _allows(role: str) -> Policy:
    statement = {"Effect": "Allow", "Principal": {"AWS": role}, "Action": "*", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def decide(stack: Template, requests: list[Request]) -> list[bool]:
    """Return whether IAM allows each of the requests."""
    simulations = [simulation(stack, request) for request in requests]
    done = subprocess.run(
        ["node", "evaluate.mjs"],
        cwd=_EVALUATOR,
        input=json.dumps(simulations),
        capture_output=True,
        text=True,
        check=True,
    )
    decisions: list[str] = json.loads(done.stdout)
    known = {"Allowed", "ImplicitlyDenied", "ExplicitlyDenied"}
    refused = [
        f"{request.sentence}: {decision}"
        for request, decision in zip(requests, decisions, strict=True)
        if decision not in known
    ]
    assert not refused, "\n".join(["The evaluator refuses requests:", *refused])
    return [decision == "Allowed" for decision in decisions]

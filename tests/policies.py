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
SECRETS_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/5678abcd-12ab-34cd-56ef-1234567890ab"
PARAMETERS = {
    "FilesBucket": "incoming",
    "ObjectKmsKey": KEY,
    "DatabaseName": "pipeline",
    "PrivacyKey": SECRET,
    "PrivacyKmsKey": SECRETS_KEY,
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


def template() -> Template:
    """Return the template, to be changed at will."""
    return copy.deepcopy(_template())


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
        "Kinesis::Stream": f"arn:aws:kinesis:{here}:stream/{name}",
        "SQS::Queue": f"arn:aws:sqs:{here}:{name}",
        "SNS::Topic": f"arn:aws:sns:{here}:{name}",
        "IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{name}",
        "Serverless::Function": f"arn:aws:lambda:{here}:function:{name}",
    }[kind]


def _reference(name: str) -> str:
    if name in _PSEUDO or name in PARAMETERS:
        return (_PSEUDO | PARAMETERS)[name]
    resources = _template()["Resources"]
    kind = resources[name]["Type"]
    if kind == "AWS::Logs::LogGroup":
        return str(resolved(resources[name]["Properties"]["LogGroupName"]))
    if kind == "AWS::Glue::Database":
        return PARAMETERS["DatabaseName"]
    return arn_of(name) if kind == "AWS::SNS::Topic" else arn_of(name).rpartition(":")[2]


def resolved(value: Any) -> Any:
    """Return what CloudFormation makes of a value; every condition of the template holds."""
    if isinstance(value, list):
        return [resolved(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, argument),) = value.items()
        if function == "Ref":
            return _reference(argument)
        if function == "Fn::GetAtt":
            name, attribute = argument.split(".") if isinstance(argument, str) else argument
            assert attribute == "Arn"
            return arn_of(name)
        if function == "Fn::If":
            return resolved(argument[1])
        if function == "Fn::Sub":
            return re.sub(r"\$\{([\w:.]+)\}", _substitute, argument)
    return {key: resolved(item) for key, item in value.items()}


def _substitute(match: re.Match[str]) -> str:
    name, _, attribute = match[1].partition(".")
    assert attribute in {"", "Arn"}
    return arn_of(name) if attribute else _reference(name)


def policies_of_role(stack: Template, role: str) -> list[Policy]:
    """Return the policies that a role has, those that parameters add to it included."""
    resources = stack["Resources"]
    inline = resources[role]["Properties"].get("Policies", [])
    added = [
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::IAM::Policy"
        and _reference(role) in resolved(resource["Properties"]["Roles"])
    ]
    return [resolved(policy["PolicyDocument"]) for policy in (*inline, *added)]


def policy_of_resource(stack: Template, arn: str) -> Policy | None:
    """Return the policy on a resource that a request is about: who may do what with it."""
    if arn in (KEY, SECRETS_KEY):
        return _KEY_POLICY
    for name, resource in stack["Resources"].items():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::S3::BucketPolicy":
                named = [f"arn:aws:s3:::{resolved(properties['Bucket'])}"]
            case "AWS::SQS::QueuePolicy":
                named = [arn_of(queue["Ref"]) for queue in properties["Queues"]]
            case "AWS::SNS::TopicPolicy":
                named = resolved(properties["Topics"])
            case "AWS::IAM::Role" if arn_of(name) == arn:
                trust: Policy = resolved(properties["AssumeRolePolicyDocument"])
                return trust
            case "AWS::Lambda::Permission" if resolved(properties["FunctionName"]) in arn:
                return _permission(properties, arn)
            case _:
                continue
        if any(arn == each or arn.startswith(f"{each}/") for each in named):
            document: Policy = resolved(properties["PolicyDocument"])
            return document
    return None


def _permission(properties: dict[str, Any], arn: str) -> Policy:
    """Return what Lambda makes of a permission: a statement in the function's policy."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": properties["Principal"]},
        "Action": properties["Action"],
        "Resource": arn,
        "Condition": {"ArnLike": {"AWS:SourceArn": resolved(properties["SourceArn"])}},
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
    simulated: dict[str, Any] = {
        "request": {
            "principal": arn_of(request.who) if is_role else request.who,
            "action": request.action,
            "resource": {"resource": request.resource, "accountId": ACCOUNT},
            "contextVariables": {"aws:SecureTransport": "true", **request.context},
        },
        "identityPolicies": [
            {"name": f"policy{number}", "policy": policy} for number, policy in enumerate(owned)
        ],
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
    }
    policy = policy_of_resource(stack, request.resource)
    return simulated if policy is None else simulated | {"resourcePolicy": policy}


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

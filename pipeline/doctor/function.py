"""The function: its settings, the mapping that feeds it, and what its role may do."""

import shlex
from typing import Any

from pipeline.adapters.aws.account import Refusal
from pipeline.core.errors import SettingsError
from pipeline.doctor.buckets import bucket_and_prefix
from pipeline.doctor.findings import Asked, Findings
from pipeline.doctor.places import Places
from pipeline.doctor.schemas import VARIABLE, look_at_schemas
from pipeline.doctor.stream import SeenStream
from pipeline.settings import Settings

_SHORT = 30  # seconds
_HOUR = 3600
_OLDEST = 604_800  # Lambda's own limit


def look_at_function(
    places: Places, stream: SeenStream | None, account: Asked, findings: Findings
) -> None:
    """Look at all of it, as far as it is there."""
    configuration = places.configuration
    if not configuration:
        return
    name = configuration["FunctionName"]
    _state(name, configuration, findings)
    _settings(name, configuration, findings)
    look_at_schemas(configuration, account, findings)
    _mappings(name, stream, account, findings)
    _permissions(configuration["Role"], places, stream, account, findings)


def _state(name: str, configuration: dict[str, Any], findings: Findings) -> None:
    state, timeout = configuration.get("State", "Active"), configuration["Timeout"]
    memory = configuration["MemorySize"]
    if state not in {"Active", "Inactive"}:
        reason = configuration.get("StateReason", "no reason given")
        command = f"aws lambda get-function-configuration --function-name {name}"
        findings.add_wrong("function", f"{name} is {state}: {reason}.", command)
        return
    findings.ok("function", f"{name} has {memory:,} MB and {timeout} s.")
    if timeout < _SHORT:
        command = f"aws lambda update-function-configuration --function-name {name} --timeout 120"
        sentence = f"{name} has {timeout} s, too little for S3 to recover in: give it 120 s."
        findings.note("function", sentence, command)


def _settings(name: str, configuration: dict[str, Any], findings: Findings) -> None:
    variables = configuration.get("Environment", {}).get("Variables", {})
    try:
        Settings.from_environment(variables)
    except SettingsError as error:
        command = (
            f"aws lambda get-function-configuration --function-name {name} --query Environment"
        )
        for fault in str(error).splitlines():
            findings.add_wrong("settings", fault, command)
    else:
        findings.ok("settings", f"The variables of {name} are as they should be.")


# ------------------------------------------------------------------------------- the mapping


def _mappings(name: str, stream: SeenStream | None, account: Asked, findings: Findings) -> None:
    answer = account.ask("lambda", "list_event_source_mappings", FunctionName=name)
    if isinstance(answer, Refusal):
        action = "lambda:ListEventSourceMappings"
        findings.refused("mapping", f"the mappings of {name}", action, answer)
        return
    mappings = [
        mapping
        for mapping in answer.found["EventSourceMappings"]
        if ":kinesis:" in mapping.get("EventSourceArn", "")
    ]
    if not mappings:
        command = "aws lambda create-event-source-mapping help"
        findings.add_wrong("mapping", f"No stream is mapped to {name}: it gets nothing.", command)
    for mapping in mappings:
        of_stream = stream is not None and mapping["EventSourceArn"].startswith(stream.arn)
        _mapping(mapping, stream if of_stream else None, findings)
    if stream is not None and mappings:
        found = [m for m in mappings if m["EventSourceArn"].startswith(stream.arn)]
        if not found:
            read = ", ".join(mapping["EventSourceArn"] for mapping in mappings)
            sentence = f"{name} reads {read}, and not {stream.arn}."
            findings.add_wrong("mapping", sentence, "aws lambda list-event-source-mappings")


def _mapping(mapping: dict[str, Any], stream: SeenStream | None, findings: Findings) -> None:
    """Hold a mapping against what never loses a batch."""
    update = f"aws lambda update-event-source-mapping --uuid {mapping['UUID']}"
    before = len(findings.found)
    state, last = mapping.get("State", "Enabled"), mapping.get("LastProcessingResult") or ""
    if state not in {"Enabled", "Enabling", "Creating", "Updating"}:
        sentence = f"The mapping is {state}: nothing is read, and records grow old."
        findings.add_wrong("mapping", sentence, f"{update} --enabled")
    if last.startswith("PROBLEM"):
        sentence = f"The mapping's last try failed: {' '.join(last.split())[:300]}"
        findings.add_wrong(
            "mapping", sentence, f"aws lambda get-event-source-mapping --uuid {mapping['UUID']}"
        )
    if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", ()):
        findings.add_wrong(
            "mapping",
            "ReportBatchItemFailures is off: Lambda takes a batch that failed for one that is "
            "stored, and it is lost.",
            f"{update} --function-response-types ReportBatchItemFailures",
        )
    if not mapping.get("BisectBatchOnFunctionError"):
        findings.note(
            "mapping",
            "BisectBatchOnFunctionError is off: a batch that is too much for one invocation is "
            "never halved.",
            f"{update} --bisect-batch-on-function-error",
        )
    _ages(mapping, stream, update, findings)
    _destination(mapping, update, findings)
    _what_aggregates_suffer(mapping, stream, update, findings)
    if len(findings.found) == before:
        findings.ok("mapping", f"The mapping {mapping['UUID']} is as it should be.")


def _ages(
    mapping: dict[str, Any], stream: SeenStream | None, update: str, findings: Findings
) -> None:
    retries, age = (
        mapping.get("MaximumRetryAttempts", -1),
        mapping.get("MaximumRecordAgeInSeconds", -1),
    )
    if retries not in {-1, None}:
        findings.note(
            "mapping",
            f"A batch is given up after {retries} retries: an outage of minutes is enough. Let the "
            "age end them.",
            f"{update} --maximum-retry-attempts -1",
        )
    if stream is None:
        return
    kept = stream.retention_hours * _HOUR
    if age in {-1, None} or age >= kept:
        sentence = (
            f"The stream forgets records after {stream.retention_hours} hours, before the mapping "
            "gives them up: what fails for as long is lost, and in no bucket."
        )
        best = min(max(kept - 24 * _HOUR, kept // 2), _OLDEST)
        command = f"{update} --maximum-record-age-in-seconds {best}"
        findings.add_wrong("mapping", sentence, command)


def _destination(mapping: dict[str, Any], update: str, findings: Findings) -> None:
    where = mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
    command = f'{update} --destination-config \'{{"OnFailure": {{"Destination": "BUCKET_ARN"}}}}\''
    if not where:
        sentence = "There is no on-failure destination: batches that are given up are lost."
        findings.add_wrong("mapping", sentence, command)
    elif ":s3:::" not in where:
        findings.note(
            "mapping",
            f"The on-failure destination {where} is told where a batch was: only a bucket "
            "gets its records.",
            command,
        )


def _what_aggregates_suffer(
    mapping: dict[str, Any], stream: SeenStream | None, update: str, findings: Findings
) -> None:
    """Filters and the parallelization factor see aggregates, and not what is in them."""
    aggregated = None if stream is None else stream.aggregated
    add = findings.add_wrong if aggregated else findings.note
    whether = "records are aggregates" if aggregated else "if records are aggregates"
    if mapping.get("FilterCriteria", {}).get("Filters"):
        sentence = f"The mapping has a filter: {whether}, it drops them whole, documents and all."
        add("mapping", sentence, f"{update} --filter-criteria '{{}}'")
    if mapping.get("ParallelizationFactor", 1) > 1 and aggregated is not False:
        sentence = (
            f"ParallelizationFactor splits a shard by the partition key: {whether}, all share one, "
            "and it gains nothing."
        )
        findings.note("mapping", sentence, f"{update} --parallelization-factor 1")
    if mapping.get("TumblingWindowInSeconds"):
        sentence = "The mapping has a tumbling window, of which the pipeline makes no use."
        findings.note("mapping", sentence, f"{update} --tumbling-window-in-seconds 0")


# ------------------------------------------------------------------------- the role's permissions


def _permissions(
    role: str, places: Places, stream: SeenStream | None, account: Asked, findings: Findings
) -> None:
    """Have IAM try what the role has to do, with its policies and boundary as they are."""
    partition = role.split(":")[1]
    needed = (
        [("kinesis:GetRecords", stream.arn), ("kinesis:ListShards", stream.arn)] if stream else []
    )
    variables = places.configuration.get("Environment", {}).get("Variables", {})
    schemas = variables.get(VARIABLE, "").rstrip("/")
    objects = [("s3:PutObject", places.output), ("s3:PutObject", places.dead_letters)]
    for action, uri in (*objects, ("s3:GetObject", schemas)):
        if uri.startswith("s3://"):
            bucket, prefix = bucket_and_prefix(uri)
            key = "/".join(filter(None, (prefix, "x")))
            needed.append((action, f"arn:{partition}:s3:::{bucket}/{key}"))
    listed = {}
    if schemas.startswith("s3://"):
        bucket, prefix = bucket_and_prefix(schemas)
        needed.append(("s3:ListBucket", f"arn:{partition}:s3:::{bucket}"))
        listed = _context("s3:prefix", f"{prefix}/" if prefix else "")
    for action, resource in needed:
        answer = account.ask(
            "iam", "simulate_principal_policy",
            PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource],
            **(listed if action == "s3:ListBucket" else {}),
        )  # fmt: skip
        subject = f"whether the role may {action} on {resource}"
        if isinstance(answer, Refusal):
            findings.refused("permissions", subject, "iam:SimulatePrincipalPolicy", answer)
            continue
        for result in answer.found["EvaluationResults"]:
            if result["EvalDecision"] == "allowed":
                findings.ok("permissions", f"The role may {action} on {resource}.")
                continue
            command = (
                f"aws iam simulate-principal-policy --policy-source-arn {shlex.quote(role)} "
                f"--action-names {action} --resource-arns {shlex.quote(resource)}"
            )
            sentence = f"The role {role} may not {action} on {resource} ({result['EvalDecision']})."
            findings.add_wrong("permissions", sentence, command)


def _context(key: str, value: str) -> dict[str, Any]:
    """Return what a condition asks for, as the simulator takes it."""
    entry = {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
    return {"ContextEntries": [entry]}

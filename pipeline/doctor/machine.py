"""This machine: its schemas, its credentials, its clock."""

import shlex

from pipeline.adapters.aws.account import Answer, Refusal
from pipeline.adapters.schema_folder import schema_folder
from pipeline.adapters.schemas import read_datasets, read_stream
from pipeline.core.dataset import Dataset
from pipeline.core.errors import ConfigurationError, ServiceError
from pipeline.doctor.findings import Asked, Findings

_LATE = 60  # seconds: a note
_TOO_LATE = 300  # AWS refuses signatures that are older
_SET_CLOCK = "timedatectl set-ntp true"
_REMEDIES = {
    "credentials": "aws configure sso",
    "expired": "aws sso login",
    "clock": _SET_CLOCK,
    "region": "export AWS_REGION=eu-central-1",
    "unreachable": "curl -sS https://sts.amazonaws.com",
}
_PROBLEMS = {
    "credentials": "There are no credentials that AWS accepts",
    "expired": "The credentials have expired",
    "clock": "AWS refuses what this machine signs, as its clock is wrong",
    "region": "No region is set",
    "unreachable": "AWS was not reached: the network, a proxy or an endpoint is in the way",
}


def look_at_machine(schemas: str, account: Asked, findings: Findings) -> tuple[Dataset, ...]:
    """Look; return the datasets, none where they cannot be read."""
    datasets = _schemas(schemas, findings)
    answer = account.ask("sts", "get_caller_identity")
    if isinstance(answer, Refusal):
        problem = _PROBLEMS.get(answer.code, f"AWS refused to say who this is ({answer.code})")
        command = _REMEDIES.get(answer.code, "aws sts get-caller-identity")
        findings.add_wrong("credentials", f"{problem}: {answer.text}.", command)
        return datasets
    findings.ok("credentials", f"This is {answer.found.get('Arn', 'somebody without a name')}.")
    _clock(answer, findings)
    return datasets


def _schemas(folder: str, findings: Findings) -> tuple[Dataset, ...]:
    try:
        with schema_folder(folder) as read:
            datasets = read_datasets(read)
            read_stream(read)
    except (ConfigurationError, ServiceError, OSError) as error:
        command = f"pipeline check {folder}"
        if folder.startswith("s3:"):
            command = f"aws s3 ls --recursive {shlex.quote(folder.rstrip('/'))}/"
        findings.add_wrong("schemas", f"{folder} cannot be used: {error}", command)
        return ()
    names = ", ".join(dataset.name for dataset in datasets)
    findings.ok("schemas", f"{folder} has {len(datasets)} datasets: {names}.")
    return tuple(datasets)


def _clock(answer: Answer, findings: Findings) -> None:
    if answer.their_time is None:
        return
    late = round(abs((answer.our_time - answer.their_time).total_seconds()))
    sentence = f"This machine's clock is {late:,} s away from AWS'"
    if late >= _TOO_LATE:
        sentence += ": AWS refuses what it signs."
        findings.add_wrong("clock", sentence, _SET_CLOCK)
    elif late >= _LATE:
        sentence += "; from 300 s on, AWS refuses what it signs."
        findings.note("clock", sentence, _SET_CLOCK)
    else:
        findings.ok("clock", f"{sentence}.")

"""The schemas of a function that has them on S3: whether they can be used, and which it has."""

import shlex
from datetime import datetime
from typing import Any

from pipeline.adapters.aws.account import Refusal
from pipeline.adapters.schema_folder import schema_folder
from pipeline.adapters.schemas import read_datasets, read_stream
from pipeline.core.errors import ConfigurationError, ServiceError
from pipeline.doctor.buckets import bucket_and_prefix
from pipeline.doctor.findings import Asked, Findings

VARIABLE = "PIPELINE_SCHEMAS"


def look_at_schemas(configuration: dict[str, Any], account: Asked, findings: Findings) -> None:
    """Look, if they are on S3. A function reads them when an execution environment starts."""
    place = configuration.get("Environment", {}).get("Variables", {}).get(VARIABLE, "").rstrip("/")
    if not place.startswith("s3://"):
        return
    bucket, prefix = bucket_and_prefix(place)
    answer = account.ask(
        "s3", "list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/" if prefix else ""
    )
    if isinstance(answer, Refusal):
        if answer.missing:
            findings.add_wrong(
                "schemas", f"There is no bucket {bucket}.", f"aws s3 mb s3://{bucket}"
            )
        else:
            findings.refused("schemas", f"what is below {place}/", "s3:ListBucket", answer)
        return
    if not _usable(place, findings):
        return
    changed = max(each["LastModified"] for each in answer.found["Contents"])
    deployed = _deployed(configuration)
    if deployed is not None and changed > deployed:
        name = configuration["FunctionName"]
        sentence = (
            f"The schemas below {place}/ changed at {changed:%Y-%m-%d %H:%M:%S} UTC, after {name} "
            f"was deployed at {deployed:%Y-%m-%d %H:%M:%S}: execution environments that began "
            "before still have the former ones. A deployment gives all of them the new ones."
        )
        command = (
            f"aws lambda update-function-configuration --function-name {shlex.quote(name)} "
            f"--description 'Schemas of {changed:%Y-%m-%d %H:%M:%S}'"
        )
        findings.note("schemas", sentence, command)


def _usable(place: str, findings: Findings) -> bool:
    try:
        with schema_folder(place) as folder:
            datasets = read_datasets(folder)
            read_stream(folder)
    except ServiceError as error:
        findings.note("schemas", f"Not looked at: {place}. {error}", "aws sts get-caller-identity")
    except ConfigurationError as error:
        command = f"aws s3 ls --recursive {shlex.quote(place)}/"
        findings.add_wrong("schemas", f"The function's schemas cannot be used: {error}", command)
    else:
        names = ", ".join(dataset.name for dataset in datasets)
        findings.ok("schemas", f"{place} has {len(datasets)} datasets: {names}.")
        return True
    return False


def _deployed(configuration: dict[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(configuration["LastModified"])
    except (KeyError, ValueError):
        return None

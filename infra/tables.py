"""The template that deploys one artifact: infra/template.yaml, and the tables of its datasets."""

import hashlib
import json
import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.adapters.schemas import read_datasets
from pipeline.authoring.ddl import FIRST_ARRIVAL, statements
from pipeline.core.errors import DatasetError

_ARCHITECTURE = "    Default: arm64\n    AllowedValues: [arm64, x86_64]\n"
_TABLES = "  # -- the tables of the datasets: `make package` writes them here\n"
# A placeholder for the bucket, whose name only CloudFormation knows.
_BUCKET = "output-bucket"
_LOCATION = f"s3://{_BUCKET}/lake"


def deployable(template: str, schemas: Path, arch: str, since: date = FIRST_ARRIVAL) -> str:
    """Return a template with one architecture, and with a Glue table per dataset and format."""
    one = f"    Default: {arch}\n    AllowedValues: [{arch}]\n"
    resources = "".join(
        f"  {name}: {json.dumps(resource)}\n" for name, resource in tables(schemas, since).items()
    )
    return _replaced(_replaced(template, _ARCHITECTURE, one), _TABLES, _TABLES + resources)


def tables(schemas: Path, since: date = FIRST_ARRIVAL) -> dict[str, Any]:
    """Return the resources of the datasets' tables, as `pipeline ddl --dialect glue` has them.

    `since` is when the first rows arrived: a query without a date looks for every day from there.
    """
    found = [
        statements(dataset, _LOCATION, "glue", [as_format], since)
        for dataset in read_datasets(schemas)
        for as_format in dataset.formats
    ]
    declared = [json.loads(text) for text in found]
    names = Counter(table["Name"] for table in declared)
    if twice := sorted(name for name, count in names.items() if count > 1):
        message = f"Two tables would be named {', '.join(twice)}; rename one of their datasets."
        raise DatasetError(message)
    return {resource_name(table["Name"]): _resource(table) for table in declared}


def resource_name(table: str) -> str:
    """Return the name of a table's resource: only letters and digits, and different for each table.

    `orders_csv` becomes TableOrdersCsv. An underscore before a digit raises no letter and would be
    lost, and `clicks_2` would equal `clicks2`: such a name ends with a hash.
    """
    raised = re.sub(r"(?:^|_)([a-z])", lambda found: found[1].upper(), table)
    if "_" in raised:
        raised = raised.replace("_", "") + hashlib.sha256(table.encode()).hexdigest()[:8]
    return f"Table{raised}"


def _resource(table: dict[str, Any]) -> dict[str, Any]:
    properties = {
        "CatalogId": {"Ref": "AWS::AccountId"},
        "DatabaseName": {"Ref": "Database"},
        "TableInput": _substituted(table),
    }
    return {"Type": "AWS::Glue::Table", "Properties": properties}


def _substituted(value: Any) -> Any:
    """Put the bucket's name in place of the placeholder; Athena's own `${date}` is kept."""
    if isinstance(value, dict):
        return {key: _substituted(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_substituted(item) for item in value]
    if isinstance(value, str) and _BUCKET in value:
        text = value.replace("${", "${!").replace(f"s3://{_BUCKET}/", "s3://${OutputBucket}/")
        return {"Fn::Sub": text}
    return value


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        message = f"infra/template.yaml must have these lines exactly once, and does not:\n{old}"
        raise ValueError(message)
    return text.replace(old, new)

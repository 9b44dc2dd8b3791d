"""The template that deploys one artifact: infra/template.yaml, and the tables of its datasets."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.adapters.schemas import read_datasets
from pipeline.authoring.ddl import dead_letter_statements, statements
from pipeline.core.errors import DatasetError

_ARCHITECTURE = "    Default: arm64\n    AllowedValues: [arm64, x86_64]\n"
_TABLES = "  # -- the tables of the datasets: `make package` writes them here\n"
# Placeholders for the buckets, whose names only CloudFormation knows.
_BUCKET, _LETTERS = "output-bucket", "dead-letter-bucket"
# What a bucket is: the stack's own, or the one that a parameter names.
_BUCKETS = {
    _BUCKET: {"Fn::If": ["NewOutput", {"Ref": "OutputBucket"}, {"Ref": "OutputBucketName"}]},
    _LETTERS: {
        "Fn::If": ["NewDeadLetters", {"Ref": "DeadLetterBucket"}, {"Ref": "DeadLetterBucketName"}]
    },
}
_DATABASE = {"Fn::If": ["NewDatabase", {"Ref": "Database"}, {"Ref": "DatabaseName"}]}
_LOCATION, _DEAD_LETTERS = f"s3://{_BUCKET}/lake", f"s3://{_LETTERS}/dead-letters"


def deployable(template: str, schemas: Path, arch: str) -> str:
    """Return a template with one architecture, and with the tables of the datasets."""
    one = f"    Default: {arch}\n    AllowedValues: [{arch}]\n"
    resources = "".join(
        f"  {name}: {json.dumps(resource)}\n" for name, resource in tables(schemas).items()
    )
    return _replaced(_replaced(template, _ARCHITECTURE, one), _TABLES, _TABLES + resources)


def tables(schemas: Path) -> dict[str, Any]:
    """Return the resources of the tables: of each dataset and format, and of the dead letters.

    They are what `pipeline ddl --dialect glue --registered` prints. None has a projection: only
    Athena knows it, it hides what lies outside of its range, and where a query has no date it looks
    for every day of that. A function registers the partitions, for Athena and for everybody else.
    """
    datasets = read_datasets(schemas)
    found = [
        statements(dataset, _LOCATION, "glue", [as_format], None)
        for dataset in datasets
        for as_format in dataset.formats
    ]
    names = [dataset.name for dataset in datasets]
    found.append(dead_letter_statements(names, _DEAD_LETTERS, "glue", None))
    declared = [json.loads(text) for text in found]
    counted = Counter(table["Name"] for table in declared)
    if twice := sorted(name for name, count in counted.items() if count > 1):
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
        "DatabaseName": _DATABASE,
        "TableInput": _substituted(table),
    }
    return {"Type": "AWS::Glue::Table", "Condition": "Tables", "Properties": properties}


def _substituted(value: Any) -> Any:
    """Put a bucket's name in place of its placeholder."""
    if isinstance(value, dict):
        return {key: _substituted(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_substituted(item) for item in value]
    for placeholder, bucket in _BUCKETS.items():
        if isinstance(value, str) and value.startswith(f"s3://{placeholder}/"):
            place = value.replace(f"//{placeholder}/", "//${Bucket}/")
            return {"Fn::Sub": [place, {"Bucket": bucket}]}
    return value


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        message = f"infra/template.yaml must have these lines exactly once, and does not:\n{old}"
        raise ValueError(message)
    return text.replace(old, new)

"""The template of one artifact: infra/template.yaml, with its datasets' tables and alarms."""

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
_STREAM = {
    "Fn::If": [
        "NewStream",
        {"Ref": "Stream"},
        {"Fn::Select": [1, {"Fn::Split": ["/", {"Fn::Sub": "${StreamArn}/"}]}]},
    ]
}
_DATABASE = {"Fn::If": ["NewDatabase", {"Ref": "Database"}, {"Ref": "DatabaseName"}]}
_FUNCTION = re.compile(r"CodeUri: \w+\.zip\n +Handler: (\S+)\n +Runtime: \S+\n")
_LOCATION, _DEAD_LETTERS = f"s3://{_BUCKET}/lake", f"s3://{_LETTERS}/dead-letters"


def deployable(template: str, schemas: Path, arch: str) -> str:
    """Return a template with one architecture, and with the datasets' tables and alarms."""
    one = f"    Default: {arch}\n    AllowedValues: [{arch}]\n"
    made = tables(schemas) | dataset_alarms(schemas)
    resources = "".join(f"  {name}: {json.dumps(each)}\n" for name, each in made.items())
    return _replaced(_replaced(template, _ARCHITECTURE, one), _TABLES, _TABLES + resources)


def of_image(template: str, image: str) -> str:
    """Return a template whose functions are of a container image, and not of archives."""
    command = "ImageConfig: {Command: [\\1]}"
    functions = f"PackageType: Image\n      ImageUri: {image}\n      {command}\n"
    text, count = _FUNCTION.subn(functions, template)
    if count != template.count("CodeUri:"):
        message = "A function of infra/template.yaml has its lines in another order than others."
        raise ValueError(message)
    return text


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


def dataset_alarms(schemas: Path) -> dict[str, Any]:
    """Return two alarms for each dataset: that nothing comes any more, and that all is refused.

    The first has no data where nothing comes, which is what it tells; of a dataset of which nothing
    ever came it has none from the beginning, and tells nothing.
    """
    found = dict[str, Any]()
    for dataset in read_datasets(schemas):
        name = resource_name(dataset.name).replace("Table", "Dataset", 1)
        found[f"{name}SilentAlarm"] = _alarm(
            {
                "AlarmDescription": (
                    f"No document of the dataset {dataset.name} has come for hours, and before "
                    "some did."
                ),
                **_metric("Documents", dataset.name),
                "Statistic": "Sum",
                "Period": 3600,
                "ComparisonOperator": "LessThanThreshold",
                "Threshold": 0,
                "EvaluationPeriods": {"Ref": "SilentHours"},
                "TreatMissingData": "missing",
                "InsufficientDataActions": [{"Ref": "AlarmTopic"}],
            }
        )
        found[f"{name}RefusedAlarm"] = _alarm(
            {
                "AlarmDescription": (
                    f"Every document of the dataset {dataset.name} is refused: what comes and its "
                    "schema are not for each other."
                ),
                "Metrics": [
                    {
                        "Id": "all",
                        "Label": "All are refused",
                        "Expression": "IF(documents > 2 AND rejects >= documents, 1, 0)",
                    },
                    *(
                        {
                            "Id": metric.lower(),
                            "ReturnData": False,
                            "MetricStat": {
                                "Metric": _metric(metric, dataset.name),
                                "Stat": "Sum",
                                "Period": 3600,
                            },
                        }
                        for metric in ("Rejects", "Documents")
                    ),
                ],
                "ComparisonOperator": "GreaterThanThreshold",
                "Threshold": 0,
                "EvaluationPeriods": 1,
                "TreatMissingData": "notBreaching",
            }
        )
    return found


def _metric(name: str, dataset: str) -> dict[str, Any]:
    dimensions = [{"Name": "Stream", "Value": _STREAM}, {"Name": "Dataset", "Value": dataset}]
    return {
        "Namespace": {"Ref": "MetricsNamespace"},
        "MetricName": name,
        "Dimensions": dimensions,
    }


def _alarm(properties: dict[str, Any]) -> dict[str, Any]:
    topic = [{"Ref": "AlarmTopic"}]
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Condition": "DatasetAlarms",
        "Properties": properties | {"AlarmActions": topic, "OKActions": topic},
    }


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

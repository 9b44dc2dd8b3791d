"""infra/README.md: its commands exist with their options, its alarms are the template's, its sums add up."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.session
import jmespath  # type: ignore[import-untyped]
import pytest
from botocore import xform_name
from botocore.validate import ParamValidator
from moto import mock_aws
from samtranslator.yaml_helper import yaml_parse
from support import ROOT, Stored, as_switched, deliver, kinesis_event, report_of

from pipeline import cli
from pipeline.adapters.schemas import read_dataset, read_datasets
from pipeline.adapters.telemetry import FILE_METRICS, METRICS, PHASE_MEMBERS, Telemetry, totals_of
from pipeline.alerts.advice import LOG, PARTITIONS
from pipeline.authoring.ddl import statements
from pipeline.core.formats import Format
from pipeline.core.report import Tally
from pipeline.handlers._tables import landing_tables
from pipeline.measure.prices import LAMBDA_MEGABYTES, PRICES, PRICES_AROUND
from pipeline.registration import shares_of
from pipeline.settings import TableSettings

PAGE = (ROOT / "infra" / "README.md").read_text("utf-8")
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "infra" / "template.yaml").read_text("utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# A command in a command, without another one in it; it may hold a pair of parentheses.
NESTED = re.compile(r"\$\(((?:(?!\$\()[^()]|\([^()]*\))*)\)")
ASSIGNED = re.compile(r"[A-Z_]+=\S*")

# What every command of the AWS CLI takes, and the commands that are the CLI's own, no API's.
OF_ALL = {"--output", "--query", "--region", "--cli-binary-format", "--no-paginate"}
OF_THE_CLI = {
    ("logs", "tail"): {"--since", "--filter-pattern", "--follow", "--format"},
    ("s3", "ls"): {"--recursive", "--human-readable", "--summarize"},
    ("s3", "rb"): {"--force"},
    ("s3", "sync"): {"--delete", "--dryrun", "--exclude"},
}
# What the page's own commands write into files before.
IN_FILES = {"file://versions.json": {"Quiet": True, "Objects": [{"Key": "k", "VersionId": "v"}]}}
OF_SAM = {"--template-file", "--stack-name", "--resolve-s3", "--capabilities"}


def commands() -> Iterator[list[str]]:
    """Yield the words of each command of the page, those in other commands first."""
    for block in BLOCKS:
        text = block.replace("\\\n", " ")
        while found := NESTED.search(text):
            yield shlex.split(found[1])
            text = text[: found.start()] + "VALUE" + text[found.end() :]
        for line in text.splitlines():
            yield from in_line(shlex.split(line))


def in_line(words: list[str]) -> Iterator[list[str]]:
    """Yield the commands of a line, without what the shell does to them."""
    if "&&" in words:
        end = words.index("&&")
        yield from in_line(words[:end])
        yield from in_line(words[end + 1 :])
        return
    while words and (words[0] == "while" or ASSIGNED.fullmatch(words[0])):
        words = words[1:]
    if ">" in words:
        words = words[: words.index(">")]
    if words and words not in (["output()", "{"], ["}"], ["do"], ["done"]):
        yield words


def commands_of(program: str) -> list[list[str]]:
    found = [words[1:] for words in commands() if words[0] == program]
    assert found, program
    return found


def as_case(words: list[str]) -> str:
    return " ".join(words)[:60]


def test_every_command_is_of_a_program_that_is_checked() -> None:
    assert len(BLOCKS) > 10
    assert {words[0] for words in commands()} == {
        ".", "aws", "docker", "grep", "head", "make", "output", "pipeline", "sam",
    }  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_is_a_shells(block: str) -> None:
    done = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Each of these undoes, or ends, what was done by a command before it, once something has happened.
UNDOING = ("--enabled", "delete-event-source-mapping", "--maximum-record-age-in-seconds 518400")


@pytest.mark.parametrize("undoing", UNDOING)
def test_what_is_to_be_awaited_is_not_pasted_with_what_undoes_it(undoing: str) -> None:
    (block,) = [block for block in BLOCKS if undoing in block.replace("--no-enabled", "")]
    assert len(block.splitlines()) == 1


def options_of(words: list[str]) -> dict[str, list[str]]:
    """Return each option with its values."""
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            found[word] = []
        else:
            assert found, f"{word} belongs to no option"
            found[list(found)[-1]].append(word)
    return found


def faults_of(words: list[str]) -> list[str]:
    """Hold a command of the AWS CLI against the model of its service."""
    service, name, *rest = words
    if (service, name) in OF_THE_CLI:
        known = OF_THE_CLI[service, name] | OF_ALL
        return [word for word in rest if word.startswith("--") and word not in known]
    if (service, name) == ("lambda", "invoke"):
        assert not rest.pop().startswith("--")  # the file for the response, which is no option
    model: Any = botocore.session.Session().get_service_model({"s3api": "s3"}.get(service, service))
    operations = {xform_name(operation, "-"): operation for operation in model.operation_names}
    if name not in operations:
        return [f"{service} has no {name}"]
    shape = model.operation_model(operations[name]).input_shape
    members = {f"--{xform_name(member, '-')}": member for member in shape.members}
    given, faults = {}, []
    for option, values in options_of(rest).items():
        member = members.get(option) or members.get(option.replace("--no-", "--"))
        if member:
            given[member] = value_of(shape.members[member], values)
        elif option == "--query":
            jmespath.compile(values[0])
        elif option not in OF_ALL:
            faults.append(f"{service} {name} has no {option}")
    report = ParamValidator().validate(given, shape)
    return [*faults, report.generate_report()] if report.has_errors() else faults


def value_of(shape: Any, values: list[str]) -> Any:
    """Read an option's values as the CLI does."""
    if shape.type_name == "list":
        return values
    if shape.type_name == "boolean":
        assert not values
        return True
    (value,) = values
    if shape.type_name in {"integer", "long"}:
        return int(value)
    if shape.type_name == "structure":
        if value.startswith("file://"):
            return IN_FILES[value]
        return json.loads(value) if value.startswith("{") else dict([value.split("=", 1)])
    # What a variable stands for is as long as it has to be.
    return value.ljust(shape.metadata.get("min", 0)) if value.startswith("$") else value


@pytest.mark.parametrize("words", commands_of("aws"), ids=as_case)
def test_an_aws_command_is_one_with_these_options(words: list[str]) -> None:
    assert faults_of(words) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "kinesis put-records-fast --stream-name s",
        "kinesis put-record --stream s --partition-key a --data x",
        "sqs receive-message --max-number-of-messages 10",
        "logs tail g --sinse 1h",
        "sqs receive-message --queue-url u --max-number-of-messages 10 --colour red",
        "s3api put-bucket-notification-configuration --bucket b --notification-configuration '{\"Queues\": []}'",
    ],
)
def test_a_wrong_aws_command_is_found(wrong: str) -> None:
    assert faults_of(shlex.split(wrong))


@pytest.mark.parametrize("words", commands_of("pipeline"), ids=as_case)
def test_a_command_of_the_pipeline_is_parsed(words: list[str]) -> None:
    assert callable(cli._parser().parse_args(words).run)


@pytest.mark.parametrize("words", commands_of("make"), ids=as_case)
def test_a_target_of_make_is_there(words: list[str]) -> None:
    target, *variables = words
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    recipe = MAKEFILE.partition(f"\n{target}:")[2].partition("\n\n")[0]
    for variable in variables:
        assert f"$({variable.partition('=')[0]})" in recipe


@pytest.mark.parametrize("words", commands_of("sam"), ids=as_case)
def test_a_deployment_gives_parameters_that_the_template_has(words: list[str]) -> None:
    assert words[0] == "deploy"
    options = options_of(words[1:])
    overrides = options.pop("--parameter-overrides", [])
    assert options.keys() - {"--tags"} == OF_SAM
    assert {pair.partition("=")[0] for pair in overrides} <= TEMPLATE["Parameters"].keys()
    assert options["--template-file"][0] in {
        "dist/lambda-arm64/template.yaml",
        "dist/image-arm64/template.yaml",
    }


def test_docker_builds_as_the_dockerfile_says_and_pushes_what_was_built() -> None:
    build, push = commands_of("docker")
    text = (ROOT / "infra" / "Dockerfile").read_text("utf-8")
    said = text.partition("#   docker ")[2].partition("\n#\n")[0].replace("\\\n#", "").split()
    tag = build.index("--tag") + 1
    assert push == ["push", build[tag]]
    assert build[:tag] == said[:tag]
    assert build[tag + 1 :] == said[tag + 1 :] == ["."]


@pytest.mark.parametrize("words", commands_of("output"), ids=as_case)
def test_an_output_that_is_asked_for_is_the_stacks(words: list[str]) -> None:
    (name,) = words
    assert name in TEMPLATE["Outputs"]


def test_make_installs_the_command_where_the_page_expects_it() -> None:
    assert commands_of(".") == [[".venv/bin/activate"]]
    assert "VENV := .venv\n" in MAKEFILE
    assert "pip install --quiet --disable-pip-version-check --no-deps" in MAKEFILE


@pytest.mark.parametrize("words", commands_of("head"), ids=as_case)
def test_the_first_record_becomes_a_row(words: list[str]) -> None:
    assert words == ["-n", "1", "schemas/orders/good.ndjson"]
    orders = as_switched(read_dataset(ROOT / "schemas" / "orders"))
    line = (ROOT / words[-1]).read_bytes().splitlines()[0]
    assert len(deliver(kinesis_event([line]), [orders], Stored()).rows) == 1


def options(service: str, name: str) -> dict[str, list[str]]:
    """Return the options of the page's one command of this name."""
    (found,) = [words[2:] for words in commands_of("aws") if words[:2] == [service, name]]
    return options_of(found)


def test_the_first_query_compares_dates_with_dates_as_athena_insists() -> None:
    (query,) = options("athena", "start-query-execution")["--query-string"]
    orders = read_dataset(ROOT / "schemas" / "orders")
    table = json.loads(statements(orders, "s3://lake", "glue", [Format.PARQUET], None))
    columns = [*table["StorageDescriptor"]["Columns"], *table["PartitionKeys"]]
    kinds = {column["Name"]: column["Type"] for column in columns}
    assert kinds["country"] == "string"
    assert kinds["date"] == "date"
    assert re.fullmatch(
        r"SELECT country, count\(\*\) FROM orders WHERE date >= DATE '[\d-]{10}' GROUP BY country",
        query,
    )


def test_a_bucket_that_is_torn_down_loses_every_version() -> None:
    asked = options("s3api", "list-object-versions")["--query"][0]
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="name")
        s3.put_bucket_versioning(Bucket="name", VersioningConfiguration={"Status": "Enabled"})
        for body in (b"1", b"2"):
            s3.put_object(Bucket="name", Key="replaced", Body=body)
        s3.delete_object(Bucket="name", Key="replaced")
        while '"VersionId"' in (found := listed_versions(s3, asked)):
            s3.delete_objects(Bucket="name", Delete=json.loads(found))
        s3.delete_bucket(Bucket="name")  # refused while one is left
    for program, *rest in commands():
        assert program != "grep" or rest == ["-q", "VersionId", "versions.json"]


def listed_versions(s3: Any, asked: str) -> str:
    """Return what the CLI writes: of an empty bucket, nothing to remove."""
    return json.dumps(jmespath.search(asked, s3.list_object_versions(Bucket="name")))


def test_another_mapping_is_to_a_version_as_lambda_allows_one_to_a_function() -> None:
    """AWS refuses a second one to the same function, which moto does not."""
    given = options("lambda", "create-event-source-mapping")
    assert given["--function-name"] == ["$FUNCTION:$VERSION"]
    assert options("lambda", "publish-version")["--function-name"] == ["$FUNCTION"]


def test_the_log_is_searched_for_what_ends_an_invocation_from_outside_too() -> None:
    (pattern,) = [pattern for pattern in patterns() if "$.level" in pattern]
    for status in ("timeout", "error", "failure"):  # of Lambda's platform.report
        assert f'$.record.status = "{status}"' in pattern
    assert pattern.startswith('{ $.level = "ERROR" || ')
    assert f"--filter-pattern '{pattern}'" in LOG  # what a message of an alarm tells to type


def test_the_log_is_searched_for_the_metric_of_each_dataset() -> None:
    (pattern,) = [pattern for pattern in patterns() if "$.Partitions" in pattern]
    assert pattern == '{ $.Partitions > 100 && $.Dataset = "*" }'
    assert "Partitions" in totals_of(Tally())
    assert f"--filter-pattern '{pattern}'" in PARTITIONS


def patterns() -> list[str]:
    """Return what the page searches the log for."""
    return [
        words[words.index("--filter-pattern") + 1]
        for words in commands_of("aws")
        if "--filter-pattern" in words
    ]


def test_each_alarm_has_a_heading_and_something_to_do() -> None:
    alarms = [
        name
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    sections = dict(
        re.findall(r"^### (\w+Alarm)\n\n(.*?)(?=^###|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    )
    assert sorted(sections) == sorted(alarms)
    assert all(len(text.split()) > 10 for text in sections.values())


def test_every_name_in_capitals_is_one_of_the_stack_or_of_a_metric() -> None:
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", PAGE))
    known = {name for part in ("Parameters", "Resources", "Outputs") for name in TEMPLATE[part]}
    assert len(named) > 10
    assert named <= known | METRICS.keys() | FILE_METRICS.keys() | set(PHASE_MEMBERS.values())


def test_the_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links
    assert all((ROOT / "infra" / link).is_file() for link in links)


# Of a month: GB, batches, and the seconds of one.
MONTHS = [(100, 172_800, 0.12), (1_000, 227_273, 0.19), (10_000, 2_272_728, 0.19)]


@pytest.mark.parametrize(("gigabytes", "batches", "seconds"), MONTHS)
def test_the_costs_of_a_month_are_what_the_prices_come_to(
    gigabytes: int, batches: int, seconds: float
) -> None:
    assert batches == max(4 * 60 * 24 * 30, -(-gigabytes * 10**9 // 4_400_000))
    price = {name: entry.dollars for name, entry in PRICES.items()}
    time = batches * seconds * LAMBDA_MEGABYTES / 1_024 * price["Lambda, duration (x86)"]
    requests = batches * price["Lambda, requests"]
    puts = batches * price["S3 Standard, PUT"]
    cells = [f"{gigabytes:,}", f"{batches:,}", f"{seconds:.2f}"]
    cells += [f"{dollars:.2f}" for dollars in (time, requests, puts, time + requests + puts)]
    assert f"| {' | '.join(cells)} |" in PAGE


# Of a batch: bytes of log, Lambda's own two lines and what CloudWatch adds to each line included.
LOG_BYTES = 4_000
REQUEST = "8f5f0ad9-ce36-4f25-a8b3-0123456789ab"
OF_LAMBDA = [
    {
        "time": "2026-11-23T09:30:00.250Z",
        "type": "platform.start",
        "record": {"requestId": REQUEST, "version": "$LATEST"},
    },
    {
        "time": "2026-11-23T09:30:00.450Z",
        "type": "platform.report",
        "record": {
            "requestId": REQUEST,
            "metrics": {
                "durationMs": 190.123,
                "billedDurationMs": 191,
                "memorySizeMB": 1769,
                "maxMemoryUsedMB": 201,
            },
            "status": "success",
        },
    },
]


def test_a_batch_writes_no_more_log_than_the_costs_say() -> None:
    lines = [json.dumps(report) for report in OF_LAMBDA]
    found = [as_switched(read_dataset(ROOT / "schemas" / name)) for name in ("clicks", "orders")]
    firsts = [(ROOT / "schemas" / dataset.name / "good.ndjson").read_bytes() for dataset in found]
    event = kinesis_event([text.splitlines()[0] for text in firsts])
    report = report_of(event, found, Stored())
    assert len(report.datasets) == 2
    Telemetry(lines.append, lambda: 1.8e9).stored(report, REQUEST)
    assert 0.75 * LOG_BYTES < sum(len(line) + 26 for line in lines) < LOG_BYTES


# The conditions that hold where no parameter is given.
BY_DEFAULT = {None, "StreamHere", "Tables"}


def test_the_metrics_and_alarms_that_are_paid_for_are_counted() -> None:
    datasets = len(list((ROOT / "schemas").glob("*/dataset.toml")))
    assert datasets == 7
    of_a_dataset = len(totals_of(Tally()))
    rare = {"Drops", "UnkeptMembers"}  # where a stream.toml has rules
    assert len(METRICS.keys() - rare) + datasets * of_a_dataset + 1 == 61
    watched = [
        len([metric for metric in alarm["Properties"].get("Metrics", ()) if "MetricStat" in metric])
        or 1
        for alarm in TEMPLATE["Resources"].values()
        if alarm["Type"] == "AWS::CloudWatch::Alarm" and alarm.get("Condition") in BY_DEFAULT
    ]
    assert sum(watched) == 17
    of_datasets = 3 * datasets  # its documents, and its dead letters beside its documents
    assert sum(watched) + of_datasets == 38


@pytest.mark.parametrize(("gigabytes", "batches", "seconds"), MONTHS)
def test_what_stands_around_costs_what_the_prices_come_to(
    gigabytes: int, batches: int, seconds: float
) -> None:
    price = {name: entry.dollars for name, entry in PRICES_AROUND.items()}
    stream = 720 * price["Kinesis, on-demand stream"]
    stream += gigabytes * (price["Kinesis, data in"] + price["Kinesis, data out"])
    stream += gigabytes * 6 / 30 * price["Kinesis, kept from the 2nd to the 7th day"]
    metrics = 61 * price["CloudWatch, metric"]
    shown = 38 * price["CloudWatch, metric of an alarm"] + price["CloudWatch, dashboard"]
    log = batches * LOG_BYTES / 1e9 * price["CloudWatch, log"]
    around = stream + metrics + shown + log
    with_work = around + work(batches, seconds)
    dollars = (stream, metrics, shown, log, around, with_work)
    assert f"| {gigabytes:,} | {' | '.join(f'{amount:,.2f}' for amount in dollars)} |" in PAGE


def test_registering_partitions_costs_what_the_prices_come_to() -> None:
    datasets = read_datasets(ROOT / "schemas")
    places = TableSettings("pipeline", "s3://b/lake", "s3://b/dead", "schemas")
    tables = landing_tables(places, datasets)
    shares, folders = shares_of(tables), len(datasets) + 1
    of_letters = shares.pop("dead_letters_text")
    listings = len(tables) + folders + sum(shares.values()) + folders * of_letters
    assert (len(tables), folders, of_letters, sorted(set(shares.values()))) == (9, 8, 3, [10])
    assert listings == 71
    runs = 720 * 60 // places.minutes
    price = {name: entry.dollars for name, entry in PRICES.items()}
    requests = runs * listings * price["S3 Standard, PUT"]  # a listing costs as much
    time = runs * 4.5 * 512 / 1_024 * price["Lambda, duration (x86)"]
    text = " ".join(PAGE.split())
    assert f"{runs:,} × {listings} × $0.000005 = ${requests:.2f} a month" in text
    assert f"{runs:,} × 4.5 × 512/1,024 GB × $0.0000166667 = ${time:.2f}." in text
    assert f"are {2 * len(tables) * runs:,} a month" in text


def work(batches: int, seconds: float) -> float:
    """Return what the batches themselves cost."""
    price = {name: entry.dollars for name, entry in PRICES.items()}
    each = seconds * LAMBDA_MEGABYTES / 1_024 * price["Lambda, duration (x86)"]
    return batches * (each + price["Lambda, requests"] + price["S3 Standard, PUT"])

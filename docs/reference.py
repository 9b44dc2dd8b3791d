"""Makes the pages of docs/reference from the code; `make reference` runs it.

A page is a text of docs/templates with tables in it, in place of `@name@`. The tables come from the
code's own, or from running the code: see reference_examples.py. A test makes all pages again and
compares them.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reference_examples import FORMS, READINGS, RULES, TYPES, Example, invoke, outcomes, run

import pipeline
from pipeline.adapters.telemetry import FILE_METRICS, LAKE_METRICS, METRICS, Metric, MetricName
from pipeline.bucket_settings import VARIABLES
from pipeline.cli import COMMANDS
from pipeline.commands import lake
from pipeline.core.dataset import ARRIVED_AT, IDENTITY
from pipeline.core.reasons import MEANINGS, RejectStage
from pipeline.core.records import Limits
from pipeline.core.schema.time_forms import LOOSER
from pipeline.core.schema.time_patterns import DIRECTIVES
from pipeline.settings import LIMITS

HERE = Path(__file__).parent
PAGES_FOLDER = HERE / "reference"
_TEMPLATES = HERE / "templates"
_NOTE = "<!-- Made from the code by `make reference`: change it there. -->\n\n"

# What a template's @name@ stands for, by the name.
Tables = dict[str, str]


# ------------------------------------------------------------------------------------- settings


@dataclass(frozen=True, slots=True)
class Setting:
    """An environment variable; `default` is what holds without it."""

    name: str
    default: str
    meaning: str


# Each limit of `Limits` by its name there; least, most and default come from the code.
_LIMITS = {
    "unpacked_bytes": "bytes that one payload may unpack to",
    "documents": "documents in one payload",
    "document_bytes": "bytes of one document",
    "depth": "levels of nesting in a document",
    "partition_bytes": "bytes of one partition directory, `name=value`",
    "key_bytes": "bytes of a whole object key, of which 255 are kept for the file name",
    "record_bytes": "bytes that all compressed payloads of one stream record may unpack to",
    "record_documents": "documents in all payloads of one stream record",
    "part_bytes": "unpacked bytes of a batch in memory at once; beyond it, the batch makes more "
    "objects",
    "part_documents": "documents of a batch in memory at once; beyond it, the batch makes more "
    "objects",
    "part_values": "values of a batch in memory at once, absent ones, too: documents times "
    "columns, or objects in arrays times theirs; beyond it, more objects",
    "open_partitions": "encoded objects in memory at once",
}
# What a record may be, and beyond which it is rejected; the other limits reject nothing.
_REJECTING = (
    "unpacked_bytes", "documents", "record_bytes", "record_documents", "document_bytes", "depth",
    "partition_bytes", "key_bytes",
)  # fmt: skip
_REQUIRED = (
    Setting("PIPELINE_OUTPUT", "required", "where rows go: `s3://bucket/prefix` or `file:///dir`"),
    Setting(
        "PIPELINE_DEAD_LETTERS",
        "required",
        "where dead letters go: the same forms; neither may be inside the other",
    ),
    Setting(
        "PIPELINE_SCHEMAS",
        "required",
        "the datasets: a directory, or `s3://bucket/prefix`, read once at the start",
    ),
)
_OPTIONAL = (
    Setting(
        "PIPELINE_RESPONSE_RESERVE_MS",
        "1,500",
        "milliseconds kept free to respond in, 0 to 60,000; never more than a quarter of the "
        "time-out",
    ),
    Setting(
        "PIPELINE_FAST_PATHS",
        "`on`",
        "`off` treats records and documents one by one: slower, with the same result",
    ),
    Setting(
        "PIPELINE_FUSE_PERCENT",
        "0",
        "`kinesis` alone: past this share of dead letters, 1 to 99, a batch fails and waits; 0 is "
        "off",
    ),
    Setting(
        "PIPELINE_FUSE_COUNT",
        "100",
        "so many dead letters of a batch are no reason for that, whatever share they are",
    ),
    Setting("PIPELINE_COLUMNAR", "`on`", "the older name of `PIPELINE_FAST_PATHS`, which wins"),
    Setting(
        "PIPELINE_REGISTRY_CREDENTIALS",
        "none",
        "for the schema registry that stream.toml names: `user:password`, `Bearer TOKEN`, or the "
        "ARN of a secret in Secrets Manager with one of them",
    ),
    Setting("PIPELINE_METRICS_NAMESPACE", "`Pipeline`", "CloudWatch namespace of the metrics"),
    Setting(
        "PIPELINE_PRIVACY_KEY",
        "required where datasets have private fields",
        "where the key of [private fields](../privacy.md) is: `secretsmanager:NAME-OR-ARN`, "
        "`ssm:NAME`, `file:PATH` or `env:NAME` (a variable); never the key itself",
    ),
    Setting("AWS_ENDPOINT_URL…", "AWS", "as boto3 reads them"),
)
_COMMIT = (
    Setting("PIPELINE_OUTPUT", "required", "where rows land; the same as of the other functions"),
    Setting(
        "PIPELINE_SCHEMAS",
        "required",
        "the datasets: a directory, or `s3://bucket/prefix`, read once at the start",
    ),
    Setting(
        "PIPELINE_LAKE",
        "required on S3; of a directory, `_lake/catalog.db` in it",
        "the catalog of the tables: `glue:DATABASE`, `rest:https://…?namespace=NAME` (with "
        "`&sigv4=s3tables&region=…` for Amazon S3 Tables) or `sqlite:///directory/catalog.db`",
    ),
    Setting(
        "PIPELINE_LAKE_WAREHOUSE",
        "`_lake/tables` in the output",
        "URI below which the tables' files are; of a REST catalog, its name for the warehouse",
    ),
    Setting("PIPELINE_METRICS_NAMESPACE", "`Pipeline`", "CloudWatch namespace of the metrics"),
)
_ALERT = (
    Setting(
        "PIPELINE_ALERT_TOPIC",
        "required",
        "ARN of the SNS topic that people read; not the topic that the alarms go to",
    ),
    Setting("PIPELINE_DASHBOARD_URL", "CloudWatch's alarms page", "linked in each message"),
    Setting("PIPELINE_DEAD_LETTERS", "none", "named in the commands of a message"),
    Setting(
        "PIPELINE_LOG_GROUP",
        "looked up in Lambda",
        "log group that the functions share, for the command in the message",
    ),
)


_TABLES = (
    Setting("PIPELINE_GLUE_DATABASE", "required", "the Glue database of the tables"),
    Setting("PIPELINE_OUTPUT", "required", "where rows are: `s3://bucket/prefix`"),
    Setting("PIPELINE_DEAD_LETTERS", "required", "where dead letters are: `s3://bucket/prefix`"),
    Setting(
        "PIPELINE_SCHEMAS",
        "required",
        "the datasets: a directory, or `s3://bucket/prefix`, read once at the start",
    ),
    Setting(
        "PIPELINE_TABLES_MINUTES",
        "5",
        "minutes from one invocation to the next, 1 to 1,440: old folders are listed in turn",
    ),
)

_S3 = tuple(
    Setting(variable.name, "not sent", f"{variable.meaning}; `{variable.option}`")
    for variable in VARIABLES
)

SETTINGS = (*_REQUIRED, *_OPTIONAL, *_S3, *_COMMIT, *_ALERT, *_TABLES)


def settings() -> Tables:
    """Make the tables of settings.md."""
    batch = [name for name in LIMITS if name not in _REJECTING]
    return {
        "required": _settings(_REQUIRED),
        "optional": _settings(_OPTIONAL),
        "demands": _settings(_S3),
        "limits_of_a_record": _limits(_REJECTING),
        "limits_of_a_batch": _limits(batch),
        "commit": _settings(_COMMIT),
        "alert": _settings(_ALERT),
        "tables": _settings(_TABLES),
    }


def _settings(settings: Iterable[Setting]) -> str:
    return table(
        ("variable", "default", "meaning"),
        [(f"`{setting.name}`", setting.default, setting.meaning) for setting in settings],
    )


def _limits(names: Iterable[str]) -> str:
    rows = []
    for name in names:
        variable, least, most = LIMITS[name]
        default = f"{getattr(Limits(), name):,}"
        rows.append((f"`{variable}`", default, f"{least:,} to {most:,}", _LIMITS[name]))
    return table(("variable", "default", "may be", "meaning"), rows)


# ------------------------------------------------------------------------------ types and rules


def types() -> Tables:
    """Make the tables of types.md."""
    found = list(zip(TYPES, outcomes(TYPES), strict=True))
    head = ("attributes", "on", "reads beside the strict form", "value", "in CSV", "not accepted")
    # "because" is left out where nothing is rejected.
    return {
        "readings": table((*head, "because"), _readings(READINGS)),
        "forms": table(("name", *head[2:], "because"), [row[1:] for row in _readings(FORMS)]),
        "loosening": codes(LOOSER),
        "directives": codes(f"%{name}" for name in DIRECTIVES),
        "types": table(
            ("Avro", "JSON that is accepted", "Arrow, and Parquet"),
            [(example.name, example.accepts, code(outcome.arrow)) for example, outcome in found],
        ),
        "examples": table(
            ("Avro", "value", "in CSV", "not accepted", "because"),
            [
                (
                    example.name,
                    code(example.good),
                    code(outcome.cell) if outcome.cell else "nothing",
                    code(example.bad),
                    code(outcome.reason),
                )
                for example, outcome in found
            ],
        ),
    }


def _readings(examples: Sequence[Example]) -> list[tuple[str, ...]]:
    return [
        (
            code(json.dumps(example.attributes)[1:-1]),
            example.name if example in READINGS else code(example.name),
            example.accepts,
            code(example.good),
            code(outcome.cell) if outcome.cell else "nothing",
            code(example.bad) if example.bad else "",
            code(outcome.reason) if example.bad else "",
        )
        for example, outcome in zip(examples, outcomes(examples), strict=True)
    ]


def rules() -> Tables:
    """Make the table of rules.md."""
    found = zip(RULES.items(), outcomes(list(RULES.values())), strict=True)
    head = ("attribute", "on", "holds if", "example", "accepted", "not accepted", "because")
    rows = [
        (
            code(name),
            rule.name,
            rule.accepts,
            code(json.dumps(rule.attributes)[1:-1]),
            code(rule.good),
            code(rule.bad),
            code(outcome.reason),
        )
        for (name, rule), outcome in found
    ]
    return {"rules": table(head, rows)}


# -------------------------------------------------------------------------- reasons and metrics


def reasons() -> Tables:
    """Make the table of reasons.md, and the list of stages."""
    rows = [(code(reason), meaning) for reason, meaning in MEANINGS.items()]
    return {"reasons": table(("reason", "meaning"), rows), "stages": codes(RejectStage)}


def metrics() -> Tables:
    """Make the tables of metrics.md; the dimensions are those that an invocation wrote."""
    lines = invoke().log
    (for_people,) = (line for line in lines if "_aws" not in line)
    directives = [
        directive
        for line in lines
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", [])
    ]
    by_dimensions = {
        codes(directive["Dimensions"][0]): codes(metric["Name"] for metric in directive["Metrics"])
        for directive in directives
    }
    return {
        "metrics": _metrics(METRICS),
        "file_metrics": _metrics(FILE_METRICS),
        "lake_metrics": _metrics(LAKE_METRICS),
        "dimensions": table(("by", "metrics"), by_dimensions.items()),
        "line": codes(for_people),
    }


def _metrics(declared: Mapping[MetricName, Metric]) -> str:
    return table(
        ("metric", "unit", "meaning"),
        [(f"`{name}`", metric.unit, metric.meaning) for name, metric in declared.items()],
    )


# ----------------------------------------------------------------------------------------- keys

_COLUMNS = (
    "the stream's ARN, `/` and the shard; of a file, its address and its content (below)",
    "of the stream record; for a file, the byte offset of the document",
    "position in the aggregate; 0 outside one",
    "number of the document within its user record, from 0",
    "when Kinesis received the record; not part of the identity",
)


def keys() -> Tables:
    """Make the examples of keys.md; they are what an invocation stored."""
    made = invoke()
    columns = [
        (code(column.name), code(column.type), meaning)
        for column, meaning in zip((*IDENTITY, ARRIVED_AT), _COLUMNS, strict=True)
    ]
    members = [
        f"{name + ':':<22}{json.dumps(value, ensure_ascii=False)}"
        for name, value in made.dead_letter.items()
    ]
    return {
        "objects": "\n".join([*made.rows, *made.dead_letters]),
        "columns": table(("column", "type", "is"), columns),
        "metadata": codes(made.metadata),
        "dead_letter": "\n".join(members),
    }


# ----------------------------------------------------------------------- commands, public names


def command_names() -> list[str]:
    """Return the commands' names as they are typed."""
    names = (module.__name__.rpartition(".")[2] for module in COMMANDS)
    return [name.rstrip("_").replace("_", "-") for name in names]  # keywords: import, try


def commands() -> Tables:
    """Make the sections of commands.md."""
    names = command_names()
    texts = {
        name: run(*name.split(), "--help").rstrip()
        for name in [*names, *(f"lake {name}" for name in lake.NAMES)]
    }
    sections = [f"## pipeline {name}\n\n```text\n{text}\n```" for name, text in texts.items()]
    codes_of = {
        f"`pipeline {name}`": " ".join(said[1].split())
        for name, text in texts.items()
        if (said := re.search(r"Exit codes: (.+?)(?:\.\n|\.$|\n\n|\Z)", text, re.DOTALL))
    }
    links = [f"- [`pipeline {name}`](#pipeline-{name})" for name in names]
    return {
        "links": "\n".join(links),
        "exit_codes": table(("command", "codes"), codes_of.items()),
        "commands": "\n\n".join(sections),
    }


def public_api() -> Tables:
    """Make the table of public-api.md."""
    rows = []
    for path, meaning in pipeline.PUBLIC.items():
        module, _, name = path.rpartition(".")
        rows.append((code(name), code(module), meaning))
    return {"names": table(("name", "from", "is"), rows)}


# ------------------------------------------------------------------------------------ the pages


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", text)


def code(text: object) -> str:
    """Write text as code."""
    return f"`{text}`"


def codes(texts: Iterable[str]) -> str:
    """Write a list of texts as code."""
    return ", ".join(map(code, texts))


PAGES: dict[str, Callable[[], Tables]] = {
    "commands.md": commands,
    "keys.md": keys,
    "metrics.md": metrics,
    "public-api.md": public_api,
    "reasons.md": reasons,
    "rules.md": rules,
    "settings.md": settings,
    "types.md": types,
}


def page(name: str) -> str:
    """Make one page. Raises `KeyError` where its template asks for what is not made."""
    tables = PAGES[name]()
    template = (_TEMPLATES / name).read_text("utf-8")
    return _NOTE + re.sub(r"@([a-z_]+)@", lambda found: tables[found[1]], template)


def write() -> None:
    """Write all pages, and remove what else is in their folder."""
    shutil.rmtree(PAGES_FOLDER, ignore_errors=True)
    PAGES_FOLDER.mkdir()
    for name in PAGES:
        (PAGES_FOLDER / name).write_text(page(name), "utf-8")
    print(f"{len(PAGES)} pages in {PAGES_FOLDER}")


if __name__ == "__main__":
    write()

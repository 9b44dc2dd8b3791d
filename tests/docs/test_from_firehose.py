"""docs/from-firehose.md: its example is a dataset, and its times are read as it says."""

from __future__ import annotations

import importlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from lake import rows
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from pipeline import handlers
from pipeline.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "from-firehose.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


def converted(folder: Path, schema: str, config: str, documents: bytes) -> list[dict[str, Any]]:
    dataset = folder / "schemas" / "shop"
    dataset.mkdir(parents=True)
    (dataset / "1.avsc").write_text(schema)
    (dataset / "dataset.toml").write_text(config)
    (folder / "documents").write_bytes(documents)
    given = ("--schemas", str(folder / "schemas"), "--out", str(folder / "out"))
    assert main(["convert", str(folder / "documents"), *given]) == 0
    return rows(folder / "out")


def test_the_example_reads_what_firehose_would(tmp_path: Path) -> None:
    schema, documents = blocks("json")
    (config,) = blocks("toml")
    found = converted(tmp_path, schema, config, documents.encode())
    first, second = sorted(found, key=lambda row: row["order_id"])
    assert (first["userid"], first["total"]) == (7, Decimal("12.50"))
    assert first["ts"] == datetime(2026, 11, 23, 9, 30, 0, 500_000, UTC)
    assert (second["userid"], second["tags"], second["ts"]) == (8, ["x"], None)
    assert {path.name[:5] for path in (tmp_path / "out" / "shop" / "parquet").iterdir()} == {
        "date="
    }


TIMES = [
    ('"2017-02-07T15:13:01.39256Z"', "{}"),
    ('"2017-02-07 15:13:01.39"', '{"formats": ["space", "no-zone"], "zone": "UTC"}'),
    ("1486480381", '{"epoch": "seconds"}'),
    ("1486480381.123", '{"epoch": "seconds"}'),
    ("1486480381123", '{"epoch": "millis"}'),
    ('"07/Feb/2017:15:13:01 +0000"', '{"formats": ["%d/%b/%Y:%H:%M:%S %z"]}'),
]


@pytest.mark.parametrize(("text", "attributes"), TIMES)
def test_times_are_read_with_the_attributes_that_it_names(
    text: str, attributes: str, tmp_path: Path
) -> None:
    assert attributes.strip("{}").replace('"formats": ["%d', '"%d').strip("]") in PAGE
    field = {
        "name": "at",
        "type": {"type": "long", "logicalType": "timestamp-micros"},
        **json.loads(attributes),
    }
    schema = json.dumps({"type": "record", "name": "shop", "fields": [field]})
    (row,) = converted(tmp_path, schema, "", b'{"at":%b}' % text.encode())
    assert row["at"].replace(microsecond=0) == datetime(2017, 2, 7, 15, 13, 1, tzinfo=UTC)


def test_every_command_on_the_page_has_the_options_that_it_uses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [line.split() for text in blocks("sh") for line in text.splitlines()]
    commands = [words for words in lines if words[:1] == ["pipeline"]]
    assert len(commands) == 3
    for _, name, *words in commands:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        shown = capsys.readouterr().out
        assert [word for word in words if word.startswith("--") and word not in shown] == []


class NoPolicies:
    """Managed policies, which the template has none of."""

    def load(self) -> dict[str, str]:
        return {}


def test_its_template_is_deployable_and_starts_the_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    template, processing = blocks("yaml")
    source = yaml_parse(template.replace("function.zip", "s3://artifacts/function.zip"))
    given = source["Resources"]["TransformFunction"]["Properties"]
    made = transform(source, {}, NoPolicies())
    found = lint(json.dumps(made, indent=1), config=ManualArgs(regions=["eu-central-1"]))
    assert [f"{match.rule.id} {match.message}" for match in found] == []
    (statement,) = given["Policies"][0]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "s3:PutObject")
    module, name = given["Handler"].rsplit(".", 1)
    assert callable(getattr(importlib.import_module(module), name))
    variables = {
        name: value["Fn::Sub"].replace("${DeadLetterBucket}", "letters") if isinstance(value, dict) else value
        for name, value in given["Environment"]["Variables"].items()
    }  # fmt: skip
    settings = handlers._transformation_settings(variables)
    assert (settings.dead_letters, settings.schemas) == (
        "s3://letters/dead-letters",
        "/var/task/schemas",
    )
    # As Firehose's own model of its API has it.
    configuration = yaml_parse(processing)["ProcessingConfiguration"]
    shape = botocore.session.get_session().get_service_model("firehose")
    faults = ParamValidator().validate(configuration, shape.shape_for("ProcessingConfiguration"))
    assert not faults.has_errors(), faults.generate_report()
    known = shape.shape_for("ProcessorParameterName").metadata["enum"]
    for parameter in configuration["Processors"][0]["Parameters"]:
        assert parameter["ParameterName"] in known

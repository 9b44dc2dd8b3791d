"""docs/from-firehose.md: its example is a dataset, and its times are read as it says."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lake import rows

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

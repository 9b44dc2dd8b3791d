"""schemas/stream.toml: what it may say, and what it does."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from support import ROOT, as_json, kinesis_event, order

from pipeline import handlers
from pipeline.adapters.schemas import read_stream
from pipeline.cli import main
from pipeline.core.errors import DatasetError
from pipeline.core.stream import Framing, Stream, parse_stream

if TYPE_CHECKING:
    from pathlib import Path

    from support import Function

LINES = 'framing = "lines"\n'


@pytest.mark.parametrize(
    ("text", "framing"),
    [("", Framing.DOCUMENTS), ('framing = "documents"', Framing.DOCUMENTS), (LINES, Framing.LINES)],
)
def test_framing_is_documents_or_lines(text: str, framing: Framing) -> None:
    assert parse_stream(text, "stream.toml") == Stream(framing)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('framing = "line"', 'stream.toml: framing is "documents" or "lines".'),
        ("framing = 1", 'stream.toml: framing is "documents" or "lines".'),
        (
            "frame = 1",
            "stream.toml: unknown setting 'frame'; there are framing, preset, envelope, payload.",
        ),
        ("framing", "stream.toml is not TOML: "),
    ],
)
def test_a_fault_is_a_sentence(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "stream.toml").write_text(text)
    with pytest.raises(DatasetError) as error:
        read_stream(tmp_path)
    assert fault in str(error.value)


def schemas_of_lines(folder: Path) -> Path:
    """Link the orders of the repository into a folder whose stream holds a document a line."""
    (folder / "schemas").mkdir()
    (folder / "schemas" / "orders").symlink_to(ROOT / "schemas" / "orders")
    (folder / "schemas" / "stream.toml").write_text(LINES)
    return folder / "schemas"


FAULTS = [
    'stream.toml: framing is "documents" or "lines".',
    "stream.toml: there is no preset 'cloudwatch'; there are dms.",
    "stream.toml, envelope 1: drop needs when: without it, every document would be dropped.",
    "stream.toml, envelope 2: when: 'messageType' is not a path such as \"$.metadata.table-name\" or \"$['a.b']\".",
    'stream.toml, envelope 2: when $.a: give a string, an integer of 64 bits or a boolean, a list of them, { present = true }, { present = false }, or { prefix = "…" }.',
    "stream.toml, envelope 2: a rule has one of drop, each, parse, lift; this one has each and lift.",
    "stream.toml, envelope 3: keep: 'c' is not a path such as \"$.metadata.table-name\" or \"$['a.b']\".",
    "stream.toml, envelope 3: keep writes 'x' twice; give one of them another name.",
    "stream.toml, envelope 3: last is true or false.",
    "stream.toml, envelope 3: empty means nothing beside parse; it goes with each.",
    'stream.toml, envelope 3: decode is "base64" beside parse, or left out.',
    'stream.toml, envelope 3: parse is the path of a member, such as "$.metadata.table-name" or "$[\'a.b\']"; not $ itself.',
    "stream.toml, envelope 4: unknown setting 'other'; there are when, drop, each, parse, lift, keep, empty, decode, last.",
    "stream.toml, envelope 4: drop is the name that drops are counted under: a letter, then up to 62 letters, digits, dots, - and _.",
    'stream.toml, envelope 5: when "$" is { present = false }: the record is empty, or null.',
    'stream.toml, envelope 6: when "$" is for a rule that drops what holds nothing, and stands alone.',
    "stream.toml, envelope 6: decode means nothing beside each; it goes with lift or parse.",
]


def test_every_fault_of_the_rules_is_told_at_once() -> None:
    text = """
framing = "line"
preset = "cloudwatch"
[[envelope]]
drop = "all"
[[envelope]]
when = { "messageType" = 1, "$.a" = 1.5 }
each = "$.logEvents[0]"
lift = "$.a"
[[envelope]]
parse = "$"
empty = "none"
decode = "avro"
keep = ["$.a.x", "$.b.x", "c"]
last = 1
[[envelope]]
when = { "$.a" = { present = true } }
drop = "two words"
other = 1
[[envelope]]
when = { "$" = { present = true }, "$.a" = 1 }
drop = "nothing"
[[envelope]]
when = { "$" = { present = false } }
each = "$.a"
decode = "base64"
"""
    with pytest.raises(DatasetError) as error:
        parse_stream(text, "stream.toml", known=("dms",))
    assert str(error.value) == "\n".join(FAULTS)


BROKEN = b"\n".join([as_json(order()), b'{"cut": "off', as_json(order())])


def test_each_line_of_such_a_stream_is_judged_alone(
    function: Function, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = kinesis_event([BROKEN, as_json(order())[:-1] + b"\n}"])
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(schemas_of_lines(tmp_path)))
    assert handlers.kinesis(event, None) == {"batchItemFailures": []}
    assert len(function.stored.rows) == 2
    assert len(function.stored.letters) == 3


def test_a_command_can_say_so_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.json").write_bytes(BROKEN)
    schemas = schemas_of_lines(tmp_path)
    command = ["convert", str(tmp_path / "in.json"), "--schemas", str(schemas)]

    def dead_letters(name: str, *options: str) -> list[Any]:
        places = ["--out", str(tmp_path / name), "--dead-letters", str(tmp_path / f"{name}-dead")]
        assert main([*command, *places, *options]) == 0
        files = (tmp_path / f"{name}-dead").rglob("*.jsonl.gz")
        return [json.loads(line)["payload"] for file in files for line in gzip.open(file)]

    assert dead_letters("lines") == ['{"cut": "off']
    (together,) = dead_letters("documents", "--framing", "documents")
    assert together.encode() == BROKEN.partition(b"\n")[2]
    assert "documents" in capsys.readouterr().out


def test_check_names_a_fault_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (schemas_of_lines(tmp_path) / "stream.toml").write_text("framing = 7")
    assert main(["check", str(tmp_path / "schemas"), "--quiet"]) == 1
    assert 'stream.toml: framing is "documents" or "lines".' in capsys.readouterr().out

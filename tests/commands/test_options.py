"""What several commands share: their options, and the environment that they read."""

from __future__ import annotations

import argparse
import inspect
import re
from importlib.metadata import PackageNotFoundError

import pytest

from pipeline.cli import main
from pipeline.commands.options import positive_integer
from pipeline.settings import LIMITS, Settings

READS_SETTINGS = ("convert", "redrive", "backfill", "run")


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", READS_SETTINGS)
def test_the_help_names_every_variable_that_the_command_reads(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = inspect.getsource(Settings.from_environment)
    read = set(re.findall(r'"(PIPELINE_[A-Z_]+)"', source))
    read.update(variable for variable, _, _ in LIMITS.values())
    assert len(read) > 10
    assert read <= set(re.findall(r"PIPELINE_[A-Z_]+", help_of(command, capsys)))


@pytest.mark.parametrize("command", ["check", "infer", "dead-letters", "bench"])
def test_a_command_that_reads_no_setting_names_none(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "PIPELINE_MAX" not in help_of(command, capsys)


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "1.5", "1e3", " 1", "+1", "1_000", "٣"])
def test_what_is_not_a_positive_integer_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a positive integer"):
        positive_integer(text)


def test_a_positive_integer_is_read() -> None:
    assert positive_integer("10000") == 10_000


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench", "--sample", "x", "--runs", "0"],
        ["infer", "x", "--documents", "0"],
        ["produce", "--stream", "s", "--count", "0"],
        ["run", "--stream", "s", "--timeout", "0"],
        ["backfill", "s3://b", "--jobs", "0"],
        ["demo", "--documents", "0"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_count_is_refused_in_the_same_words(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert f"argument {arguments[-2]}: '0' is not a positive integer." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "usage", "sentence"),
    [
        ("covert x", "pipeline [-h]", "there is no command 'covert'; probably 'convert' is meant."),
        ("zzz", "pipeline [-h]", "there is no command 'zzz'."),
        (
            "convert x --outt y",
            "pipeline convert",
            "there is no option '--outt'; probably '--out' is meant.",
        ),
        (
            "check x --quite=yes",
            "pipeline check",
            "there is no option '--quite'; probably '--quiet' is meant.",
        ),
        ("convert x -o y", "pipeline convert", "there is no option '-o'."),
        ("ddl a b c", "pipeline ddl", "unexpected: b c"),
    ],
)
def test_what_is_misspelt_is_told_with_the_usage_at_hand(
    arguments: str, usage: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    told_by_stderr = capsys.readouterr().err
    assert told_by_stderr.startswith(f"usage: {usage}")
    assert told_by_stderr.endswith(f"error: {sentence}\n")


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert all(name in shown for name in ("demo", "convert", "--version"))


def test_the_version_is_read_only_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def not_installed(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr("pipeline.cli.version", not_installed)
    with pytest.raises(SystemExit) as ended:
        main(["-V"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "pipeline of a checkout that is not installed\n"
    assert "documents" in help_of("convert", capsys)

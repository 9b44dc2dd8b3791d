"""One word for one thing: every parser of the command line is walked.

A new command is walked without a line here. What fails says which word to use. Where two commands
must differ, `DIFFERENT` has the reason.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pipeline.cli import _parser

if TYPE_CHECKING:
    from collections.abc import Iterator

# The word for a thing, and words that others use for it.
WORDS = {
    "--dataset": "--table-name --dataset-name --datasets",
    "--dead-letters": "--rejects --dlq --errors --dead-letter --deadletters",
    "--documents": "--count --number --num --limit --head --size --max-documents --records --rows",
    "--dry-run": "--simulate --plan --noop --no-write --pretend --preview",
    "--endpoint-url": "--endpoint --url --kinesis-url",
    "--failed": "--failed-file --errors-file",
    "--function": "--lambda --function-name",
    "--jobs": "--workers --threads --parallel --processes",
    "--json": "--as-json --json-output --output-format --format-json",
    "--name": "--title --label",
    "--out": "--output --dir --directory --folder --target --dest --destination --to --output-dir",
    "--quiet": "--silent --no-output -q --terse",
    "--reason": "--code --error",
    "--schemas": "--schema --schemas-dir --schema-dir --schema-folder",
    "--seed": "--random-seed --random",
    "--since": "--after --start --start-time --newer-than --begin --from-time --age",
    "--stream": "--stream-name --stream-arn --kinesis",
    "--timeout": "--time-limit --deadline",
    "--all": "--full --everything --verbose --details",
}
SYNONYMS = {other: word for word, others in WORDS.items() for other in others.split()}

# What stands for a value, and what it means wherever it stands.
METAVARS = {
    "ACCOUNT": "a number of twelve digits",
    "ACL": "a canned ACL",
    "CLASS": "a storage class",
    "CLIENT": "a library",
    "CONDITION": "of a document's member",
    "DATASET": "a dataset's name",
    "DATE": "a day, as 2026-11-23",
    "DIR": "a directory on this machine",
    "F": "a member of a document",
    "FIELD": "a member of a document",
    "FILE": "a file on this machine",
    "FILE|DATABASE.TABLE": "a file, or a table of Glue, as SOURCE says",
    "SOURCE": "one of a few words",
    "GB": "gigabytes",
    "KEY": "the name of a key",
    "KIND": "one of a few words",
    "N": "a whole number",
    "NAME": "a name that is not a dataset's",
    "NAME=VALUE,…": "pairs",
    "PORT": "of this machine",
    "R": "a rate",
    "REASON": "a reason of a dead letter",
    "S": "a whole number that begins chance",
    "SECONDS": "seconds",
    "SQL": "a condition",
    "STREAM": "a stream's name or ARN",
    "TABLE": "a table's name where it is queried",
    "TIME": "a time, or how long ago",
    "URI": "a directory, file:///… or s3://…",
    "URL": "http://… or https://…",
    "on|off": "on or off",
    "start|now|TIME": "where to begin in a stream",
}

# (command, option): why it means something else there.
DIFFERENT = {
    ("demo", "--out"): "always a directory of its own",
    ("infer", "--out"): "where schemas are drafted, which is a directory",
    ("import", "--out"): "where schemas are drafted, which is a directory",
    ("demo", "--stream"): "a switch: the demo makes the stream",
    ("demo", "--lake"): "a switch: the demo makes the table",
    ("demo", "--seed"): "has a default",
    ("ddl", "--dead-letters"): "a switch: whose table is printed",
    ("ddl", "--since"): "a day: partitions begin on one",
    ("lake", "--dataset"): "may be given several times",
    ("produce", "--documents"): "without end by default",
    ("evolve", "--from"): "what the documents are taken from",
    ("lake forget", "--where"): "SQL, on a table",
    ("check", "--quiet"): "remarks and samples are what it is asked for",
}


@dataclass(frozen=True)
class Option:
    """An option of a command, or what stands without one."""

    command: str
    action: argparse.Action

    @property
    def names(self) -> list[str]:
        return list(self.action.option_strings)

    @property
    def shape(self) -> tuple[object, ...]:
        """What two commands must agree on."""
        choices = tuple(self.action.choices) if self.action.choices else None
        return type(self.action).__name__, self.action.metavar, self.action.nargs, choices

    def differs(self, name: str) -> bool:
        return (self.command, name) in DIFFERENT or (self.command.split()[0], name) in DIFFERENT


def walk(parser: argparse.ArgumentParser, command: str = "") -> Iterator[Option]:
    """Yield what a user sees of a parser, and of those below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            shown = {choice.dest for choice in action._choices_actions}
            for name, below in action.choices.items():
                if name in shown:  # others are earlier names of commands
                    yield from walk(below, f"{command} {name}".strip())
        elif action.help != argparse.SUPPRESS and command:
            yield Option(command, action)


OPTIONS = list(walk(_parser()))
COMMANDS = sorted({option.command for option in OPTIONS})


def faults(options: list[Option]) -> Iterator[str]:
    """Say which options are called or shaped otherwise than elsewhere."""
    first: dict[str, Option] = {}
    for option in options:
        for name in option.names:
            if name in SYNONYMS:
                yield f"{option.command} {name}: the word is {SYNONYMS[name]}"
            if option.differs(name):
                continue
            other = first.setdefault(name, option)
            if option.shape != other.shape:
                yield f"{option.command} {name}: {option.shape}, but {other.shape} of {other.command}"
        metavar = option.action.metavar
        if isinstance(metavar, str) and metavar not in METAVARS:
            yield f"{option.command}: {metavar} stands for a value, and METAVARS does not have it"


def test_one_word_for_one_thing() -> None:
    assert list(faults(OPTIONS)) == []


def test_all_commands_are_walked() -> None:
    assert len(COMMANDS) > 18
    assert "lake commit" in COMMANDS


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (("--count", {"metavar": "N"}), "new --count: the word is --documents"),
        (("--schemas", {"metavar": "FOLDER"}), "new --schemas: "),
        (("--json", {"metavar": "FILE"}), "new --json: "),
        (("--other", {"metavar": "THING"}), "new: THING stands for a value"),
    ],
)
def test_a_synonym_is_found(added: tuple[str, dict[str, str]], said: str) -> None:
    parser = argparse.ArgumentParser()
    action = parser.add_argument(added[0], **added[1])  # type: ignore[arg-type]
    assert any(fault.startswith(said) for fault in faults([*OPTIONS, Option("new", action)]))


def test_no_exception_is_left_over() -> None:
    known = {(option.command, name) for option in OPTIONS for name in option.names}
    known |= {(command.split()[0], name) for command, name in known}
    assert set(DIFFERENT) <= known


def test_every_option_is_explained() -> None:
    silent = [
        f"{each.command} {each.names or each.action.dest}"
        for each in OPTIONS
        if not each.action.help
    ]
    assert silent == []


def test_a_help_is_a_phrase() -> None:
    """It begins small, but for an acronym, and ends without a full stop."""
    sentences = [
        f"{each.command} {each.action.dest}: {each.action.help}"
        for each in OPTIONS
        if re.match(r"[A-Z][a-z]", str(each.action.help)) or str(each.action.help).endswith(".")
    ]
    assert [said for said in sentences if "Kinesis" not in said.partition(": ")[2][:7]] == []


# What prints something else for programs.
NO_REPORT = {
    "completion": "a script",
    "lake": "nothing: its commands do",
    "tap": "documents, one JSON object a line; --positions has where each stands",
}


def test_every_other_command_reports_as_json() -> None:
    with_json = {option.command for option in OPTIONS if "--json" in option.names}
    assert with_json == set(COMMANDS) - set(NO_REPORT)


def test_the_descriptions_have_no_doubled_percent_signs() -> None:
    def texts(parser: argparse.ArgumentParser) -> Iterator[str]:
        yield parser.format_help()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for below in action.choices.values():
                    yield from texts(below)

    assert [text for text in texts(_parser()) if "%%" in text] == []

"""`pipeline doctor`: what stands between this machine or account and a running pipeline."""

import argparse
import shutil
import textwrap
from typing import TYPE_CHECKING, Final

from pipeline.commands.options import Commands, add_schemas, as_uri
from pipeline.commands.reporting import add_json

if TYPE_CHECKING:
    from pipeline.adapters.aws.account import Account
    from pipeline.doctor import Finding, Findings, Places

_DESCRIPTION = """\
Look at what a pipeline needs, and say in a sentence what is wrong, each with the command that mends
or shows it: schemas, credentials and clock of this machine; the stream; the function, its settings,
its mapping and its role; the buckets; Glue's tables against the schemas.

Nothing is changed, and only a few records of the stream are read. What is not named is not looked
at: --stack names everything that its stack made.

  pipeline doctor
  pipeline doctor --stack pipeline
  pipeline doctor --stream shop --out s3://lake/out --dead-letters s3://lake/dead-letters
"""
_EPILOG = """\
Exit codes: 0 nothing is wrong; 1 something is. What may hurt, or could not be looked at, is a note,
and does not fail.
"""
_MARKS: Final = {"ok": "ok", "note": "note", "wrong": "WRONG"}
_NARROW: Final = 60


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="say what stands between this machine or account and a running pipeline",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stack", metavar="NAME", default="", help="the stack, for all below")
    parser.add_argument("--stream", metavar="STREAM", default="", help="the stream, by name or ARN")
    parser.add_argument("--function", metavar="NAME", default="", help="the stream's function")
    parser.add_argument("--out", metavar="URI", default="", help="where rows go")
    parser.add_argument("--dead-letters", metavar="URI", default="", help="where dead letters go")
    parser.add_argument("--database", metavar="NAME", default="", help="the tables' Glue database")
    parser.add_argument("--endpoint-url", metavar="URL", help="the Kinesis service (default: AWS)")
    add_schemas(parser, "kept")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look, and report; return the exit code."""
    from pipeline.adapters.aws.account import Account
    from pipeline.doctor import Findings, Places

    places = Places(
        options.stream,
        options.function,
        as_uri(options.out) if options.out else "",
        as_uri(options.dead_letters) if options.dead_letters else "",
        options.database,
    )
    findings = Findings()
    _look(options, places, Account(options.endpoint_url), findings)
    found = [
        {"level": one.level, "about": one.about, "sentence": one.sentence, "command": one.command}
        for one in findings.found
    ]
    options.report = {"wrong": findings.wrong, "findings": found}
    _print(findings)
    return 1 if findings.wrong else 0


def _look(
    options: argparse.Namespace, places: "Places", account: "Account", findings: "Findings"
) -> None:
    from pipeline import doctor

    datasets = doctor.look_at_machine(options.schemas, account, findings)
    if findings.found[-1].about == "credentials":  # nobody answers: the rest would be one sentence
        return
    doctor.find_places(options.stack, places, account, findings)
    stream = None
    if places.stream:
        stream = doctor.look_at_stream(places.stream, account, findings)
    doctor.look_at_function(places, stream, account, findings)
    region = stream.arn.split(":")[3] if stream else ""
    doctor.look_at_buckets(places, region, account, findings)
    doctor.look_at_tables(places, datasets, account, findings)


def _print(findings: "Findings") -> None:
    width = max(shutil.get_terminal_size().columns, _NARROW)
    for finding in findings.found:
        _print_one(finding, width)
    wrong = sum(finding.level == "wrong" for finding in findings.found)
    notes = sum(finding.level == "note" for finding in findings.found)
    print(f"{len(findings.found)} findings: {wrong} wrong, {notes} notes.")


def _print_one(finding: "Finding", width: int) -> None:
    head = f"{_MARKS[finding.level]:<6}{finding.about:<13}"
    print(
        textwrap.fill(
            finding.sentence,
            width,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
    if finding.command:
        print(f"{' ' * len(head)}{finding.command}")

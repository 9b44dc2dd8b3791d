"""`pipeline status`: how a deployed pipeline does now."""

import argparse
import json
import sys
from datetime import UTC, datetime
from time import sleep
from typing import TYPE_CHECKING, Final

import msgspec

from pipeline.commands.options import Commands, positive_integer
from pipeline.core.errors import FunctionError

if TYPE_CHECKING:
    from pipeline.adapters.aws.account import Account
    from pipeline.doctor import Places
    from pipeline.doctor.status import Status

_DESCRIPTION = """\
Show how a deployed pipeline does, by its metrics in CloudWatch: how far it is behind the stream,
batches that failed, documents, rows and dead letters since midnight (UTC) with their reasons, when
rows were last committed to tables, and what the function's work has cost since midnight.

  pipeline status --stack pipeline
  pipeline status --stack pipeline --watch
  pipeline status --stream shop --function shop-function --json

The cost is the function's time, its requests and the objects that it wrote, by the prices of
us-east-1; the stream, storage and CloudWatch itself come on top.
"""
_WATCH: Final = 30
_MINUTE, _HOUR = 60, 3600
_CLEAR: Final = "\x1b[H\x1b[2J"


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "status",
        help="show how a deployed pipeline does: lag, failures, dead letters, cost",
        description=_DESCRIPTION,
        epilog="Exit codes: 0 shown, 1 CloudWatch, or the stack, could not be asked.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stack", metavar="NAME", default="", help="the stack, for all below")
    parser.add_argument("--stream", metavar="STREAM", default="", help="the stream, by name or ARN")
    parser.add_argument("--function", metavar="NAME", default="", help="the stream's function")
    parser.add_argument(
        "--namespace",
        metavar="N",
        default="",
        help="of the metrics (default: the function's, else Pipeline)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=positive_integer,
        const=_WATCH,
        help=f"ask again and again, every so many seconds (default: {_WATCH})",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask and show, once or until it is interrupted."""
    from pipeline.adapters.aws.account import Account
    from pipeline.doctor.status import status_of

    account = Account()
    places = _places(options, account)
    variables = places.configuration.get("Environment", {}).get("Variables", {})
    namespace = options.namespace or variables.get("PIPELINE_METRICS_NAMESPACE") or "Pipeline"
    while True:
        status = status_of(places, namespace, account, datetime.now(UTC))
        if options.json:
            print(json.dumps(msgspec.to_builtins(status)), flush=True)
        else:
            _print(places, status, again=options.watch is not None)
        if options.watch is None:
            return 0
        sleep(options.watch)


def _places(options: argparse.Namespace, account: "Account") -> "Places":
    """Find the stream and its function. Raises `FunctionError` that says what is missing."""
    from pipeline.doctor import Findings, Places, find_places

    places, findings = Places(options.stream, options.function), Findings()
    find_places(options.stack, places, account, findings)
    troubles = [finding.sentence for finding in findings.found if finding.level != "ok"]
    if troubles:
        raise FunctionError(" ".join(troubles))
    if not (places.stream and places.function):
        message = "Give --stack, or --stream and --function: whose status is to be shown?"
        raise FunctionError(message)
    return places


def _print(places: "Places", status: "Status", *, again: bool) -> None:
    from pipeline.doctor.status import in_utc

    if again and sys.stdout.isatty():
        print(_CLEAR, end="")
    print(f"{places.stream}, by {places.function}, at {in_utc(status.asked_at)}, since midnight:")
    for name, text in _lines(status):
        print(f"  {name:<16}{text}")
    sys.stdout.flush()


def _lines(status: "Status") -> list[tuple[str, str]]:
    from pipeline.doctor.status import in_utc

    lag = "no batch within 15 minutes"
    if status.lag_seconds is not None:
        lag = _duration(status.lag_seconds)
    lines = [
        ("behind", lag),
        ("failed", f"{status.failed_batches:,} batches, {status.errors:,} invocations"),
        (
            "documents",
            (
                f"{status.documents:,}: {status.rows:,} rows, {status.rejects:,} dead letters, "
                f"{status.unknown_fields:,} with unknown fields"
            ),
        ),
    ]
    lines += [
        ("dead letters", f"{one.count:,} of {one.dataset}: {one.reason}")
        for one in status.dead_letters
    ]
    lines += [
        ("last commit", f"{table}, {in_utc(when)}")
        for table, when in sorted(status.last_commits.items())
    ]
    return [*lines, ("cost", f"${status.cost:,.4f}")]


def _duration(seconds: float) -> str:
    for unit, size in (("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"

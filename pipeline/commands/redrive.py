"""`pipeline redrive`: dead letters and failed batches, sent again."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pipeline.commands.dead_letters import (
    Selection,
    add_selection,
    report_unreadable,
    selection,
)
from pipeline.commands.options import Commands, add_output, add_schemas, existing, settings_of
from pipeline.commands.progress import progress
from pipeline.commands.reporting import add_report
from pipeline.core.errors import DeadLetterError, EventError

if TYPE_CHECKING:
    from pipeline.adapters.store import ObjectStore
    from pipeline.commands.balance import Balance
    from pipeline.flow import Pipeline
    from pipeline.redrive import Listing, Outcome


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "redrive",
        help="process dead letters, and batches that Lambda gave up on, again",
        description="Process dead letters again, with their original identity and arrival, against "
        "today's schemas. What succeeds becomes rows at keys of its own; what still fails stays. "
        "Running it twice, or stopping it half-way, loses and duplicates nothing. Batches that "
        "Lambda's failure destination left in S3 (aws/lambda/…) are stored as they would have "
        "been, and so are records that Firehose could not deliver (processing-failed/, "
        "format-conversion-failed/ and the like).",
    )
    parser.add_argument(
        "uris", metavar="URI", nargs="+", help="dead letters, failed batches, Firehose's errors"
    )
    add_schemas(parser)
    add_output(parser)
    add_selection(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="write nothing; say what would happen"
    )
    add_report(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Redrive everything that was asked for; return the exit code."""
    from pipeline.attempt import open_pipeline, open_retrying_store
    from pipeline.commands.balance import Balance
    from pipeline.redrive import listed

    uris, wanted = [existing(uri) for uri in options.uris], selection(options)
    balance, waiting, unreadable = Balance(), 0, list[str]()
    try:
        for uri in uris:
            settings = settings_of(options, uri)
            pipeline = open_pipeline(settings, lists_output=True)
            store = open_retrying_store(uri, settings.s3)
            listing = listed(store)
            if len(uris) == 1:
                wanted.note_dataset(listing.found)
            steps = _steps(store, listing, pipeline, wanted, dry=options.dry_run)
            with progress(f"redrive {uri}", len(steps), "files") as advance:
                for step in steps:
                    try:
                        outcome = step()
                    except (DeadLetterError, EventError) as error:
                        unreadable.append(str(error))  # and go on with the next file
                    else:
                        waiting += _add(balance, outcome)
                    advance(1)
    finally:
        options.report = {
            **balance.report(),
            "not_asked_for": waiting,
            "unreadable": unreadable,
            "dry_run": options.dry_run,
        }
        _show(balance, waiting, dry_run=options.dry_run)
    return report_unreadable(unreadable)


def _steps(
    store: "ObjectStore", listing: "Listing", pipeline: "Pipeline", wanted: Selection, *, dry: bool
) -> "list[Callable[[], Outcome | None]]":
    """Return what to do, object by object."""
    from pipeline.redrive import redrive_batch, redrive_failed_records, redrive_letters

    steps: list[Callable[[], Outcome | None]] = []
    for key, is_batch in listing.found.items():
        if not is_batch:
            take = wanted.takes
            steps.append(partial(redrive_letters, store, key, pipeline, take, dry_run=dry))
        elif not wanted.chooses:
            # A batch that nobody unpacked yet has neither dataset nor reason, nor an arrival.
            steps.append(partial(redrive_batch, store, key, pipeline, dry_run=dry))
    if not wanted.chooses:
        steps += [
            partial(redrive_failed_records, store, key, pipeline, dry_run=dry)
            for key in listing.of_firehose
        ]
    return steps


def _add(balance: "Balance", outcome: "Outcome | None") -> int:
    """Add an outcome to the balance; return the number of dead letters that were not sent."""
    if outcome is None:
        return 0
    for report in outcome.reports:
        balance.add(report)
    return outcome.waiting


def _show(balance: "Balance", waiting: int, *, dry_run: bool) -> None:
    if not balance.documents:
        print("nothing to send again")
        return
    rows = balance.documents - balance.rejects
    print(
        f"{balance.documents:,} documents sent again{' (dry run)' if dry_run else ''} = {rows:,} "
        f"rows + {balance.rejects:,} that still fail; {waiting:,} were not asked for"
    )
    balance.show()

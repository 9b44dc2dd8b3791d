"""`pipeline redrive`: dead letters and failed batches, sent again."""

import argparse
from typing import Any

from pipeline.commands.options import Commands, add_output, add_schemas, existing, settings_of
from pipeline.commands.progress import progress
from pipeline.commands.rejects import reason, selector, tell_unreadable
from pipeline.core.errors import DeadLetterError, EventError


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "redrive",
        help="send dead letters, and batches that Lambda gave up on, again",
        description="Send dead letters down the road again, with their original identity and "
        "arrival, against today's schemas. What succeeds becomes rows at keys of its own; what "
        "still fails stays. Running it twice, or stopping it half-way, loses and doubles nothing. "
        "Documents that Lambda's failure destination left in S3 (aws/lambda/…) are stored as "
        "their batch would have been.",
    )
    parser.add_argument("uris", metavar="URI", nargs="+", help="dead letters, or failed batches")
    add_schemas(parser)
    add_output(parser)
    parser.add_argument(
        "--reason", metavar="R", type=reason, help="dead letters of one reason alone"
    )
    parser.add_argument("--dataset", metavar="D", help="those of one dataset alone, or unrouted")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; tell what would be")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Send everything again that was asked for; return the exit code."""
    from pipeline.attempt import open_pipeline, open_retrying_store
    from pipeline.commands.balance import Balance
    from pipeline.redrive import redrivable

    uris = [existing(uri) for uri in options.uris]
    balance, waiting, unreadable = Balance(), 0, list[str]()
    try:
        for uri in uris:
            pipeline = open_pipeline(settings_of(options, uri))
            store = open_retrying_store(uri)
            found = redrivable(store)
            with progress(f"redrive {uri}", len(found), "files") as advance:
                for key, is_batch in found.items():
                    outcome = None
                    try:
                        outcome = _redrive(store, key, pipeline, options, is_batch=is_batch)
                    except (DeadLetterError, EventError) as error:
                        unreadable.append(str(error))  # what stands after it is not held up
                    if outcome is not None:
                        for report in outcome.reports:
                            balance.add(report)
                        waiting += outcome.waiting
                    advance(1)
    finally:
        _show(balance, waiting, dry_run=options.dry_run)
    return tell_unreadable(unreadable)


def _redrive(
    store: Any, key: str, pipeline: Any, options: argparse.Namespace, *, is_batch: bool
) -> Any:
    from pipeline.redrive import redrive_batch, redrive_letters

    if not is_batch:
        return redrive_letters(store, key, pipeline, selector(options), dry_run=options.dry_run)
    if options.reason or options.dataset:
        return None  # a batch that nobody opened yet has neither
    return redrive_batch(store, key, pipeline, dry_run=options.dry_run)


def _show(balance: Any, waiting: int, *, dry_run: bool) -> None:
    if not balance.documents:
        print("nothing to send again")
        return
    rows = balance.documents - balance.rejects
    print(
        f"{balance.documents:,} documents sent again{' (dry run)' if dry_run else ''} = {rows:,} "
        f"rows + {balance.rejects:,} that still fail; {waiting:,} were not asked for"
    )
    balance.show()

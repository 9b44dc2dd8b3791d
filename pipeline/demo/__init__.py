"""`pipeline demo`: a realistic stream, one in a hundred of it broken, through the real handler.

documents.py, broken.py   what producers send
stream.py, shard.py       how it lies on a Kinesis stream, cut into Lambda's events
place.py                  where the demo writes
run.py                    the command: each event through `pipeline.handlers.kinesis`
live.py                   the same with --stream: kinesalite, the producer, the runner
watched.py                the same with --live: slower, with the page in a browser
count.py                  what came out, counted without the pipeline's help
verdict.py                whether it balances
screen.py                 what a person wants to see, on one screen
show.py, folders.py       the rest of it
lake.py                   the same with --lake: one table, a redrive that lands in it, the audit
"""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.options import Commands, add_page, positive_integer
from pipeline.commands.reporting import add_json

if TYPE_CHECKING:
    from pipeline.demo.place import Place
    from pipeline.demo.verdict import Verdict

DOCUMENTS = 20_000
SEED = 1
_DESCRIPTION = """\
Make a stream of orders and clicks as producers send them: KPL aggregates, gzip and zstd, several
documents a record, and about one in a hundred broken, in every way there is. Hand it to the
Lambda handler event by event, on this machine. Then show what came out, and count it again
without the handler's help: every document is a row or a dead letter, or the exit code is 1.
"""


def register(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "demo",
        help="run the pipeline on this machine, from events to tables",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--documents",
        metavar="N",
        type=positive_integer,
        default=DOCUMENTS,
        help=f"how many to send (default: {DOCUMENTS:,}); a few more if N is too small to hold "
        "every kind of broken one",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="where to write: a new or empty directory, or that of an earlier demo, which is "
        "replaced (default: ./pipeline-demo)",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="show everything: the files, a query, dead letters by reason, the balance by dataset",
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=SEED,
        help=f"the same seed makes the same stream, byte for byte (default: {SEED})",
    )
    way = parser.add_mutually_exclusive_group()
    add_page(
        way,
        "--live",
        "take half a minute, and serve a page that shows it in a browser: the balance, what is "
        "refused and by which rule, and the schema, to change it and judge again",
    )
    way.add_argument(
        "--stream",
        action="store_true",
        help="send the documents over a real stream: kinesalite (npm), the producer, the runner",
    )
    parser.add_argument(
        "--lake",
        action="store_true",
        help="then commit the rows to Iceberg tables, redrive some dead letters into them, look at "
        "the table of before, and audit",
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from pipeline.demo.lake import refuse_without_library, show_lake
    from pipeline.demo.live import run_live
    from pipeline.demo.run import nothing_more, run
    from pipeline.demo.watched import run_watched

    if options.lake:
        refuse_without_library()
    then = show_lake if options.lake else nothing_more

    def afterwards(place: "Place", verdict: "Verdict") -> bool:
        options.report = {**verdict.report(), "out": str(place.root)}
        return then(place, verdict)

    chosen = options.documents, options.out, options.seed
    demo = run_live if options.stream else run
    if options.live is not None:
        demo = partial(run_watched, port=options.live)
    return demo(*chosen, afterwards=afterwards, everything=options.all)

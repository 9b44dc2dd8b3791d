"""`pipeline rejects`: what is in the dead letters."""

import argparse
import difflib
import json
import re
import sys
from collections import Counter
from typing import Any

from pipeline.commands.options import existing
from pipeline.core.errors import DeadLetterError
from pipeline.core.reasons import Reason

_SHOWN = 200  # characters of a sample's payload


def register(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "rejects",
        help="tell what is in the dead letters",
        description="Count dead letters by dataset, reason, path and day of arrival, and show "
        "samples. Payloads are shown on standard output, shortened.",
    )
    parser.add_argument(
        "uri", metavar="URI", help="the dead letters: a directory, file:///…, s3://…"
    )
    parser.add_argument("--dataset", metavar="D", help="those of one dataset alone, or unrouted")
    parser.add_argument("--reason", metavar="R", type=reason, help="those of one reason alone")
    parser.add_argument("--samples", metavar="N", type=int, default=3, help="default: 3")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def reason(text: str) -> str:
    """Read `--reason`; raises `ArgumentTypeError` for what is none."""
    if text in set(Reason):
        return text
    near = difflib.get_close_matches(text, list(Reason))
    message = (
        f"{text!r} is no reason; choose {'perhaps ' if near else ''}{', '.join(near or Reason)}"
    )
    raise argparse.ArgumentTypeError(message)


def selector(options: argparse.Namespace) -> Any:
    """Return a function that tells whether a letter is asked for."""
    dataset = None if options.dataset == "unrouted" else options.dataset

    def selected(letter: Any) -> bool:
        return (not options.dataset or letter.dataset == dataset) and (
            not options.reason or letter.reason == options.reason
        )

    return selected


def run(options: argparse.Namespace) -> int:
    """Read all dead letters once, and tell."""
    from pipeline.adapters.uri import open_store
    from pipeline.redrive import redrivable

    store, wanted = open_store(existing(options.uri)), selector(options)
    counts = Counter[tuple[str, str, str, str]]()
    samples: list[dict[str, Any]] = []
    batches, unreadable = 0, list[str]()
    for key, is_batch in redrivable(store).items():
        batches += is_batch
        if is_batch:
            continue
        try:
            read = _letters(store, key)
        except DeadLetterError as error:
            unreadable.append(str(error))
            continue
        for letter in filter(wanted, read):
            entry = json.loads(letter.line)
            dataset, day = letter.dataset or "unrouted", entry["arrived_at"][:10]
            counts[dataset, letter.reason, _general(letter.path), day] += 1
            if len(samples) < options.samples:
                samples.append(entry)
    _show(options, counts, samples, batches)
    return tell_unreadable(unreadable)


def tell_unreadable(sentences: list[str]) -> int:
    """Say on stderr which files could not be read; return the exit code."""
    sys.stdout.flush()
    for sentence in sentences:
        print(f"pipeline: {sentence}", file=sys.stderr)
    return 1 if sentences else 0


def _letters(store: Any, key: str) -> Any:
    """Read one file; none where a redrive that was stopped had sent all of it."""
    from pipeline.core.deadletter import decode_dead_letters
    from pipeline.core.errors import ObjectMissing

    try:
        body = store.get(key)
    except ObjectMissing:
        return []
    return decode_dead_letters(body, f"{store.uri}/{key}")


def _general(path: str) -> str:
    """Count `$.items[3].price` and `$.items[4].price` as one place."""
    return re.sub(r"\[[0-9]+\]", "[]", path)


def _plain(text: str) -> str:
    """Write what a stranger sent so that it cannot steer a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _show(
    options: argparse.Namespace,
    counts: Counter[tuple[str, str, str, str]],
    samples: list[dict[str, Any]],
    batches: int,
) -> None:
    if options.json:
        keys = ("dataset", "reason", "path", "day", "count")
        listed = [dict(zip(keys, (*of, count), strict=True)) for of, count in counts.most_common()]
        whole = {
            "total": counts.total(), "failed_batches": batches, "counts": listed, "samples": samples
        }  # fmt: skip
        print(json.dumps(whole, ensure_ascii=False, indent=2))
        return
    from pipeline.commands.balance import table

    print(f"{counts.total():,} dead letters in {options.uri}")
    if batches:
        print(f"{batches:,} failed batches of Lambda's; `pipeline redrive` sends them again")
    if counts:
        header = ["dataset", "reason", "path", "day", "count"]
        rows = [[*map(_plain, of), f"{count:,}"] for of, count in counts.most_common()]
        print("\n".join(table([header, *rows])))
    for entry in samples:
        print(f"\n{entry['dataset'] or 'unrouted'}, {entry['reason']} at {_plain(entry['path'])}")
        print(f"  {_plain(entry['message'])}")
        print(
            f"  {entry['source']}, sequence number {entry['sequence_number']}, sub-sequence number "
            f"{entry['sub_sequence_number']}, document {entry['document']}"
        )
        payload = entry["payload"]
        print(f"  {_plain(payload[:_SHOWN])}{'…' if len(payload) > _SHOWN else ''}")

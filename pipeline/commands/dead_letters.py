"""`pipeline dead-letters`: what is in the dead letters."""

import argparse
import difflib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.options import (
    Commands,
    add_s3,
    add_since,
    existing,
    moment_option,
    s3_of,
)
from pipeline.commands.terminal import printable
from pipeline.core.errors import DeadLetterError, SettingsError
from pipeline.core.reasons import Reason
from pipeline.settings import privacy_key_of

if TYPE_CHECKING:
    from pipeline.adapters.store import ObjectStore
    from pipeline.core.deadletter import DeadLetter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_OF_KEY = re.compile(r"[^/]+/date=([0-9-]+)/hour=([0-9]+)/")
_SHOWN = 200  # characters of a sample's payload


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "dead-letters",
        aliases=["rejects"],
        help="count and show dead letters",
        description="Count dead letters by dataset, reason, path and day of arrival, and show "
        "samples. Payloads are shown on standard output, shortened.",
    )
    parser.add_argument(
        "uri", metavar="URI", help="the dead letters: a directory, file:///…, s3://…"
    )
    add_selection(parser)
    parser.add_argument(
        "--samples", metavar="N", type=int, default=3, help="samples to show (default: 3)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--decrypt",
        action="store_true",
        help="show samples as their producers sent them, where private values were sealed, with "
        "the key that $PIPELINE_PRIVACY_KEY names",
    )
    parser.add_argument(
        "--schemas",
        metavar="DIR",
        help="the folder of the stream's datasets: show payloads that are not JSON as its "
        "stream.toml decodes them",
    )
    add_s3(parser)
    parser.set_defaults(run=run)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add `--dataset`, `--reason` and `--since`, which `selection` reads."""
    parser.add_argument(
        "--dataset", metavar="DATASET", help="only dead letters of this dataset, or unrouted"
    )
    parser.add_argument(
        "--reason", metavar="REASON", type=_reason, help="only dead letters with this reason"
    )
    add_since(parser, "only what arrived")


def _reason(text: str) -> str:
    """Read `--reason`. Raises `ArgumentTypeError`."""
    if text in set(Reason):
        return text
    near = difflib.get_close_matches(text, list(Reason))
    advice = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(Reason)}"
    message = f"{text!r} is not a reason; {advice}"
    raise argparse.ArgumentTypeError(message)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are asked for; `since` is an arrival in microseconds since 1970."""

    dataset: str | None
    reason: str | None
    since: int | None

    @property
    def chooses(self) -> bool:
        """Whether anything is left out."""
        return bool(self.dataset or self.reason or self.since is not None)

    def takes(self, letter: "DeadLetter") -> bool:
        """Return whether a dead letter is asked for."""
        dataset = letter.dataset or "unrouted"
        return (
            (not self.dataset or dataset == self.dataset)
            and (not self.reason or letter.reason == self.reason)
            and (self.since is None or letter.arrived_at >= self.since)
        )

    def takes_file(self, key: str) -> bool:
        """Return whether a file can hold any: its path tells the hour in which they arrived."""
        hour = _HOUR_OF_KEY.match(key)
        if self.since is None or hour is None:
            return True
        since = (_EPOCH + timedelta(microseconds=self.since)).isoformat()
        return "T".join(hour.groups()) >= since[: len("2026-11-23T09")]

    def note_dataset(self, keys: Iterable[str]) -> None:
        """Say on stderr that the dataset asked for has no file, where others have."""
        known = {key.partition("/")[0] for key in keys if _HOUR_OF_KEY.match(key)}
        if not self.dataset or not known or self.dataset in known:
            return
        near = ", ".join(difflib.get_close_matches(self.dataset, known) or sorted(known))
        print(
            f"pipeline: no dead letters are of dataset {self.dataset!r}; there are some of {near}.",
            file=sys.stderr,
        )


def selection(options: argparse.Namespace) -> Selection:
    """Read what `add_selection` added. Raises `SettingsError` for a time that is none."""
    since = moment_option("--since", options.since) if options.since else None
    return Selection(options.dataset, options.reason, since)


def run(options: argparse.Namespace) -> int:
    """Read all dead letters once, and report; return the exit code."""
    from pipeline.adapters.uri import open_store
    from pipeline.redrive import redrivable

    store, wanted = open_store(existing(options.uri), s3_of(options)), selection(options)
    decode = _decoder(options.schemas)
    counts = Counter[tuple[str, str, str, str]]()
    samples = list[dict[str, Any]]()
    batches, unreadable = 0, list[str]()
    found = redrivable(store)
    wanted.note_dataset(found)
    opened = _opener(decrypts=options.decrypt)
    for key, is_batch in found.items():
        batches += is_batch
        if is_batch or not wanted.takes_file(key):
            continue
        try:
            letters = _read(store, key)
        except DeadLetterError as error:
            unreadable.append(str(error))
            continue
        for letter in filter(wanted.takes, letters):
            entry = json.loads(letter.line)
            dataset, day = letter.dataset or "unrouted", entry["arrived_at"][:10]
            counts[dataset, letter.reason, _any_index(letter.path), day] += 1
            if len(samples) < options.samples:
                original = opened(letter)
                shown = entry if original is letter else _with_original(entry, original)
                samples.append(shown | decode(original))
    if options.json:
        _print_json(counts, samples, batches)
    else:
        _print(options.uri, counts, samples, batches)
    return report_unreadable(unreadable)


def _opener(*, decrypts: bool) -> "Callable[[DeadLetter], DeadLetter]":
    """Return what opens the sealed original of a letter, or leaves letters as they are."""
    if not decrypts:
        return lambda letter: letter
    from pipeline.adapters.privacy_key import fetch_keys
    from pipeline.core.deadletter import with_originals
    from pipeline.core.protection import Protection

    place = privacy_key_of(os.environ)
    if place is None:
        message = "--decrypt needs the key: set PIPELINE_PRIVACY_KEY to where it is."
        raise SettingsError(message)
    protection = Protection([], fetch_keys(place))

    return lambda letter: with_originals([letter], protection)[0]


def _with_original(entry: dict[str, Any], original: "DeadLetter") -> dict[str, Any]:
    """Return a sample with what was sealed of it."""
    shown: dict[str, Any] = {
        "payload": original.payload.decode(errors="backslashreplace"),
        "partition_key": original.partition_key,
        "redacted": [],
    }
    return {key: value for key, value in {**entry, **shown}.items() if key != "sealed"}


def _decoder(schemas: str | None) -> "Callable[[DeadLetter], dict[str, str]]":
    """Return what finds the document of a letter whose payload is not JSON, as members to show."""
    if schemas is None:
        return lambda _: {}
    from pipeline.adapters.schemas import read_stream
    from pipeline.adapters.writer_schemas import open_decoder
    from pipeline.core.binary.decoder import Asked
    from pipeline.core.records import Limits

    folder = Path(schemas)
    credentials = os.environ.get("PIPELINE_REGISTRY_CREDENTIALS", "")
    decoder = open_decoder(read_stream(folder).payload, folder, credentials)

    def decode(letter: "DeadLetter") -> dict[str, str]:
        if decoder is None or letter.payload_format is None:
            return {}
        document, _ = decoder.decode(letter.payload, Limits(), Limits().record_bytes, Asked())
        return {"decoded": document.decode()} if isinstance(document, bytes) else {}

    return decode


def report_unreadable(sentences: list[str]) -> int:
    """Say on stderr which files could not be read; return the exit code."""
    sys.stdout.flush()
    for sentence in sentences:
        print(f"pipeline: {sentence}", file=sys.stderr)
    return 1 if sentences else 0


def _read(store: "ObjectStore", key: str) -> "list[DeadLetter]":
    """Read one file; it is missing where a redrive that was stopped had sent all of it."""
    from pipeline.core.deadletter import decode_dead_letters
    from pipeline.core.errors import ObjectMissing

    try:
        body = store.get(key)
    except ObjectMissing:
        return []
    return decode_dead_letters(body, f"{store.uri}/{key}")


def _any_index(path: str) -> str:
    """Return a path under which `$.items[3].price` and `$.items[4].price` are counted together."""
    return re.sub(r"\[[0-9]+\]", "[]", path)


def _print_json(
    counts: Counter[tuple[str, str, str, str]], samples: list[dict[str, Any]], batches: int
) -> None:
    names = ("dataset", "reason", "path", "day", "count")
    listed = [dict(zip(names, (*kind, count), strict=True)) for kind, count in counts.most_common()]
    report = {
        "total": counts.total(), "failed_batches": batches, "counts": listed, "samples": samples
    }  # fmt: skip
    print(json.dumps(report, ensure_ascii=False, indent=2))


def _print(
    uri: str,
    counts: Counter[tuple[str, str, str, str]],
    samples: list[dict[str, Any]],
    batches: int,
) -> None:
    from pipeline.commands.table import print_table

    print(f"{counts.total():,} dead letters in {uri}")
    if batches:
        print(f"{batches:,} failed batches of Lambda's; `pipeline redrive` sends them again")
    if counts:
        rows = [(*map(printable, kind), f"{count:,}") for kind, count in counts.most_common()]
        print_table(["dataset", "reason", "path", "day", "count"], rows, numbers=["count"])
    for entry in samples:
        path = printable(entry["path"])
        print(f"\n{entry['dataset'] or 'unrouted'}, {entry['reason']} at {path}")
        print(f"  {printable(entry['message'])}")
        print(
            f"  {entry['source']}, sequence number {entry['sequence_number']}, sub-sequence number "
            f"{entry['sub_sequence_number']}, document {entry['document']}"
        )
        payload = entry.get("decoded", entry["payload"])
        print(f"  {printable(payload[:_SHOWN])}{'…' if len(payload) > _SHOWN else ''}")
        if entry.get("redacted"):
            print(f"  {printable(_withheld(entry))}")


def _withheld(entry: dict[str, Any]) -> str:
    """Say what a dead letter does not show, and who can see it."""
    paths = entry["redacted"]
    private = "all of it" if paths == ["$"] else ", ".join(paths)
    if "sealed" in entry:
        return f"private: {private}; sealed with the key {entry['private_key']!r}, see --decrypt"
    return f"private: {private}; no original is kept"

"""`pipeline tap`: what is on a stream, or in a file, before anything is built on it."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.batches import batches_of_files, batches_of_stream, start_option
from pipeline.commands.options import (
    Commands,
    add_s3,
    add_schemas,
    add_stream,
    positive_integer,
)
from pipeline.commands.sampling import limits_of_environment, payload_decoder, print_notice
from pipeline.core.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.commands.looking import Look
    from pipeline.commands.tap_output import Printer, RawFiles
    from pipeline.core.envelope import Envelope
    from pipeline.core.records import Batch


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "tap",
        help="show what is on a stream, or in a file",
        description="Print the documents of a stream, or of files (plain, gzip, zlib or zstd; "
        "s3://bucket/key, or a prefix that ends with /; - is standard input), one a line: KPL "
        "aggregates taken apart, payloads decompressed, or decoded where [payload] of stream.toml "
        "says that a stream's are not JSON, envelopes unwrapped as stream.toml or --preset says. "
        "Nothing is written or acknowledged, and no consumer is disturbed but for its share "
        "of the shards' read limit. What cannot be opened is a line with its reason and "
        "its payload, and a sentence on stderr. Payloads go to standard output, as that is what "
        "was asked for; never to stderr.",
        epilog="With --positions, and for what cannot be opened, the members of a line are named "
        "like those of a dead letter.",
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="where documents are")
    add_stream(parser, "read this stream")
    parser.add_argument(
        "--from",
        dest="start",
        metavar="start|now|TIME",
        help="with --stream: start (the oldest record), now, a time as 2026-11-23T09:30:00Z, or "
        "how long ago, as 15m or 12h (default: start; with --follow: now)",
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="with --stream: go on with what arrives, until Ctrl-C (--from now implies it)",
    )
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        action="append",
        default=[],
        help="only documents of which this is true: PATH=VALUE, PATH!=VALUE, or PATH alone for a "
        "member that is there; a path is written order.lines or $.order['a.b']; several must all "
        "be true",
    )
    parser.add_argument(
        "--documents",
        dest="limit",
        metavar="N",
        type=positive_integer,
        help="end after N documents",
    )
    parser.add_argument(  # an earlier name
        "--limit", type=positive_integer, help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--sample",
        metavar="N",
        type=positive_integer,
        help="N documents from anywhere in what is there, in their order; the same ones of the "
        "same input",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--pretty", action="store_true", help="documents over several lines")
    shown.add_argument(
        "--raw",
        action="store_true",
        help="payloads as their producer put them, in base64, one a line; of files, documents",
    )
    shown.add_argument(
        "--raw-to",
        metavar="DIR",
        help="payloads as their producer put them, each in a file of its own in this new folder",
    )
    parser.add_argument(
        "--positions", action="store_true", help="say of each document where it stands"
    )
    parser.add_argument(
        "--preset",
        action="append",
        metavar="NAME",
        help="unwrap as this preset does (default: as stream.toml in --schemas says, if it is "
        "there); give it again for each preset that follows",
    )
    parser.add_argument(
        "--wrapped", action="store_true", help="documents in their envelopes, as they were sent"
    )
    parser.add_argument(
        "--framing",
        choices=["documents", "lines"],
        help="lines: each line of a payload is a document, whatever is in it (default: what "
        "stream.toml says, or documents)",
    )
    add_schemas(parser)
    add_s3(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show what there is; return the exit code."""
    from pipeline.commands.looking import Looker, sampled
    from pipeline.commands.tap_output import Printer, RawFiles

    _check(options)
    raw = bool(options.raw or options.raw_to)
    looker = Looker(
        limits_of_environment(),
        options.where,
        _envelope(options),
        None if raw else payload_decoder(options),
        each_line=_each_line(options),
    )
    printer = (
        RawFiles(options.raw_to)
        if options.raw_to
        else Printer(pretty=options.pretty, raw=options.raw, positions=options.positions)
    )
    looks = looker.looks(_batches(options), raw=raw)
    if options.sample:
        looks = sampled(looks, options.sample)
    try:
        _show(looks, printer, options.limit)
    except KeyboardInterrupt:
        looker.report(print_notice, printer.shown)
        raise
    looker.report(print_notice, printer.shown)
    return 0


def _show(looks: "Iterator[Look | None]", printer: "Printer | RawFiles", most: int | None) -> None:
    """Show them until there are enough."""
    for look in looks:
        if look is None:
            printer.flush()
            continue
        printer.show(look)
        if printer.shown == most:
            break
    printer.flush()


def _check(options: argparse.Namespace) -> None:
    """Refuse options that mean nothing together. Raises `SettingsError`."""
    if bool(options.files) is bool(options.stream):
        raise SettingsError("Name files to look at, or a stream with --stream; one of the two.")
    if options.files and (options.follow or options.start):
        raise SettingsError("--follow and --from are for a stream; a file is read from its start.")
    if options.sample and _follows(options):
        raise SettingsError("--sample needs an end of what it is taken from: leave out --follow.")
    if options.preset and options.wrapped:
        raise SettingsError("Give one of --preset and --wrapped.")
    if options.where and (options.raw or options.raw_to):
        raise SettingsError("--where is about documents, and --raw shows payloads: give one.")


def _follows(options: argparse.Namespace) -> bool:
    return bool(options.follow or options.start == "now")


def _envelope(options: argparse.Namespace) -> "Envelope | None":
    """Return what takes documents out of their envelopes, if there is something for it."""
    from pipeline.adapters.schemas import read_stream
    from pipeline.commands.unwrapping import open_preset
    from pipeline.core.envelope import Envelope

    limits = limits_of_environment()
    if options.wrapped:
        return None
    if options.preset:
        return open_preset(options.preset, limits).envelope
    rules = read_stream(Path(options.schemas)).rules
    return Envelope(rules, limits) if rules else None


def _each_line(options: argparse.Namespace) -> bool:
    from pipeline.adapters.schemas import read_stream
    from pipeline.core.stream import Framing

    if options.framing:
        return bool(options.framing == "lines")
    return read_stream(Path(options.schemas)).framing is Framing.LINES


def _batches(options: argparse.Namespace) -> "Iterator[Batch | None]":
    """Yield batches of what was named."""
    if options.files:
        return batches_of_files(options.files, options, each_line=_each_line(options))
    follow = _follows(options)
    start = start_option(options.start or ("now" if follow else "start"))
    return batches_of_stream(options, start, follow=follow)

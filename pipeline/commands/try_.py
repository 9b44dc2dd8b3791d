"""`pipeline try`: from unknown data to drafted datasets, and what they would come to."""

import argparse
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from pipeline.commands.options import Commands, add_schemas
from pipeline.commands.reporting import add_json
from pipeline.commands.sampling import add_sampling, limits_of_environment, payload_decoder
from pipeline.core.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.authoring.infer import Draft
    from pipeline.commands.estimate import Estimate
    from pipeline.commands.trying import Became, Taken
    from pipeline.commands.unwrapping import Preset
    from pipeline.core.binary.decoder import Decoder
    from pipeline.core.dataset import Dataset
    from pipeline.core.records import Limits
    from pipeline.flow import Pipeline

_ASSUMED: Final = 1.0  # GB a day
_MOST_GIGABYTES: Final = 1e9
_MEGABYTE: Final = 1_000_000
_SHOWN_DATASETS: Final = 6
_SHOWN_REASONS: Final = 6


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "try",
        help="from unknown data to drafted datasets, rows, dead letters, files and dollars",
        description="Read documents from files (plain, gzip, zlib or zstd; s3://bucket/key, or a "
        "prefix that ends with /; - is standard input) or from a stream, draft datasets for them "
        "into a new folder, process them with these in memory, and say on one screen what became "
        "rows and dead letters, and what it would be in a day and a month, here and at Firehose. "
        "Nothing else is written. A folder that holds nothing but a stream.toml, and folders whose "
        "names begin with _, is new, too: payloads are then decoded, and envelopes opened, as that "
        "says.",
        epilog="Prices are those of us-east-1 that pipeline bench uses; what this machine needed "
        "is taken for what Lambda would need.",
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="where documents are")
    parser.add_argument(
        "--name", metavar="NAME", help="the dataset's name (default: after the first file's)"
    )
    parser.add_argument(
        "--one", action="store_true", help="draft one dataset, of whatever kinds the documents are"
    )
    parser.add_argument(
        "--preset",
        action="append",
        metavar="NAME",
        help="the documents stand in envelopes, as cloudwatch-logs, dms or debezium make them; "
        "give it again for each preset that follows",
    )
    parser.add_argument(
        "--gb-a-day",
        metavar="GB",
        type=_volume,
        help="what will come in a day (default: of a stream, what has come by its arrivals; of a "
        "file, 1)",
    )
    add_schemas(parser, "refused")
    add_sampling(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read, draft, process, estimate and report; return the exit code."""
    from pipeline.adapters.schemas import read_stream
    from pipeline.authoring.infer import DraftOptions, check_name
    from pipeline.commands.estimate import estimate
    from pipeline.commands.infer import drafts_of, name_of, report_of
    from pipeline.commands.trying import process, take
    from pipeline.commands.unwrapping import open_own, open_preset
    from pipeline.core.dataset import check_together
    from pipeline.core.stream import Framing

    if bool(options.files) is bool(options.stream):
        raise SettingsError("Name files to try, or a stream with --stream; one of the two.")
    folder = Path(options.schemas)
    _check_new(folder, options)
    if read_stream(folder).framing is Framing.LINES:
        options.framing = "lines"
    options.match_field = options.split_by = None
    name = options.name or name_of(options)
    check_name(name)
    limits = limits_of_environment()
    preset = open_preset(options.preset, limits) if options.preset else open_own(folder, limits)
    decoder = payload_decoder(options) if options.stream else None
    taken = take(options, limits, preset, decoder)
    drafts = drafts_of(taken.samples, name, options, DraftOptions())
    datasets = check_together(draft.dataset for draft in drafts)
    first, second = (_pipeline(datasets, options, limits, preset, decoder) for _ in range(2))
    became = process(first, taken.records)
    gigabytes = options.gb_a_day or (taken.gigabytes_a_day if options.stream else None)
    estimated = estimate(
        second,
        taken.event,
        gigabytes=gigabytes or _ASSUMED,
        shards=len(taken.shards),
        payload_bytes=taken.payload_bytes / max(1, taken.payloads),
        partitioned=any(level.field for dataset in datasets for level in dataset.partition_by),
    )
    _write(folder, drafts, preset)
    _report(taken, drafts, became)
    _report_volume(options, gigabytes, estimated)
    _report_next(options, folder, drafts, became)
    options.report = {
        "payloads": taken.payloads,
        "bytes": taken.payload_bytes,
        "more": taken.more,
        "documents": became.documents,
        "rows": became.rows,
        "dead_letters": dict(became.rejects),
        "drops": became.drops,
        "schemas": str(folder),
        "datasets": [report_of(draft) for draft in drafts],
        "gigabytes_a_day": gigabytes or _ASSUMED,
        "assumed": gigabytes is None,
        "files_a_day": estimated.files,
        "batches_a_day": estimated.events,
        "dollars_a_month": {"here": estimated.here, "firehose": estimated.firehose},
    }
    return 0


def _volume(text: str) -> float:
    """Read `--gb-a-day`. Raises `ArgumentTypeError`."""
    try:
        volume = float(text)
    except ValueError:
        volume = 0.0
    if not 0 < volume < _MOST_GIGABYTES:
        message = f"{text!r} is not a number of GB, such as 0.5 or 200."
        raise argparse.ArgumentTypeError(message)
    return volume


def _check_new(folder: Path, options: argparse.Namespace) -> None:
    """Refuse a folder that holds more than what says how the stream is. Raises `SettingsError`."""
    from pipeline.commands.unwrapping import setting_of
    from pipeline.core.stream import NAME

    is_other = folder.is_symlink() or (folder.exists() and not folder.is_dir())
    names = {path.name for path in folder.iterdir()} if folder.is_dir() and not is_other else set()
    if NAME in names and options.preset:
        message = (
            f"{folder / NAME} says how documents stand in payloads: leave out --preset, and name "
            f"it there, as in {setting_of(options.preset)}."
        )
        raise SettingsError(message)
    others = {name for name in names if name[0] != "_"} if NAME in names else names
    if not is_other and not others - {NAME}:
        return
    message = (
        f"{folder} {'is not a folder' if is_other else 'holds something already'}, and nothing in "
        "it was changed: name a new folder for the drafts with --schemas."
    )
    raise SettingsError(message)


def _pipeline(
    datasets: "Sequence[Dataset]",
    options: argparse.Namespace,
    limits: "Limits",
    preset: "Preset | None",
    decoder: "Decoder | None",
) -> "Pipeline":
    """Return a pipeline for what was drafted, into memory."""
    from pipeline.measure.invocation import make_pipeline

    return msgspec.structs.replace(
        make_pipeline(datasets),
        limits=limits,
        each_line=options.framing == "lines",
        envelope=preset.envelope if preset else None,
        decoder=decoder,
    )


def _write(folder: Path, drafts: "Sequence[Draft]", preset: "Preset | None") -> None:
    """Write all drafts, or nothing."""
    from pipeline.commands.infer import write_draft
    from pipeline.core.stream import NAME

    path = folder / NAME
    if path.exists():
        preset = None  # as it says
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        for draft in drafts:
            write_draft(draft, partial / draft.name)
        if preset is not None and preset.names:
            (partial / NAME).write_text(f"{preset.setting}\n", "utf-8", newline="\n")
        if path.exists():
            for draft in drafts:
                (partial / draft.name).rename(folder / draft.name)
            partial.rmdir()
        else:
            partial.replace(folder)  # an empty folder gives way
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


# ---------------------------------------------------------------------------------- what is said


def _report(taken: "Taken", drafts: "Sequence[Draft]", became: "Became") -> None:
    """Say what was read, what was drafted, and what it became."""
    from pipeline.commands.table import print_table

    first = ", the first ones of more" if taken.more else ""
    size = taken.payload_bytes
    shown = f"{size / 1e6:,.1f} MB" if size >= _MEGABYTE else f"{size:,} bytes"
    print(f"read       {taken.payloads:,} payloads, {shown}{first}")
    drops = f" + {became.drops:,} dropped by rules" if became.drops else ""
    print(
        f"became     {became.documents:,} documents = {became.rows:,} rows + "
        f"{became.rejects.total():,} dead letters{drops}"
    )
    for reason, count in became.rejects.most_common(_SHOWN_REASONS):
        print(f"           {count:,} x {reason}")
    print()
    rows = [
        (draft.name, f"{draft.documents:,}", f"{len(draft.lines):,}", _partitions(draft))
        for draft in drafts[:_SHOWN_DATASETS]
    ]
    names = ["dataset", "documents", "fields", "partitioned by"]
    print_table(names, rows, numbers=["documents", "fields"])
    if len(drafts) > _SHOWN_DATASETS:
        print(f"… and {len(drafts) - _SHOWN_DATASETS:,} more")


def _partitions(draft: "Draft") -> str:
    return ", ".join(level.text for level in draft.dataset.partition_by) or "nothing"


def _report_volume(
    options: argparse.Namespace, gigabytes: float | None, estimated: "Estimate"
) -> None:
    """Say what it would be in a day, and in a month."""
    from pipeline.commands.estimate import WINDOW

    known = "as was asked for" if options.gb_a_day else "by the arrivals of what was read"
    if gigabytes is None:
        known = "an assumption; --gb-a-day says another number"
    volume = f"{gigabytes or _ASSUMED:,.3g}"
    print(f"\nat {volume} GB a day ({known})")
    files, events = _rounded(estimated.files), _rounded(estimated.events)
    count = round(estimated.files / estimated.events)
    each = f"{count:,} {'file' if count == 1 else 'files'} each, as of this sample"
    print(f"  files    {files} a day: {events} batches (6 MB, or what comes in {WINDOW} s), {each}")
    print(f"  here     ${estimated.here:,.2f} a month: Lambda and S3's PUTs")
    print(f"  Firehose ${estimated.firehose:,.2f} a month, to Parquet{_by_key(estimated)}")
    speed = f"{estimated.megabytes_a_second:,.0f} MB/s on one core of this machine"
    print(f"  both ways alike, and left out: the stream, and S3's storage; measured: {speed}")


def _by_key(estimated: "Estimate") -> str:
    return " with dynamic partitioning, as these partitions need" if estimated.partitioned else ""


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if number >= 1 else f"{number:.2g}"


def _report_next(
    options: argparse.Namespace, folder: Path, drafts: "Sequence[Draft]", became: "Became"
) -> None:
    """Say what is on disk, and which commands come next, as they can be pasted."""
    print(f"\nwrote {folder}: {len(drafts):,} dataset(s). Read and correct them, then")
    schemas = ["--schemas", str(folder)]
    print(f"  {shlex.join(['pipeline', 'check', str(folder)])}")
    for command in _next_commands(options):
        print(f"  {shlex.join([*command, *schemas, '--out', 'out'])}")
    if became.rejects:
        print("  pipeline dead-letters out-dead-letters --samples 3")


def _next_commands(options: argparse.Namespace) -> list[list[str]]:
    """Return the commands that take all of it down the road."""
    if options.stream:
        endpoint = ["--endpoint-url", options.endpoint_url] if options.endpoint_url else []
        return [["pipeline", "run", "--once", "--stream", options.stream, *endpoint]]
    framing = ["--framing", "lines"] if options.framing == "lines" else []
    objects = [name for name in options.files if name.startswith("s3://")]
    files = [name for name in options.files if not name.startswith("s3://")]
    commands = [["pipeline", "convert", *files, *framing]] if files else []
    return [*commands, *([["pipeline", "backfill", *objects, *framing]] if objects else [])]

"""`pipeline backfill`: process objects that are in S3 already like those that arrive."""

import argparse
import contextlib
import functools
import itertools
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pipeline.commands.failed_records import deliver_all
from pipeline.commands.options import (
    Commands,
    add_framing,
    add_output,
    add_schemas,
    add_since,
    framed,
    moment_option,
    positive_integer,
    s3_of,
    settings_of,
)
from pipeline.commands.progress import progress
from pipeline.commands.reporting import add_report, complain

if TYPE_CHECKING:
    from pipeline.adapters.aws.lambda_function import DeployedFunction, Response
    from pipeline.adapters.retry import Retrier
    from pipeline.files.objects import ObjectVersion, S3Objects
    from pipeline.flow import Pipeline

_TRIES = 3  # as Lambda itself does
_SHOWN_FAILURES = 10
# The outcomes of an object, as the handler names them.
_OUTCOMES = ("stored", "already_stored", "handed_over", "gone", "ignored")
_UNKNOWN = "unknown field of "  # as pipeline.handlers.files names them
_PATIENCE = 60.0  # seconds that one call to S3 may take, retries included
_INVOCATION = 900.0  # seconds, as long as Lambda's longest

Invoke = Callable[[dict[str, Any]], "Response"]


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "backfill",
        help="process objects that are in S3 already",
        description="Process every object under each URI (a prefix is the start of a key, not a "
        "folder) as if S3 had just announced it: JSON documents in any framing, plain, gzip, "
        "zlib or zstd, such as Firehose's backup of source records; on this machine, or by the "
        "deployed function. Where Firehose left records that it could not deliver "
        "(processing-failed/ and the like), these are stored. A version that is stored "
        "already is not stored again, and one that was stored in part is resumed: run the command "
        "again after it was stopped.",
        epilog="Exit codes: 0 every object is stored (or handed over, with --async), or is ignored "
        "as the pipeline's own output; 1 some failed, or were overwritten or deleted meanwhile: "
        "run it again. Lambda tries three times what is handed over: a file that needs more "
        "invocations than that is stored only without --async.",
    )
    parser.add_argument("uris", metavar="URI", nargs="+", help="s3://bucket/prefix")
    add_since(parser, "only objects changed")
    parser.add_argument(
        "--function",
        metavar="NAME",
        help="invoke this function, whose handler is pipeline.handlers.s3",
    )
    parser.add_argument(
        "--async",
        dest="hand_over",
        action="store_true",
        help="with --function: hand over, and do not wait for the result",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=positive_integer,
        default=8,
        help="with --function: invocations at once (default: 8)",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="forget what was stored before, and store it again under the same keys: after a "
        "schema was changed, or rows were deleted; objects that the new schema no longer makes, "
        "as of rows that it rejects, stay until you delete them",
    )
    parser.add_argument("--dry-run", action="store_true", help="only list the objects")
    add_schemas(parser)
    add_output(parser)
    add_framing(parser, "what stream.toml beside the datasets says, or documents")
    add_report(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Process all objects; return the exit code."""
    from pipeline.core.errors import SettingsError
    from pipeline.core.firehose_errors import is_error_file
    from pipeline.files.objects import S3Objects

    if options.hand_over and not options.function:
        raise SettingsError("--async needs --function NAME: there is nothing to hand over to.")
    objects = S3Objects(settings=s3_of(options))
    places = [_place(uri) for uri in options.uris]
    since = moment_option("--since", options.since) if options.since else -math.inf
    versions = (version for place in places for version in _list(objects, *place))
    found = [version for version in versions if version.modified_at >= since]
    chosen = list({version.reference: version for version in found}.values())  # URIs may overlap
    size = sum(version.size for version in chosen)
    print(f"{len(chosen):,} objects, {size / 1e6:,.1f} MB")
    if options.dry_run:
        options.report = {"objects": [version.reference.uri for version in chosen], "bytes": size}
        print("\n".join(version.reference.uri for version in chosen))
        return 0
    invoke, jobs = _invoker(options, objects), options.jobs if options.function else 1
    of_firehose = [version for version in chosen if is_error_file(version.reference.uri)]
    chosen = [version for version in chosen if not is_error_file(version.reference.uri)]
    if options.again:
        _forget(chosen, objects, options)
    done = _Done(again=options.again)
    try:
        with progress("backfill", size) as advance:
            responses = _responses(invoke, chosen, jobs)
            left = deliver_all(of_firehose, objects, _retrier, options)
            for version, response in itertools.chain(responses, left):
                done.add(version, response)
                advance(version.size)
    finally:
        options.report = done.report() | {"bytes": size}
        done.show()
    return 1 if done.failures or done.counts["gone"] else 0


@dataclass(slots=True)
class _Done:
    """What was done so far."""

    again: bool
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, version: "ObjectVersion", response: "Response") -> None:
        """Count one object."""
        uri = version.reference.uri
        if response.error_type is not None:
            sentence = response.error if uri in response.error else f"{uri}: {response.error}"
            self.failures.append(sentence)
            return
        self.counts.update(response.value)
        if self.again and response.value.get("already_stored"):
            self.failures.append(
                f"{uri}: it still counts as stored, in spite of --again; give the function's "
                "PIPELINE_OUTPUT as --out."
            )

    def report(self) -> dict[str, Any]:
        """Return the sums and all failures as JSON has them."""
        names = (*_OUTCOMES, "documents", "rows", "rejects")
        counts = {name: self.counts[name] for name in names} | dict(self.counts)
        return {**counts, "failures": self.failures}

    def show(self) -> None:
        """Print the sums, and the first failures."""
        parts = [f"{self.counts[name]:,} {name.replace('_', ' ')}" for name in _OUTCOMES]
        print(", ".join([*parts, f"{len(self.failures):,} failed"]))
        rows, rejects = self.counts["rows"], self.counts["rejects"]
        if self.counts["documents"]:
            documents = self.counts["documents"]
            print(f"{documents:,} documents = {rows:,} rows + {rejects:,} dead letters")
        for name, count in self.counts.items():
            if name.startswith(_UNKNOWN):
                print(f"  {count:,} x {name}")
        if self.counts["gone"]:
            complain("gone: overwritten or deleted meanwhile; run it again for what is there now")
        for sentence in self.failures[:_SHOWN_FAILURES]:
            complain(f"failed: {sentence}")
        if len(self.failures) > _SHOWN_FAILURES:
            complain(f"… and {len(self.failures) - _SHOWN_FAILURES:,} more")


def _responses(
    invoke: Invoke, chosen: Sequence["ObjectVersion"], jobs: int
) -> Iterator[tuple["ObjectVersion", "Response"]]:
    """Invoke once for each object, `jobs` at a time, and yield responses as they arrive."""
    if jobs == 1:
        # Without a thread, so that Ctrl-C ends the work and not only the waiting for it.
        yield from ((version, _persist(invoke, version)) for version in chosen)
        return
    crew = _Crew(invoke, chosen, jobs)
    for _ in chosen:
        response = crew.responses.get()
        if isinstance(response, BaseException):
            raise response
        yield response


class _Crew:
    """Threads that invoke for one object after the other.

    They end with the program: an invocation that is under way when it is stopped goes on in
    Lambda, and waiting for it could take as long as a function may run.
    """

    def __init__(self, invoke: Invoke, chosen: Sequence["ObjectVersion"], jobs: int) -> None:
        self.responses: SimpleQueue[tuple[ObjectVersion, Response] | BaseException] = SimpleQueue()
        self._invoke = invoke
        self._waiting = deque(chosen)
        for _ in range(min(jobs, len(chosen))):
            threading.Thread(target=self._work, name="backfill", daemon=True).start()

    def _work(self) -> None:
        while self._waiting:
            try:
                version = self._waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                self.responses.put((version, _persist(self._invoke, version)))
            except BaseException as error:  # noqa: BLE001 - not swallowed: the main thread raises it
                self._waiting.clear()
                self.responses.put(error)


def _persist(invoke: Invoke, version: "ObjectVersion") -> "Response":
    """Invoke until an object is stored, or failed too often without any progress."""
    from pipeline.files.notifications import notify_of

    failed, event, sums = 0, notify_of([version.reference], awaited=True), Counter[str]()
    while failed < _TRIES:
        response = invoke(event)
        if response.error_type is not None:
            failed += 1
            continue
        failed = 0
        sums.update(response.value)
        if not response.value.get("unfinished"):
            return replace(response, value=sums)
    return response


def _invoker(options: argparse.Namespace, objects: "S3Objects") -> Invoke:
    """Return a function that invokes the handler: deployed, or on this machine."""
    if options.function:
        from pipeline.adapters.aws.lambda_function import DeployedFunction

        function = DeployedFunction(options.function, concurrency=options.jobs)
        return functools.partial(_hand_over if options.hand_over else _call, function)
    from pipeline.attempt import open_pipeline

    settings = settings_of(options)
    pipeline = framed(open_pipeline(settings, lists_output=True), options.framing)
    return functools.partial(_invoke_here, pipeline, objects, settings.response_reserve)


def _call(function: "DeployedFunction", event: dict[str, Any]) -> "Response":
    """Invoke a function, and check that the response is one of our handler's."""
    from pipeline.core.errors import FunctionError

    response = function.call(event)
    if response.error_type is None and not _is_report(response.value):
        message = (
            f"{function.name} did not report what became of a file, so nothing is known to be "
            "stored; name a function whose handler is pipeline.handlers.s3."
        )
        raise FunctionError(message)
    return response


def _is_report(value: Any) -> bool:
    """Return whether a response says what became of one file."""
    if not isinstance(value, dict) or not all(type(count) is int for count in value.values()):
        return False
    files: int = sum(value.get(name, 0) for name in (*_OUTCOMES, "unfinished"))
    return files == 1


def _hand_over(function: "DeployedFunction", event: dict[str, Any]) -> "Response":
    """Let Lambda invoke a function. Nobody waits, so an unfinished file has to be an error."""
    from pipeline.adapters.aws.lambda_function import Response

    function.send({"Records": event["Records"]})
    return Response({"handed_over": 1})


def _invoke_here(
    pipeline: "Pipeline", objects: "S3Objects", reserve: float, event: dict[str, Any]
) -> "Response":
    from pipeline.adapters.aws.lambda_function import Response
    from pipeline.adapters.telemetry import Telemetry
    from pipeline.core.errors import FilesFailed
    from pipeline.handlers._s3 import respond

    silent = Telemetry(lambda _: None, lambda: 0.0)
    try:
        return Response(respond(event, _Invocation(), pipeline, objects, reserve, silent))
    except FilesFailed as error:
        return Response(None, type(error).__name__, str(error))


class _Invocation:
    """Lambda's context, for the longest invocation there is."""

    def __init__(self) -> None:
        from pipeline.attempt import countdown

        self._left = countdown(_INVOCATION)

    def get_remaining_time_in_millis(self) -> int:
        return round(self._left() * 1_000)


def _forget(
    chosen: Sequence["ObjectVersion"], objects: "S3Objects", options: argparse.Namespace
) -> None:
    """Delete the progress of objects from the output."""
    from pipeline.attempt import open_retrying_store
    from pipeline.core.errors import ObjectMissing
    from pipeline.core.layout import progress_folder

    settings = settings_of(options)
    store = open_retrying_store(settings.output, settings.s3)
    with progress("forget", len(chosen), "objects") as advance:
        for version in chosen:
            find = functools.partial(objects.find, version.reference)
            # An object that is gone by now is reported when its turn comes.
            with contextlib.suppress(ObjectMissing):
                source = _retrier(version.reference.uri).call("find", find).source
                # The last first: stopped half-way, a file still resumes from what is left.
                for key in reversed(list(store.list(progress_folder(source)))):
                    store.delete(key)
            advance(1)


def _list(objects: "S3Objects", bucket: str, prefix: str) -> Iterator["ObjectVersion"]:
    """List page by page; each page may be retried for `_PATIENCE`."""
    retrier, token, ended = _retrier(f"s3://{bucket}/{prefix}"), None, False
    while not ended:
        page = functools.partial(objects.page, bucket, prefix, token)
        found, token = retrier.call("list", page)
        yield from found
        ended = token is None


def _retrier(uri: str) -> "Retrier":
    from pipeline.adapters.retry import Retrier, RetryPolicy

    return Retrier(uri, lambda: math.inf, RetryPolicy(longest=_PATIENCE))


def _place(uri: str) -> tuple[str, str]:
    from pipeline.core.errors import SettingsError

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        message = f"{uri!r} is not a place in S3; give s3://bucket/prefix."
        raise SettingsError(message)
    return bucket, prefix

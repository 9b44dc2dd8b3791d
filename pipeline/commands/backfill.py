"""`pipeline backfill`: objects that are in S3 already, down the road of those that arrive."""

import argparse
import contextlib
import functools
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pipeline.commands.options import add_output, add_schemas, settings_of
from pipeline.commands.progress import progress

if TYPE_CHECKING:
    from pipeline.adapters.aws.lambda_function import Response
    from pipeline.adapters.retry import Retrier
    from pipeline.files.objects import ObjectVersion

_TRIES = 3  # as Lambda itself does
_SHOWN_FAILURES = 10
# What may become of an object, in the handler's words.
_ENDS = ("stored", "already_stored", "handed_over", "gone", "ignored")
_PATIENCE = 60.0  # seconds that one call to S3 may take, retries included
_INVOCATION = 900.0  # seconds, as long as Lambda's longest

Invoke = Callable[[dict[str, Any]], "Response"]


def register(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "backfill",
        help="take objects that are in S3 already down the road of those that arrive",
        description="Take every object under each URI (a prefix is the start of a key, no folder) "
        "as if S3 had just told of it: JSON lines or a JSON array, plain, gzip or zstd; on this "
        "machine, or by the deployed function. A version that is stored already is not stored "
        "again, and one that was stored in part goes on: run it again after it was stopped.",
        epilog="Exit codes: 0 every object is stored (or handed over, with --async), or is ignored "
        "as the pipeline's own output; 1 not: some failed, or were overwritten or deleted "
        "meanwhile; run it again then. Lambda tries what is handed over three times: a file that "
        "needs more invocations than that is stored only without --async.",
    )
    parser.add_argument("uris", metavar="URI", nargs="+", help="s3://bucket/prefix")
    parser.add_argument(
        "--since", metavar="T", help="only what was changed since 2026-11-23T09:30:00Z, say"
    )
    parser.add_argument(
        "--function",
        metavar="NAME",
        help="let this function do it, whose handler is pipeline.handlers.s3",
    )
    parser.add_argument(
        "--async",
        dest="hand_over",
        action="store_true",
        help="with --function: hand over, and do not wait for what becomes of it",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_jobs,
        default=8,
        help="with --function: invocations at once (default: 8)",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="forget what was stored before, and store it anew under the same keys: after a "
        "schema was changed, or rows were deleted; what the new schema makes no more, like rows "
        "that it rejects, stays until you delete it",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the objects, and do no more")
    add_schemas(parser)
    add_output(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Take all objects; return the exit code."""
    from pipeline.core.errors import SettingsError
    from pipeline.files.objects import S3Objects

    if options.hand_over and not options.function:
        raise SettingsError("--async goes with --function NAME: there is nobody to hand over to.")
    objects = S3Objects()
    places, since = [_place(uri) for uri in options.uris], _since(options.since)
    found = [of for place in places for of in _list(objects, *place) if of.modified_at >= since]
    chosen = list({of.reference: of for of in found}.values())  # prefixes may overlap
    size = sum(of.size for of in chosen)
    print(f"{len(chosen):,} objects, {size / 1e6:,.1f} MB")
    if options.dry_run:
        print("\n".join(of.reference.uri for of in chosen))
        return 0
    invoke, jobs = _invoker(options, objects), options.jobs if options.function else 1
    if options.again:
        _forget(chosen, objects, options)
    done = _Done(again=options.again)
    try:
        with progress("backfill", size) as advance:
            for of, answer in _answers(invoke, chosen, jobs):
                done.add(of, answer)
                advance(of.size)
    finally:
        done.show()
    return 1 if done.failures or done.counts["gone"] else 0


@dataclass(slots=True)
class _Done:
    """What was done so far."""

    again: bool
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, of: "ObjectVersion", answer: "Response") -> None:
        """Count one object."""
        where = of.reference.uri
        if answer.error_type is not None:
            sentence = answer.error if where in answer.error else f"{where}: {answer.error}"
            self.failures.append(sentence)
            return
        self.counts.update(answer.value)
        if self.again and answer.value.get("already_stored"):
            self.failures.append(
                f"{where}: it counts as stored, although that was to be forgotten; give as --out "
                "the PIPELINE_OUTPUT of the function."
            )

    def show(self) -> None:
        """Print the sums, and the first failures."""
        parts = [f"{self.counts[name]:,} {name.replace('_', ' ')}" for name in _ENDS]
        print(", ".join([*parts, f"{len(self.failures):,} failed"]))
        rows, rejects = self.counts["rows"], self.counts["rejects"]
        if self.counts["documents"]:
            documents = self.counts["documents"]
            print(f"{documents:,} documents = {rows:,} rows + {rejects:,} dead letters")
        if self.counts["gone"]:
            print("gone: overwritten or deleted meanwhile; run it again to take what is there now")
        for sentence in self.failures[:_SHOWN_FAILURES]:
            print(f"failed: {sentence}")
        if len(self.failures) > _SHOWN_FAILURES:
            print(f"… and {len(self.failures) - _SHOWN_FAILURES:,} more")


def _answers(
    invoke: Invoke, chosen: Sequence["ObjectVersion"], jobs: int
) -> Iterator[tuple["ObjectVersion", "Response"]]:
    """Invoke for each object, so many at once, and yield the answers as they come."""
    if jobs == 1:
        # Without a thread, so that Ctrl-C ends the work and not only the waiting for it.
        yield from ((of, _persist(invoke, of)) for of in chosen)
        return
    crew = _Crew(invoke, chosen, jobs)
    for _ in chosen:
        answer = crew.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        yield answer


class _Crew:
    """Threads that invoke for one object after the other.

    They end with the program: what is under way when it is stopped goes on in Lambda, and to wait
    for that could take as long as a function may run.
    """

    def __init__(self, invoke: Invoke, chosen: Sequence["ObjectVersion"], jobs: int) -> None:
        self.answers: SimpleQueue[tuple[ObjectVersion, Response] | BaseException] = SimpleQueue()
        self._invoke = invoke
        self._waiting = deque(chosen)
        for _ in range(min(jobs, len(chosen))):
            threading.Thread(target=self._work, name="backfill", daemon=True).start()

    def _work(self) -> None:
        while self._waiting:
            try:
                of = self._waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                self.answers.put((of, _persist(self._invoke, of)))
            except BaseException as error:  # noqa: BLE001 - not swallowed: the main thread raises it
                self._waiting.clear()
                self.answers.put(error)


def _persist(invoke: Invoke, of: "ObjectVersion") -> "Response":
    """Invoke until an object is stored, or failed too often without getting any further."""
    from pipeline.files.notifications import notify_of

    failed, event, sums = 0, notify_of([of.reference], awaited=True), Counter[str]()
    while failed < _TRIES:
        answer = invoke(event)
        if answer.error_type is not None:
            failed += 1
            continue
        failed = 0
        sums.update(answer.value)
        if not answer.value.get("unfinished"):
            return replace(answer, value=sums)
    return answer


def _invoker(options: argparse.Namespace, objects: Any) -> Invoke:
    """Return what invokes the handler: the deployed one, or the one on this machine."""
    if options.function:
        from pipeline.adapters.aws.lambda_function import DeployedFunction

        function = DeployedFunction(options.function, concurrency=options.jobs)
        return functools.partial(_hand_over if options.hand_over else _call, function)
    from pipeline.attempt import open_pipeline

    settings = settings_of(options)
    return functools.partial(
        _invoke_here, open_pipeline(settings), objects, settings.response_reserve
    )


def _call(function: Any, event: dict[str, Any]) -> "Response":
    """Invoke a function, and make sure that its answer is one of our handler's."""
    from pipeline.core.errors import FunctionError

    answer: Response = function.call(event)
    if answer.error_type is None and not _tells_what_became_of_it(answer.value):
        message = (
            f"{function.name} answered something else than what became of a file, so nothing is "
            "known to be stored; name a function whose handler is pipeline.handlers.s3."
        )
        raise FunctionError(message)
    return answer


def _tells_what_became_of_it(value: Any) -> bool:
    if not isinstance(value, dict) or not all(type(of) is int for of in value.values()):
        return False
    told: int = sum(value.get(name, 0) for name in (*_ENDS, "unfinished"))
    return told == 1


def _hand_over(function: Any, event: dict[str, Any]) -> "Response":
    """Let Lambda invoke a function; nobody waits, so what is unfinished has to be an error."""
    from pipeline.adapters.aws.lambda_function import Response

    function.send({"Records": event["Records"]})
    return Response({"handed_over": 1})


def _invoke_here(pipeline: Any, objects: Any, reserve: float, event: dict[str, Any]) -> "Response":
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
    """Lambda's context, of the longest invocation there is."""

    def __init__(self) -> None:
        from pipeline.attempt import countdown

        self._left = countdown(_INVOCATION)

    def get_remaining_time_in_millis(self) -> int:
        return round(self._left() * 1_000)


def _forget(chosen: Sequence["ObjectVersion"], objects: Any, options: argparse.Namespace) -> None:
    """Remove the progress of objects from the output."""
    from pipeline.attempt import open_retrying_store
    from pipeline.core.errors import ObjectMissing
    from pipeline.core.layout import progress_folder

    store = open_retrying_store(settings_of(options).output)
    with progress("forget", len(chosen), "objects") as advance:
        for of in chosen:
            find = functools.partial(objects.find, of.reference)
            # One that is gone by now is told when its turn comes.
            with contextlib.suppress(ObjectMissing):
                source = _patient(of.reference.uri).call("find", find).source
                # The last first: stopped half-way, what is left is still where a file goes on.
                for key in reversed(list(store.list(progress_folder(source)))):
                    store.delete(key)
            advance(1)


def _list(objects: Any, bucket: str, prefix: str) -> Iterator["ObjectVersion"]:
    """List page by page, each of which may be tried again for as long."""
    patient, token, ended = _patient(f"s3://{bucket}/{prefix}"), None, False
    while not ended:
        page = functools.partial(objects.page, bucket, prefix, token)
        found, token = patient.call("list", page)
        yield from found
        ended = token is None


def _patient(uri: str) -> "Retrier":
    from pipeline.adapters.retry import Retrier, RetryPolicy

    return Retrier(uri, lambda: math.inf, RetryPolicy(longest=_PATIENCE))


def _place(uri: str) -> tuple[str, str]:
    from pipeline.core.errors import SettingsError

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        message = f"{uri!r} names no place in S3; give s3://bucket/prefix."
        raise SettingsError(message)
    return bucket, prefix


def _since(text: str | None) -> float:
    from pipeline.core.errors import SettingsError
    from pipeline.core.schema.values import ConversionError, timestamp

    try:
        return -math.inf if text is None else timestamp(text)
    except ConversionError as misfit:
        message = f"--since {text}: {misfit}"
        raise SettingsError(message) from None


def _jobs(text: str) -> int:
    if not text.isdecimal() or not int(text):
        message = f"{text!r} is no number of invocations from 1"
        raise argparse.ArgumentTypeError(message)
    return int(text)

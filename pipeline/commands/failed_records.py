"""`pipeline backfill` over files of records that Firehose could not deliver."""

import argparse
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.commands.options import framed, settings_of

if TYPE_CHECKING:
    from pipeline.adapters.aws.lambda_function import Response
    from pipeline.adapters.retry import Retrier
    from pipeline.files.objects import ObjectVersion, S3Objects
    from pipeline.flow import Pipeline

_NOT_BY_THE_FUNCTION = (
    "Firehose left it with records that it could not deliver, which the function does not read; "
    "run this without --function, or pipeline redrive."
)


def deliver_all(
    versions: "Sequence[ObjectVersion]",
    objects: "S3Objects",
    retrier_of: "Callable[[str], Retrier]",
    options: argparse.Namespace,
) -> "Iterator[tuple[ObjectVersion, Response]]":
    """Store what is in such files, here; a file that was stored before makes the same objects."""
    from pipeline.adapters.aws.lambda_function import Response
    from pipeline.attempt import open_pipeline

    if not versions:
        return
    if options.function:
        for version in versions:
            yield version, Response(None, "FunctionError", _NOT_BY_THE_FUNCTION)
        return
    pipeline = framed(open_pipeline(settings_of(options), lists_output=True), options.framing)
    for version in versions:
        call = functools.partial(objects.read, version, 0, version.size)
        read = functools.partial(retrier_of(version.reference.uri).call, "read", call)
        yield version, _deliver(version, read, pipeline)


def _deliver(
    version: "ObjectVersion", read: Callable[[], bytes], pipeline: "Pipeline"
) -> "Response":
    """Store the records of one file; say what became of them as the handler of files does."""
    from pipeline.adapters.aws.lambda_function import Response
    from pipeline.core.errors import InputError, ObjectMissing
    from pipeline.core.layout import ARCHIVE
    from pipeline.files.firehose import deliver_failed

    uri = version.reference.uri
    if f"/{ARCHIVE}" in uri:
        return Response(Counter(ignored=1))  # a redrive has stored it, and put it there
    try:
        report = deliver_failed(read(), uri, pipeline, dry_run=False)
    except ObjectMissing:
        return Response(Counter(gone=1))
    except InputError as error:
        return Response(None, type(error).__name__, str(error))
    counts = Counter(stored=1)
    if report is not None:
        documents, rows = report.total("documents"), report.total("rows")
        counts += Counter(documents=documents, rows=rows, rejects=report.rejects)
    return Response(counts)

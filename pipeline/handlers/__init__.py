"""Lambda entry points: `kinesis`, `s3`, `firehose`, `commit`, `alert` and `tables`.

Each reads its settings, opens what outlives an invocation, and lets `respond` of the module that
bears its name do the work: `_kinesis`, `_s3`, and so on. (A module `s3` would take the
place of the function `s3` here.)

Importing this has no effect but in the init phase of Lambda, see `prepare`.
"""

import functools
import gc
import importlib
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.telemetry import Telemetry
from pipeline.attempt import open_pipeline
from pipeline.bucket_settings import S3Settings
from pipeline.core.errors import UnexpectedError
from pipeline.flow import Pipeline
from pipeline.handlers._kinesis import respond
from pipeline.handlers.invocation import print_line
from pipeline.settings import AlertSettings, CommitSettings, Settings, TableSettings

if TYPE_CHECKING:
    from pipeline.adapters.aws.logs import LogGroup
    from pipeline.adapters.aws.sns import Topic
    from pipeline.files.objects import S3Objects
    from pipeline.handlers._tables import Tables

_NO_OUTPUT: Final = "file:///no-output"

__all__ = [
    "UnexpectedError", "alert", "commit", "firehose", "forget", "kinesis", "prepare", "respond",
    "s3", "tables",
]  # fmt: skip


def kinesis(event: Any, context: Any) -> dict[str, Any]:
    """Handle one event of a Kinesis event source mapping with ReportBatchItemFailures."""
    settings = Settings.from_environment(os.environ)
    telemetry = Telemetry(print_line, time.time, settings.metrics_namespace)
    return respond(event, context, _pipeline(settings), settings.response_reserve, telemetry)


def s3(event: Any, context: Any) -> dict[str, Any]:
    """Handle notifications of new objects in S3: its own, through SNS, SQS or EventBridge."""
    from pipeline.handlers import _s3  # noqa: PLC0415 - see below

    settings = _settings_of_files(os.environ)
    telemetry = Telemetry(print_line, time.time, settings.metrics_namespace)
    return _s3.respond(
        event,
        context,
        _pipeline(settings),
        _objects(settings.s3),
        settings.response_reserve,
        telemetry,
    )


def firehose(event: Any, context: Any) -> dict[str, Any]:
    """Transform the records of a Firehose stream: what is good goes back, the rest is kept."""
    from pipeline.handlers import _firehose  # noqa: PLC0415 - see below

    settings = _transformation_settings(os.environ)
    telemetry = Telemetry(print_line, time.time, settings.metrics_namespace)
    pipeline = _transformation(settings)
    return _firehose.respond(event, context, pipeline, settings.response_reserve, telemetry)


def commit(event: Any, context: Any) -> dict[str, Any]:
    """Commit what has landed to the datasets' tables; whatever the event is, as of a schedule."""
    settings = CommitSettings.from_environment(os.environ)
    telemetry = Telemetry(print_line, time.time, settings.metrics_namespace)
    response: dict[str, Any] = _committer().respond(event, context, settings, telemetry)
    return response


def alert(event: Any, context: Any) -> dict[str, int]:
    """Handle CloudWatch alarms: through SNS, through EventBridge, or from the alarm itself."""
    from pipeline.handlers import _alert  # noqa: PLC0415 - see below

    settings = AlertSettings.from_environment(os.environ)
    request_id = getattr(context, "aws_request_id", None)
    telemetry = Telemetry(print_line, time.time)
    topic, log_group = _topic(settings.topic), _log_group(settings.log_group)
    return _alert.respond(event, settings, topic, telemetry.log, request_id, log_group)


def tables(event: Any, context: Any) -> dict[str, int]:  # noqa: ARG001 - Lambda hands it over
    """Register what has landed in the tables over it, whatever the schedule sends."""
    from pipeline.handlers import _tables  # noqa: PLC0415 - see below

    settings = TableSettings.from_environment(os.environ)
    return _tables.respond(context, _opened_tables(settings), Telemetry(print_line, time.time))


# ---------------------------------------------------------------- what outlives an invocation

# A function is one of them: what only another one needs is loaded where that is opened.


@functools.lru_cache(maxsize=4)
def _pipeline(settings: Settings) -> Pipeline:
    """Open it once. A wrong configuration stops the start here."""
    return open_pipeline(settings)


def _transformation_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings of a function whose rows go back to Firehose, and to no output."""
    return Settings.from_environment({**environment, "PIPELINE_OUTPUT": _NO_OUTPUT})


@functools.lru_cache(maxsize=4)
def _transformation(settings: Settings) -> Pipeline:
    """Open it once. A wrong configuration stops the start here."""
    return msgspec.structs.replace(open_pipeline(settings), output=MemoryStore())


def _settings_of_files(environment: Mapping[str, str]) -> Settings:
    """Without a fuse: a file waits in no order, and stays where it is."""
    return msgspec.structs.replace(Settings.from_environment(environment), fuse=None)


@functools.lru_cache(maxsize=4)
def _objects(settings: S3Settings) -> "S3Objects":
    from pipeline.files.objects import S3Objects  # noqa: PLC0415 - loaded where it is opened

    return S3Objects(settings=settings)


def _committer() -> Any:
    # By a text: the artifacts are made of what is imported, and that of the stream's function is
    # to have nothing of this.
    return importlib.import_module("pipeline.handlers._commit")


@functools.lru_cache(maxsize=4)
def _topic(arn: str) -> "Topic":
    from pipeline.adapters.aws.sns import Topic  # noqa: PLC0415 - loaded where it is opened

    return Topic(arn)


@functools.lru_cache(maxsize=4)
def _opened_tables(settings: TableSettings) -> "Tables":
    from pipeline.handlers._tables import Tables  # noqa: PLC0415 - loaded where it is opened

    return Tables(settings)


@functools.lru_cache(maxsize=4)
def _log_group(name: str | None) -> "LogGroup | None":
    from pipeline.adapters.aws.logs import LogGroup  # noqa: PLC0415 - loaded where it is opened

    return None if name is None else LogGroup(name)


def forget(*, clients: bool = True) -> None:
    """Let go of what outlives an invocation: the next one opens it again.

    Without `clients`, those of the files and of the alarms stay, which take long to make.
    """
    _pipeline.cache_clear()
    _transformation.cache_clear()
    _opened_tables.cache_clear()
    if clients:
        _objects.cache_clear()
        _topic.cache_clear()
        _log_group.cache_clear()


def prepare(environment: Mapping[str, str]) -> None:
    """Open in Lambda's init phase what the function that it starts will work with.

    Half a second for boto3's client and the schemas is then not taken from the first batch's time,
    and Lambda gives a start more of a processor than a small function has. A wrong configuration
    stops there: Lambda logs its sentences, and invokes nothing. Elsewhere, and for another handler
    than these, nothing is done.
    """
    if "AWS_LAMBDA_RUNTIME_API" in environment:
        opened = _OPENED_FIRST.get(environment.get("_HANDLER", ""))
        if opened is not None:
            opened(environment)
            # None of what was loaded goes away: it need not be looked through in every collection.
            gc.collect()
            gc.freeze()


def _open_for_kinesis(environment: Mapping[str, str]) -> None:
    _pipeline(Settings.from_environment(environment))


def _open_for_s3(environment: Mapping[str, str]) -> None:
    importlib.import_module("pipeline.handlers._s3")
    settings = _settings_of_files(environment)
    _pipeline(settings)
    _objects(settings.s3)


def _open_for_firehose(environment: Mapping[str, str]) -> None:
    importlib.import_module("pipeline.handlers._firehose")
    _transformation(_transformation_settings(environment))


def _open_for_commit(environment: Mapping[str, str]) -> None:
    _committer().prepare(CommitSettings.from_environment(environment))


def _open_for_alert(environment: Mapping[str, str]) -> None:
    importlib.import_module("pipeline.handlers._alert")
    settings = AlertSettings.from_environment(environment)
    _topic(settings.topic)
    _log_group(settings.log_group)


def _open_for_tables(environment: Mapping[str, str]) -> None:
    _opened_tables(TableSettings.from_environment(environment))


_OPENED_FIRST: Final[Mapping[str, Callable[[Mapping[str, str]], None]]] = {
    "pipeline.handlers.kinesis": _open_for_kinesis,
    "pipeline.handlers.s3": _open_for_s3,
    "pipeline.handlers.firehose": _open_for_firehose,
    "pipeline.handlers.commit": _open_for_commit,
    "pipeline.handlers.alert": _open_for_alert,
    "pipeline.handlers.tables": _open_for_tables,
}

prepare(os.environ)

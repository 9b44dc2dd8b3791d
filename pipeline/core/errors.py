"""Every error that is raised on purpose, as one tree; its text is a sentence for a person.

    PipelineError
      ConfigurationError      before anything is read: somebody must change something
        SettingsError           environment variables
        DatasetError            a schema, or dataset.toml
        EventError              an event of something else than this handler's trigger
        StateRefused            the state directory of `pipeline run`
        DemoRefused             what the demo was asked for cannot be done here
      InputError              what was read is not what it should be
        FileError               a file of documents
        DeadLetterError         a file of dead letters
      ServiceError            something outside did not do what it was asked
        StoreError              > StoreUnavailable > StoreThrottled, NoTimeToRetry;
                                  StoreRefused > KeyRefused, UriRefused;
                                  ObjectMissing > ObjectChanged;
                                  RegistryUnavailable, RegistryRefused: of schemas
        StreamError             > StreamUnavailable > StreamThrottled; IteratorExpired;
                                  StreamRefused > StreamMissing, ArgumentRefused
        FunctionError           Lambda
        NotifyError             SNS
        ProducerError           in `pipeline.producer`, with the records that were given up
      FuseBlown               too much of a batch is refused, and whoever operates it wants to look
      DeadlineExceeded        time ran out, and the stores work
      NotFinished             some of it is stored, and the next invocation goes on
        FileUnfinished, FilesFailed > FilesUnfinished
      Defect                  a bug of this program
        ConservationError, UnexpectedError, BatchNotStored

Whoever calls may retry an `…Unavailable`; a `…Refused` needs a change first. An error is raised for
what an operator must mend; what a producer sent is a *reject*, see `reasons`.
"""

import traceback
from collections.abc import Mapping
from pathlib import PurePath


class PipelineError(Exception):
    """Base of every error raised on purpose; its text is a sentence for a person."""


# ------------------------------------------------------------------------------- configuration


class ConfigurationError(PipelineError):
    """Somebody must change something before there is any point in trying again."""


class SettingsError(ConfigurationError):
    """The environment is wrong; the text names every fault at once."""


class DatasetError(ConfigurationError):
    """A dataset's schema or configuration cannot be used; the text names file and field."""


class EventError(ConfigurationError):
    """The event is not one shard's Kinesis event; nothing of it was written."""


class StateRefused(ConfigurationError):
    """The state directory is in use, or is another stream's, or cannot be read."""


class DemoRefused(ConfigurationError):
    """The demo cannot do what it was asked for here; the text says what is missing."""


# --------------------------------------------------------------------------------------- input


class InputError(PipelineError):
    """What was read is not what it should be; the text says where."""


class FileError(InputError):
    """A file cannot be read to its end; the text names it and says where it stops."""


class DeadLetterError(InputError):
    """A file of dead letters cannot be read back; the text names file and line."""


# ------------------------------------------------------------------------------------ services


class ServiceError(PipelineError):
    """Something outside of this program did not do what it was asked for."""


class StoreError(ServiceError):
    """Something a store could not do. Its text is one sentence for an operator."""


class StoreUnavailable(StoreError):
    """The store failed for now (throttling, server error, time-out, lost connection): retry."""


class StoreThrottled(StoreUnavailable):
    """The store gets more requests than it accepts (503 SlowDown, 429): retry, and write slower."""


class NoTimeToRetry(StoreUnavailable):
    """The store failed for now, and there was no time left to wait for another try."""


class StoreRefused(StoreError):
    """The store will not do it until someone changes something: a retry does not help."""


class KeyRefused(StoreRefused, ValueError):
    """No store could hold such a key, or it would leave the store's root."""


class UriRefused(StoreRefused, ValueError):
    """The URI does not name a store."""


class RegistryUnavailable(StoreUnavailable):
    """A schema registry failed for now: the batch comes again."""


class RegistryRefused(StoreRefused):
    """A schema registry will not answer until someone changes something."""


class ObjectMissing(StoreError):
    """There is no object under the key that was asked for."""

    @classmethod
    def at(cls, *where: str) -> "ObjectMissing":
        """Build the error for an object from its URI, or the store's URI and the key."""
        return cls(f"There is no object {'/'.join(where)}; list the store to see what it holds.")


class ObjectChanged(ObjectMissing):
    """The version of the object that was asked for is gone: another took its place."""

    @classmethod
    def at(cls, *where: str) -> "ObjectChanged":
        """Build the error for an object from its URI, or the store's URI and the key."""
        return cls(
            f"The object {'/'.join(where)} was overwritten meanwhile; what was asked for is kept "
            "only in a bucket with versions."
        )


class StreamError(ServiceError):
    """Something a stream could not do. Its text is one sentence for an operator."""


class StreamUnavailable(StreamError):
    """The stream failed for now (server error, time-out, lost connection): retry."""


class StreamThrottled(StreamUnavailable):
    """The stream had more to do than its shards, or the account's limits, allow: retry later."""


class StreamRefused(StreamError):
    """The stream will not do it until someone changes something: a retry does not help."""


class StreamMissing(StreamRefused):
    """There is no such stream, or no such shard."""


class ArgumentRefused(StreamRefused):
    """An argument is not what the stream accepts, as a sequence number of another shard."""


class IteratorExpired(StreamError):
    """A shard iterator is too old: ask for a new one after the last record that was received."""


class FunctionError(ServiceError):
    """A function could not be invoked; the text says which, and what to do."""


class NotifyError(ServiceError):
    """A message could not be sent; the text says where to, and what to do."""


# ---------------------------------------------------------------------------------------- fuse


class FuseBlown(PipelineError):
    """A larger share of a batch is refused than the operator's fuse lets pass: it waits instead."""


# ---------------------------------------------------------------------------------------- time


class DeadlineExceeded(PipelineError):
    """Time ran out although the stores work: the batch is too much for the time it has.

    Not a `StoreError`, whatever errors were put right by retries meanwhile. The handler lets it
    pass, so that Lambda bisects the batch instead of delivering the same one again. `partitions`
    says into how many partitions the batch falls, by dataset, as far as that was known by then.
    """

    def __init__(self, message: str, partitions: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.partitions = dict(partitions or {})


class NotFinished(PipelineError):
    """Some of it is stored, and the next invocation goes on with the rest."""


class FileUnfinished(NotFinished):
    """Time ran out, and parts were stored meanwhile: the next invocation goes on."""


class FilesFailed(NotFinished):
    """Files of an event are not stored to their end; the text says which, and why."""


class TablesNotRegistered(NotFinished):
    """Some tables do not show all that has landed; the text says which, and why."""


class FilesUnfinished(FilesFailed):
    """They are only not stored yet: the next invocation goes on where this one stopped."""


# ------------------------------------------------------------------------------------- defects


class Defect(PipelineError):
    """A bug of this program, found by itself; nothing was answered as success."""


class ConservationError(Defect):
    """Documents in and rows plus dead letters out differ."""


class UnexpectedError(Defect):
    """An error nobody foresaw. It names type and place, not the text, which may quote payload."""


class BatchNotStored(Defect):
    """The handler did not store a batch that this program made up itself."""


# ------------------------------------------------------------------------------- unexpected ones


def place_of(error: BaseException) -> str:
    """Return an error's type and where it was raised; not its text, which may quote payload."""
    frames = traceback.extract_tb(error.__traceback__)
    calls = " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {calls}"

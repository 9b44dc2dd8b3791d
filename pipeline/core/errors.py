"""The kinds of error, and the stable vocabulary of rejects.

An error is raised for what the operator must mend; a *reject* is made of what a producer
sent. Reason codes are part of the public contract: they are documented in the README, counted
in CloudWatch and never renamed.
"""


class PipelineError(Exception):
    """Base of every error raised on purpose; its text is a sentence for a person."""


class SettingsError(PipelineError):
    """The environment is wrong; the text names every fault at once."""


class DatasetError(PipelineError):
    """A dataset's schema or configuration cannot be used; the text names file and field."""


class EventError(PipelineError):
    """The event is not one shard's Kinesis event; nothing of it was written."""


class ConservationError(PipelineError):
    """Documents in and rows plus dead letters out differ: a defect of this program."""


class DeadLetterError(PipelineError):
    """A file of dead letters cannot be read back; the text names file and line."""

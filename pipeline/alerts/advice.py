"""What each alarm of the pipeline means, what it likely comes from, and what to type first.

An alarm is known by its metric. Commands are templates: `{function}` and the like stand for what
the alarm, or the handler's settings, tell.
"""

import msgspec

# Of an invocation that ran out of time or memory, Lambda alone tells, in lines of its own.
LOG = (
    "aws logs tail {log} --since 1h --filter-pattern "
    """'{ $.level = "ERROR" || $.record.status = "timeout" || $.record.status = "error" """
    """|| $.record.status = "failure" }'"""
)
SIZE = "aws lambda get-function-configuration --function-name {function}"
MAPPING = "aws lambda list-event-source-mappings --function-name {function}"


class Advice(msgspec.Struct, frozen=True):
    """What to say of one alarm; `over` is what its end means."""

    wrong: str
    causes: tuple[str, ...]
    command: str
    over: str


ADVICE: dict[str, Advice] = {
    "IteratorAge": Advice(
        "The function is behind the stream. What is older than the stream's retention is lost.",
        (
            "a batch fails and is tried again: there is an alarm of BatchFailed or of errors, too",
            "more comes in than a shard's invocations can store: the function needs more memory",
            "the account's concurrency is used up: there is an alarm of throttles, too",
        ),
        MAPPING,
        "The function has caught up with the stream.",
    ),
    "IncomingRecords": Advice(
        "Records arrive on the stream, and the function is given none. What is older than the "
        "stream's retention is lost.",
        (
            "the event source mapping is disabled",
            "its role, or the stream's KMS key, was changed: it may not read the stream any more",
            "Lambda does not start the function: there is an alarm of throttles, too",
        ),
        MAPPING,
        "The function is given records again.",
    ),
    "BatchFailed": Advice(
        "Batches cannot be stored and are delivered again. Nothing is lost until their records "
        "are older than the mapping's maximum age.",
        (
            "S3 refuses: a permission, a bucket's policy or a KMS key was changed",
            "S3 is throttling or unavailable: it mends itself",
            "a batch is too much for the time-out",
        ),
        LOG,
        "Batches are stored again; those that waited were delivered again.",
    ),
    "Errors": Advice(
        "Invocations of the function fail. Lambda tries them again, with half of the batch.",
        (
            "it ran out of time or of memory",
            "its settings or schemas are wrong: then no invocation starts, since a deployment",
            "a defect of the pipeline: the log says at which place",
        ),
        LOG,
        "Invocations succeed again.",
    ),
    "Throttles": Advice(
        "Lambda does not start the function as often as it should: shards wait.",
        (
            "other functions use up the account's concurrency",
            "the concurrency that is reserved for the function is less than it needs",
        ),
        "aws lambda get-account-settings --query AccountLimit",
        "The function is started as often as it should be.",
    ),
    "Rejects": Advice(
        "Documents were rejected. They are kept as dead letters and can be sent again.",
        (
            "a producer has changed what it sends",
            "a schema, or a rule in it, was changed",
            "something else than the pipeline's producers writes to the stream",
        ),
        "pipeline dead-letters {dead_letters}",
        "No more documents are rejected. The dead letters are kept until someone sends them again.",
    ),
    "OnFailureDestinationDeliveredEventCount": Advice(
        "Lambda gave up on batches. They are kept whole, in the dead letter bucket under "
        "aws/lambda/, and can be sent again.",
        (
            "what made batches fail lasted longer than the mapping's maximum age of a record",
            "one record is too much for the function's time or memory even alone",
        ),
        LOG,
        "No more batches are given up. Send the kept ones again: pipeline redrive --help.",
    ),
    "DroppedEventCount": Advice(
        "Lambda gave up on batches and could not keep them either. They are on the stream only "
        "until its retention ends.",
        (
            "the function's role may not write to the bucket of failed batches",
            "that bucket, or its KMS key, is gone",
        ),
        MAPPING,
        "No more batches are dropped. Read what was dropped again, with a new mapping that begins "
        "at its time.",
    ),
    "Duration": Advice(
        "Invocations take most of their time-out. At its end, Lambda stops one in the middle of "
        "its work, and it begins anew.",
        (
            "S3 is slow: StoreMilliseconds is high",
            "documents fail the fast path: ConvertMilliseconds is high",
            "batches have grown: BytesIn is high",
        ),
        SIZE,
        "Invocations are well within their time-out.",
    ),
    "MaxMemoryUsed": Advice(
        "Invocations use most of their memory. Lambda stops one that needs more, without a word.",
        (
            "batches have grown, or unpack to more",
            "documents of one batch fall into more partitions than before",
        ),
        SIZE,
        "Invocations are well within their memory.",
    ),
    "FilesFailed": Advice(
        "Files in S3 cannot be stored to their end. They stay where they are, and what was stored "
        "of them is not done again.",
        (
            "the function may not read the bucket, or a KMS key of it",
            "a file is damaged: it cannot be unpacked to its end",
            "a file is too much for an invocation: not one part of it was stored in time",
        ),
        LOG,
        "Files are stored again. Look into the dead letter queue for those that were given up.",
    ),
    "ApproximateNumberOfMessagesVisible": Advice(
        "Files in S3 failed so often that they are no longer tried. They stay where they are; "
        "their notifications are in the dead letter queue, and forgotten 14 days after they came.",
        (
            "a file is damaged: it cannot be unpacked to its end",
            "a file needs more invocations than its queue allows: raise maxReceiveCount",
            "what made files fail lasted longer than the queue tries again",
            "something else than S3's notifications comes to the queue",
        ),
        LOG,
        "The dead letter queue is empty again.",
    ),
}

# Of what has the name of a metric above, and is told of the function for files, or of a bucket's.
FILES_ADVICE: dict[str, Advice] = {
    "Errors": Advice(
        "Invocations of the function for files end before they can say which file failed. Its "
        "notification comes again after half an hour, and what was stored is not done again.",
        (
            "it ran out of memory, or was stopped by its time-out in the middle of a part",
            "its settings or schemas are wrong: then no invocation starts, since a deployment",
        ),
        LOG,
        "Invocations for files succeed again.",
    ),
    "Rejects": Advice(
        "Documents in files were rejected. They are kept as dead letters, with the file they are "
        "of, and can be sent again without it.",
        (
            "whoever writes the files has changed what is in them",
            "a schema, or a rule in it, was changed",
            "files of another kind are put into the bucket",
        ),
        "pipeline dead-letters {dead_letters}",
        "No more documents in files are rejected. The dead letters are kept until someone sends "
        "them again.",
    ),
}

UNKNOWN = Advice(
    "An alarm that the pipeline has no words for changed its state.",
    ("what the alarm's own description, and CloudWatch's reason, say",),
    # Composite alarms are shown only to who asks for them.
    "aws cloudwatch describe-alarms --alarm-types MetricAlarm CompositeAlarm --alarm-names {alarm}",
    "The alarm is over.",
)

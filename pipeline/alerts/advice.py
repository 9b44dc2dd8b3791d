"""What each alarm of the pipeline means, what likely caused it, and what to type first.

An alarm is known by its metric. Commands are templates: `{function}` and the like stand for what
the alarm, or the handler's settings, say.
"""

import msgspec

# An invocation that ran out of time or memory is logged by Lambda alone, in lines of its own.
LOG = (
    "aws logs tail {log} --since 1h --filter-pattern "
    """'{ $.level = "ERROR" || $.record.status = "timeout" || $.record.status = "error" """
    """|| $.record.status = "failure" }'"""
)
# The metrics of each dataset are lines of their own.
PARTITIONS = (
    "aws logs tail {log} --since 1h --filter-pattern "
    """'{ $.Partitions > 100 && $.Dataset = "*" }'"""
)
SIZE = "aws lambda get-function-configuration --function-name {function}"
MAPPING = "aws lambda list-event-source-mappings --function-name {function}"


class Advice(msgspec.Struct, frozen=True):
    """What to say about one alarm: what is wrong, why that may be, and what its end means."""

    problem: str
    causes: tuple[str, ...]
    command: str
    resolved: str


ADVICE: dict[str, Advice] = {
    "IteratorAge": Advice(
        "The function is behind the stream. Records older than the stream's retention are lost.",
        (
            "a batch fails and is retried: there is an alarm for BatchFailed or for errors, too",
            "more comes in than a shard's invocations can store: the function needs more memory",
            "the account's concurrency is used up: there is an alarm for throttles, too",
        ),
        MAPPING,
        "The function has caught up with the stream.",
    ),
    "IncomingRecords": Advice(
        "Records arrive on the stream, but the function receives none. Records older than the "
        "stream's retention are lost.",
        (
            "the event source mapping is disabled",
            "its role, or the stream's KMS key, was changed: it may no longer read the stream",
            "Lambda does not start the function: there is an alarm for throttles, too",
        ),
        MAPPING,
        "The function receives records again.",
    ),
    "BatchFailed": Advice(
        "Batches cannot be stored and are delivered again: as they are in an outage, in halves "
        "where they were too slow. Nothing is lost until their records are older than the "
        "mapping's maximum age.",
        (
            "S3 refuses: a permission, a bucket policy or a KMS key was changed",
            "S3 is unavailable: this passes by itself",
            "S3 throttles, or batches have grown or fall into many partitions: they are halved",
        ),
        LOG,
        "Batches are stored again, and those that waited have been delivered again.",
    ),
    "Errors": Advice(
        "Invocations of the function fail. Lambda retries them with half of the batch.",
        (
            "it ran out of time or memory",
            "its settings or schemas are wrong: then no invocation has started since a deployment",
            "a defect of the pipeline: the log says where",
        ),
        LOG,
        "Invocations succeed again.",
    ),
    "Partitions": Advice(
        "One batch falls into very many partitions, and each is an object in every format. That is "
        "slow to store, dear, and slow to read; a batch that is too slow is halved until it fits.",
        (
            "partition_by names a field of many values, as an id: pipeline check names it",
            "a producer sends values that it did not send before, or times far apart",
            "old records are caught up with: then it passes by itself",
        ),
        PARTITIONS,
        "Batches fall into fewer partitions again.",
    ),
    "Throttles": Advice(
        "Lambda does not start the function as often as it should: shards wait.",
        (
            "other functions use up the account's concurrency",
            "the concurrency reserved for the function is less than it needs",
        ),
        "aws lambda get-account-settings --query AccountLimit",
        "Lambda starts the function as often as it should.",
    ),
    "Rejects": Advice(
        "Documents were rejected. They are kept as dead letters and can be sent again.",
        (
            "a producer has changed what it sends",
            "a schema, or a rule in it, was changed",
            "something other than the pipeline's producers writes to the stream",
        ),
        "pipeline dead-letters {dead_letters}",
        "No more documents are rejected. The dead letters are kept until someone sends them again.",
    ),
    "UnknownFields": Advice(
        "Documents have fields that no schema has. Their rows are stored without these fields, or "
        "with them in _rest.",
        (
            "a producer has a new release: it sends a new field, or has renamed one",
            "the schema that has the field is not deployed",
            "something other than the pipeline's producers writes to the stream",
        ),
        "pipeline evolve --help",
        "For an hour hardly a document had fields that no schema has.",
    ),
    "Documents": Advice(
        "No document of the dataset comes any more, and before some did.",
        (
            "its producer has stopped, or sends to another stream",
            "the member that [match] of its dataset.toml names has changed: none is routed to it",
            "the stream is not read: there is an alarm that says so, too",
            "it is a dataset that rests: then SilentHours is too short for it",
        ),
        "aws logs tail {log} --since 1d --filter-pattern "
        """'{ $.outcome = "stored" && $.rejects.unrouted.no_dataset > 0 }'""",
        "Documents of the dataset come again.",
    ),
    "OnFailureDestinationDeliveredEventCount": Advice(
        "Lambda gave up on batches. They are kept whole, in the dead letter bucket under "
        "aws/lambda/, and can be sent again.",
        (
            "what made batches fail lasted longer than the mapping's maximum record age",
            "a single record is too much for the function's time or memory",
        ),
        LOG,
        "No more batches are given up. Send the kept ones again: pipeline redrive --help.",
    ),
    "DroppedEventCount": Advice(
        "Lambda gave up on batches and could not keep them either. They remain on the "
        "stream only until its retention ends.",
        (
            "the function's role may not write to the bucket of failed batches",
            "that bucket, or its KMS key, is gone",
        ),
        MAPPING,
        "No more batches are dropped. Read what was dropped again, with a new mapping that starts "
        "at the time of the first dropped record.",
    ),
    "Duration": Advice(
        "Invocations use most of their time-out. When it ends, Lambda stops an invocation in the "
        "middle of its work, and the batch is delivered again.",
        (
            "S3 is slow: StoreMilliseconds is high",
            "documents fail the fast path: ConvertMilliseconds is high",
            "batches have grown: BytesIn is high",
        ),
        SIZE,
        "Invocations are well within their time-out.",
    ),
    "MaxMemoryUsed": Advice(
        "Invocations use most of their memory. Lambda kills one that needs more.",
        (
            "batches have grown, or unpack to more",
            "documents of one batch fall into more partitions than before",
        ),
        SIZE,
        "Invocations are well within their memory.",
    ),
    "FilesFailed": Advice(
        "Files in S3 cannot be stored completely. They stay where they are, and what was stored of "
        "them is not processed again.",
        (
            "the function may not read the bucket, or not use its KMS key",
            "a file is damaged: replace it, as it is not delivered again",
            "a file is too much for one invocation: not a single part of it was stored in time",
        ),
        LOG,
        "Files are stored again. Look into the dead letter queue for those that were given up.",
    ),
    "ApproximateAgeOfOldestMessage": Advice(
        "Files in S3 wait in their queue and are not taken, or too slowly. They stay where they "
        "are; a notification that waits for 14 days is deleted, and its file forgotten.",
        (
            "the event source mapping is disabled",
            "the role of the function for files was changed: it may not read the queue any more",
            "more files come than are processed at once: raise FilesConcurrency",
            "Lambda does not start the function: the account's concurrency is used up",
        ),
        "aws lambda list-event-source-mappings",
        "No file waits for long any more.",
    ),
    "ApproximateNumberOfMessagesVisible": Advice(
        "Files in S3 failed so often that they are no longer retried. They stay where they are; "
        "their notifications are in the dead letter queue, and deleted 14 days after they arrived.",
        (
            "a file needs more invocations than its queue allows: raise maxReceiveCount",
            "what made files fail lasted longer than the queue retries",
            "something other than S3's notifications is sent to the queue",
        ),
        LOG,
        "The dead letter queue is empty again.",
    ),
    "LakeLagSeconds": Advice(
        "What has landed is not committed to its table, and readers of the table do not see the "
        "newest rows. Nothing is lost: it stays where it landed.",
        (
            "the catalog refuses: a permission was changed",
            "the committer does not run: its schedule is disabled, or it cannot start",
            "more lands than it commits: it needs more memory",
        ),
        LOG,
        "What has landed is committed again.",
    ),
    "LakeDuplicates": Advice(
        "More rows came again than were new. Each is in its table once.",
        (
            "dead letters or failed batches were sent again: then it passes by itself",
            "batches are delivered again: there is an alarm for BatchFailed or for errors, too",
            "a mapping reads the stream again from its beginning",
        ),
        LOG,
        "More rows are new again than came once more.",
    ),
    "LakeConflicts": Advice(
        "Somebody else changes a table while rows are committed to it, again and again, and each "
        "time the work begins anew. Nothing is lost; rows come later.",
        (
            "a compaction runs without end, or at the same minute as the committer",
            "something else appends to the table, which is the committer's alone",
            "a second committer runs on the same table",
        ),
        LOG,
        "Rows are committed at the first try again.",
    ),
    "LakeObjectsRefused": Advice(
        "Landing objects cannot be committed, and stay where they are: their rows are not in the "
        "table.",
        (
            "something else than the pipeline wrote or renamed objects in the output",
            "their columns do not fit the table's",
            "an object is damaged",
        ),
        LOG,
        "No more landing objects are refused. Those that were are still where they landed.",
    ),
    "LakeRowsMissing": Advice(
        "A table lacks rows that batches have stored, by what its ledger says of them.",
        (
            "somebody deleted rows, or rolled the table back, without `pipeline lake forget`",
            "the table was lost and made anew",
            "landing objects were deleted before they were committed",
        ),
        LOG,
        "What was asked about last is there again, or is too long ago to be asked about.",
    ),
}

# Metrics above that have another meaning for the function for files, or for a bucket.
FILES_ADVICE: dict[str, Advice] = {
    "Errors": Advice(
        "Invocations of the function for files end before they can say which file failed. Its "
        "notification is delivered again after half an hour, and what was stored is not processed "
        "again.",
        (
            "it ran out of memory, or of time in the middle of a part",
            "its settings or schemas are wrong: then no invocation has started since a deployment",
        ),
        LOG,
        "Invocations for files succeed again.",
    ),
    "Partitions": Advice(
        "One part of a file falls into very many partitions, and each is an object in every "
        "format. That is slow to store, dear, and slow to read; a file then needs several "
        "invocations.",
        (
            "partition_by names a field of many values, as an id: pipeline check names it",
            "a file has values that no file had before, or times far apart",
            "files of many days were put into the bucket at once: then it passes by itself",
        ),
        PARTITIONS,
        "Files fall into fewer partitions again.",
    ),
    "Rejects": Advice(
        "Documents in files were rejected. They are kept as dead letters, with the name of their "
        "file, and can be sent again without it.",
        (
            "whoever writes the files has changed their contents",
            "a schema, or a rule in it, was changed",
            "files of another kind are put into the bucket",
        ),
        "pipeline dead-letters {dead_letters}",
        "No more documents in files are rejected. The dead letters are kept until someone sends "
        "them again.",
    ),
}

# For a single dataset.
DATASET_ADVICE: dict[str, Advice] = {
    "Rejects": Advice(
        "Every document of the dataset is refused, and has been for an hour. They are kept as dead "
        "letters and can be sent again.",
        (
            "the schema that is deployed is not the one that the producer writes by",
            "a producer's new release has changed or renamed a field that must be there",
            "a rule in the schema, or the event_time_window, is wrong",
        ),
        "pipeline dead-letters {dead_letters}",
        "Documents of the dataset become rows again. Send the dead letters again: pipeline redrive "
        "--help.",
    ),
}

# And for the function that registers partitions.
TABLES_ADVICE: dict[str, Advice] = {
    "Errors": Advice(
        "What has landed cannot be registered in the tables: Athena and others do not show the "
        "newest partitions. Nothing is lost, and the rows are shown once this works again.",
        (
            "the function's role, or Lake Formation, does not let it register partitions",
            "a table was removed or renamed",
            "Glue throttles: then it passes by itself",
        ),
        LOG,
        "What lands is registered again, and what landed meanwhile has been.",
    ),
}

# And for the function that commits rows to tables.
COMMIT_ADVICE: dict[str, Advice] = {
    "Errors": Advice(
        "Rows cannot be committed to their tables. Nothing is lost: what has landed stays there, "
        "and is committed once this works again.",
        (
            "the function's role does not let it read the landing, or change the tables",
            "its settings or schemas are wrong: then no invocation has started since a deployment",
            "it ran out of time or memory",
        ),
        LOG,
        "Rows are committed again.",
    ),
}

UNKNOWN = Advice(
    "An alarm that the pipeline does not know changed its state.",
    ("see the alarm's own description, and CloudWatch's reason",),
    # Composite alarms are listed only if asked for.
    "aws cloudwatch describe-alarms --alarm-types MetricAlarm CompositeAlarm --alarm-names {alarm}",
    "The alarm is over.",
)

"""Kinesis Data Streams to partitioned Parquet and CSV on S3, with nothing lost.

Start reading at `pipeline.flow`: it is the whole road on one page.
"""

from typing import Final

PUBLIC: Final = {
    "pipeline.handlers.kinesis": "the Lambda handler of a Kinesis event source mapping",
    "pipeline.handlers.s3": "the Lambda handler of S3 notifications",
    "pipeline.handlers.firehose": "the Lambda handler of a Firehose stream's transformation",
    "pipeline.handlers.commit": "the Lambda handler of a schedule: landing to tables",
    "pipeline.handlers.alert": "the Lambda handler of CloudWatch alarms",
    "pipeline.handlers.tables": "the Lambda handler that registers in Glue what has landed",
    "pipeline.producer.Producer": "puts records into a stream, aggregated",
    "pipeline.producer.AsyncProducer": "the same for coroutines",
    "pipeline.producer.Options": "how a producer aggregates, retries and gives up",
    "pipeline.producer.Position": "where a record was stored",
    "pipeline.producer.Statistics": "what a producer has counted",
    "pipeline.producer.FailedRecord": "a record that was given up, handed back",
    "pipeline.producer.ProducerError": "raised for failed records that nobody took",
    "pipeline.producer.RecordFailed": "why a record was given up",
    "pipeline.producer.RecordRefused": "raised by `put` for a record that no stream would accept",
    "pipeline.producer.DocumentRefused": "raised by `put` for what the consumer would "
    "refuse, where `schemas` are given",
    "pipeline.cli.main": "the command line: arguments in, an exit code out",
}
"""Every name that may be imported, and what it is. All other names may change at any time."""

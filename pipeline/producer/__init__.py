"""A producer for applications: shard-aware KPL aggregation, retries, and an outcome per record.

    with Producer("orders") as producer:
        producer.put(payload, partition_key="customer 7")

Leaving the block waits until every record is stored or given up. For each producer, records put =
records acknowledged + records failed. Failed records are handed back, and those that the caller did
not take are raised as `ProducerError`.

With `schemas`, what the consumer would refuse is refused by `put`, with the same reason and path.
`AsyncProducer` is the same for coroutines.

At least once: a call whose connection broke may have stored its records, and sending them again
makes new records of them, with a new identity. In the order they were put: of one partition key,
no record is stored before an earlier one that is still being tried, on the shard of that key.
"""

from pipeline.producer.asynchronous import AsyncProducer
from pipeline.producer.options import Options
from pipeline.producer.outcomes import (
    DocumentRefused,
    FailedRecord,
    Position,
    ProducerError,
    RecordFailed,
    RecordRefused,
    Statistics,
)
from pipeline.producer.producer import Producer

__all__ = [
    "AsyncProducer",
    "DocumentRefused",
    "FailedRecord",
    "Options",
    "Position",
    "Producer",
    "ProducerError",
    "RecordFailed",
    "RecordRefused",
    "Statistics",
]

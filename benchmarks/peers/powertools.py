"""The usual recipe on the batch processor of Powertools for AWS Lambda."""

import base64
from collections.abc import Callable
from typing import Any

from aws_kinesis_agg.deaggregator import deaggregate_records
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord

from benchmarks.peers.recipe import read, to_parquet


class _Context:
    """As much of Lambda's context as the processor looks at."""

    function_name = memory_limit_in_mb = invoked_function_arn = aws_request_id = "measured"


def prepare(event: Any) -> Callable[[], list[bytes]]:
    def run() -> list[bytes]:
        documents: list[dict[str, Any]] = []

        def handle(record: KinesisStreamRecord) -> None:
            opened = deaggregate_records([record.raw_event])
            documents.extend(read(base64.b64decode(record["kinesis"]["data"])) for record in opened)

        processor = BatchProcessor(event_type=EventType.KinesisDataStreams)
        response = process_partial_response(event, handle, processor, _Context())
        assert response == {"batchItemFailures": []}
        return [to_parquet(documents)]

    return run

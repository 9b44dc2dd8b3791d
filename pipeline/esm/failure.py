"""Batches that were given up, as Lambda describes them to an on-failure destination."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pipeline.core.events import kinesis_event
from pipeline.core.records import StreamRecord

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """Records of one shard, in order, that are no longer delivered.

    `attempts` counts the invocations of the batch that they are, or are left of; records that
    were read from the stream and never delivered have 0. `function_error` is None where the
    function returned. Times are microseconds since 1970, UTC.
    """

    condition: Condition
    records: tuple[StreamRecord, ...]
    attempts: int
    function_error: str | None
    stream_arn: str
    shard_id: str

    def metadata(self, request_id: str, function_arn: str, timestamp: int) -> dict[str, Any]:
        """Return what Lambda sends to SQS and SNS; it does not contain the records."""
        first, last = self.records[0], self.records[-1]
        return {
            "requestContext": {
                "requestId": request_id,
                "functionArn": function_arn,
                "condition": self.condition,
                # AWS reports 1 for records that were too old before their first invocation.
                "approximateInvokeCount": max(1, self.attempts),
            },
            **self._response(),
            "version": "1.0",
            "timestamp": _text(timestamp),
            "KinesisBatchInfo": {
                "shardId": self.shard_id,
                "startSequenceNumber": first.sequence_number,
                "endSequenceNumber": last.sequence_number,
                "approximateArrivalOfFirstRecord": _text(first.arrived_at),
                "approximateArrivalOfLastRecord": _text(last.arrived_at),
                "batchSize": len(self.records),
                "streamArn": self.stream_arn,
            },
        }

    def document(self, request_id: str, function_arn: str, timestamp: int) -> dict[str, Any]:
        """Return what Lambda writes to S3: the metadata, and the whole event in `payload`."""
        payload = kinesis_event(self.records, self.stream_arn, self.shard_id)
        return {**self.metadata(request_id, function_arn, timestamp), "payload": payload}

    def key(self, mapping_id: str, timestamp: int, document_id: str) -> str:
        """Return the key of the document in S3."""
        when = _time(timestamp)
        name = f"{when:%Y-%m-%dT%H.%M.%S}-{document_id}"
        return f"aws/lambda/{mapping_id}/{self.shard_id}/{when:%Y/%m/%d}/{name}"

    def _response(self) -> dict[str, Any]:
        if self.condition == "RecordAgeExceeded":
            return {}
        return {
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": self.function_error,
            }
        }


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _text(micros: int) -> str:
    return _time(micros).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""The stream: whether it is there, how it keeps records, and what is in them."""

from typing import Any

import msgspec

from pipeline.adapters.aws.account import Refusal
from pipeline.core.magic import KPL_MAGIC
from pipeline.doctor.findings import Asked, Findings

_SAMPLED_SHARDS = 4
_SAMPLE = 10  # records of each
_DAY = 24


class SeenStream(msgspec.Struct, frozen=True):
    """What else depends on: how long it keeps records, and whether they are aggregates."""

    arn: str
    retention_hours: int
    aggregated: bool | None = None


def look_at_stream(stream: str, account: Asked, findings: Findings) -> SeenStream | None:
    """Look; return what else depends on."""
    named: dict[str, Any] = (
        {"StreamARN": stream} if stream.startswith("arn:") else {"StreamName": stream}
    )
    answer = account.ask("kinesis", "describe_stream_summary", **named)
    if isinstance(answer, Refusal):
        if answer.missing:
            sentence = f"There is no stream {stream} in this account and region."
            findings.add_wrong("stream", sentence, "aws kinesis list-streams")
        else:
            action = "kinesis:DescribeStreamSummary"
            findings.refused("stream", f"the stream {stream}", action, answer)
        return None
    summary = answer.found["StreamDescriptionSummary"]
    arn, hours = summary["StreamARN"], summary["RetentionPeriodHours"]
    mode = summary.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED")
    shards, readers = summary.get("OpenShardCount", 0), summary.get("ConsumerCount", 0)
    if summary["StreamStatus"] in {"ACTIVE", "UPDATING"}:
        findings.ok(
            "stream",
            f"{stream} is {summary['StreamStatus']}, {mode}, with {shards:,} open shards and "
            f"{readers:,} consumers of enhanced fan-out.",
        )
    else:
        findings.add_wrong("stream", f"{stream} is {summary['StreamStatus']}, not ACTIVE.")
    _retention(stream, hours, findings)
    if summary.get("EncryptionType", "NONE") == "NONE":
        command = (
            f"aws kinesis start-stream-encryption --stream-name {arn.rpartition('/')[2]} "
            "--encryption-type KMS --key-id alias/aws/kinesis"
        )
        findings.note("stream", f"{stream} is not encrypted.", command)
    else:
        findings.ok("stream", f"{stream} is encrypted with {summary.get('KeyId', 'a key')}.")
    return SeenStream(arn, hours, _aggregated(arn, account, findings))


def _retention(stream: str, hours: int, findings: Findings) -> None:
    if hours <= _DAY:
        command = (
            f"aws kinesis increase-stream-retention-period --stream-name {stream} "
            "--retention-period-hours 168"
        )
        sentence = f"{stream} keeps records for {hours} hours: a longer outage loses them."
        findings.note("stream", sentence, command)
    else:
        findings.ok("stream", f"{stream} keeps records for {hours:,} hours.")


def _aggregated(arn: str, account: Asked, findings: Findings) -> bool | None:
    """Read a few records: whether one is an aggregate of the KPL, or None where there are none."""
    listed = account.ask("kinesis", "list_shards", StreamARN=arn, MaxResults=_SAMPLED_SHARDS)
    if isinstance(listed, Refusal):
        findings.refused("records", "the stream's records", "kinesis:ListShards", listed)
        return None
    records = list[Any]()
    for shard in listed.found["Shards"]:
        start = account.ask(
            "kinesis", "get_shard_iterator",
            StreamARN=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON",
        )  # fmt: skip
        if isinstance(start, Refusal):
            findings.refused("records", "the stream's records", "kinesis:GetShardIterator", start)
            return None
        iterator = start.found["ShardIterator"]
        read = account.ask(
            "kinesis", "get_records", StreamARN=arn, ShardIterator=iterator, Limit=_SAMPLE
        )
        if isinstance(read, Refusal):
            findings.refused("records", "the stream's records", "kinesis:GetRecords", read)
            return None
        records += read.found["Records"]
    if not records:
        findings.note(
            "records", "No record was there to look at, in the oldest part of the stream."
        )
        return None
    packed = sum(1 for record in records if record["Data"].startswith(KPL_MAGIC))
    sentence = f"{packed} of {len(records)} records that were read are aggregates of the KPL."
    findings.ok("records", sentence)
    return packed > 0

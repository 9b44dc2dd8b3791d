"""Notices that the stream was deleted, and another one of its name created in its place.

Shards of both have the same ids, so nothing else tells them apart: a new shard would be taken for
the one that was read to its end.
"""

from pipeline.adapters.aws.kinesis import Kinesis, Shard, StreamSummary


class StreamWatch:
    """Lists the shards of one stream, as long as it is that one. Safe to use from any thread.

    Once it is another, `successor` says what that is.
    """

    def __init__(self, kinesis: Kinesis, created: float) -> None:
        """Watch the stream that was created at this time, in seconds since 1970."""
        self.successor: StreamSummary | None = None
        self._kinesis = kinesis
        self._created = created

    def list_shards(self) -> list[Shard]:
        """Return the stream's shards; none of another stream. Raises `StreamError`."""
        shards = self._kinesis.list_shards()
        # Looked at afterwards: what is still the same stream now, was it when it was listed.
        summary = self._kinesis.describe_stream_summary()
        if summary.created == self._created:
            return shards
        self.successor = summary
        return []

    @property
    def replaced(self) -> bool:
        """Whether it is another stream by now."""
        return self.successor is not None

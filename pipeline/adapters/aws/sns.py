"""Messages to people, through a topic of SNS."""

from __future__ import annotations

from typing import Any, Final

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import SNS, Call, translate_errors
from pipeline.core.errors import NotifyError

_LONGEST_TEXT: Final = 200_000
"""Bytes of a message that are sent; SNS accepts 256 KB of subject and text together."""


class Topic:
    """An SNS topic, by its ARN. A message may reach it twice, if SNS' response is lost."""

    def __init__(self, arn: str, client: Any = None) -> None:
        """Use `client`, or one of the topic's region. Nothing is sent yet.

        Raises `NotifyError` if the AWS configuration is unusable.
        """
        self.arn = arn
        # Nobody else retries: an alarm has no batch's time to keep.
        self._client = client or make_client(SNS, region=arn.split(":")[3], tries=5)

    def publish(self, subject: str, text: str) -> None:
        """Send a message. Raises `NotifyError`."""
        body = text.encode()[:_LONGEST_TEXT].decode(errors="ignore")
        call = Call(SNS, "publish to", "sns:Publish", self.arn)
        with translate_errors(call):
            response = self._client.publish(TopicArn=self.arn, Subject=subject, Message=body)
        if not response.get("MessageId"):
            reason = "the response has no MessageId, and so is not from SNS"
            raise NotifyError(call.sentence(reason, "check the endpoint (AWS_ENDPOINT_URL…)"))

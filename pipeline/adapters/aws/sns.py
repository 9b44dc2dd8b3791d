"""Messages to people, through a topic of SNS."""

from __future__ import annotations

from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.core.errors import NotifyError

_LONGEST_TEXT: Final = 200_000
"""Bytes of a message that are sent; SNS takes 256 KB of subject and text together."""


class Topic:
    """An SNS topic, by its ARN. A message may reach it twice, if SNS' answer is lost."""

    def __init__(self, arn: str, client: Any = None) -> None:
        """Use `client`, or one of the topic's region. Nothing is sent yet."""
        self.arn = arn
        self._client = client or boto3.client(
            "sns",
            region_name=arn.split(":")[3],
            config=Config(
                connect_timeout=2.0,
                read_timeout=10.0,
                retries={"total_max_attempts": 5, "mode": "standard"},
            ),
        )

    def publish(self, subject: str, text: str) -> None:
        """Send a message. Raises `NotifyError`."""
        body = text.encode()[:_LONGEST_TEXT].decode(errors="ignore")
        try:
            self._client.publish(TopicArn=self.arn, Subject=subject, Message=body)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "no error code")
            message = (
                f"Could not publish to {self.arn}: SNS answered {code}; check that the topic is "
                "there, and grant sns:Publish on it (and on its KMS key, if it has one) to the "
                "function's role."
            )
            raise NotifyError(message) from error
        except BotoCoreError as error:
            message = (
                f"Could not publish to {self.arn}: {type(error).__name__}; check the network and "
                "the AWS settings of the function."
            )
            raise NotifyError(message) from error

"""A secret of AWS Secrets Manager, by its ARN."""

from __future__ import annotations

from typing import Final

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import SECRETSMANAGER, Call, translate_errors

_TRIES: Final = 5


def read_secret(arn: str) -> str:
    """Return the text of a secret. Raises `StoreUnavailable` and `StoreRefused`."""
    region = arn.split(":")[3]
    call = Call(SECRETSMANAGER, "read", "secretsmanager:GetSecretValue", arn, arn)
    client = make_client(SECRETSMANAGER, region=region, tries=_TRIES)
    with translate_errors(call):
        return str(client.get_secret_value(SecretId=arn).get("SecretString", ""))

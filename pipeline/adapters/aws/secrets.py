"""A secret of AWS Secrets Manager, by its ARN."""

from __future__ import annotations

from typing import Final

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import SECRETS_MANAGER, Call, translate_errors

_TRIES: Final = 5


def read_secret(arn: str) -> str:
    """Return the text of a secret. Raises `StoreUnavailable` and `StoreRefused`."""
    region = arn.split(":")[3]
    call = Call(SECRETS_MANAGER, "read", "secretsmanager:GetSecretValue", arn, arn)
    client = make_client(SECRETS_MANAGER, region=region, tries=_TRIES)
    with translate_errors(call):
        return str(client.get_secret_value(SecretId=arn).get("SecretString", ""))

"""The secret with the key of private fields, from Secrets Manager or the Parameter Store."""

from __future__ import annotations

from typing import Any, Final

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import Call, Meaning, Service, translate_errors
from pipeline.core.errors import SecretError

_TRIES: Final = 5  # nobody else retries: there is no batch yet, and its time


def _service(name: str, missing: str) -> Service:
    remedy = (
        "check its name and the region, and grant {action} on it (and kms:Decrypt on its KMS key, "
        "if it has one) to the role or user this runs as"
    )
    return Service(
        name,
        unavailable=SecretError,
        refused=SecretError,
        bad_argument=SecretError,
        throttled=Meaning(SecretError),
        is_transient=lambda status: status >= 500,  # noqa: PLR2004 - HTTP
        codes={missing: Meaning(SecretError, "check its name and the region")},
        denied=remedy,
        unknown=remedy,
    )


SECRETSMANAGER: Final = _service("SecretsManager", "ResourceNotFoundException")
SSM: Final = _service("SSM", "ParameterNotFound")


def read_secret(name: str, client: Any = None) -> str:
    """Return the text of a secret of Secrets Manager, by name or ARN. Raises `SecretError`."""
    client = client or make_client(SECRETSMANAGER, region=_region_of(name), tries=_TRIES)
    call = Call(SECRETSMANAGER, "read the secret", "secretsmanager:GetSecretValue", name)
    with translate_errors(call):
        response = client.get_secret_value(SecretId=name)
    text: str | None = response.get("SecretString")
    if text is None:
        message = call.sentence("it is binary", "store it as a text (SecretString)")
        raise SecretError(message)
    return text


def read_parameter(name: str, client: Any = None) -> str:
    """Return the text of a parameter of Systems Manager, decrypted. Raises `SecretError`."""
    client = client or make_client(SSM, region=_region_of(name), tries=_TRIES)
    call = Call(SSM, "read the parameter", "ssm:GetParameter", name)
    with translate_errors(call):
        response = client.get_parameter(Name=name, WithDecryption=True)
    text: str = response["Parameter"]["Value"]
    return text


def _region_of(name: str) -> str | None:
    """Return the region of an ARN; None for a name, which is one of the region of this machine."""
    return name.split(":")[3] if name.startswith("arn:") else None

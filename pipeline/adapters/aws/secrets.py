"""Secrets, as of private fields' key and a registry, of Secrets Manager or the Parameter Store."""

from __future__ import annotations

from typing import Any, Final

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import Call, Meaning, service_of_one_error, translate_errors
from pipeline.core.errors import SecretError

_TRIES: Final = 5  # nobody else retries: there is no batch yet, and its time
_CHECK: Final = "check its name and the region"
_GRANT: Final = (
    f"{_CHECK}, and grant {{action}} on it (and kms:Decrypt on its KMS key, if it has one) to the "
    "role or user this runs as"
)
_MISSING: Final = Meaning(SecretError, _CHECK)

SECRETSMANAGER: Final = service_of_one_error(
    "SecretsManager", SecretError, _GRANT, {"ResourceNotFoundException": _MISSING}
)
SSM: Final = service_of_one_error("SSM", SecretError, _GRANT, {"ParameterNotFound": _MISSING})


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

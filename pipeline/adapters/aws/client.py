"""The clients of boto3, all made in one way."""

from __future__ import annotations

from typing import Any

from botocore.config import Config

from pipeline.adapters.aws.errors import Call, Service, translate_errors
from pipeline.adapters.aws.requests import user_agent


def make_client(
    service: Service,
    *,
    concurrency: int = 8,
    connect_timeout: float = 2.0,
    read_timeout: float = 10.0,
    endpoint_url: str | None = None,
    region: str | None = None,
    tries: int = 1,
) -> Any:
    """Return a client for `concurrency` threads, configured by the environment as boto3 is.

    The time-outs, in seconds, limit the silence of the other side, so that a connection that hangs
    is seen as an error, and retried on a new one, long before an invocation ends. `endpoint_url`
    goes before `AWS_ENDPOINT_URL_…` and `AWS_ENDPOINT_URL`. botocore does not retry, unless `tries`
    is above 1: a `Retrier` does, because it knows how much time is left. Raises the service's
    `refused`.
    """
    import boto3  # noqa: PLC0415 - 0.3 s to import

    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        max_pool_connections=concurrency,
        retries={"total_max_attempts": tries, "mode": "standard"},
        tcp_keepalive=True,
        user_agent_extra=user_agent(),
    )
    name = service.name.lower()
    call = Call(service, "make a client for", f"{name}:*", service.name, "*")
    try:
        with translate_errors(call):
            # Not typed by its name, which is not literal here; who calls knows the type.
            make: Any = boto3.client
            return make(name, config=config, endpoint_url=endpoint_url, region_name=region)
    except ValueError as error:
        # What botocore raises for an endpoint that is not a URL.
        sentence = call.sentence(str(error), f"check {service.settings}")
        raise service.refused(sentence) from error

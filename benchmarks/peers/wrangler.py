"""awswrangler's dataset writer, into an S3 that responds at once, without a network."""

import json
import os
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import awswrangler
import boto3
import pandas as pd
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from benchmarks.peers.deaggregate import user_records

_TYPES = {
    "amount": "decimal(9,2)", "count": "int", "device": "struct<os:string,width:int>",
    "tags": "array<string>", "id": "string", "url": "string", "kind": "string",
    "referrer": "string", "user": "bigint", "score": "double", "ok": "boolean",
}  # fmt: skip


def prepare(event: Any) -> Callable[[], list[bytes]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "measured"
    # Else the body comes framed, with a checksum behind it.
    os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
    session: Any = boto3.Session(region_name="eu-central-1")
    stored: list[bytes] = []
    session.events.register("before-send.s3", lambda request, **_: _respond(request, stored))

    def run() -> list[bytes]:
        stored.clear()
        frame = pd.DataFrame([_read(data) for data in user_records(event)])
        # One call parses a column of times far faster than one for each document.
        frame["at"] = pd.to_datetime(frame["at"], format="ISO8601", utc=True)
        frame["date"] = frame["at"].dt.strftime("%Y-%m-%d")
        awswrangler.s3.to_parquet(
            frame,
            path="s3://measured/events/",
            dataset=True,
            partition_cols=["date"],
            dtype=_TYPES,
            compression="zstd",
            use_threads=False,
            boto3_session=session,
        )
        return list(stored)

    return run


def _read(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(data)
    document["amount"] = Decimal(document["amount"])
    return document


def _respond(request: Any, stored: list[bytes]) -> AWSResponse:
    """Keep an object's bytes and say that it is stored."""
    assert request.method == "PUT", f"{request.method} {request.url} does not write an object"
    body = request.body
    stored.append(body if isinstance(body, bytes) else body.read())
    return AWSResponse(request.url, 200, HTTPHeaders.from_dict({"ETag": "measured"}), _Empty())


class _Empty:
    """The body of S3's response."""

    def stream(self, **_: Any) -> list[bytes]:
        return [b""]

    def read(self, *_: Any, **__: Any) -> bytes:
        return b""

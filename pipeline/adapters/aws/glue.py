"""The catalog of AWS Glue: its client, and what its errors mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import GLUE, Call, translate_errors

_TRIES: Final = 6


def glue_client() -> Any:
    """Return a client whose requests are tried again where Glue is busy. Raises `StoreRefused`."""
    # Not typed: Glue's stubs are not among the tests' requirements.
    return make_client(GLUE, read_timeout=60.0, tries=_TRIES)


@contextlib.contextmanager
def glue_errors(verb: str, where: str) -> Iterator[None]:
    """Turn what botocore raises into a `StoreError` with its sentence."""
    actions = "glue:GetTable, glue:CreateTable and glue:UpdateTable"
    with translate_errors(Call(GLUE, verb, actions, where, "the database and its tables")):
        yield

"""The schema registry of AWS Glue: schema versions by their UUID."""

from __future__ import annotations

from typing import Any, Final

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import GLUE, Call, translate_errors
from pipeline.adapters.registry import Registered

_TRIES: Final = 3


class GlueRegistry:
    """Glue's schema registry of the account and region that the AWS settings name."""

    def __init__(self, region: str | None = None, client: Any = None) -> None:
        """Use `client`, or make one. Nothing is asked for yet. Raises `StoreRefused`."""
        self.url = "glue"
        # Not typed: Glue's stubs are not among the tests' requirements.
        self._client = client or make_client(GLUE, region=region, tries=_TRIES)

    def fetch(self, name: str) -> Registered | None:
        """Return the schema of a version; None where Glue says that there is none.

        Raises `StoreUnavailable` and `StoreRefused`.
        """
        call = Call(GLUE, "read", "glue:GetSchemaVersion", f"the schema version {name}", "*")
        with translate_errors(call):
            try:
                found = self._client.get_schema_version(SchemaVersionId=name)
            except self._client.exceptions.EntityNotFoundException:
                return None
        return Registered(found["SchemaDefinition"], found["DataFormat"])

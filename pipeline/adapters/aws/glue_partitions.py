"""The partitions of tables in Glue's catalog.

A partition has a copy of its table's columns, and Athena shows no others: rows that land in it
after the table has got a new column would be shown without it. So each partition says which columns
it was made for, and is updated when the table has others by now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.adapters.aws.errors import GLUE, Call, translate_errors
from pipeline.core.errors import StoreUnavailable

AT_ONCE: Final = 100
"""How many partitions Glue takes in one request."""
_MADE_FOR: Final = "pipeline.made_for"
"""The parameter of a partition that says which columns it was made for."""
_THERE_ALREADY: Final = "AlreadyExistsException"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition: the values of its keys, and the folder of its objects."""

    values: tuple[str, ...]
    location: str


class GlueTable:
    """A table, as it is when this is made. Raises `StoreError`, as every method does."""

    def __init__(self, database: str, name: str, client: Any) -> None:
        self._client, self._database, self._name = client, database, name
        with translate_errors(self._call("read", "glue:GetTable")):
            found = client.get_table(DatabaseName=database, Name=name)
        self._storage: Any = found["Table"]["StorageDescriptor"]
        read_by = {key: self._storage.get(key) for key in ("Columns", "InputFormat", "SerdeInfo")}
        text = json.dumps(read_by, sort_keys=True)
        self._made_for = hashlib.sha256(text.encode()).hexdigest()[:16]

    def partitions(self) -> Iterator[tuple[Partition, bool]]:
        """Yield what is registered, and whether it was made for the columns of now."""
        call = self._call("list the partitions of", "glue:GetPartitions")
        paginator = self._client.get_paginator("get_partitions")
        pages = iter(
            paginator.paginate(
                DatabaseName=self._database, TableName=self._name, ExcludeColumnSchema=True
            )
        )
        while True:
            with translate_errors(call):
                page = next(pages, None)
            if page is None:
                return
            for found in page["Partitions"]:
                location = found.get("StorageDescriptor", {}).get("Location", "")
                made_for = found.get("Parameters", {}).get(_MADE_FOR)
                yield Partition(tuple(found["Values"]), location), made_for == self._made_for

    def create(self, partitions: Sequence[Partition]) -> None:
        """Register partitions, `AT_ONCE` at most; another run may have done so meanwhile."""
        with translate_errors(self._call("register partitions of", "glue:BatchCreatePartition")):
            response = self._client.batch_create_partition(
                DatabaseName=self._database,
                TableName=self._name,
                PartitionInputList=[self._input(partition) for partition in partitions],
            )
        self._check("register", response.get("Errors", ()), _THERE_ALREADY)

    def update(self, partitions: Sequence[Partition]) -> None:
        """Give registered partitions, `AT_ONCE` at most, the columns that the table has now."""
        with translate_errors(self._call("update partitions of", "glue:BatchUpdatePartition")):
            response = self._client.batch_update_partition(
                DatabaseName=self._database,
                TableName=self._name,
                Entries=[
                    {
                        "PartitionValueList": list(partition.values),
                        "PartitionInput": self._input(partition),
                    }
                    for partition in partitions
                ],
            )
        self._check("update", response.get("Errors", ()))

    def _input(self, partition: Partition) -> Any:
        return {
            "Values": list(partition.values),
            "StorageDescriptor": {**self._storage, "Location": partition.location},
            "Parameters": {_MADE_FOR: self._made_for},
        }

    def _check(self, verb: str, errors: Iterable[Any], harmless: str = "") -> None:
        """Raise for what Glue says of single partitions, whose values are data and not quoted."""
        codes = {error.get("ErrorDetail", {}).get("ErrorCode", "no code") for error in errors}
        if codes := codes - {harmless}:
            message = (
                f"Could not {verb} partitions of {self._database}.{self._name}: Glue answered "
                f"{', '.join(sorted(codes))} for some; the next run tries again, and if that does "
                "not help, look the code up in the documentation of BatchCreatePartition."
            )
            raise StoreUnavailable(message)

    def _call(self, verb: str, action: str) -> Call:
        return Call(GLUE, verb, action, f"{self._database}.{self._name}")

"""Every table that is deployed shows what has landed: by what is registered in Glue, and no more."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import duckdb
import pytest
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from stack import SCHEMAS, Stack, simulated_account
from support import Context, as_json, kinesis_event, order

from pipeline import handlers
from pipeline.core.errors import TablesNotRegistered
from pipeline.samples import SAMPLES_ARRIVED_AT

pytestmark = pytest.mark.xdist_group("infra")

Registered = dict[str, dict[tuple[str, ...], Any]]
"""Of each table, its partitions by their values."""


class Deployed:
    """A stack, and its functions in one process."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch, self.stack = patch, Stack(f"s{uuid.uuid4().hex[:8]}")
        self.output, self.letters = (
            self.stack.ids[name] for name in ("OutputBucket", "DeadLetterBucket")
        )
        self.database = self.stack.outputs["Database"]
        self.glue, self.s3 = boto3.client("glue"), boto3.client("s3")

    def invoke(self, function: str, event: Any) -> Any:
        """Invoke a function's handler with the function's variables."""
        found = self.stack.client("lambda").get_function(FunctionName=self.stack.ids[function])
        variables = found["Configuration"]["Environment"]["Variables"]
        for name, value in (variables | {"PIPELINE_SCHEMAS": str(SCHEMAS)}).items():
            self.patch.setenv(name, value)
        handlers.forget()
        name = found["Configuration"]["Handler"].rpartition(".")[2]
        return getattr(handlers, name)(event, Context(60.0))

    def deliver(self, documents: list[bytes], start: int = 0) -> None:
        arn = f"arn:aws:kinesis:eu-central-1:123456789012:stream/{self.stack.ids['Stream']}"
        event = kinesis_event(documents, arn=arn, start=start, arrived=SAMPLES_ARRIVED_AT)
        assert self.invoke("Function", event) == {"batchItemFailures": []}

    def register(self) -> dict[str, int]:
        done: dict[str, int] = self.invoke("TablesFunction", {})
        return done

    def keys(self, bucket: str, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def body(self, bucket: str, key: str) -> bytes:
        found: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return found

    def registered(self) -> Registered:
        tables = self.glue.get_tables(DatabaseName=self.database)["TableList"]
        return {
            table["Name"]: {
                tuple(found["Values"]): found
                for found in self.glue.get_partitions(
                    DatabaseName=self.database, TableName=table["Name"]
                )["Partitions"]
            }
            for table in tables
        }


@pytest.fixture
def deployed() -> Iterator[Deployed]:
    with simulated_account(), pytest.MonkeyPatch.context() as patch:
        # moto takes a Deny whose condition does not hold, as TlsOnly's, for one that does.
        patch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
        yield Deployed(patch)
    handlers.forget()


# What no dataset takes, and what two of them refuse.
BROKEN = [
    b"{",
    as_json({"@stream": "nobody's"}),
    as_json({"@stream": "clicks"}),
    as_json({"@stream": "orders"}),
]


def lines_of(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines() if line.strip()]


def samples() -> list[bytes]:
    """Return documents of every dataset that is shipped, and broken ones."""
    paths = sorted(SCHEMAS.glob("*/good.ndjson"))
    return [*BROKEN, *(line for path in paths for line in lines_of(path))]


def folders(deployed: Deployed) -> dict[str, dict[tuple[str, ...], str]]:
    """Say of each table by an own reading of the keys where its rows are, by the values."""
    names = {"parquet": "{}", "csv": "{}_csv_text"}
    found: dict[str, dict[tuple[str, ...], str]] = {}
    for key in deployed.keys(deployed.output, "lake/"):
        _, dataset, kind, *levels, _ = key.split("/")
        values = tuple(unquote(level.split("=", 1)[1]) for level in levels)
        place = f"s3://{deployed.output}/{key.rpartition('/')[0]}/"
        found.setdefault(names[kind].format(dataset), {})[values] = place
    for key in deployed.keys(deployed.letters, "dead-letters/"):
        _, folder, day, hour, _ = key.split("/")
        values = (folder, day.removeprefix("date="), hour.removeprefix("hour="))
        place = f"s3://{deployed.letters}/{key.rpartition('/')[0]}/"
        found.setdefault("dead_letters_text", {})[values] = place
    return found


def test_every_table_has_the_partitions_that_have_landed_and_a_second_run_changes_nothing(
    deployed: Deployed,
) -> None:
    deployed.deliver(samples())
    stored = folders(deployed)
    first = deployed.register()
    registered = deployed.registered()
    assert registered.keys() == stored.keys()  # of every table that is deployed, something landed
    assert len(registered) == 9
    for name, places in stored.items():
        shown = {
            values: found["StorageDescriptor"]["Location"]
            for values, found in registered[name].items()
        }
        assert shown == places
    assert first["registered"] == sum(map(len, stored.values()))
    assert (first["tables"], first["updated"], first["unfinished"]) == (9, 0, 0)
    again = deployed.register()
    assert (again["registered"], again["updated"]) == (0, 0)
    assert deployed.registered() == registered


COUNTS = {
    "parquet": "SELECT count(*), count(DISTINCT _sequence_number) FROM read_parquet('{}')",
    "csv": "SELECT count(*), count(DISTINCT _sequence_number) FROM read_csv('{}', all_varchar = true)",
    "gz": "SELECT count(*), count(DISTINCT sequence_number) FROM read_json('{}')",
}


def test_readers_of_the_registered_folders_find_every_row_and_every_dead_letter(
    deployed: Deployed, tmp_path: Path
) -> None:
    deployed.deliver(samples())
    deployed.register()
    found = dict[str, tuple[int, ...]]()
    for name, partitions in deployed.registered().items():
        places = [each["StorageDescriptor"]["Location"] for each in partitions.values()]
        assert len(set(places)) == len(places)
        for place in places:
            bucket, _, prefix = place.removeprefix("s3://").partition("/")
            for number, key in enumerate(deployed.keys(bucket, prefix)):
                file = tmp_path / name / uuid.uuid4().hex / f"{number}.{key.rpartition('.')[2]}"
                file.parent.mkdir(parents=True)
                file.write_bytes(deployed.body(bucket, key))
        kind = file.suffix[1:]
        asked = COUNTS[kind].format(f"{tmp_path}/{name}/*/*.{kind}")
        (count,) = duckdb.connect().execute(asked).fetchall()
        found[name] = count
    sent = {path.parent.name: len(lines_of(path)) for path in SCHEMAS.glob("*/good.ndjson")}
    sent |= {"orders_csv_text": sent["orders"], "dead_letters_text": len(BROKEN)}
    assert found == {name: (count, count) for name, count in sent.items()}


def test_rows_that_come_late_are_shown_too(deployed: Deployed) -> None:
    deployed.deliver(samples())
    deployed.register()
    late = [order(country="AT", placed_at="2026-11-02T00:00:00Z")]
    deployed.deliver([as_json(document) for document in late], start=1_000)
    assert deployed.register()["registered"] == 2  # Parquet and CSV
    shown = deployed.registered()
    for name in ("orders", "orders_csv_text"):
        assert ("2026-11-02", "AT") in shown[name]


def test_a_table_that_got_a_column_shows_it_in_partitions_that_were_there(
    deployed: Deployed,
) -> None:
    deployed.deliver(samples())
    deployed.register()
    table = deployed.glue.get_table(DatabaseName=deployed.database, Name="orders")["Table"]
    keys = ("Name", "StorageDescriptor", "PartitionKeys", "Parameters")
    given = {key: table[key] for key in keys}
    given["StorageDescriptor"]["Columns"].append({"Name": "new", "Type": "string"})
    deployed.glue.update_table(DatabaseName=deployed.database, TableInput=given)
    before = deployed.registered()["orders"]
    done = deployed.register()
    assert (done["registered"], done["updated"]) == (0, len(before))
    for values, found in deployed.registered()["orders"].items():
        assert found["StorageDescriptor"]["Columns"][-1] == {"Name": "new", "Type": "string"}
        location = before[values]["StorageDescriptor"]["Location"]
        assert found["StorageDescriptor"]["Location"] == location
    assert deployed.register()["updated"] == 0


def test_a_table_that_is_missing_is_named_and_keeps_no_other_from_its_rows(
    deployed: Deployed,
) -> None:
    deployed.deliver(samples())
    deployed.glue.delete_table(DatabaseName=deployed.database, Name="clicks")
    with pytest.raises(TablesNotRegistered) as raised:
        deployed.register()
    assert re.fullmatch(
        rf"Could not read {deployed.database}\.clicks: Glue answered EntityNotFoundException \(HTTP 400, .*\); "
        r"check that the database is there, and the region\.",
        str(raised.value),
    )
    stored = folders(deployed)
    del stored["clicks"]
    assert {name: len(found) for name, found in deployed.registered().items()} == {
        name: len(places) for name, places in stored.items()
    }

"""Glue's catalog: pages, what another run did meanwhile, and what Glue refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from pipeline.adapters.aws.glue import glue_client
from pipeline.adapters.aws.glue_partitions import GlueTable, Partition
from pipeline.core.errors import StoreError

STORAGE = {
    "Columns": [{"Name": "n", "Type": "bigint"}],
    "Location": "s3://lake/orders/parquet/",
    "InputFormat": "in",
    "SerdeInfo": {"SerializationLibrary": "serde"},
}
OF_TABLE = {"DatabaseName": "pipeline", "TableName": "orders"}
DE = Partition(("2026-11-23", "DE"), "s3://lake/orders/parquet/date=2026-11-23/by_country=DE/")


@pytest.fixture
def glue(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Stubber]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    client = glue_client()
    with Stubber(client) as stubber:
        yield client, stubber


def opened(client: Any, stubber: Stubber, storage: Any = STORAGE) -> GlueTable:
    found = {"Table": {"Name": "orders", "StorageDescriptor": storage}}
    stubber.add_response("get_table", found, {"DatabaseName": "pipeline", "Name": "orders"})
    return GlueTable("pipeline", "orders", client)


def registered(values: tuple[str, ...], made_for: str | None) -> dict[str, Any]:
    given = {} if made_for is None else {"Parameters": {"pipeline.made_for": made_for}}
    return {"Values": list(values), "StorageDescriptor": {"Location": "s3://x/"}, **given}


def made_for(client: Any, stubber: Stubber, storage: Any = STORAGE) -> str:
    """Return what a partition that is made for these columns says."""
    table = opened(client, stubber, storage)
    given: list[Any] = []
    client.meta.events.register(
        "provide-client-params.glue.BatchCreatePartition",
        lambda params, **_: given.append(params),
    )
    expected = {**OF_TABLE, "PartitionInputList": ANY}
    stubber.add_response("batch_create_partition", {}, expected)
    table.create([DE])
    (partition,) = given[0]["PartitionInputList"]
    assert partition["Values"] == ["2026-11-23", "DE"]
    assert partition["StorageDescriptor"] == {**storage, "Location": DE.location}
    return str(partition["Parameters"]["pipeline.made_for"])


def test_all_pages_are_read_and_partitions_of_other_columns_are_told_apart(
    glue: tuple[Any, Stubber],
) -> None:
    client, stubber = glue
    now = made_for(client, stubber)
    table = opened(client, stubber)
    asked = {**OF_TABLE, "ExcludeColumnSchema": True}
    pages = [[registered(("1",), now), registered(("2",), "other")], [registered(("3",), None)]]
    stubber.add_response("get_partitions", {"Partitions": pages[0], "NextToken": "t"}, asked)
    stubber.add_response("get_partitions", {"Partitions": pages[1]}, {**asked, "NextToken": "t"})
    found = [(partition.values, is_current) for partition, is_current in table.partitions()]
    assert found == [(("1",), True), (("2",), False), (("3",), False)]


@pytest.mark.parametrize(
    "change",
    [
        {"Columns": [{"Name": "n", "Type": "bigint"}, {"Name": "m", "Type": "int"}]},
        {"SerdeInfo": {"SerializationLibrary": "other"}},
    ],
)
def test_other_columns_or_another_reader_make_a_partition_old(
    glue: tuple[Any, Stubber], change: dict[str, Any]
) -> None:
    assert made_for(*glue) != made_for(*glue, STORAGE | change)
    assert made_for(*glue) == made_for(*glue, STORAGE | {"Location": "s3://elsewhere/"})


def failed(code: str, values: str = "PartitionValues") -> dict[str, Any]:
    return {"Errors": [{values: ["secret"], "ErrorDetail": {"ErrorCode": code}}]}


def test_what_another_run_has_registered_meanwhile_is_fine(glue: tuple[Any, Stubber]) -> None:
    table = opened(*glue)
    glue[1].add_response("batch_create_partition", failed("AlreadyExistsException"))
    table.create([DE])
    glue[1].assert_no_pending_responses()


def test_what_glue_refuses_of_single_partitions_is_an_error_without_their_values(
    glue: tuple[Any, Stubber],
) -> None:
    table = opened(*glue)
    glue[1].add_response("batch_create_partition", failed("InternalServiceException"))
    with pytest.raises(StoreError) as raised:
        table.create([DE])
    assert str(raised.value) == (
        "Could not register partitions of pipeline.orders: Glue answered InternalServiceException "
        "for some; the next run tries again, and if that does not help, look the code up in the "
        "documentation of BatchCreatePartition."
    )
    gone = failed("EntityNotFoundException", "PartitionValueList")
    glue[1].add_response("batch_update_partition", gone)
    with pytest.raises(StoreError, match=r"^Could not update partitions of pipeline\.orders: "):
        table.update([DE])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("AccessDeniedException", "grant glue:BatchCreatePartition on it to the role"),
        ("ThrottlingException", "try again later."),
        ("InvalidInputException", "check the request against the documentation of this error code"),
    ],
)
def test_what_glue_refuses_is_a_sentence_that_says_what_to_do(
    glue: tuple[Any, Stubber], code: str, said: str
) -> None:
    table = opened(*glue)
    glue[1].add_client_error("batch_create_partition", code, "no", 400)
    with pytest.raises(StoreError) as raised:
        table.create([DE])
    assert said in str(raised.value)
    assert str(raised.value).startswith("Could not register partitions of pipeline.orders: Glue")

"""A producer with schemas refuses what the consumer would, for the same reason at the same path."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import privacy
import pytest
from support import ROOT, as_json, deliver, kinesis_event, order

from pipeline.adapters.schemas import read_datasets
from pipeline.core.dataset import Dataset
from pipeline.core.errors import DatasetError
from pipeline.core.reasons import Reason
from pipeline.demo.broken import KINDS
from pipeline.demo.documents import Shop
from pipeline.producer import DocumentRefused, Options, Producer, RecordRefused
from pipeline.producer.checks import Check
from pipeline.producer.options import Compression
from pipeline.producer.testing import MemoryStream
from pipeline.samples import _bad_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMAS = ROOT / "schemas"


def refusal(check: Check, payload: bytes) -> tuple[str, str, str | None, int] | None:
    try:
        check(payload, "key")
    except DocumentRefused as refused:
        return refused.reason, refused.path, refused.dataset, refused.document
    return None


def consumed(
    payload: bytes, datasets: tuple[Dataset, ...]
) -> tuple[str, str, str | None, int] | None:
    """Return the first dead letter that the flow makes of a payload; the oracle."""
    event = kinesis_event([payload])
    for record in event["Records"]:
        record["kinesis"]["approximateArrivalTimestamp"] = time.time()
    letters = deliver(event, datasets).letters
    if not letters:
        return None
    first = letters[0]
    return first["reason"], first["path"], first["dataset"], first["document"]


def sample_lines() -> Iterator[bytes]:
    for file in sorted(SCHEMAS.glob("[co]*/good.ndjson")):
        yield from file.read_bytes().splitlines()
    for file in sorted(SCHEMAS.glob("[co]*/bad.ndjson")):
        yield from (payload for _, _, payload in _bad_lines(file))


def test_it_refuses_exactly_what_the_flow_does_of_every_sample_and_of_the_demo() -> None:
    datasets, check = read_datasets(SCHEMAS), Check(SCHEMAS)
    shop = Shop(3)
    # What is large is judged in the tests of the stations.
    broken = (kind.make(shop) for kind in KINDS if not kind.costly)
    found = {each: consumed(each, datasets) for each in {*sample_lines(), *broken}}
    assert {each: refusal(check, each) for each in found} == found
    reasons = {refused[0] for refused in found.values() if refused}
    assert len(reasons) > 25
    assert None in found.values()


def test_what_is_refused_is_not_put() -> None:
    stream = MemoryStream()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Producer(stream, schemas=SCHEMAS) as producer:
        producer.put(order(placed_at=now), "a")
        with pytest.raises(RecordRefused) as refused:
            producer.put(order(placed_at=now, customer={"id": "17"}), "a")
        producer.put(order(placed_at=now, country="FR"), "a")
    assert [document["country"] for document in stream.documents] == ["DE", "FR"]
    assert producer.statistics.put == 2
    error = refused.value
    assert isinstance(error, DocumentRefused)
    assert (error.reason, error.path, error.dataset, error.document) == (
        Reason.WRONG_TYPE,
        "$.customer.id",
        "orders",
        0,
    )
    assert str(error) == (
        "The consumer would refuse the payload of dataset orders: wrong_type at $.customer.id: "
        "Expected an integer, got a string. It was not put."
    )


def test_one_bad_document_has_its_whole_payload_refused() -> None:
    stream = MemoryStream()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    lines = [as_json(order(placed_at=now)), as_json(order(placed_at=now, country="long"))]
    with (
        Producer(stream, schemas=str(SCHEMAS)) as producer,
        pytest.raises(DocumentRefused, match=r"^The consumer would refuse document 1 of the payl"),
    ):
        producer.put(b"\n".join(lines))
    assert stream.records == []


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_it_is_judged_before_it_is_compressed(compression: Compression) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Producer(MemoryStream(), Options(compression=compression), schemas=SCHEMAS) as producer:
        producer.put(order(placed_at=now, coupon="x" * 500))
        with pytest.raises(DocumentRefused, match="pattern_mismatch at"):
            producer.put(order(placed_at=now, country="x" * 500))


def test_values_of_private_fields_are_not_told(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    schema = {"type": "record", "name": "People", "fields": list(privacy.FIELDS)}
    (folder / "1.avsc").write_text(json.dumps(schema), "utf-8")
    (folder / "dataset.toml").write_text('dead_letter_private = "digest"\n', "utf-8")
    document: dict[str, Any] = {"type": "person", "id": 1, "email": privacy.MARK}
    with pytest.raises(DocumentRefused) as refused:
        Check(tmp_path)(as_json(document), privacy.MARK)
    assert refused.value.path == "$.email"
    assert privacy.MARK not in str(refused.value)


def test_schemas_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a directory; it should hold a folder"):
        Producer(MemoryStream(), schemas=tmp_path / "none")


def test_arrow_is_loaded_only_with_schemas() -> None:
    script = (
        "import sys; from pipeline.producer import Producer, AsyncProducer\n"
        "from pipeline.producer.testing import MemoryStream\n"
        "with Producer(MemoryStream()) as producer: producer.put({})\n"
        "print('pyarrow' in sys.modules)\n"
        f"Producer(MemoryStream(), schemas={str(SCHEMAS)!r})\n"
        "print('pyarrow' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == (
        "False\nTrue\n"
    )

"""The producers' page: each of its blocks is run as it stands, against a stream in memory."""

from __future__ import annotations

import re

import pytest
from support import ROOT

from pipeline.producer import producer
from pipeline.producer.testing import MemoryStream

PAGE = (ROOT / "docs" / "producers.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HANDLER = 3  # the block that only defines one


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> MemoryStream:
    stream = MemoryStream("orders")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(producer, "KinesisStream", lambda *_, **__: stream)
    return stream


@pytest.mark.parametrize(
    ("number", "orders", "printed"),
    [
        (0, [7, 8], ""),
        (1, [9, 10], r"stored on shardId-0{12}\nstored as [12]\n"),
        (2, [], r"missing_field at \$\.order_id\n"),
        (HANDLER, [], ""),
        (4, [0, 1, 2], "3 stored\n"),
        (5, [], ""),
    ],
)
def test_a_block_runs_as_it_stands(
    number: int,
    orders: list[int],
    printed: str,
    stream: MemoryStream,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exec(compile(BLOCKS[number], "docs/producers.md", "exec"), {"__name__": "__main__"})
    assert sorted(document["order"] for document in stream.documents) == orders
    assert re.fullmatch(printed, capsys.readouterr().out)


def test_the_function_sends_what_its_event_holds_and_raises_what_failed(
    stream: MemoryStream,
) -> None:
    names: dict[str, object] = {}
    exec(compile(BLOCKS[HANDLER], "docs/producers.md", "exec"), names)
    handler = names["handler"]
    assert callable(handler)
    handler({"orders": [{"customer": "17", "n": 1}, {"customer": "18", "n": 2}]}, None)
    assert [key for key, _ in stream.records] == ["17", "18"]


def test_there_is_no_other_block() -> None:
    assert len(BLOCKS) == PAGE.count("```") // 2 == 6

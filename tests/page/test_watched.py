"""The page beside a demo and a runner: it shows what is in the files, for every kind of bad input."""

from __future__ import annotations

import json
import re
import urllib.request
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import pytest
from support import (
    FAST_PATHS,
    ORDERS,
    PLAIN,
    ROOT,
    Stored,
    as_json,
    kinesis_event,
    letter_payload,
    order,
    report_of,
)

from pipeline.commands.run import _page, _run_on_page
from pipeline.core.routing import Router
from pipeline.demo.broken import KINDS
from pipeline.demo.count import dead_letters
from pipeline.demo.place import Place
from pipeline.demo.watched import run_watched
from pipeline.flow import Pipeline
from pipeline.local import StreamStatus

if TYPE_CHECKING:
    from pathlib import Path


def ask(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=20) as answer:
        return json.load(answer)


def test_the_page_of_the_demo_shows_what_is_in_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found: dict[str, Any] = {}

    def look() -> None:
        said = capsys.readouterr()
        url = re.search(r"Open (\S+) in a browser\.", said.err)
        assert url is not None
        assert "\nbad " in said.out
        words = " ".join(said.out.split())
        assert "objects, as the events were kept small for the page to show." in words
        assert "a GB" not in words
        found["state"] = ask(url[1], "state")
        found["samples"] = [
            (kind["reason"], ask(url[1], f"samples/{kind['number']}"))
            for kind in found["state"]["kinds"]
        ]
        found["datasets"] = ask(url[1], "datasets")

    assert run_watched(400, tmp_path / "demo", 1, port=0, pause=0, until=look) == 0
    letters = list(dead_letters(Place(tmp_path / "demo")))
    state = found["state"]
    assert state["ended"]
    assert (
        state["totals"]["dead_letters"] == len(letters) == sum(k["count"] for k in state["kinds"])
    )
    assert sum(shard["documents"] for shard in state["shards"]) == state["totals"]["documents"]
    assert {kind["reason"] for kind in state["kinds"]} == {kind.reason for kind in KINDS}
    stored = {
        (letter["reason"], letter["sequence_number"], letter["sub_sequence_number"], letter["document"]): letter
        for letter in letters
    }  # fmt: skip
    shown = 0
    for reason, answer in found["samples"]:
        if answer["sample"] is None:  # too large
            continue
        shown += 1
        letter = stored[reason, *answer["sample"]["position"]]
        assert letter["message"] == answer["sample"]["message"]
        assert letter["payload"] == answer["sample"]["payload"]
        assert len(letter_payload(letter)) <= 65_536
    assert shown > 25
    assert [texts["dataset"] for texts in found["datasets"]] == ["clicks", "orders"]


class _Runner:
    """A runner that stores one batch, and then has read everything."""

    def __init__(self) -> None:
        self.status = StreamStatus()

    def run(self) -> None:
        self.status.shard("shardId-000000000003").behind = 1_500

    def stop(self) -> None:
        pass


class _Screen:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.notify = self.said.append

    def show(self, status: StreamStatus) -> None:
        pass


def test_the_page_of_a_runner_stays_when_all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, screen, states = Stored(), _Screen(), list[Any]()
    pipeline = Pipeline(Router([ORDERS]), PLAIN, stored.output, stored.dead_letters, FAST_PATHS)
    options = Namespace(ui=0, schemas=str(ROOT / "schemas"))
    with _page(options, pipeline, "arn:shop", screen.notify) as board:
        assert board is not None
        board.add(report_of(kinesis_event([as_json(order())]), [ORDERS], stored))
        board.notify("shard 3 is unavailable")
        url = screen.said[0].split()[1]
        monkeypatch.setattr("pipeline.page.stay", lambda: states.append(ask(url, "state")))
        _run_on_page(_Runner(), screen, board)  # type: ignore[arg-type]
    (state,) = states
    assert state["ended"]
    assert state["totals"]["rows"] == 1
    assert state["shards"][0]["behind"] == 1_500
    assert state["notices"] == ["shard 3 is unavailable"]
    assert screen.said == [
        f"open {url} in a browser",
        "shard 3 is unavailable",
        "everything is read; the page stays until Ctrl-C",
    ]


def test_there_is_no_page_unless_it_is_asked_for() -> None:
    with _page(Namespace(ui=None), None, "", print) as board:  # type: ignore[arg-type]
        assert board is None

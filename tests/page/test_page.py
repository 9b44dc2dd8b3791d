"""The page of a run, over HTTP: who may ask, what it shows, and that it judges as the handler does."""

from __future__ import annotations

import http.client
import json
import re
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import privacy
import pytest
from support import (
    FAST_PATHS,
    ORDERS,
    PLAIN,
    ROOT,
    SHARD,
    Stored,
    as_json,
    kinesis_event,
    letter_payload,
    order,
)

from pipeline.adapters.privacy_key import protection_for_trials
from pipeline.attempt import Attempt, countdown
from pipeline.core.errors import SettingsError
from pipeline.core.events import read_kinesis_event
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.page import Board, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS = ROOT / "schemas"
SCHEMA = (SCHEMAS / "orders" / "1.avsc").read_text("utf-8")
SETTINGS = (SCHEMAS / "orders" / "dataset.toml").read_text("utf-8")
BAD_ID = order(customer={"id": "17"})
NEGATIVE = order(total="-1")
QUESTION = {"dataset": "orders", "version": 1, "schema": SCHEMA, "settings": SETTINGS}
NOT_JSON = b'{"order_id": '


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Page:
    """A browser, as far as these tests need one."""

    def __init__(self, url: str, board: Board, stored: Stored) -> None:
        self.address = urlsplit(url)
        self.board = board
        self.stored = stored

    def ask(
        self, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> Answer:
        """Ask for a path below the secret one; of a header, _ stands for -."""
        below = self.address.path if token is None else token
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port or 0, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else as_json(body)
        if data is not None:
            sent = {"Content-Type": "application/json"} | sent
        connection.request("GET" if data is None else "POST", below + path, data, sent)
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return answer

    def kind(self, reason: str) -> int:
        """Return the number of the only kind of a reason."""
        (number,) = [k["number"] for k in self.ask("state").json["kinds"] if k["reason"] == reason]
        return int(number)

    def judge(self, **question: Any) -> dict[str, Any]:
        answer = self.ask("judge", QUESTION | question)
        assert answer.status == 200
        found: dict[str, Any] = answer.json
        return found

    def store(self, *records: bytes) -> None:
        """Have a batch stored, and tell the page."""
        batch = read_kinesis_event(kinesis_event(records), fast=FAST_PATHS)
        self.board.add(Attempt(self.board.pipeline, countdown(60), 0.0).process(batch))


def pipeline_of(stored: Stored) -> Pipeline:
    return Pipeline(Router([ORDERS]), PLAIN, stored.output, stored.dead_letters, FAST_PATHS)


@contextmanager
def served() -> Iterator[Page]:
    stored = Stored()
    board = Board("shop", pipeline_of(stored), SCHEMAS)
    with serve(board) as url:
        made = Page(url, board, stored)
        made.store(*map(as_json, (order(), order(), BAD_ID, NEGATIVE)), NOT_JSON)
        yield made


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Serve a page that has been told of one batch."""
    with served() as made:
        yield made


@pytest.fixture
def own_page() -> Iterator[Page]:
    """Serve one for a test that stores more."""
    with served() as made:
        yield made


# ------------------------------------------------------------------------------- who may ask


def test_it_listens_on_this_machine_alone(page: Page) -> None:
    assert page.address.hostname == "127.0.0.1"
    assert len(page.address.path) > 20


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "localhost:9000", "[::1]:80"])
def test_names_of_this_machine_are_its_own(page: Page, host: str) -> None:
    assert page.ask("state", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "192.168.1.2"]
)  # fmt: skip
@pytest.mark.parametrize("path", ["", "state", "samples/0"])
def test_a_name_that_was_rebound_is_refused(page: Page, host: str, path: str) -> None:
    answer = page.ask(path, Host=host)
    assert answer.status == 403
    assert answer.json == {
        "error": "This page is served as http://127.0.0.1 and http://localhost alone."
    }


@pytest.mark.parametrize("token", ["/", "/wrong/", "//", "/%00/", "/%C3%A9/"])
@pytest.mark.parametrize("path", ["", "state", "datasets"])
def test_nothing_is_told_without_the_secret_path(page: Page, token: str, path: str) -> None:
    answer = page.ask(path, token=token)
    assert answer.status == 404
    assert answer.json == {
        "error": "There is no such page: its whole address is where the run was started."
    }


def test_another_page_may_not_ask(page: Page) -> None:
    assert page.ask("state", Origin="http://evil.example").status == 403
    assert page.ask("judge", {}, Origin="null").status == 403
    own = f"http://{page.address.netloc}"
    assert page.ask("state", Origin=own).status == 200


def test_the_page_brings_all_it_needs_and_may_load_nothing_else(page: Page) -> None:
    answer = page.ask("")
    text = answer.body.decode()
    assert re.findall(r"(?:src|href|action)=\S+", text) == ['href="data:,">']
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "/* style */" not in text
    assert "/* script */" not in text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_script_makes_no_markup_of_documents() -> None:
    script = files("pipeline.page").joinpath("page.js").read_text("utf-8")
    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script) == []


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"{}", {"Content_Type": "text/plain"}, 400, "Send JSON, and its length."),
        (b"{}", {"Content_Length": "x"}, 400, "Send JSON, and its length."),
        (b"{}", {"Content_Length": "99999999"}, 413, "That is too much to judge."),
        (b"[", {}, 422, "That is not a question this page asks; load it again."),
        (b"{}", {}, 422, "That is not a question this page asks; load it again."),
        (b"[" * 100_000, {}, 422, "That is not a question this page asks; load it again."),
        (b'{"dataset":"\xff"}', {}, 422, "That is not a question this page asks; load it again."),
    ],
)
def test_what_is_no_question_is_refused(
    page: Page, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = page.ask("judge", body, **headers)
    assert (answer.status, answer.json) == (status, {"error": said})


@pytest.mark.parametrize(
    "path", ["samples/99", "samples/-1", "samples/1/", "..", "judge", "page.js"]
)
def test_what_is_not_there_is_refused(page: Page, path: str) -> None:
    assert page.ask(path).status in {404, 422}


def test_a_port_that_is_taken_is_a_sentence(page: Page) -> None:
    with (
        pytest.raises(SettingsError, match=r"The page cannot be served on port \d+: .*; give ano"),
        serve(page.board, page.address.port or 0),
    ):
        pass


# --------------------------------------------------------------------------------- what it shows


def test_documents_are_rows_and_dead_letters_and_drops(page: Page) -> None:
    state = page.ask("state").json
    totals = state["totals"]
    assert (totals["documents"], totals["rows"], totals["dead_letters"]) == (5, 2, 3)
    assert totals["rows"] == len(page.stored.rows)
    assert totals["dead_letters"] == len(page.stored.letters)
    found = {(k["dataset"], k["reason"], k["path"]): k["count"] for k in state["kinds"]}
    assert found == {
        ("orders", "wrong_type", "$.customer"): 1,
        ("orders", "below_minimum", "$.total"): 1,
        (None, "not_json", "$"): 1,
    }
    assert sum(entry[1] for entry in state["history"]) == 5


def test_nothing_of_a_payload_is_in_what_is_shown_without_a_click(own_page: Page) -> None:
    own_page.store(as_json(order(customer={"id": "QXRZ"}, country="QXRZ")))
    assert b"QXRZ" not in own_page.ask("state").body


def test_each_sample_is_the_dead_letter_that_was_stored(page: Page) -> None:
    letters = {letter["reason"]: letter for letter in page.stored.letters}
    for reason, letter in letters.items():
        answer = page.ask(f"samples/{page.kind(reason)}").json
        sample = answer["sample"]
        assert sample["payload"].encode() == letter_payload(letter)
        assert sample["position"] == [
            letter["sequence_number"],
            letter["sub_sequence_number"],
            letter["document"],
        ]
        assert (sample["message"], sample["path"]) == (letter["message"], letter["path"])
        assert (sample["stage"], sample["shard"]) == (letter["stage"], SHARD)


def test_a_sample_comes_with_the_rule_that_refused_it(page: Page) -> None:
    rule = page.ask(f"samples/{page.kind('below_minimum')}").json["rule"]
    assert json.loads(rule["text"])["name"] == "total"
    lines = SCHEMA.splitlines()[rule["first"] - 1 : rule["last"]]
    assert rule["text"] in "\n".join(lines)
    assert page.ask(f"samples/{page.kind('not_json')}").json["rule"] is None


def test_a_large_sample_is_not_shown(own_page: Page) -> None:
    own_page.store(as_json(order(customer={"id": 1}, coupon="x" * 70_000, country="long")))
    answer = own_page.ask(f"samples/{own_page.kind('pattern_mismatch')}").json
    assert answer["sample"] is None
    assert answer["meaning"] == "A string that its field's pattern does not match."


def test_memory_holds_few_kinds(own_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.page.board._MOST_KINDS", 3)
    own_page.store(as_json(order(country="long")), as_json(order(status="lost")))
    state = own_page.ask("state").json
    assert len(state["kinds"]) == 3
    assert state["other_dead_letters"] == 2


# -------------------------------------------------------------------------------- judged again


def test_a_sample_becomes_a_row_when_the_schema_is_changed(page: Page) -> None:
    kind = page.kind("wrong_type")
    before = page.judge(kind=kind)
    assert (before["rows"], before["dead_letters"]) == (0, 1)
    assert before["shown_letters"][0]["message"] == page.stored.letters[0]["message"]
    changed = SCHEMA.replace('"name": "id", "type": "long", "minimum": 1', '"name": "id", "type": "string"')  # fmt: skip
    assert changed != SCHEMA
    after = page.judge(kind=kind, schema=changed)
    assert (after["rows"], after["dead_letters"]) == (1, 0)
    values = dict(after["shown_rows"][0]["values"])
    assert json.loads(values["customer"])["id"] == "17"
    assert values["_sequence_number"] == page.stored.letters[0]["sequence_number"]
    assert after["shown_rows"][0]["folder"] == "orders/parquet/date=2026-11-23/by_country=DE"
    outcomes = {each["kind"]: each["now"] for each in after["samples"]}
    assert outcomes[kind] == "row"
    assert outcomes[page.kind("not_json")] == "not_json"
    assert "field customer.id was long and is string" in after["advice"][0]


def test_nothing_is_stored_by_judging(page: Page) -> None:
    before = page.stored.objects
    state = page.ask("state").json["totals"]
    page.judge(kind=page.kind("wrong_type"), document=json.dumps(order()))
    assert page.stored.objects == before
    assert page.ask("state").json["totals"] == state


def test_a_document_of_ones_own_is_judged(page: Page) -> None:
    judged = page.judge(document=json.dumps(order(total="12.50")))
    assert dict(judged["shown_rows"][0]["values"])["total"] == "12.50"
    judged = page.judge(document="[1]")
    assert [letter["reason"] for letter in judged["shown_letters"]] == ["not_object"]
    assert page.ask("judge", as_json({**QUESTION, "document": "?"}).replace(b"?", b"\\ud800")).status == 422  # fmt: skip


def test_no_document_is_no_verdict(page: Page) -> None:
    assert "rows" not in page.judge()


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"schema": "{"}, "schemas/orders/1.avsc is not JSON"),
        ({"schema": "[" * 50_000}, "schemas/orders/1.avsc"),
        ({"settings": "x = 1"}, "schemas/orders/dataset.toml: unknown setting 'x'"),
        ({"dataset": "../../etc"}, "a dataset's name is a lower-case letter"),
        ({"schema": SCHEMA.replace("^[A-Z]{2}$", "(")}, "schemas/orders/1.avsc, field country"),
    ],
)
def test_what_cannot_be_used_is_said_as_at_the_start(
    page: Page, question: dict[str, Any], said: str
) -> None:
    assert said in page.judge(**question)["fault"]


# ------------------------------------------------------------------------------------ privacy


@pytest.mark.parametrize("how", ["encrypt", "digest"])
def test_private_fields_are_private_here_too(how: str, tmp_path: Path) -> None:
    made = privacy.datasets(how)
    stored = Stored()
    board = Board("people", privacy.pipeline_of(stored, made), tmp_path)
    document = {"type": "person", "id": "no", "email": f"{privacy.MARK}@x", "name": privacy.MARK}
    with serve(board) as url:
        page = Page(url, board, stored)
        page.store(
            as_json(document),
            as_json(document | {"id": 1, "email": privacy.MARK}),
            f'{{"type":"person","email":"{privacy.MARK}"'.encode(),
        )
        answers = [page.ask("state").body]
        state = page.ask("state").json
        assert len(state["kinds"]) == 3
        answers += [page.ask(f"samples/{kind['number']}").body for kind in state["kinds"]]
        schema = {"type": "record", "name": "T", "fields": [{"name": "email", "type": "string"}]}
        settings = '[match]\nfield = "type"\nequals = "person"\n'
        for kind in state["kinds"]:
            question = {"dataset": "people", "version": 1, "schema": json.dumps(schema)}
            answer = page.ask("judge", question | {"settings": settings, "kind": kind["number"]})
            assert answer.status == 200
            answers.append(answer.body)
    assert [body for body in answers if privacy.MARK.encode() in body] == []
    assert b'"redacted":["$.email"' in b"".join(answers)


def test_a_schema_may_become_private_in_the_editor(page: Page) -> None:
    changed = SCHEMA.replace('"name": "country", "type": "string"', '"name": "country", "type": "string", "privacy": "mask"')  # fmt: skip
    judged = page.judge(document=json.dumps(order()), schema=changed, settings='\n[match]\nfield = "@stream"\nequals = "orders"\n')  # fmt: skip
    assert dict(judged["shown_rows"][0]["values"])["country"] == "***"
    assert protection_for_trials([ORDERS]) is None

"""The switch for the fast paths: with it off, nothing of them is called, and all is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support import Function, Stored, as_json, kinesis_event, order

from pipeline.core import convert, events, kpl, payload, routing
from pipeline.core.errors import SettingsError
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.parts import Parts
from pipeline.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT = {
    "PIPELINE_OUTPUT": "file:///lake",
    "PIPELINE_DEAD_LETTERS": "file:///dead",
    "PIPELINE_SCHEMAS": "schemas",
}
FAST = [
    (events, "_fast_records"),
    (kpl, "_fast_unaggregated"),
    (kpl, "fast_parse"),
    (payload, "_text_of_documents"),
    (Parts, "add_run"),
    (routing.Router, "_fast_find"),
    (convert, "_fast_columns"),
]
PLAIN_RECORDS = [as_json(order()), as_json(order(total="x"))]
AGGREGATES = [aggregate([UserRecord("a", record) for record in PLAIN_RECORDS])]
ODD_RECORDS = [*PLAIN_RECORDS, b"[]\n{}"]
# Together these come by every fast path.
EVENTS = [PLAIN_RECORDS, AGGREGATES, ODD_RECORDS]


def stored(function: Function, records: list[bytes]) -> Stored:
    """Return what the function stores of an event, having checked that it says so."""
    function.stored = Stored()
    assert function(kinesis_event(records)) == {"batchItemFailures": []}
    return function.stored


@pytest.mark.parametrize("name", ["PIPELINE_FAST_PATHS", "PIPELINE_COLUMNAR"])
def test_with_the_switch_off_no_fast_path_is_taken(
    function: Function, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIPELINE_FAST_PATHS", raising=False)
    taken = set[str]()

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **options: Any) -> Any:
            taken.add(name)
            return call(*args, **options)

        return note

    for owner, attribute in FAST:
        monkeypatch.setattr(owner, attribute, noted(attribute, getattr(owner, attribute)))
    fast = [stored(function, records).objects for records in EVENTS]
    assert taken == {attribute for _, attribute in FAST}, "a fast path that nothing here comes by"

    taken.clear()
    monkeypatch.setenv(name, "off")
    assert [stored(function, records).objects for records in EVENTS] == fast
    assert taken == set()


def test_the_switch_is_on_or_off() -> None:
    def of(**switches: str) -> bool:
        return Settings.from_environment(ENVIRONMENT | switches).fast_paths

    assert of()
    assert of(PIPELINE_FAST_PATHS="on", PIPELINE_COLUMNAR="off")
    assert not of(PIPELINE_FAST_PATHS="off", PIPELINE_COLUMNAR="on")
    assert not of(PIPELINE_COLUMNAR="off")
    for name in ("PIPELINE_FAST_PATHS", "PIPELINE_COLUMNAR"):
        with pytest.raises(SettingsError, match=f'^{name} is \'no\'; give "on" or "off".$'):
            of(**{name: "no"})

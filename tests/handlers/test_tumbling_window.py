"""A mapping with a tumbling window: its events are stored like any, and get their state back.

The shapes are those of Lambda's guide ("Implementing stateful Kinesis Data Streams processing in
Lambda"): a response without `state` counts there as a failed invocation.
"""

from __future__ import annotations

from typing import Any

import pytest
from support import FaultyStore, Function, Stored, as_json, kinesis_event, order, sequence_number

from pipeline.core.errors import EventError, StoreUnavailable
from pipeline.core.events import ends_window, state_of_window

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/lambda-stream"


def windowed(event: dict[str, Any], state: Any, *, last: bool = False) -> dict[str, Any]:
    """Return an event as Lambda delivers it within a window."""
    return {
        **event,
        "window": {"start": "2026-11-23T12:00:00Z", "end": "2026-11-23T12:02:00Z"},
        "state": state,
        "shardId": "shardId-000000000006",
        "eventSourceARN": ARN,
        "isFinalInvokeForWindow": last,
        "isWindowTerminatedEarly": False,
    }


@pytest.mark.parametrize("state", [{}, {"1": 282, "2": 715}])
@pytest.mark.parametrize("last", [False, True])
def test_a_batch_of_a_window_is_stored_and_gets_its_state_back(
    function: Function, state: dict[str, int], *, last: bool
) -> None:
    """The state is the window's; nothing here adds to it."""
    event = kinesis_event([as_json(order())])
    response = function(windowed(event, state, last=last))
    assert response == {"batchItemFailures": [], "state": state}
    rows = [dict(row) for row in function.stored.rows]
    assert len(rows) == 1
    function.stored = Stored()
    assert function(event) == {"batchItemFailures": []}
    assert [dict(row) for row in function.stored.rows] == rows


def test_the_end_of_a_window_without_records_is_no_error(function: Function) -> None:
    """Lambda invokes once more when a window ends, whether there are records or not."""
    events: list[dict[str, Any]] = [{"Records": []}, {"Records": None}, {}]
    for event in events:
        response = function(windowed(event, {"1": 282}, last=True))
        assert response == {"batchItemFailures": [], "state": {"1": 282}}
    assert not function.stored.rows
    assert not function.stored.letters


def test_a_window_without_a_state_yet_gets_an_empty_one(function: Function) -> None:
    """Lambda wants the member, whatever is in it."""
    event = windowed(kinesis_event([as_json(order())]), None)
    assert function(event) == {"batchItemFailures": [], "state": {}}
    del event["state"]
    assert function(event) == {"batchItemFailures": [], "state": {}}


def test_a_batch_that_was_not_stored_comes_again_with_its_state(function: Function) -> None:
    """A failure is reported as without a window."""

    def away(_: int) -> None:
        raise StoreUnavailable("Away; try again.")

    function.stored = Stored(output=FaultyStore(away))
    response = function(windowed(kinesis_event([as_json(order())]), {"1": 1}), seconds=0.5)
    failures = [{"itemIdentifier": sequence_number(0)}]
    assert response == {"batchItemFailures": failures, "state": {"1": 1}}


@pytest.mark.parametrize("records", [[], None, {}, "x"])
def test_other_events_without_records_are_still_refused(function: Function, records: Any) -> None:
    """Without a window, an event that holds no record is of something else."""
    with pytest.raises(EventError, match="The event holds no Kinesis records"):
        function({"Records": records})
    with pytest.raises(EventError, match="The event holds no Kinesis records"):
        function(windowed({"Records": {"a": 1}}, {}))


@pytest.mark.parametrize("event", [None, [], "state", 1])
def test_what_is_no_event_has_no_window(event: Any) -> None:
    """Whatever invokes the handler, the sentence is that of the reader of events."""
    assert state_of_window(event) == {}
    assert not ends_window(event)

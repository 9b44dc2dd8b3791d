"""Conservation: whatever a station loses or doubles, the batch is not answered as stored.

The losses are planted one at a time, and the batch comes in as it does for a user: by the handler,
or by a redrive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support import (
    FAST_PATHS,
    ORDERS,
    Function,
    Stored,
    as_json,
    batch_of,
    kinesis_event,
    order,
)

from pipeline import flow, opening, storing
from pipeline.core.errors import ConservationError
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.layout import ARCHIVE, ObjectKeys
from pipeline.core.letter_lines import encode_dead_letters
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Limits, Partition, Provenance, Reject, Rows, Violation
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.redrive import redrive_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[[], None]
    Plant = Callable[[pytest.MonkeyPatch], None]

COUNTRIES = ("DE", "FR", "IT", "ES")
GOOD = [as_json(order(country=country)) for country in COUNTRIES]
UNFIT = as_json(order(total="x"))
AGGREGATE = aggregate([UserRecord("a", document) for document in [*GOOD, UNFIT]])
PLAIN = as_json(order(country="PT"))


# ------------------------------------------------------------------------------- what is run


def handled(stored: Stored, function: Function) -> None:
    """Hand the function an aggregate of five documents, one unfit, behind one plain record."""
    function.stored = stored
    assert function(kinesis_event([PLAIN, AGGREGATE])) == {"batchItemFailures": []}


def redriven(stored: Stored, _: Function) -> None:
    """Redrive a stream record, a user record of two documents, and two documents."""
    batch = batch_of(AGGREGATE, b"\n".join([PLAIN, PLAIN]), GOOD[0], UNFIT)
    origins = Provenance(batch)
    rejects = [
        Reject(origins, origins.add(number, 0, 0, "a"), stage, Violation(reason, ""), record.data)
        for number, (record, (stage, reason)) in enumerate(
            zip(
                batch.records,
                [
                    (RejectStage.AGGREGATE, Reason.KPL_CHECKSUM),
                    (RejectStage.PAYLOAD, Reason.UNPACKED_TOO_LARGE),
                    (RejectStage.CONVERT, Reason.UNKNOWN_FIELD),
                    (RejectStage.CONVERT, Reason.WRONG_TYPE),
                ],
                strict=True,
            )
        )
    ]
    key = ObjectKeys(batch).dead_letters("orders", "date=2026-11-23/hour=09", 0)
    stored.dead_letters.put(key, encode_dead_letters(rejects))
    pipeline = Pipeline(Router([ORDERS]), Limits(), stored.output, stored.dead_letters, FAST_PATHS)
    redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)


RUNS = {"kinesis": handled, "redrive": redriven}
EXPECTED = {"kinesis": (5, 1), "redrive": (7, 2)}


# ---------------------------------------------------------------------------- what is planted


def changed(name: str, change: Callable[[Any], Any], owner: Any) -> Plant:
    """Change what a station returns."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        station = getattr(owner, name)

        def changing(*args: Any, **options: Any) -> Any:
            return change(station(*args, **options))

        monkeypatch.setattr(owner, name, changing)

    return plant


def drop_units(chunk: Chunk, count: int, *, traceless: bool) -> None:
    """Drop the last user records; `traceless` ones have never had a position."""
    columns: list[Any] = [chunk.unit, chunk.payloads]
    if traceless:
        origins = chunk.provenance
        columns += [origins.record, origins.sub, origins.document, origins.partition_key]
    for column in columns:
        del column[len(column) - count :]


def last_user_record(result: Any) -> Any:
    drop_units(result[0], 1, traceless=False)
    return result


def last_user_record_without_a_trace(result: Any) -> Any:
    drop_units(result[0], 1, traceless=True)
    return result


def last_stream_record(result: Any) -> Any:
    chunk = result[0]
    last = chunk.provenance.record[-1]
    drop_units(chunk, list(chunk.provenance.record).count(last), traceless=False)
    return result


def last_stream_record_without_a_trace(result: Any) -> Any:
    chunk = result[0]
    last = chunk.provenance.record[-1]
    drop_units(chunk, list(chunk.provenance.record).count(last), traceless=True)
    return result


def user_record_doubled(result: Any) -> Any:
    chunk = result[0]
    chunk.unit.append(chunk.unit[-1])
    chunk.payloads.append(chunk.payloads[-1])
    return result


def user_record_doubled_with_a_place_of_its_own(result: Any) -> Any:
    chunk, origins = result[0], result[0].provenance
    chunk.unit.append(origins.add(origins.record[-1], origins.sub[-1] + 1, 0, "a"))
    chunk.payloads.append(chunk.payloads[-1])
    return result


def without_last(chunk: Chunk) -> Chunk:
    return chunk.take(range(len(chunk) - 1))


def document_of_a_payload(parts: Iterator[Any]) -> Iterator[Any]:
    for documents, rejects in parts:
        yield without_last(documents), rejects


def every_part(_: Iterator[Any]) -> Iterator[Any]:
    return iter(())


def document_checked_again(parts: Iterator[Any]) -> Iterator[Any]:
    for documents, rejects in parts:
        yield without_last(documents), rejects


def document_routed(result: Any) -> Any:
    parts, rejects = result
    return [(dataset, without_last(chunk)) for dataset, chunk in parts], rejects


def document_routed_twice(result: Any) -> Any:
    parts, rejects = result
    again = [(dataset, chunk.take([*range(len(chunk)), 0])) for dataset, chunk in parts]
    return again, rejects


def last_row(result: tuple[Rows, list[Reject]]) -> Any:
    rows, rejects = result
    return rows.slice(0, len(rows) - 1), rejects


def every_reject(result: Any) -> Any:
    return result[0], []


def last_partition(result: Any) -> Any:
    return result[0][:-1], result[1]


def first_partition_under_two_paths(result: Any) -> Any:
    partitions, rejects = result
    return [
        *partitions,
        *(Partition("by_country=XX", partition.rows) for partition in partitions[:1]),
    ], rejects


def every_dead_letter(_: Iterator[Any]) -> Iterator[Any]:
    return iter(())


PLANTED: dict[str, Plant] = {
    f"{name}: {change.__name__}": changed(name, change, owner)
    for owner, name, change in (
        (opening, "deaggregate", last_user_record),
        (opening, "deaggregate", last_user_record_without_a_trace),
        (opening, "deaggregate", last_stream_record),
        (opening, "deaggregate", last_stream_record_without_a_trace),
        (opening, "deaggregate", user_record_doubled),
        (opening, "deaggregate", user_record_doubled_with_a_place_of_its_own),
        (opening, "unpack_payloads", document_of_a_payload),
        (opening, "unpack_payloads", every_part),
        (Router, "route", document_routed),
        (Router, "route", document_routed_twice),
        (flow, "convert", last_row),
        (flow, "convert", every_reject),
        (flow, "check_rules", last_row),
        (flow, "split", last_partition),
        (flow, "split", first_partition_under_two_paths),
        (storing, "group_by_arrival_hour", every_dead_letter),
    )
}
ONLY_REDRIVEN = {
    "check_documents: document_checked_again": changed(
        "check_documents", document_checked_again, opening
    )
}


# ------------------------------------------------------------------------------------ the law


@pytest.mark.parametrize("run", RUNS)
def test_a_batch_of_which_nothing_is_lost_is_stored(run: str, function: Function) -> None:
    stored = Stored()
    RUNS[run](stored, function)
    for key in stored.dead_letters.list():
        if key.startswith(ARCHIVE):
            stored.dead_letters.delete(key)
    assert (len(stored.rows), len(stored.letters)) == EXPECTED[run]


@pytest.mark.parametrize(
    ("run", "planted"),
    [(run, planted) for run in RUNS for planted in PLANTED]
    + [("redrive", planted) for planted in ONLY_REDRIVEN],
)
def test_a_planted_loss_is_found(
    run: str, planted: str, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    (PLANTED | ONLY_REDRIVEN)[planted](monkeypatch)
    with pytest.raises(ConservationError):
        RUNS[run](Stored(), function)

"""Properties over generated datasets and documents, valid and not, beside other readers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

from generated import broken
from generated.documents import Document, documents
from generated.faults import Wrong, wrong_documents
from generated.oracle import Oracle
from generated.readers import csv_row, csv_rows, exactly, folders_of, found_folders, parquet_rows
from generated.schemas import Made, datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Stored, as_switched, deliver, kinesis_event, sequence_number

from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.errors import DatasetError

Rows = dict[str, dict[str, Any]]


Drawn = TypeVar("Drawn")
# A schema is a rarer thing than a value: it takes more examples to see one of each kind.
MORE = settings(max_examples=max(180, settings().max_examples))


def several(draw: st.DrawFn, one: st.SearchStrategy[Drawn], most: int) -> list[Drawn]:
    """Draw half of `most` on average, where a strategy of lists would stop sooner."""
    return [draw(one) for _ in range(draw(st.integers(1, most)))]


@st.composite
def made_with(draw: st.DrawFn) -> tuple[Made, list[Document]]:
    """Draw a dataset and documents that it takes."""
    made = draw(datasets())
    return made, several(draw, documents(made), most=20)


@st.composite
def made_with_wrong(draw: st.DrawFn) -> tuple[Made, list[Document | Wrong]]:
    """Draw a dataset and documents of which it takes some."""
    made = draw(datasets())
    wrong = wrong_documents(made)
    return made, several(draw, documents(made) | wrong | wrong | wrong, most=40)


def delivered(made: Made, payloads: Sequence[bytes]) -> Stored:
    """Deliver payloads, each in its own stream record."""
    return deliver(kinesis_event(payloads), [made.dataset])


def assert_rows(stored: Stored, made: Made, rows: Rows) -> None:
    """Both formats hold exactly these rows, by sequence number."""
    assert exactly(parquet_rows(stored, made)) == exactly(rows)
    said = {number: csv_row(made, row) for number, row in rows.items()}
    assert exactly(csv_rows(stored, made)) == exactly(said)


@MORE
@given(made_with())
def test_valid_documents_become_the_rows_that_other_readers_read(
    given: tuple[Made, list[Document]],
) -> None:
    made, drawn = given
    stored = delivered(made, [of.payload for of in drawn])
    assert not stored.letters
    rows = {sequence_number(at): of.row for at, of in enumerate(drawn)}
    assert_rows(stored, made, rows)
    folders = {number: folders_of(made, row) for number, row in rows.items()}
    assert found_folders(stored) == folders


@MORE
@given(made_with_wrong())
def test_a_fault_is_told_by_its_reason_and_path_and_costs_nobody_else(
    given: tuple[Made, list[Document | Wrong]],
) -> None:
    made, drawn = given
    stored = delivered(made, [of.payload for of in drawn])
    numbered = {sequence_number(at): of for at, of in enumerate(drawn)}
    told = {of["sequence_number"]: (of["reason"], of["path"]) for of in stored.letters}
    wrong = {number: of for number, of in numbered.items() if isinstance(of, Wrong)}
    assert told == {number: (of.reason, of.path) for number, of in wrong.items()}
    good = {number: of.row for number, of in numbered.items() if isinstance(of, Document)}
    assert_rows(stored, made, good)


@st.composite
def made_with_edited(draw: st.DrawFn) -> tuple[Made, list[bytes]]:
    """Draw a dataset, and documents of one line each with anything done to them."""
    made = draw(datasets())
    payloads = several(draw, broken.nearly(made), most=40)
    return made, [payload for payload in payloads if payload.strip(b" \t\r\n")]


@MORE
@given(made_with_edited())
def test_whatever_is_done_to_a_document_it_is_what_the_oracle_says(
    given: tuple[Made, list[bytes]],
) -> None:
    made, payloads = given
    if not payloads:
        return
    stored = delivered(made, payloads)
    oracle = Oracle(made)
    verdicts = {sequence_number(at): oracle.judge(of) for at, of in enumerate(payloads)}
    told = {of["sequence_number"]: of["reason"] for of in stored.letters}
    rows = {number: of for number, of in verdicts.items() if isinstance(of, dict)}
    assert told.keys() == verdicts.keys() - rows.keys()
    no_json = {number for number, of in verdicts.items() if of == "not_json"}
    told_so = {number for number, reason in told.items() if reason == "not_json"}
    too_deep = {number for number, reason in told.items() if reason == "too_deep"}
    assert told_so <= no_json <= told_so | too_deep  # the depth is looked at first
    assert_rows(stored, made, rows)


@st.composite
def broken_texts(draw: st.DrawFn) -> tuple[str, str, list[Document]]:
    """Draw a schema and a dataset.toml, one or both of them broken, and documents for the whole."""
    made, drawn = draw(made_with())
    what = draw(st.sampled_from(("schema", "schema", "configuration", "both")))
    schema = made.schema_text if what == "configuration" else draw(broken.broken_schemas(made))
    config = made.config_text if what == "schema" else draw(broken.configurations(made))
    return schema, config, drawn


def parsed(schema: str, config: str) -> Dataset | str:
    """Make a dataset of texts, or tell why there is none."""
    try:
        return as_switched(parse_dataset("things", {1: schema}, config))
    except DatasetError as error:
        return str(error)


@MORE
@given(broken_texts())
def test_a_broken_schema_or_configuration_is_used_or_refused_in_a_sentence(
    given: tuple[str, str, list[Document]],
) -> None:
    schema, config, drawn = given
    dataset = parsed(schema, config)
    if isinstance(dataset, str):
        assert re.match(r"schemas/things/(1\.avsc|dataset\.toml)\b", dataset)
        assert dataset.endswith(".")
        return
    stored = deliver(kinesis_event([of.payload for of in drawn]), [dataset])
    if "parquet" in dataset.formats:
        assert len(stored.rows) + len(stored.letters) == len(drawn)

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

from pipeline.core import foreign
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.framing import split_documents

Rows = dict[str, dict[str, Any]]


Drawn = TypeVar("Drawn")
# A schema is a rarer thing than a value: it needs more examples to see one of each kind.
MORE = settings(max_examples=max(180, settings().max_examples))


def several(draw: st.DrawFn, one: st.SearchStrategy[Drawn], most: int) -> list[Drawn]:
    """Draw half of `most` on average; a strategy of lists would stop sooner."""
    return [draw(one) for _ in range(draw(st.integers(1, most)))]


@st.composite
def made_with(draw: st.DrawFn) -> tuple[Made, list[Document]]:
    """Draw a dataset and documents that it accepts."""
    made = draw(datasets())
    return made, several(draw, documents(made), most=20)


@st.composite
def made_with_wrong(draw: st.DrawFn) -> tuple[Made, list[Document | Wrong]]:
    """Draw a dataset and documents of which it accepts some."""
    made = draw(datasets())
    wrong = wrong_documents(made)
    return made, several(draw, documents(made) | wrong | wrong | wrong, most=40)


def delivered(made: Made, payloads: Sequence[bytes]) -> Stored:
    """Deliver payloads, each in its own stream record."""
    return deliver(kinesis_event(payloads), [made.dataset])


def assert_rows(stored: Stored, made: Made, rows: Rows) -> None:
    """Assert that both formats hold exactly these rows, by sequence number."""
    assert exactly(parquet_rows(stored, made)) == exactly(rows)
    cells = {number: csv_row(made, row) for number, row in rows.items()}
    assert exactly(csv_rows(stored, made)) == exactly(cells)


@MORE
@given(made_with())
def test_valid_documents_become_the_rows_that_other_readers_read(
    given: tuple[Made, list[Document]],
) -> None:
    """Other readers find in Parquet and CSV exactly the rows that were drawn."""
    made, drawn = given
    stored = delivered(made, [document.payload for document in drawn])
    assert not stored.letters
    rows = {sequence_number(index): document.row for index, document in enumerate(drawn)}
    assert_rows(stored, made, rows)
    folders = {number: folders_of(made, row) for number, row in rows.items()}
    assert found_folders(stored) == folders


@MORE
@given(made_with_wrong())
def test_a_violation_is_reported_by_reason_and_path_and_costs_no_other_document(
    given: tuple[Made, list[Document | Wrong]],
) -> None:
    """Law 3: a wrong document gets its reason and path, and every other document its row."""
    made, drawn = given
    stored = delivered(made, [document.payload for document in drawn])
    numbered = {sequence_number(index): document for index, document in enumerate(drawn)}
    found = {
        letter["sequence_number"]: (letter["reason"], letter["path"]) for letter in stored.letters
    }
    wrong = {
        number: document for number, document in numbered.items() if isinstance(document, Wrong)
    }
    assert found == {number: (document.reason, document.path) for number, document in wrong.items()}
    good = {
        number: document.row
        for number, document in numbered.items()
        if isinstance(document, Document)
    }
    assert_rows(stored, made, good)


@st.composite
def made_with_edited(draw: st.DrawFn) -> tuple[Made, list[bytes]]:
    """Draw a dataset, and documents of one line each, with arbitrary edits."""
    made = draw(datasets())
    payloads = several(draw, broken.nearly(made), most=40)
    return made, [payload for payload in payloads if is_one_document(payload)]


def is_one_document(payload: bytes) -> bool:
    """Whether a payload is one document or none, which is all that the oracle reads."""
    documents = [document for _, document in split_documents(payload).documents]
    return documents in ([payload], [payload.strip(b" \t\r\n")])


NO_JSON_EITHER = {"too_deep", "other_format"} | {reason.value for _, reason, _ in foreign._KINDS}


@MORE
@given(made_with_edited())
def test_any_edited_document_becomes_what_the_oracle_says(
    given: tuple[Made, list[bytes]],
) -> None:
    """The verdict on any edited document is the oracle's: the same row, or a dead letter."""
    made, payloads = given
    if not payloads:
        return
    stored = delivered(made, payloads)
    oracle = Oracle(made)
    verdicts = {
        sequence_number(index): oracle.judge(payload) for index, payload in enumerate(payloads)
    }
    reasons = {letter["sequence_number"]: letter["reason"] for letter in stored.letters}
    rows = {number: verdict for number, verdict in verdicts.items() if isinstance(verdict, dict)}
    assert reasons.keys() == verdicts.keys() - rows.keys()
    by_oracle = {number for number, verdict in verdicts.items() if verdict == "not_json"}
    not_json = {number for number, reason in reasons.items() if reason == "not_json"}
    # The depth is checked first; and what begins like another format is given that one's name.
    otherwise = {number for number, reason in reasons.items() if reason in NO_JSON_EITHER}
    assert not_json <= by_oracle <= not_json | otherwise
    assert_rows(stored, made, rows)


@st.composite
def broken_texts(draw: st.DrawFn) -> tuple[str, str, list[Document]]:
    """Draw a schema and a dataset.toml, one or both of them broken, and documents for the whole."""
    made, drawn = draw(made_with())
    broken_part = draw(st.sampled_from(("schema", "schema", "configuration", "both")))
    schema = (
        made.schema_text if broken_part == "configuration" else draw(broken.broken_schemas(made))
    )
    config = made.config_text if broken_part == "schema" else draw(broken.configurations(made))
    return schema, config, drawn


def parsed(schema: str, config: str) -> Dataset | str:
    """Make a dataset of texts, or return why that fails."""
    try:
        return as_switched(parse_dataset("things", {1: schema}, config))
    except DatasetError as error:
        return str(error)


@MORE
@given(broken_texts())
def test_a_broken_schema_or_configuration_is_used_or_refused_in_a_sentence(
    given: tuple[str, str, list[Document]],
) -> None:
    """Any schema and configuration is either usable or refused in a sentence that names its file."""
    schema, config, drawn = given
    dataset = parsed(schema, config)
    if isinstance(dataset, str):
        assert re.match(r"schemas/things/(1\.avsc|dataset\.toml)\b", dataset)
        assert dataset.endswith(".")
        return
    stored = deliver(kinesis_event([document.payload for document in drawn]), [dataset])
    if "parquet" in dataset.formats:
        assert len(stored.rows) + len(stored.letters) == len(drawn)

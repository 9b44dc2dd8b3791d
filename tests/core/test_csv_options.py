"""What `[csv]` of dataset.toml changes in the files, and nothing beside it, by other readers."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import Stored, as_json, dataset, deliver, kinesis_event

from pipeline.authoring.ddl import DIALECTS, statements
from pipeline.core.csv_options import CsvOptions
from pipeline.core.dataset import Dataset
from pipeline.core.errors import DatasetError
from pipeline.core.formats import Format
from pipeline.core.layout import is_pipeline_key

FIELDS: list[dict[str, Any]] = [
    {"name": "text", "type": ["null", "string"]},
    {
        "name": "inner",
        "type": {
            "type": "record",
            "name": "Inner",
            "fields": [{"name": "note", "type": "string"}, {"name": "number", "type": "double"}],
        },
    },
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9}},
    {"name": "data", "type": "bytes"},
    {"name": "notes", "type": {"type": "array", "items": "string"}},
]
ALL = 'byte_order_mark = true\nformula_guard = true\ncompression = "gzip"\nnul = "remove"\n'


def things(options: str, formats: str = '["parquet", "csv"]') -> Dataset:
    """Return a dataset with these options."""
    return dataset(*FIELDS, config=f"formats = {formats}\n[csv]\n{options}")


def document(text: str | None, note: str = "") -> dict[str, Any]:
    """Return a document whose other values begin like formulas, too."""
    return {
        "text": text,
        "inner": {"note": note, "number": -1.5},
        "amount": -7,
        "data": "+/+/",
        "notes": ["=1", "\0"],
    }


def csv_of(stored: Stored) -> tuple[str, bytes]:
    """Return the key and the bytes of the one CSV file."""
    ((key, body),) = [item for item in stored.output.objects.items() if "/csv/" in item[0]]
    return key, body


def cells_of(body: bytes) -> list[dict[str, str]]:
    """Read a file with Python's reader."""
    return list(csv.DictReader(io.StringIO(body.decode("utf-8"), newline="")))


def expected(text: str, options: CsvOptions) -> str:
    """Say what a text is to be, character by character."""
    if options.nul != "keep":
        text = "".join(
            ("" if options.nul == "remove" else "�") if ord(one) == 0 else one for one in text
        )
    guarded = options.formula_guard and text and text[0] in "=+-@\t\r\n\0＝＋－＠"
    return f"'{text}" if guarded else text


TEXTS = st.text(max_size=8) | st.builds(
    "".join, st.lists(st.sampled_from([*"=+-@\t\r\n\0'\"a,＝＠", "=1+2"]), max_size=4)
)


@given(
    st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["none", "gzip"]),
    st.sampled_from(["keep", "remove", "replace"]),
)
@example([("=1+2", "\0-1"), ("'=", "a=b")], True, True, "gzip", "remove")
def test_options_change_what_they_say(
    texts: list[tuple[str, str]], mark: bool, guard: bool, compression: Any, nul: Any
) -> None:
    """Each option alone and with the others; numbers, base64, JSON and Parquet stay as they are."""
    options = CsvOptions(mark, guard, compression, nul)
    made = things(
        f"byte_order_mark = {str(mark).lower()}\nformula_guard = {str(guard).lower()}\n"
        f'compression = "{compression}"\nnul = "{nul}"\n'
    )
    assert made.csv == options
    stored = deliver(kinesis_event([as_json(document(*pair)) for pair in texts]), [made])
    key, body = csv_of(stored)
    assert key.endswith(".csv.gz" if compression == "gzip" else ".csv")
    assert is_pipeline_key(key)
    if compression == "gzip":
        assert body[4:8] == bytes(4)  # no time, or a replay would write other bytes
        body = gzip.decompress(body)
    assert body.startswith(codecs.BOM_UTF8) == mark
    rows = cells_of(body.removeprefix(codecs.BOM_UTF8))
    assert [(row["text"], row["inner.note"]) for row in rows] == [
        (expected(text, options), expected(note, options)) for text, note in texts
    ]
    for row in rows:
        assert (row["inner.number"], row["amount"], row["data"]) == ("-1.5", "-7", "+/+/")
        assert row["notes"] == '["=1","\\u0000"]'
    assert [row["text"] for row in stored.rows] == [text for text, _ in texts]


def test_the_same_rows_are_the_same_bytes() -> None:
    """A replay overwrites with what was there."""
    event = kinesis_event([as_json(document("=1"))])
    assert csv_of(deliver(event, [things(ALL)])) == csv_of(deliver(event, [things(ALL)]))


def test_without_a_word_of_csv_nothing_is_changed() -> None:
    """What the options do is off by default."""
    plain = dataset(*FIELDS, config='formats = ["parquet", "csv"]\n')
    stored = deliver(kinesis_event([as_json(document("=1\0"))]), [plain])
    key, body = csv_of(stored)
    assert key.endswith(".csv")
    assert b'"=1\0"' in body
    assert body.startswith(b'"_source"')


def test_null_and_the_empty_string_stay_apart() -> None:
    """The options touch neither."""
    stored = deliver(kinesis_event([as_json(document(text)) for text in (None, "")]), [things(ALL)])
    body = gzip.decompress(csv_of(stored)[1])
    frame = pl.read_csv(body, infer_schema=False)
    assert frame["text"].to_list() == [None, ""]


def by_python(path: Path) -> list[Any]:
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def by_duckdb(path: Path, options: str) -> list[Any]:
    query = f"SELECT text FROM read_csv('{path}', all_varchar = true{options})"
    with duckdb.connect() as database:
        return [text for (text,) in database.execute(query).fetchall()]


def by_pyarrow(path: Path, options: pa_csv.ConvertOptions) -> list[Any]:
    options.column_types = {"text": pa.string(), "_sequence_number": pa.string()}
    read: list[Any] = pa_csv.read_csv(path, convert_options=options)["text"].to_pylist()
    return read


# What docs/csv.md says of readers: what they make of null and of the empty string, without more and
# with the options that it names. (Spark is in test_ddl.)
READERS: dict[str, tuple[Callable[[Path], list[Any]], list[Any]]] = {
    "duckdb": (lambda path: by_duckdb(path, ""), [None, None]),
    "duckdb with options": (
        lambda path: by_duckdb(path, ", allow_quoted_nulls = false"),
        [None, ""],
    ),
    "polars": (lambda path: pl.read_csv(path, infer_schema=False)["text"].to_list(), [None, ""]),
    "pyarrow": (lambda path: by_pyarrow(path, pa_csv.ConvertOptions()), ["", ""]),
    "pyarrow with options": (
        lambda path: by_pyarrow(
            path,
            pa_csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False),
        ),
        [None, ""],
    ),
    "python": (by_python, ["", ""]),
}


@pytest.mark.parametrize("reader", READERS)
def test_readers_make_of_null_what_the_page_says(reader: str, tmp_path: Path) -> None:
    """With a mark and compressed, as without."""
    read, expected_texts = READERS[reader]
    stored = deliver(kinesis_event([as_json(document(text)) for text in (None, "")]), [things(ALL)])
    path = tmp_path / "things.csv.gz"
    path.write_bytes(csv_of(stored)[1])
    assert read(path) == expected_texts


def write(stored: Stored, folder: Path) -> None:
    """Write what was stored into a directory."""
    for key, body in stored.output.objects.items():
        file = folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)


def test_the_views_of_duckdb_read_all_of_it(tmp_path: Path) -> None:
    """Compressed and not, with a mark and without: the view reads files of before and after."""
    texts = ["plain", "", None, 'ü\n"', "a=b"]
    made = things(ALL)
    for number, config in enumerate(["formula_guard = true", ALL, "byte_order_mark = true\n"]):
        event = kinesis_event([as_json(document(text)) for text in texts], start=1 + 100 * number)
        write(deliver(event, [things(config)]), tmp_path)
    assert len(list(tmp_path.rglob("*.csv*"))) == 3
    with duckdb.connect() as database:
        database.execute(statements(made, tmp_path.as_uri(), "duckdb", [Format.CSV]))
        found = database.execute("SELECT text, amount, notes FROM things_csv").fetchall()
        named = database.execute('SELECT DISTINCT "_source" IS NULL FROM things_csv').fetchall()
    assert sorted(map(repr, found)) == sorted(
        repr((text, Decimal(-7), ["=1", "\0"])) for text in texts * 3
    )
    assert named == [(False,)]


def test_every_dialect_says_that_text_is_changed() -> None:
    """Who reads a guarded text is told so where the table is made."""
    for dialect in DIALECTS:
        if dialect in {"glue", "pandas", "polars"}:  # no comments in JSON, and no CSV
            continue
        text, plain = (
            statements(made, "s3://bucket/lake", dialect, [Format.CSV]).replace("\n-- ", " ")
            for made in (things(ALL), things(""))
        )
        assert "Text that begins like a formula has an apostrophe before it." in text
        assert "NUL is removed from text." in text
        assert "apostrophe" not in plain
        assert "NUL" not in plain.partition("CREATE")[0]


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (
            "[csv]\nbom = true",
            "unknown setting 'bom' in [csv]; there are byte_order_mark, formula_guard, compression, nul.",
        ),
        ("[csv]\nbyte_order_mark = 1", "[csv] byte_order_mark is false or true."),
        ('[csv]\ncompression = "zip"', '[csv] compression is "none" or "gzip".'),
        ('[csv]\nnul = "reject"', '[csv] nul is "keep" or "remove" or "replace".'),
        (
            "csv = true",
            "[csv] is a table with the settings byte_order_mark, formula_guard, compression, nul.",
        ),
    ],
)
def test_what_is_not_an_option_stops_the_start(config: str, fault: str) -> None:
    """A sentence names the setting, and what it may be."""
    with pytest.raises(DatasetError) as caught:
        dataset(*FIELDS, config=f'formats = ["csv"]\n{config}')
    assert str(caught.value) == f"schemas/things/dataset.toml: {fault}"


def test_options_of_csv_want_csv() -> None:
    """Options of files that are not written are a mistake."""
    with pytest.raises(DatasetError) as caught:
        things("", formats='["parquet"]')
    assert str(caught.value) == (
        'schemas/things/dataset.toml: [csv] is for a dataset with the format "csv"; add it to formats.'
    )

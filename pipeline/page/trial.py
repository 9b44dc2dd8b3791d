"""A sample, judged again by the stations of the handler, with a dataset that is being edited."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.privacy_key import protection_for_trials
from pipeline.adapters.schemas import dataset_folders, read_texts
from pipeline.authoring.evolution import changes_refused, privacy_changes
from pipeline.core.dataset import Dataset, check_together, parse_dataset
from pipeline.core.deadletter import DeadLetter, to_replay
from pipeline.core.formats import Format
from pipeline.core.reasons import RejectStage
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.page.sample import attempt, in_memory, letters_in, shown

_MOST_ROWS: Final = 20  # that are shown
_LONGEST_VALUE: Final = 2_000  # characters
_SOURCE: Final = "page/0"


class Texts(msgspec.Struct, frozen=True):
    """What stands in the folder of a dataset: its newest schema, and dataset.toml."""

    dataset: str
    version: Annotated[int, msgspec.Meta(ge=1, le=999_999_999)]
    schema: str
    settings: str


class Edited(Texts, frozen=True):
    """What the page sends: texts as they are being edited, and a document to judge.

    Without a `document`, it is the sample as it is.
    """

    document: str | None = None


def read_folder(schemas: Path) -> list[Texts]:
    """Return the texts of every dataset, as they are in the folder now. Raises `DatasetError`."""
    texts = []
    for folder in dataset_folders(schemas):
        versions, settings = read_texts(folder)
        if versions:
            version = max(versions)
            texts.append(Texts(folder.name, version, versions[version], settings))
    return texts


def document_letter(document: bytes) -> DeadLetter:
    """Return a document that arrives now as a letter that enters where documents do."""
    return DeadLetter(
        line=b"",
        stage=RejectStage.DOCUMENT,
        reason="",
        message="",
        path="$",
        dataset=None,
        source=_SOURCE,
        sequence_number="0",
        sub_sequence_number=0,
        document=0,
        arrived_at=time.time_ns() // 1_000,
        partition_key=None,
        payload=document,
    )


def edited_pipeline(pipeline: Pipeline, edited: Edited) -> tuple[Pipeline, Dataset]:
    """Return the pipeline with one dataset as edited, on memory. Raises `DatasetError`."""
    dataset = parse_dataset(edited.dataset, {edited.version: edited.schema}, edited.settings)
    others = [each for each in pipeline.router.datasets if each.name != dataset.name]
    # Rows are shown as Parquet has them, whatever they are written as.
    datasets = check_together(
        msgspec.structs.replace(each, formats=(Format.PARQUET,)) for each in (*others, dataset)
    )
    protection = protection_for_trials(datasets)
    pipeline = msgspec.structs.replace(pipeline, router=Router(datasets), protection=protection)
    return in_memory(pipeline), dataset


def judge(letter: DeadLetter, pipeline: Pipeline) -> dict[str, Any]:
    """Judge a letter from where it left the road; `pipeline` stores in memory."""
    output, refused = MemoryStore(), MemoryStore()
    pipeline = msgspec.structs.replace(pipeline, output=output, dead_letters=refused)
    report = attempt(pipeline).replay(to_replay([letter], "page"))
    letters = letters_in(refused)
    return {
        "documents": report.total("documents"),
        "rows": report.total("rows"),
        "drops": report.drops.total(),
        "dead_letters": len(letters),
        "shown_rows": _rows(output),
        "shown_letters": [shown(each) for each in letters[:_MOST_ROWS]],
    }


def outcome(letter: DeadLetter, pipeline: Pipeline) -> str:
    """Say what becomes of a letter, in a word: "row", "drop" or the reason of what is refused."""
    judged = judge(letter, pipeline)
    if judged["shown_letters"]:
        return str(judged["shown_letters"][0]["reason"])
    return "row" if judged["rows"] else "drop"


def advice(pipeline: Pipeline, dataset: Dataset) -> list[str]:
    """Say what readers of rows that are stored already would think of the edited schema."""
    now = next((each for each in pipeline.router.datasets if each.name == dataset.name), None)
    if now is None or now.fingerprint == dataset.fingerprint:
        return list(dataset.remarks)
    positional = Format.CSV in dataset.formats
    return [
        *changes_refused(now.record, dataset.record, positional=positional),
        *privacy_changes(now.record, dataset.record),
        *dataset.remarks,
    ]


def _rows(store: MemoryStore) -> list[dict[str, Any]]:
    """Read rows back from the files."""
    rows: list[dict[str, Any]] = []
    for key in store.list():
        table = pq.ParquetFile(pa.BufferReader(store.get(key))).read()
        folder = key.rpartition("/")[0]
        for row in table.slice(0, _MOST_ROWS - len(rows)).to_pylist():
            values = [[name, _text(value)] for name, value in row.items()]
            rows.append({"folder": folder, "values": values})
    return rows


def _text(value: Any) -> str | None:
    """Return a value as a person reads it."""
    if value is None:
        return None
    text = value if isinstance(value, str) else _encoded(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode().strip('"')

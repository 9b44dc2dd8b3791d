"""Documents of several kinds in one file: which key tells them apart, and what is drafted of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support import as_json, deliver, kinesis_event

from pipeline.adapters.schemas import read_datasets
from pipeline.authoring.infer import Samples
from pipeline.authoring.infer.names import kind_names
from pipeline.cli import main

if TYPE_CHECKING:
    from pathlib import Path

ORDERS = [{"type": "order", "id": number, "total": 9.5, "lines": [1]} for number in range(3)]
CLICKS = [{"type": "click", "url": "/", "at": "2026-11-23T09:30:00Z"} for _ in range(3)]


def samples_of(*documents: Any) -> Samples:
    """Return the samples of documents."""
    samples = Samples()
    for document in documents:
        samples.add(as_json(document))
    return samples


def test_the_key_whose_kinds_have_other_keys_is_found() -> None:
    assert samples_of(*ORDERS, *CLICKS).find_key() == "type"


@pytest.mark.parametrize(
    "documents",
    [
        ORDERS,
        [{"country": country, "id": 1, "total": 2} for country in ("DE", "FR") * 5],
        [*ORDERS[:2], *CLICKS],
        [*ORDERS, *CLICKS, {"id": 1}],
        [*ORDERS, *CLICKS, {"type": 7}],
        [{"type": f"kind {number}", f"k{number}": 1} for number in range(21) for _ in range(3)],
    ],
    ids=["one kind", "the same keys", "too few", "absent", "not a text", "too many kinds"],
)
def test_what_is_not_plain_is_not_split(documents: list[Any]) -> None:
    assert samples_of(*documents).find_key() is None


@pytest.mark.parametrize(
    ("values", "prefix", "names"),
    [
        (["Order Placed", "order-placed", None], False, ["order_placed", "order_placed_2", "all"]),
        (["order", 7, True], True, ["all_order", "all_from_7", "all_true"]),
        (
            ["shop.orders", "", "日本", "x" * 80],
            False,
            ["shop_orders", "empty", "documents", "x" * 63],
        ),
    ],
)
def test_each_value_has_a_name(values: list[Any], prefix: bool, names: list[str]) -> None:
    assert kind_names(values, "all", prefix=prefix) == names


def write(file: Path, documents: list[Any]) -> Path:
    """Write documents, one a line."""
    file.write_bytes(b"".join(as_json(document) + b"\n" for document in documents))
    return file


def rows_by_dataset(schemas: Path, documents: list[Any]) -> dict[str, int]:
    """Convert documents by all datasets of a folder; count the rows of each."""
    stored = deliver(kinesis_event(map(as_json, documents)), read_datasets(schemas))
    assert stored.letters == []
    names = [key.partition("/")[0] for key in stored.output.objects]
    assert len(stored.rows) == len(documents)
    return {name: names.count(name) for name in names}


def test_a_mixed_file_becomes_a_dataset_for_each_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "mixed.ndjson", [*ORDERS, *CLICKS])
    out = tmp_path / "schemas"
    assert main(["infer", str(file), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "order: 3 documents" in shown
    assert "one dataset for each kind of document; --one drafts one of all" in shown
    assert '[match]\nfield = "type"\nequals = "order"\n' in (out / "order/dataset.toml").read_text()
    assert main(["check", str(out), "--quiet"]) == 0
    assert rows_by_dataset(out, [*ORDERS, *CLICKS]) == {"click": 1, "order": 1}


def test_a_draft_that_clashes_with_a_dataset_beside_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path / "f", ORDERS), str(tmp_path / "s")
    for name in ("one", "two"):
        assert main(["infer", str(file), "--out", out, "--name", name]) == 0
    assert "Datasets one and two both lack [match]" in capsys.readouterr().out


def test_one_dataset_of_all_kinds_where_it_is_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "mixed.ndjson", [*ORDERS, *CLICKS])
    assert main(["infer", str(file), "--out", str(tmp_path / "s"), "--one"]) == 0
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["mixed"]


def test_a_split_that_is_asked_for_keeps_those_without_a_value(tmp_path: Path) -> None:
    documents = [{"v": 1, "n": 1}, {"v": True, "n": 1}, {"n": 2}, {"v": 1.5, "n": 1}, {"v": "a"}]
    file, out = write(tmp_path / "f.ndjson", documents), tmp_path / "s"
    assert main(["infer", str(file), "--out", str(out), "--split-by", "v", "--name", "all"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["all", "all_a", "all_from_1", "all_true"]
    assert main(["check", str(out), "--quiet"]) == 0
    assert rows_by_dataset(out, documents).keys() == {"all", "all_a", "all_from_1", "all_true"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--split-by", "none"], "cannot be told apart by 'none': it is absent in all of them"),
        (["--split-by", "id"], "'id' has 60 different values, and a dataset for each would be too"),
        (["--split-by", "id", "--one"], "Give one of --match-field, --split-by and --one."),
        (
            ["--match-field", "b"],
            "matched by 'b': no document has it; give a key of the outermost object, or the path of a nested",
        ),
        (["--match-field", "id"], "or draft a dataset for each with --split-by id"),
    ],
)
def test_what_cannot_be_split_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "f", [{"id": number, "a": {"b": "c"}} for number in range(60)])
    assert main(["infer", str(file), "--out", str(tmp_path / "s"), *arguments]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_good_samples_of_documents_over_several_lines_stand_on_one(tmp_path: Path) -> None:
    file = tmp_path / "pretty.json"
    file.write_text("".join(json.dumps(document, indent=2) for document in ORDERS))
    assert main(["infer", str(file), "--out", str(tmp_path / "s"), "--name", "pretty"]) == 0
    good = (tmp_path / "s" / "pretty" / "good.ndjson").read_bytes()
    assert [json.loads(line) for line in good.splitlines()] == ORDERS[:1]
    assert main(["check", str(tmp_path / "s"), "--quiet"]) == 0

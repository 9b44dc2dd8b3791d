"""The tables of logical types and of field rules: whoever has to know each row does.

A type or a rule that is added to its table, and forgotten in one of the places below, fails here
with a sentence that names the place.
"""

from __future__ import annotations

import json
import re
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support import chunk_of, dataset

from pipeline.authoring.ddl import DIALECTS, duckdb, hive, spark, statements
from pipeline.authoring.generate import documents_of
from pipeline.authoring.generate.values import MAKERS
from pipeline.authoring.infer import Samples
from pipeline.authoring.infer.guess import NOT_INFERRED
from pipeline.core.convert import convert
from pipeline.core.dataset import parse_dataset
from pipeline.core.documents.columnar import ColumnarReader
from pipeline.core.documents.columnar.kernels import KERNELS, exact_column
from pipeline.core.documents.field_rules import VERDICTS
from pipeline.core.errors import DatasetError
from pipeline.core.rules import check_rules
from pipeline.core.schema.logical_types import LOGICAL_TYPES
from pipeline.core.schema.rule_table import FIELD_RULES
from pipeline.core.schema.types import LogicalType, Rules, Scalar

if TYPE_CHECKING:
    from pipeline.authoring.ddl import Dialect
    from pipeline.core.dataset import Dataset
    from pipeline.core.schema.logical_types import Definition
    from pipeline.core.schema.rule_table import RuleDefinition

NOW = 1_795_426_200_000_000
# What types have beside their name, where they have something.
ATTRIBUTES: dict[LogicalType, dict[str, Any]] = {
    LogicalType.ENUM: {"name": "E", "symbols": ["A", "B"]},
    LogicalType.FIXED: {"name": "F", "size": 5},
    LogicalType.DECIMAL: {"name": "D", "size": 5, "precision": 9, "scale": 2},
    LogicalType.JSON: {"json": True},
}
# No reader of Arrow's JSON has a kernel for these: they are converted value by value.
VALUE_BY_VALUE = {LogicalType.BYTES, LogicalType.FIXED}
# Of these the columnar path has the row path's decoder read the column.
ROW_PATH = {LogicalType.JSON}
# What a dialect lacks is left out of its tables, with a sentence in the DDL.
LACKS = {
    "hive": {LogicalType.TIME_MILLIS, LogicalType.TIME_MICROS},
    "duckdb": set[LogicalType](),
    "spark": set[LogicalType](),
}
SPELLINGS = {
    "hive": ("pipeline/authoring/ddl/hive.py: scalar", hive.scalar),
    "duckdb": ("pipeline/authoring/ddl/duckdb.py: _SCALARS", duckdb._scalar),
    "spark": ("pipeline/authoring/ddl/spark.py: _SCALARS", spark._scalar),
}

each_type = pytest.mark.parametrize("definition", LOGICAL_TYPES, ids=lambda row: row.logical.value)
each_rule = pytest.mark.parametrize("rule", FIELD_RULES, ids=lambda row: row.key)


def spellings(definition: Definition) -> list[dict[str, Any]]:
    """Return the Avro types of a row, one for each of its spellings."""
    extra = dict(ATTRIBUTES.get(definition.logical, {}))
    if definition.epoch is not None:
        extra["epoch"] = definition.epoch
    return [
        {"type": kind, **extra} | ({} if logical is None else {"logicalType": logical})
        for kind, logical in definition.avro
    ]


def dataset_of(avro: Any, **attributes: Any) -> Dataset:
    """Make a dataset of one field. Its name looks like a time, for the sake of inference."""
    return dataset({"name": "ts", "type": avro, **attributes})


def scalar_of(dataset: Dataset) -> Scalar:
    """Return the scalar of a dataset's only field."""
    (field,) = dataset.record.fields
    assert isinstance(field.type, Scalar)
    return field.type


def documents(dataset: Dataset, count: int = 300) -> list[bytes]:
    """Make up documents of a dataset."""
    random = Random(7)
    make = documents_of(dataset, random)
    return [make(NOW + number) for number in range(count)]


# ------------------------------------------------------------------------------ logical types


def test_the_table_has_every_logical_type_once() -> None:
    listed = [definition.logical for definition in LOGICAL_TYPES]
    missing = [logical.value for logical in LogicalType if logical not in listed]
    assert not missing, (
        f"pipeline/core/schema/logical_types.py: LOGICAL_TYPES lacks {missing}, which LogicalType has."
    )
    assert len(listed) == len(set(listed))


@each_type
def test_the_parser_reads_each_spelling(definition: Definition) -> None:
    for avro in spellings(definition):
        scalar = scalar_of(dataset_of(avro))
        assert scalar.logical is definition.logical, (
            f"pipeline/core/schema/avro.py reads {avro} as {scalar.logical}, not {definition.logical}."
        )


@each_type
def test_the_generator_makes_each_type(definition: Definition) -> None:
    """And the row path's converter accepts every value that it makes, which is not null."""
    assert definition.logical in MAKERS, (
        "pipeline/authoring/generate/values.py: MAKERS does not know the type "
        f"{definition.logical.value!r}."
    )
    for avro in spellings(definition):
        dataset = dataset_of(avro)
        rows, rejects = convert(chunk_of(*documents(dataset)), dataset.by_rows())
        assert not rejects, (
            f"The generator and the converter of {definition.logical.value!r} in "
            f"pipeline/core/schema/logical_types.py differ: {rejects[0].violation.message}"
        )
        column = rows.table.column("ts")
        assert column.null_count == 0
        assert len(column.unique()) > 1


@each_type
def test_the_columnar_path_reads_each_type(definition: Definition) -> None:
    assert (definition.logical in KERNELS) != (definition.logical in ROW_PATH), (
        "pipeline/core/documents/columnar/kernels.py: KERNELS does not know the type "
        f"{definition.logical.value!r}; give it a kernel, or `exact_column`."
    )
    _, kernel = KERNELS.get(definition.logical, (None, None))
    assert (kernel is exact_column) == (definition.logical in VALUE_BY_VALUE), (
        f"{definition.logical.value!r} has a kernel or `exact_column`, other than VALUE_BY_VALUE says."
    )
    for avro in spellings(definition):
        dataset = dataset_of(avro)
        made = documents(dataset)
        columns = ColumnarReader(dataset.record).read(made)
        assert list(columns.indices) == list(range(len(made))), (
            f"The columnar path leaves usual values of {definition.logical.value!r} to the row path: "
            "see its kernel in pipeline/core/documents/columnar/kernels.py."
        )
        rows, _ = convert(chunk_of(*made), dataset.by_rows())
        (column,) = columns.columns
        assert column.equals(rows.table.column("ts").combine_chunks())


@each_type
def test_inference_drafts_each_type_or_says_why_not(definition: Definition) -> None:
    dataset = dataset_of(spellings(definition)[0])
    samples = Samples()
    for document in documents(dataset):
        samples.add(document)
    draft = samples.draft("things")
    drafted = scalar_of(parse_dataset("things", {1: draft.avsc}, draft.config)).logical
    if definition.logical in NOT_INFERRED:
        assert drafted is not definition.logical, (
            f"pipeline/authoring/infer/guess.py drafts {definition.logical.value!r}, which its "
            "NOT_INFERRED says it does not."
        )
    else:
        assert drafted is definition.logical, (
            f"pipeline/authoring/infer/guess.py drafts {drafted.value!r} for values of "
            f"{definition.logical.value!r}; let it guess that type, or put it into NOT_INFERRED."
        )


@each_type
@pytest.mark.parametrize("dialect", SPELLINGS)
def test_each_dialect_spells_each_type(definition: Definition, dialect: str) -> None:
    place, spell = SPELLINGS[dialect]
    for avro in spellings(definition):
        arrow = scalar_of(dataset_of(avro)).arrow
        try:
            spelled = spell(arrow)
        except KeyError:
            pytest.fail(f"{place} does not know {arrow}, the type of {definition.logical.value!r}.")
        lacking = definition.logical in LACKS[dialect]
        assert (spelled is None) == lacking, (
            f"{place} spells {arrow}, the type of {definition.logical.value!r}, as {spelled}; "
            f"LACKS says that it is {'left out' if lacking else 'spelled'}."
        )


@each_type
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_writes_a_table_of_each_type(definition: Definition, dialect: Dialect) -> None:
    """In both formats, casts from CSV among them; what is left out is named."""
    for avro in spellings(definition):
        field = {"name": "ts", "type": avro}
        made = dataset(field, config='formats = ["parquet", "csv"]')
        try:
            text = statements(made, "s3://bucket/lake", dialect)
        except KeyError as error:
            pytest.fail(
                f"pipeline/authoring/ddl: {dialect} does not know {error}, of the type "
                f"{definition.logical.value!r}."
            )
        assert re.search(r"\bts\b", text)


# -------------------------------------------------------------------------------- field rules

# Of each rule: a type that it belongs on, a limit that values without the rule break, and a value
# that breaks it.
BROKEN: dict[str, tuple[Any, Any, Any]] = {
    "minimum": ("long", 5_000_000, 4_999_999),
    "maximum": ("long", -5_000_000, -4_999_999),
    "minLength": ("string", 40, "a"),
    "maxLength": ("string", 2, "abc"),
    "pattern": ("string", "^[0-9]{3}$", "abc"),
}


def rejected(dataset: Dataset, *made: bytes) -> list[str]:
    """Return the reasons of the documents that the rules reject."""
    rows, rejects = convert(chunk_of(*made), dataset)
    assert not rejects
    _, rejects = check_rules(rows, dataset)
    return [reject.violation.reason.value for reject in rejects]


def test_every_rule_has_a_limit_and_a_verdict() -> None:
    attributes = [rule.attribute for rule in FIELD_RULES]
    assert sorted(attributes) == sorted(Rules.__struct_fields__), (
        "pipeline/core/schema: FIELD_RULES of rule_table.py and Rules of types.py differ."
    )
    assert sorted(attributes) == sorted(VERDICTS), (
        "pipeline/core/documents/field_rules.py: VERDICTS has other rules than FIELD_RULES."
    )


@each_rule
def test_each_rule_is_read_and_has_its_verdict(rule: RuleDefinition) -> None:
    assert rule.key in BROKEN, f"tests/core/test_type_table.py: BROKEN lacks {rule.key!r}."
    avro, limit, broken = BROKEN[rule.key]
    dataset = dataset_of(avro, **{rule.key: limit})
    (field,) = dataset.record.fields
    assert getattr(field.rules, rule.attribute) == limit
    assert len(rejected(dataset, json.dumps({"ts": broken}).encode())) == 1, (
        f"pipeline/core/documents/field_rules.py: the verdict of {rule.key!r} accepts {broken!r}."
    )


@each_rule
def test_each_rule_belongs_on_the_types_of_its_row(rule: RuleDefinition) -> None:
    _, limit, _ = BROKEN[rule.key]
    for definition in LOGICAL_TYPES:
        avro = spellings(definition)[0]
        if definition.logical in rule.types:
            dataset_of(avro, **{rule.key: limit})
        else:
            with pytest.raises(DatasetError, match=f'"{rule.key}" belongs on {rule.belongs_on}'):
                dataset_of(avro, **{rule.key: limit})


@each_rule
def test_the_generator_obeys_each_rule(rule: RuleDefinition) -> None:
    avro, limit, _ = BROKEN[rule.key]
    dataset = dataset_of(avro, **{rule.key: limit})
    assert not rejected(dataset, *documents(dataset)), (
        f"pipeline/authoring/generate/values.py makes values that break {rule.key!r}."
    )
    assert rejected(dataset, *documents(dataset_of(avro))), (
        "The limit would be kept without the rule."
    )

"""Whether `partition_by` may make as many partitions as there are documents."""

from collections.abc import Iterator

from pipeline.core.dataset import Dataset
from pipeline.core.partitioning import find_fields
from pipeline.core.schema.types import LogicalType, Rules, Scalar

_MOST_VALUES = 1_000
_MOST_CHARACTERS = 4  # of a code, as of a country or a currency
_LEAST_SAMPLES = 20
_RANGE = ', or limit the field by a "minimum" and a "maximum" close together'
# Types that may have any number of values, in words, and what limits them in a schema.
_UNLIMITED = {
    LogicalType.STRING: ("a string", ', or limit the field by a "pattern" or make it an enum'),
    LogicalType.UUID: ("a uuid", ""),
    LogicalType.INT: ("an int", _RANGE),
    LogicalType.LONG: ("a long", _RANGE),
}
_CONSEQUENCE = (
    "and each partition of a batch is an object in every format, slow to store and to read; "
    "partition by something coarser"
)


def fine_partitions(dataset: Dataset) -> Iterator[str]:
    """Yield a sentence for each level of the path whose values nothing in the schema limits."""
    for column in dataset.partition_by:
        if column.part != "value" or column.field is None:
            continue
        field = find_fields(column.field, dataset.record, "")[-1]
        logical = field.type.logical if isinstance(field.type, Scalar) else None
        if logical in _UNLIMITED and not _is_limited(field.rules):
            kind, remedy = _UNLIMITED[logical]
            yield (
                f"partition_by {column.field!r}: {kind} may have any number of values, "
                f"{_CONSEQUENCE}{remedy}."
            )


def fine_samples(rows: int, partitions: int) -> str | None:
    """Return a sentence about samples that fall into nearly as many partitions as there are."""
    if rows < _LEAST_SAMPLES or partitions * 2 <= rows:
        return None
    return f"its {rows:,} rows fall into {partitions:,} partitions, {_CONSEQUENCE}."


def _is_limited(rules: Rules) -> bool:
    """Whether a field's rules leave it few values; a pattern is trusted to."""
    if rules.pattern is not None:
        return True
    if rules.max_length is not None and rules.max_length <= _MOST_CHARACTERS:
        return True
    if rules.minimum is None or rules.maximum is None:
        return False
    return rules.maximum - rules.minimum < _MOST_VALUES

"""What an input is made of, and how it is changed at random; a few genes describe megabytes."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

LEAVES = (
    "long string", "escapes", "unicode escapes", "quotes in a string", "brackets in a string",
    "control characters", "emoji", "half pair", "long integer", "long fraction", "exponent", "zeros",
    "deep arrays", "deep objects", "wide array", "wide object", "repeated keys", "strings", "nulls",
    "nearly a time", "times", "nearly base64", "decimals", "decimal numbers", "uuids", "empty objects",
    "open array", "open object", "open string", "garbage",
)  # fmt: skip
FRAMINGS = (
    "lines", "carriage returns", "back to back", "array", "open array", "commas", "closers",
    "record separators", "over lines", "cut lines", "odd quotes", "blanks",
)  # fmt: skip
WRAPPERS = (
    "plain", "gzip", "gzip members", "zlib", "zstd", "zstd frames", "glue", "confluent",
    "gzip in gzip", "cut gzip", "garbage behind gzip",
)  # fmt: skip
RECORDS = ("one", "each", "aggregate", "odd varints", "broken digest", "endless length")
SCHEMAS = (
    "long", "string", "times", "decimals", "map", "array", "items", "wide", "wide items", "enum",
    "rules", "json", "bytes", "keep", "reject", "aliases",
)  # fmt: skip
DOCUMENTS = ("object", "leaf", "number", "empty object", "unknown members")
ENVELOPES = ("none", "each", "each of each", "parse", "lift", "dynamodb")


class Recipe(msgspec.Struct, frozen=True):
    """An input: `size` is the bytes that it unpacks to, `length` those of a leaf.

    Of a stream record, `size` is what one of its `payloads` unpacks to, each of envelopes with as many
    `elements`, and with `kept` bytes that their rules keep for each.
    """

    kind: str
    document: str = "object"
    leaf: str = "long string"
    framing: str = "lines"
    wrapper: str = "plain"
    record: str = "one"
    schema: str = "string"
    length: int = 16
    members: int = 1
    size: int = 2**18
    partitions: int = 1
    envelope: str = "none"
    payloads: int = 1
    elements: int = 1
    kept: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{gene} {getattr(self, gene)}" for gene in KINDS[self.kind])


_GENES: dict[str, tuple[Any, ...]] = {
    "document": DOCUMENTS,
    "leaf": LEAVES,
    "framing": FRAMINGS,
    "wrapper": WRAPPERS,
    "record": RECORDS,
    "schema": SCHEMAS,
    "length": (1, 4, 16, 100, 300, 3_000, 60_000, 2**19),
    "members": (1, 2, 10, 100, 5_000),
    "size": (2**16, 2**18, 2**19, 2**20),
    "partitions": (1, 1, 10, 300),
    "envelope": ENVELOPES,
    "payloads": (1, 10, 300, 10_000),
    "elements": (0, 1, 10, 1_000, 30_000),
    "kept": (0, 10, 1_000, 14_000),
}
# What is tried of each kind; the other genes stay as they are.
KINDS: dict[str, tuple[str, ...]] = {
    "documents": ("document", "leaf", "length", "members", "schema", "size"),
    "framings": ("document", "framing", "leaf", "length", "size"),
    "wrappers": ("document", "wrapper", "record", "length", "size"),
    "schemas": ("leaf", "schema", "length", "members", "size"),
    "partitions": ("partitions", "leaf", "length", "size"),
    "files": ("document", "framing", "wrapper", "leaf", "length", "size"),
    "records": (
        "document", "leaf", "length", "wrapper", "envelope", "payloads", "elements", "kept", "size",
    ),
}  # fmt: skip


def first_of(kind: str, random: Random) -> Recipe:
    """Return a recipe of a kind, all of whose genes are of chance."""
    recipe = Recipe(kind, schema="partitioned" if kind == "partitions" else "string")
    for gene in KINDS[kind]:
        recipe = _with(recipe, gene, random)
    return recipe


def changed(recipe: Recipe, random: Random) -> Recipe:
    """Return a recipe that differs in one gene, or in two."""
    for gene in random.sample(KINDS[recipe.kind], random.choice((1, 1, 2))):
        recipe = _with(recipe, gene, random)
    return recipe


def _with(recipe: Recipe, gene: str, random: Random) -> Recipe:
    return msgspec.structs.replace(recipe, **{gene: random.choice(_GENES[gene])})

"""What is measured: seeded documents, and the whole events that Lambda would bring them in.

A corpus is named after what is special about it; `CORPORA` says how each is made. Documents of
one name are always the same. `scale` makes events smaller than Lambda's largest: 1.0 is a full one.
"""

import gzip
import hashlib
import itertools
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import enveloped
from benchmarks.schemas import TYPICAL, record
from pipeline.adapters.schemas import read_datasets, read_preset
from pipeline.core.dataset import Dataset, check_together, parse_dataset
from pipeline.core.envelope import Envelope
from pipeline.core.envelope_rules import Rule
from pipeline.core.records import Limits
from pipeline.core.stream import parse_preset
from pipeline.measure.events import FULL_EVENT, Keys, measured_event, one_key, pack

ARRIVED = 1_795_426_200.25
"""Seconds since 1970 at which everything arrives: in November 2026."""
ROOT = Path(__file__).parent.parent
NOT_AGGREGATED = 6_500
"""Stream records of an event that are not aggregated."""

Document = dict[str, Any]
Payloads = Iterator[tuple[bytes, int, int]]
"""A user record, how many documents are in it, and how many of them are bad."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """One event, what it is for, and what has to become of it."""

    name: str
    datasets: tuple[Dataset, ...]
    event: Any
    documents: int
    bad: int
    payloads: list[bytes]
    rules: tuple[Rule, ...] = ()

    @property
    def rows(self) -> int:
        """How many documents are good."""
        return self.documents - self.bad


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a corpus is made; `most` limits its payloads at scale 1, beside the event's size.

    `preset` says whose envelopes its payloads are.
    """

    datasets: Callable[[], tuple[Dataset, ...]]
    payloads: Callable[[], Payloads]
    aggregated: bool = True
    most: int | None = None
    keys: Keys = one_key
    preset: str | None = None


def make(name: str, scale: float = 1.0) -> Corpus:
    """Make one corpus."""
    return cook(name, CORPORA[name], scale)


def cook(name: str, recipe: Recipe, scale: float) -> Corpus:
    """Make a corpus by a recipe."""
    made = list[tuple[bytes, int, int]]()
    source = recipe.payloads()
    if recipe.most is not None:
        source = itertools.islice(source, max(1, round(recipe.most * scale)))

    def payloads() -> Iterator[bytes]:
        for one in source:
            made.append(one)
            yield one[0]

    # With a number of payloads of its own, an event is as large as these are.
    room = 2 * FULL_EVENT if recipe.most else round(FULL_EVENT * scale)
    packed = pack(payloads(), room, aggregated=recipe.aggregated, keys=recipe.keys)
    taken = made[: packed.payloads]
    return Corpus(
        name=name,
        datasets=recipe.datasets(),
        event=measured_event(packed.records, ARRIVED),
        documents=sum(documents for _, documents, _ in taken),
        bad=sum(bad for _, _, bad in taken),
        payloads=[payload for payload, _, _ in taken],
        rules=rules_of(recipe.preset) if recipe.preset else (),
    )


def rules_of(preset: str) -> tuple[Rule, ...]:
    """Return the rules of a preset."""
    return parse_preset(read_preset(preset) or "", f"preset {preset}")


def dataset(
    fields: list[Document], config: str = 'partition_by = ["date(at)"]', name: str = "events"
) -> tuple[Dataset, ...]:
    """Return a stream's only dataset."""
    return check_together([parse_dataset(name, {1: json.dumps(record(fields))}, config)])


# ---------------------------------------------------------------------------------- documents


def typical(chance: random.Random, users: int = 10**9) -> Document:
    """Make one document of about 310 bytes; `users` is how many there are."""
    return {
        "id": f"{chance.getrandbits(32):08x}-1a2b-4c3d-8e4f-{chance.getrandbits(48):012x}",
        "at": f"2026-11-23T09:{chance.randrange(60):02}:00.{chance.randrange(10**6):06}Z",
        "user": chance.randrange(users),
        "kind": chance.choice(["view", "buy"]),
        "amount": f"{chance.randrange(10**6) / 100:.2f}",
        "url": f"https://shop.example/products/{chance.randrange(10**6)}",
        "referrer": None if chance.random() < 0.5 else "https://search.example/",
        "score": chance.random(),
        "count": chance.randrange(100),
        "ok": chance.random() < 0.9,
        "device": {"os": "Android", "width": 1080},
        "tags": ["new", "sale"],
    }


def half_default(chance: random.Random) -> Document:
    """Make one without its defaulted field, every other time."""
    made = typical(chance)
    if chance.random() < 0.5:
        del made["ok"]
    return made


def with_map(chance: random.Random) -> Document:
    """Make one with a map of two entries."""
    labels = {"campaign": f"c{chance.randrange(100)}", "variant": chance.choice("ab")}
    return {**typical(chance), "labels": labels}


def hash_key_each(number: int) -> tuple[str, str]:
    """One partition key, and a hash key of its own for each record, to spread them evenly."""
    return "a", str(_mixed(number))


def keys_as_java(number: int) -> tuple[str, str]:
    """A partition key for each record, with the hash key that AWS's Java aggregator derives."""
    return f"user-{number}", str(_mixed(number))


def keys_by_zipf(number: int) -> tuple[str, str]:
    """Partition keys of which a few are frequent, with hash keys as Java's aggregator has them."""
    key = round(1_000 ** ((_mixed(number) % 10_000) / 10_000))
    return f"user-{key}", str(_mixed(key))


def _mixed(number: int) -> int:
    return int.from_bytes(hashlib.md5(b"%d" % number, usedforsecurity=False).digest())


def small(chance: random.Random) -> Document:
    """Make one of 80 bytes."""
    return {
        "sensor": f"s-{chance.randrange(1_000):04}",
        "at": f"2026-11-23T09:{chance.randrange(60):02}:00.{chance.randrange(1_000):03}Z",
        "value": round(chance.random(), 6),
    }


def flat(fields: int, chance: random.Random) -> Document:
    """Make one of so many scalar fields, at least a time, in turn integer, text and double."""
    made: Document = {"at": f"2026-11-23T09:{chance.randrange(60):02}:00Z"}
    for number in range(fields - 1):
        value = (chance.randrange(10**6), f"v{chance.randrange(10**4)}", chance.random())
        made[f"f{number:03}"] = value[number % 3]
    return made


def flat_fields(fields: int) -> list[Document]:
    """Return the schema of `flat`."""
    kinds = ("long", "string", "double")
    rest = [{"name": f"f{n:03}", "type": kinds[n % 3]} for n in range(fields - 1)]
    return [TYPICAL[1], *rest]


def large(chance: random.Random) -> Document:
    """Make one of 20 KB, nearly all of it text."""
    words = [f"word{chance.randrange(10**4)}" for _ in range(2_300)]
    return {**typical(chance), "body": " ".join(words)}


def map_heavy(chance: random.Random) -> Document:
    """Make one that is mostly maps."""
    return {
        "at": f"2026-11-23T09:{chance.randrange(60):02}:00Z",
        "labels": {f"label{n}": f"v{chance.randrange(100)}" for n in range(chance.randrange(8))},
        "counters": {f"c{n}": chance.randrange(10**4) for n in range(chance.randrange(8))},
    }


# ----------------------------------------------------------------------------------- payloads


def each(document: Callable[[random.Random], Document]) -> Payloads:
    """Make user records of one good document each."""
    chance = random.Random(1)
    while True:
        yield msgspec.json.encode(document(chance)), 1, 0


def partly_bad(share: float) -> Payloads:
    """Make typical documents of which a share, evenly spread, is broken in one of four ways."""
    chance, due, kind = random.Random(1), 0.0, itertools.cycle(range(4))
    while True:
        document, due = typical(chance), due + share
        if due < 1 - 1e-9:
            yield msgspec.json.encode(document), 1, 0
            continue
        due -= 1
        yield broken(document, next(kind)), 1, 1


def broken(document: Document, kind: int) -> bytes:
    """Return a document that ends too soon, lacks a field, has a wrong type, or breaks a rule."""
    if kind == 0:
        return msgspec.json.encode(document)[:-20]
    if kind == 1:
        del document["user"]
    else:
        document["count"] = "many" if kind == 2 else -1
    return msgspec.json.encode(document)


def gzipped(lines: int) -> Payloads:
    """Make user records of so many typical documents, one a line, compressed."""
    chance = random.Random(1)
    while True:
        text = b"\n".join(msgspec.json.encode(typical(chance)) for _ in range(lines))
        yield gzip.compress(text, compresslevel=6, mtime=0), lines, 0


def several(count: int, separator: bytes) -> Payloads:
    """Make user records of so many typical documents each, with this between them."""
    one = each(typical)
    while True:
        yield separator.join(next(one)[0] for _ in range(count)), count, 0


def with_unknown(chance: random.Random) -> Document:
    """Make one with a member that the schema does not name."""
    return {**typical(chance), "experiment": f"x{chance.randrange(100)}"}


def mixed() -> Payloads:
    """Make three kinds of documents in turn, distinguished by a key."""
    chance = random.Random(1)
    for kind, document in itertools.cycle((("a", typical), ("b", small), ("c", map_heavy))):
        yield msgspec.json.encode({"type": kind, **document(chance)}), 1, 0


def alike() -> Payloads:
    """Make typical documents of three datasets in turn, distinguished by a key."""
    chance = random.Random(1)
    for kind in itertools.cycle("abc"):
        yield msgspec.json.encode({"type": kind, **typical(chance)}), 1, 0


def in_envelopes(payloads: Callable[[], Iterator[bytes]], count: int = 1) -> Payloads:
    """Make user records of envelopes, with so many documents in each."""
    for payload in payloads():
        yield payload, count, 0


def out_of_envelopes(payloads: Callable[[], Iterator[bytes]], preset: str) -> Payloads:
    """Make user records of what comes out of the same envelopes, a document in each."""
    envelope = Envelope(rules_of(preset), Limits())
    for payload in payloads():
        yield from ((document, 1, 0) for document in envelope.open(payload).texts)


def zeek() -> Payloads:
    """Repeat a network monitor's documents; those that no dataset accepts are bad.

    They are zeek.ndjson's, in the folder that PIPELINE_SHARED_DATA names, or else those that the
    repository ships.
    """
    real = Path(os.environ.get("PIPELINE_SHARED_DATA", ROOT / "../shared/data"), "zeek.ndjson")
    shipped = sorted((ROOT / "schemas").glob("zeek_*/good.ndjson"))
    files = [real] if real.is_file() else shipped
    lines = [line for file in files for line in file.read_bytes().splitlines() if line.strip()]
    matches = [dataset.match for dataset in _zeek_datasets() if dataset.match is not None]
    kinds = {condition.value for match in matches for condition in match.conditions}
    counted = [(line, 1, int(json.loads(line)["@stream"] not in kinds)) for line in lines]
    yield from itertools.cycle(counted)


# ------------------------------------------------------------------------------------ recipes

_KEEP = 'partition_by = ["date(at)"]\nunknown_fields = "keep"'
_BOTH = 'partition_by = ["date(at)"]\nformats = ["parquet", "csv"]'
_LABELS = {"name": "labels", "type": {"type": "map", "values": "string"}}
_SMALL = [
    {"name": "sensor", "type": "string"}, TYPICAL[1], {"name": "value", "type": "double"},
]  # fmt: skip
_MAPS = [TYPICAL[1], _LABELS, {"name": "counters", "type": {"type": "map", "values": "long"}}]


def _events(fields: list[Document], config: str = 'partition_by = ["date(at)"]') -> Any:
    return partial(dataset, fields, config)


def _mixed_datasets() -> tuple[Dataset, ...]:
    return _matched(("a", TYPICAL), ("b", _SMALL), ("c", _MAPS))


def _datasets_alike() -> tuple[Dataset, ...]:
    return _matched(*((kind, TYPICAL) for kind in "abc"))


def _matched(*kinds: tuple[str, list[Document]]) -> tuple[Dataset, ...]:
    return check_together(
        parse_dataset(
            f"kind_{kind}",
            {1: json.dumps(record(fields))},
            f'partition_by = ["date(at)"]\n[match]\nfield = "type"\nequals = "{kind}"',
        )
        for kind, fields in kinds
    )


def _zeek_datasets() -> tuple[Dataset, ...]:
    found = read_datasets(ROOT / "schemas")
    return tuple(dataset for dataset in found if dataset.name.startswith("zeek_"))


def users(count: int) -> Recipe:
    """Return the recipe of typical documents in so many partitions."""
    return Recipe(
        _events(TYPICAL, 'partition_by = ["user"]'), lambda: each(partial(typical, users=count))
    )


def fields(count: int) -> Recipe:
    """Return the recipe of documents of so many fields, 2,000 of them."""
    return Recipe(_events(flat_fields(count)), lambda: each(partial(flat, count)), most=2_000)


def documents(count: int) -> Recipe:
    """Return the recipe of so many typical documents."""
    return Recipe(_events(TYPICAL), lambda: each(typical), most=count)


def _enveloped(
    preset: str,
    payloads: Callable[[], Iterator[bytes]],
    schema: tuple[list[Document], str],
    count: int = 1,
) -> dict[str, Recipe]:
    """Return the recipes of a preset's envelopes, and of the plain documents that are in them."""
    datasets = _events(schema[0], f'partition_by = ["date({schema[1]})"]')
    return {
        preset: Recipe(datasets, partial(in_envelopes, payloads, count), preset=preset),
        f"{preset}, plain": Recipe(datasets, partial(out_of_envelopes, payloads, preset)),
    }


ENVELOPED = {
    **_enveloped(
        "cloudwatch-logs",
        enveloped.cloudwatch_logs,
        (enveloped.LOG_EVENT, "timestamp"),
        enveloped.LOG_EVENTS,
    ),
    **_enveloped("dms", enveloped.dms, (enveloped.DMS_ROW, "dms_timestamp")),
    **_enveloped("debezium", enveloped.debezium, (enveloped.DEBEZIUM_ROW, "cdc_ts_ms")),
}
"""Envelopes, each beside the plain documents that come out of them."""
CORPORA: dict[str, Recipe] = {
    "typical": Recipe(_events(TYPICAL), lambda: each(typical)),
    "parquet and csv": Recipe(_events(TYPICAL, _BOTH), lambda: each(typical)),
    "map field": Recipe(_events([*TYPICAL, _LABELS]), lambda: each(with_map)),
    "default absent in half": Recipe(_events(TYPICAL), lambda: each(half_default)),
    "not aggregated": Recipe(
        _events(TYPICAL), lambda: each(typical), aggregated=False, most=NOT_AGGREGATED
    ),
    "lines, 100 a record": Recipe(_events(TYPICAL), lambda: several(100, b"\n")),
    "back to back, 100 a record": Recipe(_events(TYPICAL), lambda: several(100, b"")),
    "unknown member, counted": Recipe(_events(TYPICAL), lambda: each(with_unknown)),
    "unknown member, kept": Recipe(_events(TYPICAL, _KEEP), lambda: each(with_unknown)),
    "a hash key a record": Recipe(_events(TYPICAL), lambda: each(typical), keys=hash_key_each),
    "keys as Java's": Recipe(_events(TYPICAL), lambda: each(typical), keys=keys_as_java),
    "keys by Zipf": Recipe(_events(TYPICAL), lambda: each(typical), keys=keys_by_zipf),
    "bad 0.1 %": Recipe(_events(TYPICAL), lambda: partly_bad(0.001)),
    "bad 1 %": Recipe(_events(TYPICAL), lambda: partly_bad(0.01)),
    "bad 10 %": Recipe(_events(TYPICAL), lambda: partly_bad(0.1)),
    "bad 100 %": Recipe(_events(TYPICAL), lambda: partly_bad(1.0)),
    "1 partition": users(1),
    "10 partitions": users(10),
    "100 partitions": users(100),
    "250 partitions": users(250),
    "small, 80 B": Recipe(_events(_SMALL), lambda: each(small)),
    "wide, 100 fields": Recipe(_events(flat_fields(100)), lambda: each(partial(flat, 100))),
    "large, 20 KB": Recipe(
        _events([*TYPICAL, {"name": "body", "type": "string"}]), lambda: each(large)
    ),
    "mostly maps": Recipe(_events(_MAPS), lambda: each(map_heavy)),
    "three datasets": Recipe(_mixed_datasets, mixed),
    "three datasets alike": Recipe(_datasets_alike, alike),
    "zeek, repeated": Recipe(_zeek_datasets, zeek),
    "gzip, 100 a record": Recipe(_events(TYPICAL), lambda: gzipped(100), most=135),
    **ENVELOPED,
}

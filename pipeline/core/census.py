"""The census of a batch, which each of its objects carries: what the batch was, and what it became.

An object by itself does not tell that another one of its batch is lost. So each says of its batch
and part how many documents there were for each dataset, and of its own dataset what became of
them. Nothing more is stored for it, and readers pass it over:

    object            where                                      read by
    Parquet           the footer's key `pipeline.census`         `of_parquet(metadata)`
    dead letters      the name in the gzip header (FNAME)        `of_gzip(body)`
    CSV               nowhere: the format has no place for it

Both return None where there is no census, or one of a later version. `Census.to_bytes` and
`Census.from_bytes` are the text of it, JSON in ASCII:

    {"census":1,"source":"arn:…/shardId-000000000003","first":"495…","last":"495…","part":0,
     "records":127,"digest":"<32 hex digits>","arrived":[1795425000250000,1795425003250000],
     "documents":{"orders":300,"clicks":12,"unrouted":1},"dataset":"orders","version":2,
     "rows":297,"rejects":3,"drops":0,"objects":4}

`source`, `first`, `last`, `records`, `digest` and `arrived` are the whole batch's; `documents`,
`rows`, `rejects`, `drops` and `objects` are of part number `part`, and parts are stored one after
the other, so that no part knows of those after it. For each dataset of a part all objects carry
the same census, rows as well as dead letters: documents = rows + rejects + drops. What became of
the part's other datasets, their own objects tell. What rules of stream.toml drop is of none, and so
among the documents of `unrouted`, where there is an object of it.

The name in a gzip header may have no more than 511 bytes, as Go's reader refuses longer ones. Where
the census of many datasets is longer, the others' documents are one number, under `*`. Where it is
too long all the same (a file's source may be), dead letters have none.
"""

import json
from collections.abc import Mapping
from typing import Self

import msgspec

from pipeline.core.records import Batch

CENSUS = "pipeline.census"
"""Of a Parquet file's metadata."""
OTHERS = "*"
"""Among a census's `documents`: those of all other datasets together."""
_VERSION = 1  # rises when what is there means something else; a new member alone changes nothing
_LONGEST_NAME = 511  # bytes
_GZIP_MAGIC = b"\x1f\x8b\x08"
_FLAGS, _HEADER = 3, 10  # the place of the flags, and the length of a gzip header without a name
_HAS_EXTRA, _HAS_NAME = 4, 8


class Census(msgspec.Struct, frozen=True):
    """What a batch was, and what became of one dataset's documents in one part of it.

    `first` and `last` are sequence numbers, `arrived` the earliest and the latest arrival in
    microseconds since 1970. `digest` is over the source and every sequence number (and, where dead
    letters are sent again, over which): two batches of one digest are the same batch. `documents`
    is by dataset, with an entry `unrouted` where no dataset took some. `version` is that of the
    dataset's schema, 0 for `unrouted`. `objects` counts those with rows, in each format.
    """

    source: str
    first: str
    last: str
    part: int
    records: int
    digest: str
    arrived: tuple[int, int]
    documents: dict[str, int]
    dataset: str = ""
    version: int = 0
    rows: int = 0
    rejects: int = 0
    drops: int = 0
    objects: int = 0

    @classmethod
    def of_batch(cls, batch: Batch, digest: str) -> Self:
        """Begin the censuses of a batch; `of_part` and `of_dataset` go on."""
        arrivals = [record.arrived_at for record in batch.records]
        arrived = (min(arrivals), max(arrivals))
        return cls(batch.source, batch.first, batch.last, 0, len(arrivals), digest, arrived, {})

    def of_part(self, part: int, documents: dict[str, int]) -> Self:
        """Return the census of a part, whose documents were routed to these datasets."""
        return msgspec.structs.replace(self, part=part, documents=documents)

    def of_dataset(
        self, dataset: str, version: int, rows: int, objects: int, drops: int = 0
    ) -> Self:
        """Return the census that the objects of one dataset carry."""
        census = msgspec.structs.replace(self, dataset=dataset, version=version, rows=rows)
        rejects = self.documents.get(dataset, 0) - rows - drops
        return msgspec.structs.replace(census, rejects=rejects, drops=drops, objects=objects)

    def to_bytes(self) -> bytes:
        """Write it as JSON; equal censuses make equal bytes."""
        members = {"census": _VERSION, **msgspec.structs.asdict(self)}
        return json.dumps(members, separators=(",", ":")).encode()

    def to_name(self) -> bytes:
        """Write it as what may stand in a gzip header; empty where it is too long for that."""
        text = self.to_bytes()
        if len(text) > _LONGEST_NAME:
            own = self.documents.get(self.dataset, 0)
            documents = {self.dataset: own, OTHERS: sum(self.documents.values()) - own}
            text = msgspec.structs.replace(self, documents=documents).to_bytes()
        return text if len(text) <= _LONGEST_NAME else b""

    @classmethod
    def from_bytes(cls, text: bytes) -> Self | None:
        """Read it; None for anything else, and for one of a later version."""
        try:
            if _decode_version(text).census == _VERSION:
                return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        return None


class _Version(msgspec.Struct):
    census: int


_decode_version = msgspec.json.Decoder(_Version).decode


def of_parquet(metadata: Mapping[bytes, bytes] | None) -> Census | None:
    """Return the census in a Parquet file's metadata."""
    text = (metadata or {}).get(CENSUS.encode())
    return None if text is None else Census.from_bytes(text)


def of_gzip(body: bytes) -> Census | None:
    """Return the census in the header of a gzip file, of which the first kilobyte is enough."""
    name = _name(body)
    return None if name is None else Census.from_bytes(name)


def named(body: bytes, name: bytes) -> bytes:
    """Return a gzip file without a name with this one in its header."""
    if not name:
        return body
    flags = bytes([body[_FLAGS] | _HAS_NAME])
    return b"".join((body[:_FLAGS], flags, body[_FLAGS + 1 : _HEADER], name, b"\0", body[_HEADER:]))


def _name(body: bytes) -> bytes | None:
    if not body.startswith(_GZIP_MAGIC) or len(body) <= _HEADER:
        return None
    flags = body[_FLAGS]
    if flags & _HAS_EXTRA or not flags & _HAS_NAME:
        return None
    end = body.find(b"\0", _HEADER)
    return None if end < 0 else body[_HEADER:end]

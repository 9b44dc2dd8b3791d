"""What a runner remembers on disk: how far each shard of one stream is done.

    lock                 held by the one runner that uses the directory
    stream.json          whose state it is
    beginning.json       from when on the stream is read, where that is not its oldest record
    shards/<id>.json     one checkpoint for each shard

Each file is written whole or not at all, and is on the disk before anything rests on it, so that
a runner may be killed at any moment.
"""

import contextlib
import fcntl
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from pipeline.adapters.directory import DirectoryStore
from pipeline.core.errors import ObjectMissing, StateRefused

_STREAM = "stream.json"
_BEGINNING = "beginning.json"
_SHARDS = "shards/"
_SUFFIX = ".json"
_CHECKPOINT = re.compile(r"shards/([A-Za-z0-9_.-]+)\.json")
_Kind = TypeVar("_Kind")


class StreamIdentity(msgspec.Struct, frozen=True):
    """Whose state it is; `created`, in seconds since 1970, tells apart streams of one name."""

    stream_arn: str
    created: float


class Beginning(msgspec.Struct, frozen=True):
    """From when on a stream is read, in microseconds since 1970; None: from its oldest record on.

    A shard without a checkpoint begins there, whenever it is split off or begun again.
    """

    arrived_at: int | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """How far one shard is done.

    Everything through `sequence_number` (None: nothing yet) is a row, a dead letter or part of a
    failed batch. `arrived_at` is when that record arrived, in microseconds since 1970. `closed`:
    the shard accepts no more records, and all of it is done.
    """

    stream_arn: str
    shard_id: str
    sequence_number: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,128}\Z")] | None = None
    arrived_at: int | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """An open state directory; see `open_state`."""

    identity: StreamIdentity
    store: DirectoryStore

    @property
    def stream_arn(self) -> str:
        """The ARN of the stream."""
        return self.identity.stream_arn

    def checkpoint(self, shard_id: str) -> Checkpoint:
        """Return how far a shard is done; raise `StateRefused` for a file that is not ours."""
        key = _key(shard_id)
        try:
            found = _decode(self.store.get(key), Checkpoint, f"{self.store.uri}/{key}")
        except ObjectMissing:
            return Checkpoint(self.stream_arn, shard_id)
        if (found.stream_arn, found.shard_id) != (self.stream_arn, shard_id):
            raise StateRefused(
                f"{self.store.uri}/{key} is the checkpoint of {found.shard_id} of "
                f"{found.stream_arn}, not of {shard_id} of {self.stream_arn}; put back the right "
                "file, or start over with another --state."
            )
        return found

    def beginning(self) -> Beginning:
        """Return from when on the stream is read. Raises `StateRefused` for a file of others."""
        try:
            text = self.store.get(_BEGINNING)
        except ObjectMissing:
            return Beginning()
        return _decode(text, Beginning, f"{self.store.uri}/{_BEGINNING}")

    def save(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint on the disk. Raises `StoreError`."""
        self.store.put(_key(checkpoint.shard_id), msgspec.json.encode(checkpoint))

    def begin_again(self, created: float) -> "State":
        """Return the state of the stream that was created in this one's place: nothing is done.

        Raises `StoreError`.
        """
        return _begin_again(self.store, StreamIdentity(self.stream_arn, created))

    def forget(self, shard_id: str) -> None:
        """Remove the checkpoint of a shard that the stream no longer has."""
        self.store.delete(_key(shard_id))

    def shards(self) -> list[str]:
        """Return the ids of all shards that have a checkpoint."""
        found = map(_CHECKPOINT.fullmatch, self.store.list(_SHARDS))
        return [checkpoint[1] for checkpoint in found if checkpoint]


@contextlib.contextmanager
def open_state(
    directory: Path,
    identity: StreamIdentity,
    *,
    restart: bool = False,
    beginning: Beginning | None = None,
) -> Iterator[State]:
    """Open, or make, the state of a stream, for one runner at a time. Raises `StateRefused`.

    With `restart`, the state of a former stream of the same name is let go of. With a `beginning`,
    so is what was done of this one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            # The system lets go of it when this process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateRefused(
                f"The state directory {directory} is in use by another runner; stop that one, or "
                "give this one another --state."
            ) from None
        store = DirectoryStore(directory)
        state = _state_of(store, identity, restart=restart)
        if beginning is not None:
            state = _begin_again(store, identity)
            store.put(_BEGINNING, msgspec.json.encode(beginning))
        yield state


def _state_of(store: DirectoryStore, identity: StreamIdentity, *, restart: bool) -> State:
    """Refuse the state of another stream; record the stream of a new one."""
    try:
        found = _decode(store.get(_STREAM), StreamIdentity, f"{store.uri}/{_STREAM}")
    except ObjectMissing:
        store.put(_STREAM, msgspec.json.encode(identity))
        return State(identity, store)
    if found.stream_arn != identity.stream_arn:
        raise StateRefused(
            f"The state in {store.uri} belongs to {found.stream_arn}, not to "
            f"{identity.stream_arn}; give another --state."
        )
    if found.created != identity.created:
        if restart:
            return _begin_again(store, identity)
        raise StateRefused(
            f"The stream {identity.stream_arn} was created again after the state in {store.uri} "
            "was written, so its checkpoints mean nothing any more; give another --state, or "
            "--if-recreated restart, to read the new stream from its oldest record on."
        )
    return State(identity, store)


def _begin_again(store: DirectoryStore, identity: StreamIdentity) -> State:
    """Remove all checkpoints, and only then write down whose state it is from now on.

    Nothing else is removed: the directory that was given may be one of other files, too.
    """
    state = State(identity, store)
    for shard_id in state.shards():
        if _is_ours(store.get(_key(shard_id))):
            state.forget(shard_id)
    store.delete(_BEGINNING)
    store.put(_STREAM, msgspec.json.encode(identity))
    return state


def _is_ours(text: bytes) -> bool:
    """Whether a file is a checkpoint, or what was left of one."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return True
    return isinstance(found, dict) and {"stream_arn", "shard_id"} <= set(found)


def _key(shard_id: str) -> str:
    return f"{_SHARDS}{shard_id}{_SUFFIX}"


def _decode(text: bytes, kind: type[_Kind], where: str) -> _Kind:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise StateRefused(
            f"{where} cannot be read ({error}); restore it, or remove it to read its shard again "
            "from the oldest record on."
        ) from None

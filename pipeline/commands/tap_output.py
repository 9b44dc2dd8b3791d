"""How `pipeline tap` shows documents. Payloads go to standard output, and to nothing else."""

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pybase64

from pipeline.commands.looking import Look
from pipeline.commands.sampling import print_notice
from pipeline.commands.terminal import printable
from pipeline.core.errors import SettingsError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COMPACT: Final = -1
_INDENT: Final = 2
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class Printer:
    """Prints documents one a line, or `pretty` over several, in base64 where they are `raw`."""

    def __init__(self, *, pretty: bool, raw: bool, positions: bool) -> None:
        self.shown = 0
        self._pretty = pretty
        self._raw = raw
        self._positions = positions
        self._is_terminal = sys.stdout.isatty()

    def show(self, look: Look) -> None:
        """Print one line, or several."""
        if look.violation is not None:
            self._write(msgspec.json.encode(_of_unopened(look)))
            self.flush()
            print_notice(f"{look.place}: {look.violation.message} ({look.violation.reason})")
        elif self._positions:
            self._write(msgspec.json.encode({**_position(look), **self._payload(look.payload)}))
        elif self._raw:
            self._put(pybase64.b64encode(look.payload))
        else:
            self._write(look.payload)
        self.shown += 1

    def flush(self) -> None:
        """See that what was shown is seen."""
        sys.stdout.flush()

    def _payload(self, payload: bytes) -> dict[str, Any]:
        return _as_base64(payload) if self._raw else {"payload": msgspec.Raw(payload)}

    def _write(self, text: bytes) -> None:
        """Print JSON. Its values stay as they were written."""
        if self._pretty:
            text = msgspec.json.format(text, indent=_INDENT)
        elif b"\n" in text or b"\r" in text:
            text = msgspec.json.format(text, indent=_COMPACT)
        self._put(text)

    def _put(self, text: bytes) -> None:
        if self._is_terminal:
            print("\n".join(map(printable, text.decode().split("\n"))))
            return
        sys.stdout.buffer.write(text + b"\n")


class RawFiles:
    """Writes payloads as they are, each to a file of its own in a new folder."""

    def __init__(self, folder: str) -> None:
        """Make the folder. Raises `SettingsError` where there is something in it."""
        self.shown = 0
        self._folder = Path(folder)
        if self._folder.exists() and any(self._folder.iterdir()):
            message = f"{folder} is not empty, and nothing in it was changed: name a new folder."
            raise SettingsError(message)
        self._folder.mkdir(parents=True, exist_ok=True)

    def show(self, look: Look) -> None:
        """Write one file, and print its name."""
        shard = _NOT_IN_NAMES.sub("_", look.source.rpartition("/")[2])[:100]
        name = f"{shard}-{look.sequence_number}-{look.sub_sequence_number}.bin"
        path = self._folder / name
        path.write_bytes(look.payload)
        print(path)
        if look.violation is not None:
            self.flush()
            print_notice(f"{look.place}: {look.violation.message} ({look.violation.reason})")
        self.shown += 1

    def flush(self) -> None:
        """See that the names are seen."""
        sys.stdout.flush()


def _position(look: Look) -> dict[str, Any]:
    """Return where a document stands, by the names that a dead letter has for it."""
    position: dict[str, Any] = {
        "source": look.source,
        "sequence_number": look.sequence_number,
        "sub_sequence_number": look.sub_sequence_number,
        "document": look.document,
    }
    if look.element is not None:
        position["element"] = look.element
    if look.arrived_at is not None:
        position["arrived_at"] = _written(look.arrived_at)
        position["partition_key"] = look.partition_key
    return position


def _of_unopened(look: Look) -> dict[str, Any]:
    violation = look.violation
    said = {} if violation is None else {"reason": violation.reason, "message": violation.message}
    return {**said, **_position(look), **_as_text(look.payload)}


def _as_text(payload: bytes) -> dict[str, Any]:
    try:
        return {"payload_encoding": "utf-8", "payload": payload.decode()}
    except UnicodeDecodeError:
        return _as_base64(payload)


def _as_base64(payload: bytes) -> dict[str, Any]:
    return {"payload_encoding": "base64", "payload": pybase64.b64encode(payload).decode()}


def _written(micros: int) -> str:
    moment = _EPOCH.replace(tzinfo=None) + timedelta(microseconds=micros)
    return f"{moment.isoformat(timespec='microseconds')}Z"

"""The keys of private values: what makes tokens, and what originals are sealed with.

A secret is a text, or a JSON object of texts by their names, one of which is `current`:

    {"current": "2026-11", "2026-05": "…", "2026-11": "…"}

Each text of at least 32 characters is a key. Tokens are made with the current one; what was sealed
with another is still opened, as long as the secret has it. So a key is rotated by adding one, and
naming it.
"""

import hashlib
import hmac
from collections.abc import Mapping

import msgspec
import pyarrow as pa

from pipeline.core.cells import texts
from pipeline.core.errors import SettingsError

_CURRENT = "current"
_ONLY = "default"  # the name of a key that has none
_SHORTEST = 32  # characters
_SEALING = b"kinesis-s3-pipeline: sealed originals of dead letters"
_PARTITION_KEY = "hmac:"


class PrivacyKey:
    """One key. Its bytes are in no text of it."""

    __slots__ = ("_secret", "name")

    def __init__(self, name: str, secret: bytes) -> None:
        self.name = name
        self._secret = secret

    def __repr__(self) -> str:
        return f"PrivacyKey({self.name!r})"

    def token(self, text: bytes) -> str:
        """Return the token of a value's text: the hexadecimal digits of HMAC-SHA-256."""
        return hmac.digest(self._secret, text, "sha256").hex()

    def tokens(self, values: pa.Array) -> pa.Array:
        """Return the tokens of a column's values; null stays null."""
        found = texts(values).dictionary_encode()
        made = [self.token(text.encode()) for text in found.dictionary.to_pylist()]
        return pa.array(made, pa.string()).take(found.indices)

    def partition_key(self, key: str | None) -> str | None:
        """Return what stands for a partition key, which often is a private value itself."""
        if key is None or _is_token(key):
            return key
        return _PARTITION_KEY + self.token(key.encode(errors="surrogatepass"))

    def sealing(self) -> bytes:
        """Return the 64 bytes that originals are sealed with."""
        return hmac.digest(self._secret, _SEALING, hashlib.sha512)


def _is_token(key: str) -> bool:
    digits = key.removeprefix(_PARTITION_KEY)
    return len(digits) == len(key) - len(_PARTITION_KEY) == 64 and set(digits) <= _HEXADECIMAL  # noqa: PLR2004 - see TOKEN_LENGTH


_HEXADECIMAL = frozenset("0123456789abcdef")


class PrivacyKeys(msgspec.Struct, frozen=True):
    """The keys there are, by their names; tokens are made with `current`."""

    current: PrivacyKey
    by_name: dict[str, PrivacyKey]


def read_keys(text: str, where: str) -> PrivacyKeys:
    """Read a secret. Raises `SettingsError`, which quotes none of it."""
    text = text.strip()
    if not text.startswith("{"):
        key = _key(_ONLY, text, where)
        return PrivacyKeys(key, {key.name: key})
    try:
        given = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        message = (
            f"{where} is not a key: it begins as a JSON object, and is not one of texts. Give a "
            f'text of at least {_SHORTEST} characters, or {{"{_CURRENT}": "NAME", "NAME": "TEXT"}}.'
        )
        raise SettingsError(message) from None
    return _named(given, where)


def _named(given: Mapping[str, str], where: str) -> PrivacyKeys:
    keys = {name: _key(name, text, where) for name, text in given.items() if name != _CURRENT}
    current = given.get(_CURRENT, "")
    if current not in keys:
        message = f'{where}: "{_CURRENT}" does not name one of its {len(keys)} keys.'
        raise SettingsError(message)
    return PrivacyKeys(keys[current], keys)


def _key(name: str, text: str, where: str) -> PrivacyKey:
    length = len(text.strip())
    if length < _SHORTEST:
        message = (
            f"{where}: the key {name!r} has {length} characters; at least {_SHORTEST} are "
            "needed, from a source of randomness, as `openssl rand -hex 32` is."
        )
        raise SettingsError(message)
    return PrivacyKey(name, text.encode())


def key_for_trials() -> PrivacyKeys:
    """Return a key that everybody knows, for what is stored nowhere."""
    key = PrivacyKey("trial", b"not a secret: nothing that this makes is stored")
    return PrivacyKeys(key, {key.name: key})

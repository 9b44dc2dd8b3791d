"""Originals, sealed: AES-256 in the mode SIV of RFC 5297, which needs no nonce.

So the same batch makes the same bytes, and nothing goes wrong where the same original is sealed
again. What an original belongs to is sealed with it: it opens in no other dead letter.
"""

import zlib

from pipeline.core.errors import DeadLetterError, SettingsError
from pipeline.core.protection.keys import PrivacyKey

_LEVEL = 3


def check_sealing() -> None:
    """Raise `SettingsError` where there is nothing to seal with."""
    try:
        from cryptography.hazmat.primitives.ciphers import aead  # noqa: F401, PLC0415 - an extra
    except ImportError:
        message = (
            'dead_letter_private = "encrypt", as it is by default for datasets with private '
            "fields, needs the package cryptography: install kinesis-s3-pipeline[privacy], or set "
            'dead_letter_private = "digest" in dataset.toml.'
        )
        raise SettingsError(message) from None


def seal(original: bytes, belongs_to: bytes, key: PrivacyKey) -> bytes:
    """Compress and encrypt an original."""
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - an extra

    return AESSIV(key.sealing()).encrypt(zlib.compress(original, _LEVEL), [belongs_to])


def unseal(sealed: bytes, belongs_to: bytes, key: PrivacyKey) -> bytes:
    """Return an original. Raises `DeadLetterError` where it was sealed with another key."""
    check_sealing()
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - an extra

    try:
        return zlib.decompress(AESSIV(key.sealing()).decrypt(sealed, [belongs_to]))
    except InvalidTag:
        message = (
            f"The original of a dead letter does not open with the key {key.name!r}: the secret "
            "has another text under this name now, or the letter was changed."
        )
        raise DeadLetterError(message) from None

"""What a dead letter shows of a reject where a dataset of the stream has private fields.

- Of a document that can be read, and whose dataset is known: all but the private members, in whose
  place stand tokens or a mask.
- Of everything else nothing, as nobody knows what is in it.

What is private in one dataset is private in documents of all others of its stream, too, except in
fields of their own: a document may be taken for another dataset's.

What is not shown is sealed beside it for whoever has the key, or only its digest is there. The
partition key, which often is a private value itself, is a token. Nothing else of a dead letter is
made of values.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from pipeline.core.dataset import Dataset, Withheld
from pipeline.core.documents.arrow_builder import column
from pipeline.core.documents.jsonpath import ValuePath, Violations
from pipeline.core.documents.row_decoder import decode_member
from pipeline.core.errors import ConfigurationError, DeadLetterError
from pipeline.core.jsontext import WHITESPACE, is_json
from pipeline.core.protection.keys import PrivacyKey, PrivacyKeys
from pipeline.core.protection.redaction import Redacted, Replace, public_part, redact
from pipeline.core.protection.sealing import check_sealing, seal, unseal
from pipeline.core.reasons import MEANINGS
from pipeline.core.records import Reject, Violation
from pipeline.core.schema.privacy import (
    MASK,
    PrivateFields,
    known_names,
    plain_form,
    together,
)
from pipeline.core.schema.types import Field, Scalar

WHOLE = "$"
"""The path of a document of which nothing is shown."""

_MASK = msgspec.json.encode(MASK)


class Shown(msgspec.Struct, frozen=True):
    """What a dead letter has of a reject; `redacted` are the paths of what it does not show."""

    payload: bytes
    violation: Violation
    partition_key: str | None
    private_key: str
    redacted: tuple[str, ...] = ()
    sealed: bytes | None = None
    digest: str | None = None


class Protection:
    """Protects the private fields of the datasets of one stream."""

    def __init__(
        self, datasets: Iterable[Dataset], keys: PrivacyKeys, *, seals: bool = True
    ) -> None:
        """Raise `SettingsError` where originals are to be sealed, and nothing is there to do it.

        Unless it `seals`, of originals there are digests alone, whatever the datasets say.
        """
        datasets = tuple(datasets)
        found = [dataset for dataset in datasets if dataset.private is not None]
        self.keys = keys
        self._is_needed = bool(found)
        self._withheld: dict[str | None, Withheld] = {
            dataset.name: dataset.withheld if seals else "digest" for dataset in found
        }
        # Of whatever is of no dataset, it may be any one's: so the strictest of them decides.
        whose = set(self._withheld.values())
        self._otherwise: Withheld = "digest" if "digest" in whose else "encrypt"
        every = [dataset.private for dataset in found if dataset.private is not None]
        self._fields: dict[str, PrivateFields] = {}
        self._replace: dict[str, Replace] = {}
        for dataset in datasets:
            fields = together(dataset.private, known_names(dataset.record), every)
            if fields is not None:
                self._fields[dataset.name] = fields
                self._replace[dataset.name] = _Replacement(fields, keys.current).replace
        if "encrypt" in whose:
            check_sealing()

    @property
    def key(self) -> PrivacyKey:
        """The key that tokens are made with."""
        return self.keys.current

    def fields_of(self, dataset: Dataset) -> PrivateFields | None:
        """Return what is private in documents of a dataset: in it, or in others of its stream."""
        return self._fields.get(dataset.name)

    def public(self, rejects: list[Reject]) -> list[Reject]:
        """Return rejects whose violations say nothing of a private value.

        What is told of a reject outside of its dead letter is told of these.
        """
        return [
            msgspec.structs.replace(
                reject, violation=_public(reject.violation, self._fields[reject.dataset])
            )
            if reject.dataset in self._fields
            else reject
            for reject in rejects
        ]

    def shown(self, reject: Reject) -> Shown | None:
        """Return what a dead letter may have of a reject; None: it may have all of it.

        Of what it violates nothing is private any more, see `public`.
        """
        if not self._is_needed:
            return None
        payload, name = reject.payload, reject.dataset
        is_document = payload.lstrip(WHITESPACE)[:1] == b"{" and is_json(payload)
        is_document = is_document and reject.payload_format is None  # Avro may look like JSON
        if name is None or not is_document:
            return self._with_original(reject, Redacted(b"", (WHOLE,)), reject.violation)
        if name not in self._fields:
            return None
        redacted = redact(payload, self._fields[name], self._replace[name])
        if not redacted.paths and name not in self._withheld:
            return None
        return self._with_original(reject, redacted, reject.violation)

    def _with_original(self, reject: Reject, redacted: Redacted, violation: Violation) -> Shown:
        key = self.key
        given = reject.provenance.partition_key[reject.unit]
        shown = partial(
            Shown, redacted.text, violation, key.partition_key(given), key.name, redacted.paths
        )
        if not redacted.paths:
            return shown()
        if self._withheld.get(reject.dataset, self._otherwise) == "digest":
            return shown(digest=key.token(reject.payload))
        head = msgspec.json.encode({"partition_key": _writable(given)})
        original = head + b"\n" + reject.payload
        return shown(sealed=seal(original, belongs_to(*_identity(reject)), key))

    def original(self, sealed: bytes, key: str, identity: bytes) -> tuple[str | None, bytes]:
        """Return the partition key and the payload of a sealed original.

        Raises `DeadLetterError` where the key is not there, or does not fit.
        """
        found = self.keys.by_name.get(key)
        if found is None:
            message = (
                f"The original of a dead letter is sealed with the key {key!r}, and the secret has "
                f"{', '.join(map(repr, self.keys.by_name))} only; add it to the secret."
            )
            raise DeadLetterError(message)
        head, _, payload = unseal(sealed, identity, found).partition(b"\n")
        return msgspec.json.decode(head)["partition_key"], payload


def needs_protection(datasets: Iterable[Dataset]) -> bool:
    """Whether a dataset has private fields."""
    return any(dataset.private is not None for dataset in datasets)


def check_protected(datasets: Iterable[Dataset], protection: Protection | None) -> None:
    """Raise `ConfigurationError` where private values would be stored as they are."""
    if protection is None and needs_protection(datasets):
        message = (
            "Datasets have private fields, and there is no key to protect them with; set "
            "PIPELINE_PRIVACY_KEY."
        )
        raise ConfigurationError(message)


def belongs_to(source: str, sequence_number: str, sub: int, document: int) -> bytes:
    """Write what an original belongs to."""
    return msgspec.json.encode([source, sequence_number, sub, document])


def _identity(reject: Reject) -> tuple[str, str, int, int]:
    provenance, unit = reject.provenance, reject.unit
    batch = provenance.batch
    record = batch.records[provenance.record[unit]]
    return batch.source, record.sequence_number, provenance.sub[unit], provenance.document[unit]


def _writable(key: str | None) -> str | None:
    """Return a partition key without half surrogate pairs, which JSON has and UTF-8 has not."""
    return key if key is None or key.isascii() else key.encode(errors="replace").decode()


def _public(violation: Violation, private: PrivateFields) -> Violation:
    """Return a violation that says nothing of a private value."""
    path = public_part(violation.path, private)
    if path is None:
        return violation
    return Violation(violation.reason, MEANINGS[violation.reason], path)


class _Replacement:
    """What stands in a dead letter for the private members of one dataset."""

    def __init__(self, private: PrivateFields, key: PrivacyKey) -> None:
        self._key = key
        self._readers: dict[str, list[tuple[Field, Any]]] = {
            name: [(field, msgspec.json.Decoder(field.type.json_type)) for field in fields]
            for name, fields in private.hashed.items()
        }

    def replace(self, key: str, text: bytes) -> bytes:
        """Return the token that a row would have of a member, or a mask where it would have none.

        What is null stays null: so much the reason of the dead letter says, too.
        """
        if text == b"null":
            return text
        for field, decoder in self._readers.get(plain_form(key), ()):
            token = _token(field, decoder, text, self._key)
            if token is not None:
                return msgspec.json.encode(token)
        return _MASK


def _token(field: Field, decoder: Any, text: bytes, key: PrivacyKey) -> str | None:
    """Return the token of a field's value; None if it is not one of the field's type."""
    try:
        value = decode_member(field, decoder, text)
    except RecursionError:
        return None
    if isinstance(value, Violation):
        return None
    if isinstance(value, str) and isinstance(field.type, Scalar) and field.type.convert is None:
        return key.token(value.encode())  # as below, at once
    violations = Violations()
    values: pa.Array = column(field, [value], ValuePath(), violations)
    if violations.by_row:
        return None
    token: str | None = key.tokens(values)[0].as_py()
    return token

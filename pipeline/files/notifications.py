"""Notifications of objects in S3: direct, through SNS, SQS or both, or from EventBridge.

They arrive at least once and in any order, several in one event. S3's own encode the object's key
as a URL's query does, with "+" for a space; EventBridge's have it as it is.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import msgspec

from pipeline.core.errors import EventError

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # JSON can hold one, a key cannot
_CREATED = "ObjectCreated:"
_AWAITED = "awaited"
_MOST_WRAPPERS = 4  # of SNS, one in another; AWS makes one
_UNVERSIONED = "null"  # what S3 calls the version that a bucket without versions holds


class ObjectReference(msgspec.Struct, frozen=True):
    """An object that a notification names: the version, or the ETag, is the one it was made for."""

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None

    @property
    def uri(self) -> str:
        """Where it is, for messages."""
        return f"s3://{self.bucket}/{self.key}"


class Delivery(msgspec.Struct, frozen=True):
    """What one item of an event says.

    `message_id` is the SQS message's, None outside a queue. `ignored` counts what is not about a
    new object: deletions, and S3's test of a new configuration. `fault` says why it cannot be read.
    """

    message_id: str | None
    objects: tuple[ObjectReference, ...] = ()
    ignored: int = 0
    fault: str | None = None


def read_notifications(event: Any) -> list[Delivery]:
    """Read an event of Lambda that holds notifications, in any of their shapes.

    Raises `EventError` for another event; an item that cannot be read has a `fault`.
    """
    items = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(items, list):
        return [_read(event, None)]
    if not items:
        message = "The event does not hold a notification: its 'Records' are empty."
        raise EventError(message)
    queued = [_queued(item) for item in items]
    if all(message_id is None for message_id in queued):
        return [_read({"Records": [item]}, None) for item in items]
    return [_read(item, message_id) for item, message_id in zip(items, queued, strict=True)]


def notify_of(objects: Iterable[ObjectReference], *, awaited: bool = False) -> dict[str, Any]:
    """Make the event that notifies of objects, as S3 would have.

    `awaited` adds that its sender waits for the response, and goes on with what is unfinished.
    """
    records = [_record(reference) for reference in objects]
    return {"Records": records, _AWAITED: True} if awaited else {"Records": records}


def is_awaited(event: Any) -> bool:
    """Whether an event's sender waits for the response; S3 never does."""
    return isinstance(event, dict) and event.get(_AWAITED) is True


def _record(reference: ObjectReference) -> dict[str, Any]:
    names = {"versionId": reference.version_id, "eTag": reference.etag}
    given = {name: value for name, value in names.items() if value is not None}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": reference.bucket},
            "object": {"key": quote_plus(reference.key, safe="/"), **given},
        },
    }


def _queued(item: Any) -> str | None:
    """Return the id of an SQS message."""
    if not isinstance(item, dict) or item.get("eventSource") != "aws:sqs":
        return None
    message_id = item.get("messageId")
    if not isinstance(message_id, str) or not message_id:
        message = "A message of the event has no 'messageId'; invoke this handler from SQS."
        raise EventError(message)
    return message_id


def _read(item: Any, message_id: str | None) -> Delivery:
    try:
        objects, ignored = _objects_in(item if message_id is None else _json(item.get("body")))
    except EventError as error:
        return Delivery(message_id, fault=str(error))
    return Delivery(message_id, tuple(objects), ignored)


def _objects_in(document: Any, wrappers: int = _MOST_WRAPPERS) -> tuple[list[ObjectReference], int]:
    """Return the new objects in a document, and how many of its notifications are of others.

    So many more wrappers of SNS are opened at most.
    """
    if wrappers < 0:
        raise EventError(_not_a_notification(f"it is wrapped more than {_MOST_WRAPPERS} times"))
    if not isinstance(document, dict):
        raise EventError(_not_a_notification("it is not a JSON object"))
    if document.get("Event") == "s3:TestEvent":
        return [], 1
    if document.get("Type") == "Notification":  # SNS' envelope
        return _objects_in(_json(document.get("Message")), wrappers - 1)
    if document.get("source") == "aws.s3":
        return _from_eventbridge(document)
    items = document.get("Records")
    if not isinstance(items, list) or not items:
        raise EventError(_not_a_notification("it has no 'Records'"))
    return _sums([_from_record(item, wrappers) for item in items])


def _sums(
    parts: Sequence[tuple[list[ObjectReference], int]],
) -> tuple[list[ObjectReference], int]:
    references = [reference for objects, _ in parts for reference in objects]
    return references, sum(ignored for _, ignored in parts)


def _from_record(item: Any, wrappers: int) -> tuple[list[ObjectReference], int]:
    """Read one record: of S3, or of an event in which SNS invokes a function."""
    if isinstance(item, dict) and item.get("EventSource") == "aws:sns":
        return _objects_in(item.get("Sns"), wrappers - 1)
    if not isinstance(item, dict) or item.get("eventSource") != "aws:s3":
        raise EventError(_not_a_notification("a record is from another source than S3, SNS or SQS"))
    # Without the "s3:" that it has where notifications are configured.
    if not str(item.get("eventName")).removeprefix("s3:").startswith(_CREATED):
        return [], 1
    s3 = item.get("s3")
    bucket, described = _parts(s3 if isinstance(s3, dict) else {})
    try:
        key = unquote_plus(str(described.get("key") or ""), errors="strict")
    except UnicodeDecodeError:
        raise EventError(_not_a_notification("the object's key is not URL-encoded UTF-8")) from None
    return [_reference(bucket, key, described.get("versionId"), described.get("eTag"))], 0


def _from_eventbridge(event: dict[str, Any]) -> tuple[list[ObjectReference], int]:
    if event.get("detail-type") != "Object Created":
        return [], 1
    detail = event.get("detail")
    bucket, described = _parts(detail if isinstance(detail, dict) else {})
    key, version = described.get("key"), described.get("version-id")
    return [_reference(bucket, key, version, described.get("etag"))], 0


def _parts(described: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the bucket's name and the description of the object."""
    bucket, of_object = described.get("bucket"), described.get("object")
    if not isinstance(bucket, dict) or not isinstance(of_object, dict):
        raise EventError(_not_a_notification("it does not name a bucket and an object"))
    return bucket.get("name"), of_object


def _reference(bucket: Any, key: Any, version: Any, etag: Any) -> ObjectReference:
    if not isinstance(bucket, str) or not _BUCKET.fullmatch(bucket):
        raise EventError(_not_a_notification("it does not have the name of a bucket"))
    if not isinstance(key, str) or not key or _SURROGATE.search(key):
        raise EventError(_not_a_notification("it does not have the key of an object"))
    for value in (version, etag):
        if value is not None and not isinstance(value, str):
            raise EventError(_not_a_notification("its version id or ETag is not text"))
    if version == _UNVERSIONED:
        version = None
    return ObjectReference(bucket, key, version or None, (etag or "").strip('"') or None)


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise EventError(_not_a_notification("its text is not JSON")) from None


def _not_a_notification(why: str) -> str:
    return (
        f"The event is not a notification of S3: {why}. Let S3 send its notifications here "
        "directly, or through SNS, SQS or EventBridge."
    )

"""The buckets of rows and dead letters: where they are, how they encrypt, what they delete."""

from typing import Any

from pipeline.adapters.aws.account import Refusal
from pipeline.doctor.findings import Asked, Findings
from pipeline.doctor.places import Places

_COLD = {"GLACIER", "DEEP_ARCHIVE"}
_UNSET = {"", None}
_OLD_NAMES = {"EU": "eu-west-1"}


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/prefix`."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix.strip("/")


def look_at_buckets(places: Places, region: str, account: Asked, findings: Findings) -> None:
    """Look at both, as far as they are of S3; `region` is the function's or stream's, if known."""
    for about, uri in (("output", places.output), ("dead letters", places.dead_letters)):
        if uri.startswith("s3://"):
            _Bucket(about, uri, account, findings).look(region)


class _Bucket:
    def __init__(self, about: str, uri: str, account: Asked, findings: Findings) -> None:
        self._about, self._account, self._findings = about, account, findings
        self._bucket, self._prefix = bucket_and_prefix(uri)

    def look(self, region: str) -> None:
        answer = self._account.ask("s3", "get_bucket_location", Bucket=self._bucket)
        if isinstance(answer, Refusal):
            if answer.missing:
                sentence = f"There is no bucket {self._bucket}."
                command = f"aws s3 mb s3://{self._bucket}"
                self._findings.add_wrong(self._about, sentence, command)
            else:
                subject = f"the bucket {self._bucket}"
                self._findings.refused(self._about, subject, "s3:GetBucketLocation", answer)
            return
        found = answer.found.get("LocationConstraint")
        here = "us-east-1" if found in _UNSET else _OLD_NAMES.get(str(found), str(found))
        if region and here != region:
            sentence = (
                f"The bucket {self._bucket} is in {here}, the pipeline in {region}: every object "
                "crosses regions, which costs and is slow, and Lambda keeps no failed batch there."
            )
            self._findings.add_wrong(self._about, sentence, "aws s3 mb help")
        else:
            self._findings.ok(self._about, f"The bucket {self._bucket} is in {here}.")
        self._encryption()
        self._lifecycle()
        self._listing()

    def _encryption(self) -> None:
        found = self._configuration(
            "get_bucket_encryption",
            "s3:GetEncryptionConfiguration",
            f"how {self._bucket} encrypts",
            missing="ServerSideEncryptionConfigurationNotFoundError",
            without=f"{self._bucket} is encrypted with S3's own keys.",
        )
        if found is None:
            return
        (rule, *_) = found["ServerSideEncryptionConfiguration"]["Rules"]
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        key = default.get("KMSMasterKeyID")
        if key:
            sentence = (
                f"{self._bucket} is encrypted with {key}: the function's role needs "
                "kms:GenerateDataKey on it, and readers kms:Decrypt."
            )
            self._findings.note(self._about, sentence, f"aws kms describe-key --key-id {key}")
        else:
            algorithm = default.get("SSEAlgorithm", "S3's own keys")
            self._findings.ok(self._about, f"{self._bucket} is encrypted ({algorithm}).")

    def _lifecycle(self) -> None:
        found = self._configuration(
            "get_bucket_lifecycle_configuration",
            "s3:GetLifecycleConfiguration",
            f"what {self._bucket} deletes by itself",
            missing="NoSuchLifecycleConfiguration",
            without=f"{self._bucket} deletes nothing by itself.",
        )
        for rule in (found or {}).get("Rules", ()):
            if rule.get("Status") == "Enabled" and self._touches(rule):
                self._rule(rule)

    def _configuration(
        self, operation: str, action: str, subject: str, *, missing: str, without: str
    ) -> dict[str, Any] | None:
        """Ask for a part of the bucket's configuration; None, and a finding, where there is none.

        `missing` is the code that says so, and `without` what it means.
        """
        answer = self._account.ask("s3", operation, Bucket=self._bucket)
        if not isinstance(answer, Refusal):
            return answer.found
        if answer.code == missing:
            self._findings.ok(self._about, without)
        else:
            self._findings.refused(self._about, subject, action, answer)
        return None

    def _touches(self, rule: dict[str, Any]) -> bool:
        """Whether a rule is about what is stored, or some of it."""
        only = rule.get("Filter", {})
        only = only.get("And", only)
        prefix = str(only.get("Prefix") or rule.get("Prefix") or "").strip("/")
        ours = f"{self._prefix}/" if self._prefix else ""
        return ours.startswith(prefix) or prefix.startswith(ours)

    def _rule(self, rule: dict[str, Any]) -> None:
        name = rule.get("ID", "without a name")
        expires = rule.get("Expiration", {})
        command = f"aws s3api get-bucket-lifecycle-configuration --bucket {self._bucket}"
        when = expires.get("Days") or expires.get("Date")
        if when:
            after = f"after {when} days" if "Days" in expires else f"from {when:%Y-%m-%d} on"
            if self._about == "output":
                sentence = f"The rule {name} of {self._bucket} deletes rows {after}."
                self._findings.add_wrong(self._about, sentence, command)
            else:
                sentence = f"The rule {name} of {self._bucket} deletes dead letters {after}."
                self._findings.ok(self._about, sentence)
        for move in rule.get("Transitions", ()):
            if move.get("StorageClass") in _COLD:
                sentence = (
                    f"The rule {name} of {self._bucket} moves objects to {move['StorageClass']}: "
                    "nobody reads them there before they are restored."
                )
                self._findings.add_wrong(self._about, sentence, command)

    def _listing(self) -> None:
        """Try what people and the functions for tables do."""
        answer = self._account.ask(
            "s3", "list_objects_v2", Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1
        )
        if isinstance(answer, Refusal):
            subject = f"whether anything is in {self._bucket}"
            self._findings.refused(self._about, subject, "s3:ListBucket", answer)
        else:
            has = "has objects" if answer.found.get("KeyCount") else "has no object yet"
            place = "/".join(filter(None, (self._bucket, self._prefix)))
            self._findings.ok(self._about, f"s3://{place} {has}.")

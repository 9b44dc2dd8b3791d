"""What buckets demand of requests, from environment variables, checked all at once."""

import re
from collections.abc import Collection, Mapping

import msgspec

ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")
# Others would show rows and dead letters to people outside of the two accounts.
ACLS = ("bucket-owner-full-control", "bucket-owner-read", "private")
# What must be restored before it can be read is not among them: tables and progress are read.
STORAGE_CLASSES = (
    "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
    "REDUCED_REDUNDANCY",
)  # fmt: skip
MOST_TAGS = 10

_KEY = re.compile(
    r"(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:)?(?:key/)?[A-Za-z0-9-]{1,128}"
    r"|(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:)?alias/[A-Za-z0-9/_-]{1,256}"
)
_OWNER = re.compile(r"[0-9]{12}")
_LONGEST_TAG_KEY, _LONGEST_TAG_VALUE = 128, 256  # characters
_TAG = re.compile(
    rf"(?!aws:)[\w +\-.:/@]{{1,{_LONGEST_TAG_KEY}}}=[\w +\-.:/@=]{{0,{_LONGEST_TAG_VALUE}}}"
)


class Variable(msgspec.Struct, frozen=True):
    """An environment variable, the option that goes before it, and what both say."""

    name: str
    option: str
    metavar: str
    meaning: str


VARIABLES = (
    Variable(
        "PIPELINE_S3_ENCRYPTION",
        "--s3-encryption",
        "KIND",
        f"server-side encryption that each write asks for: {', '.join(ENCRYPTIONS)}",
    ),
    Variable(
        "PIPELINE_S3_KMS_KEY",
        "--s3-kms-key",
        "KEY",
        "KMS key of that encryption, by ARN, id or alias",
    ),
    Variable(
        "PIPELINE_S3_BUCKET_KEY",
        "--s3-bucket-key",
        "on|off",
        "whether S3 may use a bucket key, which saves calls of KMS",
    ),
    Variable(
        "PIPELINE_S3_ACL",
        "--s3-acl",
        "ACL",
        f"ACL of each object written: {', '.join(ACLS)}",
    ),
    Variable(
        "PIPELINE_S3_REQUESTER_PAYS",
        "--s3-requester-pays",
        "on|off",
        "whether the caller pays for its requests",
    ),
    Variable(
        "PIPELINE_S3_EXPECTED_OWNER",
        "--s3-expected-owner",
        "ACCOUNT",
        "12 digits of the account that the buckets belong to; S3 refuses any other",
    ),
    Variable(
        "PIPELINE_S3_STORAGE_CLASS",
        "--s3-storage-class",
        "CLASS",
        f"storage class of each object written: {', '.join(STORAGE_CLASSES)}",
    ),
    Variable(
        "PIPELINE_S3_TAGS",
        "--s3-tags",
        "NAME=VALUE,…",
        f"up to {MOST_TAGS} tags of each object written",
    ),
    Variable(
        "PIPELINE_S3_CLIENT",
        "--s3-client",
        "CLIENT",
        'what writes: "auto", the faster client where it does what boto3 would, or "boto3"',
    ),
)


class S3Settings(msgspec.Struct, frozen=True):
    """What is sent with each request that takes it; what is None, or empty, is not sent."""

    encryption: str | None = None
    kms_key: str | None = None
    bucket_key: bool | None = None
    acl: str | None = None
    requester_pays: bool = False
    expected_owner: str | None = None
    storage_class: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    boto3_alone: bool = False
    """Whether boto3 does all of it; by default a faster client writes."""

    def of_reader(self) -> "S3Settings":
        """Return what holds for buckets that are only read, which may be somebody else's."""
        return S3Settings(requester_pays=self.requester_pays, boto3_alone=self.boto3_alone)


NO_DEMANDS = S3Settings()


def read_s3_settings(environment: Mapping[str, str], faults: list[str]) -> S3Settings:
    """Read the settings; adds a sentence to `faults` for whatever cannot be used."""
    read = _Reader(environment, faults)
    return S3Settings(
        read.one_of("PIPELINE_S3_ENCRYPTION", ENCRYPTIONS),
        read.kms_key(),
        read.bucket_key(),
        read.one_of("PIPELINE_S3_ACL", ACLS),
        read.switch("PIPELINE_S3_REQUESTER_PAYS") or False,
        read.expected_owner(),
        read.one_of("PIPELINE_S3_STORAGE_CLASS", STORAGE_CLASSES),
        read.tags(),
        read.one_of("PIPELINE_S3_CLIENT", ("auto", "boto3")) == "boto3"
        or environment.get("PIPELINE_FAST_PATHS") == "off",
    )


class _Reader:
    """Reads variables, of which an empty one is one that is not set."""

    def __init__(self, environment: Mapping[str, str], faults: list[str]) -> None:
        self._environment = environment
        self._faults = faults

    def one_of(self, name: str, choices: Collection[str]) -> str | None:
        value = self._environment.get(name) or None
        if value is not None and value not in choices:
            self._faults.append(f"{name} is {value!r}; give one of {', '.join(choices)}.")
            return None
        return value

    def switch(self, name: str) -> bool | None:
        value = self._environment.get(name) or None
        if value not in {None, "on", "off"}:
            self._faults.append(f'{name} is {value!r}; give "on" or "off".')
        return None if value is None else value == "on"

    def kms_key(self) -> str | None:
        name, encryption = "PIPELINE_S3_KMS_KEY", self._environment.get("PIPELINE_S3_ENCRYPTION")
        key = self._environment.get(name) or None
        if key is None:
            return None
        if not _KEY.fullmatch(key):
            self._faults.append(f"{name} is {key!r}; give a KMS key's ARN, id or alias/name.")
        if encryption not in ENCRYPTIONS[1:]:
            self._faults.append(
                f"{name} is set, but a key is used by PIPELINE_S3_ENCRYPTION aws:kms and "
                "aws:kms:dsse alone; set that, too."
            )
        return key

    def bucket_key(self) -> bool | None:
        name, encryption = "PIPELINE_S3_BUCKET_KEY", self._environment.get("PIPELINE_S3_ENCRYPTION")
        bucket_key = self.switch(name)
        if bucket_key and encryption != "aws:kms":
            self._faults.append(
                f"{name} is on, but bucket keys are used by PIPELINE_S3_ENCRYPTION aws:kms alone; "
                "set that, too."
            )
        return bucket_key

    def expected_owner(self) -> str | None:
        name = "PIPELINE_S3_EXPECTED_OWNER"
        owner = self._environment.get(name) or None
        if owner is not None and not _OWNER.fullmatch(owner):
            self._faults.append(f"{name} is {owner!r}; give the 12 digits of an AWS account.")
        return owner

    def tags(self) -> tuple[tuple[str, str], ...]:
        name = "PIPELINE_S3_TAGS"
        text = self._environment.get(name) or ""
        given = [tag.strip() for tag in text.split(",")] if text else []
        if not all(_TAG.fullmatch(tag) for tag in given):
            self._faults.append(
                f"{name} is {text!r}; give name=value pairs, apart by commas, of letters, digits, "
                f"spaces and + - . _ : / @, the names up to {_LONGEST_TAG_KEY} characters and not "
                f"beginning with aws:, the values up to {_LONGEST_TAG_VALUE}."
            )
            return ()
        pairs = [tag.partition("=") for tag in given]
        if len(given) > MOST_TAGS or len({key for key, _, _ in pairs}) < len(given):
            self._faults.append(
                f"{name} has {len(given)} tags; S3 takes {MOST_TAGS} at most, no two of one name."
            )
        return tuple((key, value) for key, _, value in pairs)

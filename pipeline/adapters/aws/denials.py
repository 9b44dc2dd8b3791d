"""What AWS says of a denial: who may not do what, and the kind of policy that is in the way.

Most services deny in one form: "User: {principal} is not authorized to perform: {action} on
resource: {resource}", then "because no {kind} policy allows the {action} action" or "with an
explicit deny in a {kind} policy". The action need not be the call's own: behind a bucket may be a
KMS key. Parts can be missing; other accounts are told nothing. What is in no form that is known
here gets no remedy of its own.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

_CLOCK: Final = "set the clock of the machine that signs right"
# What a refusal says where to grant the call's action would not help, and what would; matched
# without regard to case.
_IN_WORDS: Final[Mapping[str, str]] = {
    r"request (has )?expired|request is not (yet valid|valid yet)": (
        f"{_CLOCK}; where it is right, renew the credentials, or do away with the proxy that holds "
        "requests for so long"
    ),
    r"signature (has )?expired|signature not yet current|request timestamp": _CLOCK,
    r"token[a-z ]* (has |is )?expired": "renew the credentials",
    r"anonymous (access|user|request|caller)|missing authentication token": (
        "give credentials: the request was not signed, or a proxy takes the signature off"
    ),
    r"does ?n[o']t exist in our records|needs? a subscription|not signed up": (
        "check the access key, and that its account is active"
    ),
    r"signature version 4|\baws4-hmac": (
        "sign with version 4: take signature_version out of the AWS configuration"
    ),
    r"multi-?factor|\bmfa\b": (
        "give credentials of a session with multi-factor authentication, which the bucket demands"
    ),
    r"object lock|\bworm\b|legal hold|retention": (
        "leave the object until its lock ends: its retention or a legal hold keeps it"
    ),
    r"ciphertext refers to|customer master key": (
        "check that the object's KMS key is there, enabled and in this region, and grant "
        "kms:Decrypt and kms:GenerateDataKey on it"
    ),
    r"over (a secure|https|tls|ssl)|secure connection": (
        "use https: give the endpoint so in AWS_ENDPOINT_URL…"
    ),
}

PolicyKind = Literal["identity", "resource", "session", "boundary", "endpoint", "scp", "rcp"]

_DENIAL: Final = re.compile(
    r"(?:\bUser: (?P<principal>\S+) )?is not authorized to perform: "
    r"(?P<action>[A-Za-z0-9-]+:[A-Za-z0-9]+)"
    r'(?: on resource: (?:"(?P<quoted>[^"]*)"|(?P<bare>\S+)))?'
    r"(?P<why>.*)",
    re.DOTALL,
)
_NOTHING_ALLOWS: Final = re.compile(r"because no (?P<kind>[A-Za-z -]+?) allows? the ")
_DENIES: Final = re.compile(
    r"with an explicit deny"
    r"(?: in (?:an? |the )?(?P<kind>[A-Za-z -]*?(?:policy|policies|boundary)))?"
    r"(?:[:,( ]*(?P<arn>arn:[^\s,;()]+))?"
)
# What stands for a resource that is not named.
_THIS_RESOURCE: Final = re.compile(
    r"on (?:this|the) resource[a-z ]*? (?=because |with an explicit )"
)
# What KMS says where it will not tell whether a key exists.
_NO_SUCH_KEY: Final = re.compile(r"because the resource does not exist in this Region")
_KINDS: Final[Mapping[str, PolicyKind]] = {
    "identity based": "identity",
    "resource based": "resource",
    "role trust": "resource",
    "session": "session",
    "permissions boundary": "boundary",
    "vpc endpoint": "endpoint",
    "service control": "scp",
    "resource control": "rcp",
}
_PRINCIPAL: Final = re.compile(
    r"arn:[^:]*:(?:iam|sts)::(?P<account>[0-9]*):(?:"
    r"assumed-role/(?P<session>[^/]+)/.*|role/(?P<role>.+)|user/(?P<user>.+))"
)
_RUNS_AS: Final = "the role or user this runs as"
# What an action acts on, by the action's service.
_THINGS: Final = {
    "s3": "the bucket",
    "kms": "the KMS key",
    "kinesis": "the stream",
    "sns": "the topic",
    "sqs": "the queue",
    "lambda": "the function",
    "glue": "the Glue catalogue",
    "sts": "the role that is assumed",
}


class Denial(msgspec.Struct, frozen=True):
    """One denial, as far as the message tells: None is what it does not.

    `kind` is of the policy that denies, if `explicit`, or that would have to allow it. `unclear` is
    a reason that is not known here, `missing` that the key may not be there at all.
    """

    action: str
    resource: str | None = None
    principal: str | None = None
    kind: PolicyKind | None = None
    explicit: bool = False
    unclear: bool = False
    missing: bool = False
    policy: str | None = None
    """The ARN of the policy."""


def read_denial(message: str) -> Denial | None:
    """Read what a service says; None where it is not a denial in the form above."""
    found = _DENIAL.search(message)
    if found is None:
        return None
    resource = found["quoted"] or (found["bare"] or "").rstrip(".,;") or None
    denial = Denial(found["action"], resource, found["principal"])
    why = _THIS_RESOURCE.sub("", found["why"].strip(" .,;"), count=1)
    if allows := _NOTHING_ALLOWS.match(why):
        kind = _kind(allows["kind"])
        return msgspec.structs.replace(denial, kind=kind, unclear=kind is None)
    if denies := _DENIES.match(why):
        kind = _kind(denies["kind"]) if denies["kind"] else None
        unclear = denies["kind"] is not None and kind is None
        return msgspec.structs.replace(
            denial, kind=kind, explicit=True, unclear=unclear, policy=denies["arn"]
        )
    missing = bool(_NO_SUCH_KEY.match(why))
    return msgspec.structs.replace(denial, missing=missing, unclear=bool(why) and not missing)


def remedy_in_words(message: str) -> str | None:
    """Return what would help where the call's own grant would not; None where it may."""
    found = (
        remedy for words, remedy in _IN_WORDS.items() if re.search(words, message, re.IGNORECASE)
    )
    return next(found, None)


def blames_the_clock(message: str) -> bool:
    """Say whether a refusal is about when a request was signed."""
    return (remedy_in_words(message) or "").startswith(_CLOCK)


def remedy_for(denial: Denial, action: str, resource: str) -> str:
    """Say what to grant and where, and who has to, as the end of a sentence.

    `action` and `resource` are the call's: of one object among many, all are to be granted.
    """
    permission = denial.action
    granted = _granted(denial, action, resource)
    if granted:
        permission += f" on {granted}"
    if denial.unclear:
        return f"the message names what denies {permission} to {_who(denial)}: have that changed"
    if denial.explicit:
        return _remove(denial, permission)
    if denial.missing:
        return (
            f"check that {granted or 'the KMS key'} is there, and in the region that is meant, and "
            f"have its policy allow {denial.action} to {_who(denial)}"
        )
    return _allow(denial, permission)


def _granted(denial: Denial, action: str, resource: str) -> str | None:
    """Return the ARN to grant: the call's, where the denial's is one object of many."""
    if denial.resource is None:
        return resource if denial.action == action else None
    of_many = resource.endswith("*") and denial.resource.startswith(resource.rstrip("*"))
    return resource if of_many else denial.resource


def _allow(denial: Denial, permission: str) -> str:
    """Name the policy in which a permission is missing, and who has to add it."""
    who = _who(denial)
    if denial.kind is None:
        others = _others(denial)
        return (
            f"grant {permission} to {who}; where it is granted, look for what denies it in {others}"
        )
    if denial.kind == "identity":
        return f"grant {permission} to {who}{_of_another_account(denial)}"
    place, administrator = _place(denial)
    return (
        f"have {administrator} allow {permission}{_to_whom(denial)} in {place}; "
        f"a grant to {who} alone is not enough"
    )


def _remove(denial: Denial, permission: str) -> str:
    """Name the policy that denies, whatever others grant, and who has to change it."""
    which = f" ({denial.policy})" if denial.policy else ""
    if denial.kind is None:
        return (
            f"a policy{which} denies {permission}, whatever is granted: look for it among those of "
            f"{_who(denial)}, and in {_others(denial)}"
        )
    place, administrator = _place(denial)
    of_the_bucket = denial.kind == "resource" and denial.action == "s3:PutObject"
    demands = _DEMANDS if of_the_bucket else ""
    return (
        f"{place}{which} denies {permission}{_to_whom(denial)}, whatever is granted: have "
        f"{administrator} change it{demands}"
    )


_DEMANDS: Final = (
    ", or send what it demands of a write (encryption, ACL, tags) by the settings PIPELINE_S3_…"
)


def _place(denial: Denial) -> tuple[str, str]:
    """Return the policy that decided, and who administers it."""
    who, thing = _who(denial), _thing(denial)
    places: dict[PolicyKind | None, tuple[str, str]] = {
        "identity": (f"a policy of {who}", "whoever administers it"),
        "resource": (f"the policy of {thing}", f"whoever administers {thing}"),
        "session": (
            f"the session policy with which {who} was assumed",
            "whoever assumes that role",
        ),
        "boundary": (f"the permissions boundary of {who}", "an administrator of the account"),
        "endpoint": (
            "the policy of the VPC endpoint that the request went through",
            "whoever administers the VPC",
        ),
        "scp": ("a service control policy of the organisation", _ORGANISATION),
        "rcp": ("a resource control policy of the organisation", _ORGANISATION),
    }
    return places[denial.kind]


_ORGANISATION: Final = "an administrator of the organisation"


def _to_whom(denial: Denial) -> str:
    """Return whom a policy that is for many concerns; the others are named by whose they are."""
    own = denial.kind in {"identity", "session", "boundary"}
    return "" if own else f" to {_who(denial)}"


def _others(denial: Denial) -> str:
    """Return where else a denial may come from."""
    thing = _thing(denial)
    its_key = "" if denial.action.startswith("kms:") else " of its KMS key,"
    return f"the policies of {thing},{its_key} of the VPC endpoint and of the organisation"


def _kind(words: str) -> PolicyKind | None:
    """Return which kind of policy is meant; None for one that is not known here."""
    return _KINDS.get(re.sub(r" polic(y|ies)$", "", words.lower().replace("-", " ")))


def _thing(denial: Denial) -> str:
    return _THINGS.get(denial.action.partition(":")[0].lower(), "the resource")


def _who(denial: Denial) -> str:
    """Name the role or the user, without the session."""
    found = _PRINCIPAL.fullmatch(denial.principal or "")
    if found is None:
        return _RUNS_AS
    if found["user"]:
        return f"the user {found['user']}"
    return f"the role {found['session'] or found['role']}"


def _of_another_account(denial: Denial) -> str:
    """Say that one account's grant is half of it, where the resource is another's."""
    found = _PRINCIPAL.fullmatch(denial.principal or "")
    parts = (denial.resource or "").split(":")
    owner = parts[4] if len(parts) > 5 else ""  # noqa: PLR2004 - arn:partition:service:region:account:name
    if found is None or not owner or owner == found["account"]:
        return ""
    return f"; {_thing(denial)} is another account's ({owner}), whose policy must allow it as well"

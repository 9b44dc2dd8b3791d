"""What AWS says of a denial is read for what to grant, where, and who has to do it.

The messages are in the forms that AWS documents ("Troubleshoot access denied error messages" in IAM's
guide, "Troubleshoot access denied errors in Amazon S3") and that services are seen to send.
"""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.aws.denials import Denial, read_denial, remedy_for
from pipeline.adapters.aws.errors import KINESIS, LAMBDA, S3, SNS, Call, translate_errors
from pipeline.core.errors import ServiceError

ROLE = "arn:aws:sts::111122223333:assumed-role/pipeline-role/pipeline"
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"
OBJECT = "arn:aws:s3:::lake/rows/orders/date=2026-11-23/a b.parquet"
ROWS = "arn:aws:s3:::lake/rows/*"
PUT = f'User: {ROLE} is not authorized to perform: s3:PutObject on resource: "{OBJECT}"'
ON_KEY = f"User: {ROLE} is not authorized to perform: kms:GenerateDataKey on resource: {KEY}"

# The message, and what to do, of a call that needs s3:PutObject on ROWS.
REMEDIES = {
    f"{PUT} because no identity-based policy allows the s3:PutObject action": (
        f"grant s3:PutObject on {ROWS} to the role pipeline-role"
    ),
    f"{ON_KEY} because no identity-based policy allows the kms:GenerateDataKey action": (
        f"grant kms:GenerateDataKey on {KEY} to the role pipeline-role"
    ),
    f"{ON_KEY} because no identity-based policy allows the kms:GenerateDataKey action".replace(
        "central-1:111122223333", "central-1:444455556666"
    ): (
        "grant kms:GenerateDataKey on arn:aws:kms:eu-central-1:444455556666:key/1234abcd to the role "
        "pipeline-role; the KMS key is another account's (444455556666), whose policy must allow it "
        "as well"
    ),
    f"{ON_KEY} because no resource-based policy allows the kms:GenerateDataKey action": (
        f"have whoever administers the KMS key allow kms:GenerateDataKey on {KEY} to the role "
        "pipeline-role in the policy of the KMS key; a grant to the role pipeline-role alone is not "
        "enough"
    ),
    f"{ON_KEY} with an explicit deny in a resource-based policy": (
        f"the policy of the KMS key denies kms:GenerateDataKey on {KEY} to the role pipeline-role, "
        "whatever is granted: have whoever administers the KMS key change it"
    ),
    f"{ON_KEY} because the resource does not exist in this Region, no resource-based policies allow "
    "access, or a resource-based policy explicitly denies access": (
        f"check that {KEY} is there, and in the region that is meant, and have its policy allow "
        "kms:GenerateDataKey to the role pipeline-role"
    ),
    f"User: {ROLE} is not authorized to perform: kms:Decrypt on the resource associated with this "
    "ciphertext because the resource does not exist in this Region, no resource-based policies allow "
    "access, or a resource-based policy explicitly denies access": (
        "check that the KMS key is there, and in the region that is meant, and have its policy allow "
        "kms:Decrypt to the role pipeline-role"
    ),
    f"{PUT} because no resource-based policy allows the s3:PutObject action": (
        f"have whoever administers the bucket allow s3:PutObject on {ROWS} to the role pipeline-role "
        "in the policy of the bucket; a grant to the role pipeline-role alone is not enough"
    ),
    f"{PUT} because no VPC endpoint policy allows the s3:PutObject action": (
        f"have whoever administers the VPC allow s3:PutObject on {ROWS} to the role pipeline-role in "
        "the policy of the VPC endpoint that the request went through; a grant to the role "
        "pipeline-role alone is not enough"
    ),
    f"{PUT} because no session policy allows the s3:PutObject action": (
        f"have whoever assumes that role allow s3:PutObject on {ROWS} in the session policy with "
        "which the role pipeline-role was assumed; a grant to the role pipeline-role alone is not "
        "enough"
    ),
    f"{PUT} because no permissions boundary allows the s3:PutObject action": (
        f"have an administrator of the account allow s3:PutObject on {ROWS} in the permissions "
        "boundary of the role pipeline-role; a grant to the role pipeline-role alone is not enough"
    ),
    f"{PUT} because no service control policy allows the s3:PutObject action": (
        f"have an administrator of the organisation allow s3:PutObject on {ROWS} to the role "
        "pipeline-role in a service control policy of the organisation; a grant to the role "
        "pipeline-role alone is not enough"
    ),
    f"{PUT} because no resource control policy allows the s3:PutObject action": (
        f"have an administrator of the organisation allow s3:PutObject on {ROWS} to the role "
        "pipeline-role in a resource control policy of the organisation; a grant to the role "
        "pipeline-role alone is not enough"
    ),
    f"{PUT} with an explicit deny in an identity-based policy": (
        f"a policy of the role pipeline-role denies s3:PutObject on {ROWS}, whatever is granted: "
        "have whoever administers it change it"
    ),
    f"{PUT} with an explicit deny in a resource-based policy.": (
        f"the policy of the bucket denies s3:PutObject on {ROWS} to the role pipeline-role, whatever "
        "is granted: have whoever administers the bucket change it, or send what it demands of a "
        "write (encryption, ACL, tags) by the settings PIPELINE_S3_…"
    ),
    f"{PUT} with an explicit deny in a VPC endpoint policy": (
        "the policy of the VPC endpoint that the request went through denies s3:PutObject on "
        f"{ROWS} to the role pipeline-role, whatever is granted: have whoever administers the VPC "
        "change it"
    ),
    f"{PUT} with an explicit deny in a session policy": (
        "the session policy with which the role pipeline-role was assumed denies s3:PutObject on "
        f"{ROWS}, whatever is granted: have whoever assumes that role change it"
    ),
    f"{PUT} with an explicit deny in a permissions boundary": (
        f"the permissions boundary of the role pipeline-role denies s3:PutObject on {ROWS}, whatever "
        "is granted: have an administrator of the account change it"
    ),
    f"{PUT} with an explicit deny in a service control policy: "
    "arn:aws:organizations::999988887777:policy/o-1/service_control_policy/p-1": (
        "a service control policy of the organisation (arn:aws:organizations::999988887777:policy/"
        f"o-1/service_control_policy/p-1) denies s3:PutObject on {ROWS} to the role pipeline-role, "
        "whatever is granted: have an administrator of the organisation change it"
    ),
    f"{PUT} with an explicit deny in a resource control policy": (
        f"a resource control policy of the organisation denies s3:PutObject on {ROWS} to the role "
        "pipeline-role, whatever is granted: have an administrator of the organisation change it"
    ),
    f"{PUT} with an explicit deny": (
        f"a policy denies s3:PutObject on {ROWS}, whatever is granted: look for it among those of "
        "the role pipeline-role, and in the policies of the bucket, of its KMS key, of the VPC "
        "endpoint and of the organisation"
    ),
    PUT: (
        f"grant s3:PutObject on {ROWS} to the role pipeline-role; where it is granted, look for what "
        "denies it in the policies of the bucket, of its KMS key, of the VPC endpoint and of the "
        "organisation"
    ),
    # Without a resource, as some services deny, and with other principals.
    "User: arn:aws:iam::111122223333:user/team/alice is not authorized to perform: s3:PutObject "
    "because no identity-based policy allows the s3:PutObject action": (
        f"grant s3:PutObject on {ROWS} to the user team/alice"
    ),
    "User: arn:aws:iam::111122223333:role/job is not authorized to perform: s3:PutObjectTagging on "
    f'resource: "{OBJECT}" because no identity-based policy allows the s3:PutObjectTagging action': (
        f"grant s3:PutObjectTagging on {ROWS} to the role job"
    ),
    "User is not authorized to perform: s3:PutObject": (
        f"grant s3:PutObject on {ROWS} to the role or user this runs as; where it is granted, look "
        "for what denies it in the policies of the bucket, of its KMS key, of the VPC endpoint and of "
        "the organisation"
    ),
    f"User: {ROLE} is not authorized to perform: kms:Decrypt on this resource because no "
    "resource-based policy allows the kms:Decrypt action": (
        "have whoever administers the KMS key allow kms:Decrypt to the role pipeline-role in the "
        "policy of the KMS key; a grant to the role pipeline-role alone is not enough"
    ),
    f"{PUT} with an explicit deny in a permissions boundary: arn:aws:iam::111122223333:policy/edge": (
        "the permissions boundary of the role pipeline-role (arn:aws:iam::111122223333:policy/edge) "
        f"denies s3:PutObject on {ROWS}, whatever is granted: have an administrator of the account "
        "change it"
    ),
    f"{PUT} with an explicit deny in the identity-based policy "
    "(arn:aws:iam::111122223333:policy/team)": (
        "a policy of the role pipeline-role (arn:aws:iam::111122223333:policy/team) denies "
        f"s3:PutObject on {ROWS}, whatever is granted: have whoever administers it change it"
    ),
    # What botocore meets on the way to the call itself, with role_arn in a profile.
    "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: sts:AssumeRole on "
    "resource: arn:aws:iam::111122223333:role/job because no role trust policy allows the "
    "sts:AssumeRole action": (
        "have whoever administers the role that is assumed allow sts:AssumeRole on "
        "arn:aws:iam::111122223333:role/job to the user alice in the policy of the role that is "
        "assumed; a grant to the user alice alone is not enough"
    ),
    # Reasons that are not known here: nothing is recommended that may be in vain.
    f"{PUT} because public access control lists (ACLs) are prevented by the BlockPublicAcls setting "
    "in S3 Block Public Access": (
        f"the message names what denies s3:PutObject on {ROWS} to the role pipeline-role: have that "
        "changed"
    ),
    f"{PUT} with an explicit deny in a policy of some new kind": (
        f"the message names what denies s3:PutObject on {ROWS} to the role pipeline-role: have that "
        "changed"
    ),
    f"{PUT} because no entirely new policy allows the s3:PutObject action": (
        f"the message names what denies s3:PutObject on {ROWS} to the role pipeline-role: have that "
        "changed"
    ),
}


@pytest.mark.parametrize("message", REMEDIES)
def test_a_denial_says_what_to_grant_and_where(message: str) -> None:
    """Each form that AWS documents leads to the policy that decided, and to who administers it."""
    denial = read_denial(message)
    assert denial is not None
    assert remedy_for(denial, "s3:PutObject", ROWS) == REMEDIES[message]


@pytest.mark.parametrize(
    "message",
    [
        "Access Denied",
        "",
        "no message",
        (
            "The ciphertext refers to a customer master key that does not exist, does not exist in this "
            "region, or you are not allowed to access."
        ),
        "You are not authorized to perform this operation.",
        "User: someone is not authorized to perform: nothing in particular",
    ],
)
def test_other_texts_are_not_taken_for_denials(message: str) -> None:
    """What is in no known form gets no remedy of its own."""
    assert read_denial(message) is None


def test_a_key_cannot_pass_for_a_reason() -> None:
    """An object's key may hold any words; they are the resource, and no policy."""
    resource = (
        "arn:aws:s3:::lake/x because no service control policy allows the s3:PutObject action"
    )
    denial = read_denial(
        f'User: {ROLE} is not authorized to perform: s3:PutObject on resource: "{resource}" because '
        "no session policy allows the s3:PutObject action"
    )
    assert denial == Denial("s3:PutObject", resource, ROLE, "session")


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_around_a_denial_is_read_without_an_error(before: str, after: str) -> None:
    """A message is the service's: whatever it is, there is a remedy, in one line, or there is none."""
    denial = read_denial(f"{before}is not authorized to perform: s3:GetObject{after}")
    if denial is not None:
        assert denial.action.startswith("s3:")
        assert remedy_for(denial, "s3:PutObject", ROWS)


def remedy_of(call: Call, code: str, status: int, message: str) -> str:
    """Return what a call that is answered so says is to be done."""
    response = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    with pytest.raises(ServiceError) as caught, translate_errors(call):
        raise ClientError(response, "Operation")  # type: ignore[arg-type] # what we read of it
    return str(caught.value).rpartition('"); ')[2]


STREAM = "arn:aws:kinesis:eu-central-1:111122223333:stream/events"
DENIED = f"User: {ROLE} is not authorized to perform: "


@pytest.mark.parametrize(
    ("call", "code", "status", "message", "remedy"),
    [
        (
            Call(KINESIS, "read", "kinesis:GetRecords", "the stream 'events'"),
            "AccessDeniedException",
            400,
            (
                f"{DENIED}kinesis:GetRecords on resource: {STREAM} because no identity-based policy "
                "allows the kinesis:GetRecords action"
            ),
            f"grant kinesis:GetRecords on {STREAM} to the role pipeline-role.",
        ),
        (
            Call(KINESIS, "write to", "kinesis:PutRecords", "the stream 'events'"),
            "KMSAccessDeniedException",
            400,
            (
                f"{DENIED}kms:GenerateDataKey on resource: {KEY} because no resource-based policy allows "
                "the kms:GenerateDataKey action"
            ),
            (
                f"have whoever administers the KMS key allow kms:GenerateDataKey on {KEY} to the role "
                "pipeline-role in the policy of the KMS key; a grant to the role pipeline-role alone is "
                "not enough."
            ),
        ),
        (
            Call(KINESIS, "read", "kinesis:GetRecords", "the stream 'events'"),
            "KMSAccessDeniedException",
            400,
            "The ciphertext refers to a customer master key that does not exist",
            "check that the KMS key of the stream is there, enabled, and granted to this role.",
        ),
        (
            Call(LAMBDA, "invoke", "lambda:InvokeFunction", "files"),
            "AccessDeniedException",
            403,
            (
                f"{DENIED}lambda:InvokeFunction on resource: arn:aws:lambda:eu-central-1:111122223333:"
                "function:files with an explicit deny in a service control policy"
            ),
            (
                "a service control policy of the organisation denies lambda:InvokeFunction on "
                "arn:aws:lambda:eu-central-1:111122223333:function:files to the role pipeline-role, "
                "whatever is granted: have an administrator of the organisation change it."
            ),
        ),
        (
            Call(SNS, "publish to", "sns:Publish", "arn:aws:sns:eu-central-1:111122223333:alerts"),
            "AuthorizationError",
            403,
            (
                f"{DENIED}SNS:Publish on resource: arn:aws:sns:eu-central-1:111122223333:alerts because "
                "no resource-based policy allows the SNS:Publish action"
            ),
            (
                "have whoever administers the topic allow SNS:Publish on "
                "arn:aws:sns:eu-central-1:111122223333:alerts to the role pipeline-role in the policy of "
                "the topic; a grant to the role pipeline-role alone is not enough."
            ),
        ),
        (
            Call(S3, "read", "s3:GetObject", "s3://lake/rows/a", ROWS),
            "AccessDenied",
            403,
            (
                f'{DENIED}s3:ListBucket on resource: "arn:aws:s3:::lake" because no identity-based '
                "policy allows the s3:ListBucket action"
            ),
            (
                "grant s3:ListBucket on arn:aws:s3:::lake to the role pipeline-role, or see why the "
                "object is missing: S3 denies so to those who may not list."
            ),
        ),
        (
            Call(KINESIS, "read", "kinesis:GetRecords", "the stream 'events'"),
            "InvalidSignatureException",
            400,
            "Signature expired: 20261127T093000Z is now earlier than 20261127T094501Z",
            "set the clock of the machine that signs right.",
        ),
        (
            Call(KINESIS, "read", "kinesis:GetRecords", "the stream 'events'"),
            "InvalidSignatureException",
            400,
            "The request signature we calculated does not match the signature you provided",
            "check or renew the credentials in the environment or the profile.",
        ),
        (
            Call(S3, "read", "s3:GetObject", "s3://lake/rows/a", ROWS),
            "AccessDenied",
            403,
            "The ciphertext refers to a customer master key that does not exist",
            (
                "check that the object's KMS key is there, enabled and in this region, and grant "
                "kms:Decrypt and kms:GenerateDataKey on it."
            ),
        ),
        (
            Call(S3, "read", "s3:GetObject", "s3://lake/rows/a", ROWS),
            "AccessDenied",
            403,
            "Access Denied",
            (
                f"grant s3:GetObject on {ROWS} to the role or user this runs as, and s3:ListBucket on "
                "the bucket if the object may be missing; where it is granted, look for what denies it "
                "in the policies of the bucket, of its KMS key, of the VPC endpoint and of the "
                "organisation, and for what the bucket demands of a request, which the settings "
                "PIPELINE_S3_… send."
            ),
        ),
        (
            Call(S3, "write", "s3:PutObject", "s3://lake/rows/a", ROWS),
            "SlowDown",
            503,
            f"{DENIED}s3:PutObject",
            "try again later.",
        ),
    ],
)
def test_every_service_is_heard(
    call: Call, code: str, status: int, message: str, remedy: str
) -> None:
    """The denial's own remedy goes before the service's general one, and never before a retry."""
    assert remedy_of(call, code, status, message) == remedy

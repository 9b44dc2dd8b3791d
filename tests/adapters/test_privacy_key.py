"""Where the key of private fields comes from, and what is said where it does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from privacy import SECRET, datasets

from pipeline.adapters.aws.secrets import read_parameter, read_secret
from pipeline.adapters.privacy_key import fetch_keys, open_protection, protection_for_trials
from pipeline.core.errors import SecretError, SettingsError
from pipeline.core.protection.keys import read_keys
from pipeline.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOTH = json.dumps({"current": "new", "old": SECRET, "new": "n" * 32})


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with mock_aws():
        yield


@pytest.mark.usefixtures("aws")
def test_a_key_is_read_from_secrets_manager_by_name_and_by_arn() -> None:
    manager = boto3.client("secretsmanager")
    arn = manager.create_secret(Name="privacy", SecretString=BOTH)["ARN"]
    for name in ("privacy", arn):
        keys = fetch_keys(f"secretsmanager:{name}")
        assert keys.current.name == "new"
        assert keys.by_name["old"].token(b"a") == read_keys(SECRET, "").current.token(b"a")


@pytest.mark.usefixtures("aws")
def test_a_key_is_read_from_the_parameter_store_decrypted() -> None:
    store = boto3.client("ssm")
    store.put_parameter(Name="/privacy/key", Type="SecureString", Value=SECRET)
    keys = fetch_keys("ssm:/privacy/key")
    assert keys.current.token(b"a") == read_keys(SECRET, "").current.token(b"a")


@pytest.mark.usefixtures("aws")
def test_a_secret_that_is_not_there_is_named_with_what_to_do() -> None:
    with pytest.raises(SecretError) as missing:
        read_secret("nowhere")
    assert str(missing.value).startswith("Could not read the secret nowhere: ")
    assert str(missing.value).endswith("; check its name and the region.")
    with pytest.raises(
        SecretError, match="Could not read the parameter /nowhere: SSM answered ParameterNotFound"
    ):
        read_parameter("/nowhere")


@pytest.mark.usefixtures("aws")
def test_a_secret_that_is_binary_is_refused() -> None:
    boto3.client("secretsmanager").create_secret(Name="binary", SecretBinary=b"\0" * 32)
    with pytest.raises(SecretError) as refused:
        read_secret("binary")
    sentence = "Could not read the secret binary: it is binary; store it as a text (SecretString)."
    assert str(refused.value) == sentence


def test_a_key_is_read_from_a_file_and_from_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "a key"
    file.write_text(f"{SECRET}\n")
    token = read_keys(SECRET, "").current.token(b"a")
    for place in (f"file:{file}", f"{file.as_uri()}", "env:MINE"):
        assert fetch_keys(place, {"MINE": SECRET}).current.token(b"a") == token


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        (
            "short",
            "it: the key 'default' has 5 characters; at least 32 are needed, from a source of randomness, as `openssl rand -hex 32` is.",
        ),
        (
            json.dumps({"current": "a", "a": " " * 40}),
            "it: the key 'a' has 0 characters; at least 32 are needed, from a source of randomness, as `openssl rand -hex 32` is.",
        ),
        (
            '{"current": "a", "a": "short"}',
            "it: the key 'a' has 5 characters; at least 32 are needed, from a source of randomness, as `openssl rand -hex 32` is.",
        ),
        (
            '{"current": "b", "a": "' + "a" * 32 + '"}',
            'it: "current" does not name one of its 1 keys.',
        ),
        (
            '{"current": 1}',
            'it is not a key: it begins as a JSON object, and is not one of texts. Give a text of at least 32 characters, or {"current": "NAME", "NAME": "TEXT"}.',
        ),
    ],
)
def test_a_secret_that_cannot_be_used_is_told_without_its_text(secret: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_keys(secret, "it")
    assert str(refused.value) == sentence


def test_no_text_of_a_key_has_its_bytes() -> None:
    keys = read_keys(SECRET, "it")
    assert SECRET not in f"{keys!r} {keys.current!r} {keys.current}"


def environment(**more: str) -> dict[str, str]:
    return {
        "PIPELINE_OUTPUT": "file:///out",
        "PIPELINE_DEAD_LETTERS": "file:///dead",
        "PIPELINE_SCHEMAS": "schemas",
    } | more


@pytest.mark.parametrize("place", ["ssm:/a", "secretsmanager:a", "file:a", "env:A"])
def test_a_setting_names_the_place(place: str) -> None:
    assert Settings.from_environment(environment(PIPELINE_PRIVACY_KEY=place)).privacy_key == place


@pytest.mark.parametrize("place", [SECRET, "kms:a", "env:", "ssm:a b"])
def test_a_setting_that_is_no_place_is_refused_without_quoting_it(place: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(environment(PIPELINE_PRIVACY_KEY=place))
    assert str(refused.value) == (
        "PIPELINE_PRIVACY_KEY does not name a place; give secretsmanager:NAME-OR-ARN, ssm:NAME, "
        "file:PATH or env:NAME, and not the key itself."
    )


def test_without_a_key_a_dataset_with_private_fields_does_not_start() -> None:
    with pytest.raises(SettingsError) as refused:
        open_protection(datasets(), None)
    assert str(refused.value) == (
        "PIPELINE_PRIVACY_KEY is not set, and people has private fields; give "
        "secretsmanager:NAME-OR-ARN or ssm:NAME of a secret, or file:PATH or env:NAME on a machine "
        "of your own. See docs/privacy.md."
    )


def test_without_private_fields_no_key_is_asked_for() -> None:
    others = datasets()[1:]
    assert open_protection(others, None) is None
    assert protection_for_trials(others) is None


def test_without_the_package_that_seals_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    given: dict[str, Any] = {"A": SECRET}
    with pytest.raises(SettingsError) as refused:
        open_protection(datasets(), "env:A", given)
    assert str(refused.value) == (
        'dead_letter_private = "encrypt", as it is by default for datasets with private fields, '
        "needs the package cryptography: install kinesis-s3-pipeline[privacy], or set "
        'dead_letter_private = "digest" in dataset.toml.'
    )
    assert open_protection(datasets("digest"), "env:A", given) is not None

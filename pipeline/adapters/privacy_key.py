"""The keys of private fields, from the place that PIPELINE_PRIVACY_KEY names."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from pipeline.core.dataset import Dataset
from pipeline.core.errors import SettingsError
from pipeline.core.protection import Protection, needs_protection
from pipeline.core.protection.keys import PrivacyKeys, key_for_trials, read_keys


def open_protection(
    datasets: Sequence[Dataset], place: str | None, environment: Mapping[str, str] = os.environ
) -> Protection | None:
    """Fetch the keys, and return what protects the datasets; None where nothing is private.

    Raises `SettingsError` where there is no key, and `SecretError` where it cannot be fetched.
    """
    private = [dataset.name for dataset in datasets if dataset.private is not None]
    if place is not None:
        return Protection(datasets, fetch_keys(place, environment))
    if not private:
        return None
    message = (
        f"PIPELINE_PRIVACY_KEY is not set, and {', '.join(private)} has private fields; give "
        "secretsmanager:NAME-OR-ARN or ssm:NAME of a secret, or file:PATH or env:NAME on a machine "
        "of your own. See docs/privacy.md."
    )
    raise SettingsError(message)


def protection_for_trials(datasets: Sequence[Dataset]) -> Protection | None:
    """Return what protects the datasets where nothing is stored, without a secret."""
    if not needs_protection(datasets):
        return None
    return Protection(datasets, key_for_trials(), seals=False)


def fetch_keys(place: str, environment: Mapping[str, str] = os.environ) -> PrivacyKeys:
    """Fetch the keys from a place. Raises `SecretError`, or `SettingsError`."""
    kind, _, name = place.partition(":")
    return read_keys(_READERS[kind](name, environment), f"The secret {place}")


def _from_secrets_manager(name: str, _: Mapping[str, str]) -> str:
    from pipeline.adapters.aws.secrets import read_secret  # noqa: PLC0415 - 0.3 s to import

    return read_secret(name)


def _from_parameter_store(name: str, _: Mapping[str, str]) -> str:
    from pipeline.adapters.aws.secrets import read_parameter  # noqa: PLC0415 - 0.3 s to import

    return read_parameter(name)


def _from_file(path: str, _: Mapping[str, str]) -> str:
    file = Path(unquote(path.removeprefix("//")))
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        message = f"The file {file} of PIPELINE_PRIVACY_KEY is not UTF-8."
    except OSError as error:
        message = f"The file {file} of PIPELINE_PRIVACY_KEY cannot be read: {error.strerror}."
    raise SettingsError(message)


def _from_environment(name: str, environment: Mapping[str, str]) -> str:
    text = environment.get(name)
    if not text:
        message = f"PIPELINE_PRIVACY_KEY names the variable {name}, which is not set."
        raise SettingsError(message)
    return text


_READERS = {
    "secretsmanager": _from_secrets_manager,
    "ssm": _from_parameter_store,
    "file": _from_file,
    "env": _from_environment,
}

"""Where a lake is: its landing, its catalog, its ledger."""

from pathlib import Path
from typing import Final
from urllib.parse import unquote

import msgspec

from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.iceberg.catalogs import LakeCatalog, open_catalog
from pipeline.adapters.iceberg.table import LakeTable, load_table
from pipeline.adapters.landing import DirectoryLanding, Landing
from pipeline.adapters.local_files import uri_of
from pipeline.bucket_settings import NO_DEMANDS, S3Settings
from pipeline.core.dataset import Dataset
from pipeline.core.errors import SettingsError, UriRefused
from pipeline.lake.commit import CommitLimits, Committer

FOLDER: Final = "_lake"
"""Of the output: readers of landing tables pass over names that begin so."""


class Lake(msgspec.Struct, frozen=True):
    """A landing and the tables made of it. `ledger` is the URI below which segments are."""

    landing: Landing
    catalog: LakeCatalog
    ledger: str

    def table(self, dataset: Dataset) -> LakeTable:
        """Load a dataset's table. Raises `SettingsError` where there is none yet."""
        found = load_table(self.catalog, dataset.name)
        if found is None:
            name = ".".join(self.catalog.identifier(dataset.name))
            message = f"There is no table {name} yet: `pipeline lake commit` makes it."
            raise SettingsError(message)
        return found

    def committer(self, dataset: Dataset, limits: CommitLimits | None = None) -> Committer:
        """Return what commits a dataset."""
        ledger = f"{self.ledger}/{dataset.name}"
        return Committer(dataset, self.catalog, self.landing, ledger, limits)


def open_lake(
    output: str,
    catalog: str | None = None,
    warehouse: str | None = None,
    s3: S3Settings = NO_DEMANDS,
) -> Lake:
    """Open the lake of an output. Raises `SettingsError`, or `UriRefused`.

    Without a `catalog`, an output that is a directory has one in a file of its own, and without a
    `warehouse` the tables' files are in the output, too.
    """
    root = _plain(output.rstrip("/"))
    if catalog is None and not root.startswith("file://"):
        message = (
            "PIPELINE_LAKE is not set; give the catalog of the tables: glue:DATABASE, "
            "rest:https://…?namespace=NAME or sqlite:///directory/catalog.db."
        )
        raise SettingsError(message)
    if catalog is None:
        catalog = f"sqlite:///{root.removeprefix('file:///')}/{FOLDER}/catalog.db"
    return Lake(
        _landing(output, s3),
        open_catalog(catalog, warehouse or f"{root}/{FOLDER}/tables"),
        f"{root}/{FOLDER}/ledger",
    )


def _landing(uri: str, s3: S3Settings) -> Landing:
    """Open the objects of an output by version. Raises `UriRefused`."""
    scheme, _, rest = uri.partition("://")
    if scheme == "s3":
        from pipeline.adapters.aws.landing import S3Landing  # noqa: PLC0415 - loads boto3

        bucket, _, prefix = rest.partition("/")
        return S3Landing(bucket, prefix, settings=s3)
    if scheme == "file" and rest.startswith("/"):
        root = Path(unquote(rest))
        return DirectoryLanding(DirectoryStore(root), root)
    message = f"{uri!r} does not name where rows land; write s3://bucket/prefix or file:///dir."
    raise UriRefused(message)


def _plain(uri: str) -> str:
    """Return a URI as Iceberg writes it: that of a directory has no escapes."""
    return uri_of(Path(unquote(uri.removeprefix("file://")))) if uri.startswith("file://") else uri

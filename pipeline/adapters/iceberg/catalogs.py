"""The catalogs that tables are in, each opened by its URI."""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pyarrow as pa
import pydantic
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchIcebergTableError,
    NoSuchPropertyException,
    NoSuchTableError,
    RESTError,
    ServiceUnavailableError,
    ValidationError,
    ValidationException,
)
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import Timeout
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from pipeline.core.errors import StoreRefused, StoreUnavailable, UriRefused
from pipeline.core.lake_settings import catalog_fault

_IO = {"py-io-impl": "pipeline.adapters.iceberg.file_io.TableIO"}
_NAMESPACE = "lake"
_UNREADABLE = (
    pa.ArrowException, pydantic.ValidationError, ValidationError, json.JSONDecodeError,
    UnicodeDecodeError, EOFError,
)  # fmt: skip
"""What a file of a table raises that is cut off, or is something else."""
_REMEDY = (
    "Put it back from the bucket's versions or a backup, or have the catalog point to older "
    "metadata."
)
_NO_ANSWER = (
    CommitStateUnknownException, ServiceUnavailableError, ConnectionError, NoConnection, Timeout,
)  # fmt: skip


class LakeCatalog(msgspec.Struct, frozen=True):
    """A catalog, and the namespace in it that has our tables."""

    catalog: Catalog
    namespace: str
    uri: str

    def identifier(self, name: str) -> tuple[str, str]:
        """Return what the catalog knows a table by."""
        return self.namespace, name


def open_catalog(uri: str, warehouse: str) -> LakeCatalog:
    """Open the catalog that `uri` names, for tables below the URI `warehouse`.

    `sqlite:///path` (a file, which is made), `glue:DATABASE`, or
    `rest:https://…?namespace=NAME&sigv4=SERVICE`, whose warehouse is the service's own name for it.
    Raises `UriRefused`.
    """
    # It warns of each commit that it repeats, and of statistics that a column does not have.
    logging.getLogger("pyiceberg").setLevel(logging.ERROR)
    with catalog_errors("open", f"the catalog {uri.partition('?')[0]}"):
        return _opened(uri, warehouse)


def _opened(uri: str, warehouse: str) -> LakeCatalog:
    fault = catalog_fault(uri)
    if fault is not None:
        raise UriRefused(fault)
    kind, _, rest = uri.partition(":")
    if kind == "sqlite":
        return LakeCatalog(_sqlite(Path(rest[2:]), warehouse), _NAMESPACE, uri)
    if kind == "glue":
        return LakeCatalog(_glue(warehouse), rest, uri)
    address, _, query = rest.partition("?")
    options = dict(parse_qsl(query))
    namespace = options.pop("namespace", _NAMESPACE)
    return LakeCatalog(_rest(address, options, warehouse), namespace, uri)


def _sqlite(path: Path, warehouse: str) -> Catalog:
    from pyiceberg.catalog.sql import SqlCatalog  # noqa: PLC0415 - loaded where it is opened

    path.parent.mkdir(parents=True, exist_ok=True)
    return SqlCatalog(
        _NAMESPACE, uri=f"sqlite:///{path}", warehouse=warehouse, init_catalog_tables="true", **_IO
    )


def _glue(warehouse: str) -> Catalog:
    from pyiceberg.catalog.glue import GlueCatalog  # noqa: PLC0415 - loaded where it is opened

    from pipeline.adapters.aws.glue import glue_client  # noqa: PLC0415 - loads boto3

    return GlueCatalog(_NAMESPACE, client=glue_client(), warehouse=warehouse, **_IO)


def _rest(address: str, options: dict[str, str], warehouse: str) -> Catalog:
    from pyiceberg.catalog.rest import RestCatalog  # noqa: PLC0415 - loaded where it is opened

    more: dict[str, Any] = {}
    if "sigv4" in options:
        more = {"rest.sigv4-enabled": "true", "rest.signing-name": options["sigv4"]}
        if "region" in options:
            more["rest.signing-region"] = options["region"]
    return RestCatalog(_NAMESPACE, uri=address, warehouse=warehouse, **more, **_IO)


class Conflict(Exception):
    """Somebody else changed the table meanwhile, so that the work has to begin anew."""


@contextlib.contextmanager
def catalog_errors(verb: str, where: str) -> Iterator[None]:
    """Turn what a catalog raises into `Conflict`, or a `StoreError` with its sentence."""
    from pipeline.adapters.aws.glue import glue_errors  # noqa: PLC0415 - loads botocore

    try:
        with glue_errors(verb, where):
            yield
    # Two that make a namespace or a table at once are told by the database's own check.
    except (CommitFailedException, ValidationException, IntegrityError) as error:
        raise Conflict(str(error)) from error
    except (NoSuchIcebergTableError, NoSuchPropertyException) as error:
        message = (
            f"Could not {verb} {where}: there is another kind of table by that name. Give the lake "
            "a database of its own, apart from that of the landing tables."
        )
        raise StoreRefused(message) from error
    except NoSuchTableError:
        raise
    except FileNotFoundError as error:
        message = f"Could not {verb} {where}: its file {error.filename or error} is gone. {_REMEDY}"
        raise StoreRefused(message) from error
    except _UNREADABLE as error:
        message = (
            f"Could not {verb} {where}: one of its files is not whole, or is not what it should be "
            f"({type(error).__name__}). {_REMEDY}"
        )
        raise StoreRefused(message) from error
    except _NO_ANSWER as error:
        message = f"Could not {verb} {where}: the catalog did not answer; run it again."
        raise StoreUnavailable(message) from error
    except SQLAlchemyError as error:
        reason = type(error.__cause__ or error).__name__
        message = (
            f"Could not {verb} {where}: the catalog's database refused it ({reason}); run it again,"
            " and check the file of the catalog if that does not help."
        )
        raise StoreUnavailable(message) from error
    except RESTError as error:
        message = f"Could not {verb} {where}: the catalog refused it, {str(error)[:500]}."
        raise StoreRefused(message) from error

"""A REST catalog: a small server of its protocol, over a catalog in a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest, Table
from support import Stored, as_json, dataset, deliver, kinesis_event

from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.iceberg.catalogs import open_catalog
from pipeline.adapters.memory import MemoryStore
from pipeline.core.errors import StoreError
from pipeline.lake.places import open_lake

THINGS = dataset({"name": "n", "type": "int"}, config="[lake]\n", name="things")
ERRORS = {
    NoSuchTableError: 404, TableAlreadyExistsError: 409, NamespaceAlreadyExistsError: 409,
    CommitFailedException: 409,
}  # fmt: skip


class Server(ThreadingHTTPServer):
    """Serves a catalog; `lost` is how many answers of commits that landed are not given."""

    catalog: SqlCatalog
    lost = 0
    commits = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.partition("?")[0].strip("/").split("/")[1:]
        try:
            status, found = 200, self._of(parts, json.loads(body or b"{}"))
        except tuple(ERRORS) as error:
            status = ERRORS[type(error)]
            kind = type(error).__name__.removesuffix("Error")
            found = {"error": {"message": str(error), "type": kind, "code": status}}
        text = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _of(self, parts: list[str], asked: dict[str, Any]) -> dict[str, Any]:
        catalog = self.server.catalog
        if parts == ["config"]:
            return {"defaults": {}, "overrides": {}}
        if parts[0] == "namespaces" and len(parts) == 1:
            catalog.create_namespace(tuple(asked["namespace"]))
            return {"namespace": asked["namespace"], "properties": {}}
        if len(parts) == 2:
            return {"namespace": [parts[1]], "properties": {}}
        if len(parts) == 3:
            made = catalog.create_table(
                (parts[1], asked["name"]),
                Schema.model_validate(asked["schema"]),
                partition_spec=PartitionSpec.model_validate(asked["partition-spec"]),
                properties=asked["properties"],
            )
            return _loaded(made)
        table = catalog.load_table((parts[1], parts[3]))
        if self.command != "POST":
            return _loaded(table)
        request = CommitTableRequest.model_validate(
            {**asked, "identifier": {"namespace": [parts[1]], "name": parts[3]}}
        )
        catalog.commit_table(table, request.requirements, request.updates)
        self.server.commits += 1
        if self.server.lost:
            self.server.lost -= 1
            self.connection.close()
        return _loaded(catalog.load_table((parts[1], parts[3])))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _loaded(table: Table) -> dict[str, Any]:
    metadata = json.loads(table.metadata.model_dump_json())
    return {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    opened = open_catalog(f"sqlite:///{tmp_path}/rest.db", f"file://{tmp_path}/tables").catalog
    assert isinstance(opened, SqlCatalog)
    made.catalog = opened
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_rest_catalog_has_tables_as_another_has(tmp_path: Path, server: Server) -> None:
    store: Any = DirectoryStore(tmp_path / "out")
    stored = Stored(output=store, dead_letters=MemoryStore())
    uri = f"rest:http://127.0.0.1:{server.server_port}?namespace=ours"
    lake = open_lake((tmp_path / "out").as_uri(), uri, f"file://{tmp_path}/tables")
    rows = []
    for first in (0, 3, 6):
        deliver(kinesis_event([as_json({"n": n}) for n in range(first, first + 5)], start=first),
                [THINGS], stored)  # fmt: skip
        try:
            rows.append(lake.committer(THINGS).run().rows)
        except StoreError:
            rows.append(lake.committer(THINGS).run().rows)
        server.lost = 1
    assert server.commits >= 3
    table = server.catalog.load_table(("ours", "things"))
    assert sorted(table.scan().to_arrow()["n"].to_pylist()) == list(range(11))
    assert list((tmp_path / "out" / "things").rglob("*.parquet")) == []

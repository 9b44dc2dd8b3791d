"""Starts the command line, under a name that no application has for a module of its own.

The package is imported as `pipeline`. Where another `pipeline` stands in front of it, this says so;
Python itself would say "'pipeline' is not a package". `python -m kinesis_s3_pipeline` works in such
a folder if `-P` keeps the folder out of the search.
"""

import importlib.util
import sys
from pathlib import Path

_OURS = Path(__file__).with_name("pipeline")


def main() -> int:
    """Run the command line; return the exit code."""
    if (hidden_by := _other()) is not None:
        print(f"pipeline: {hidden_by}", file=sys.stderr)
        return 1
    from pipeline.cli import main as run  # noqa: PLC0415 - only if it is ours

    return run()


def _other() -> str | None:
    """Say what is imported as `pipeline` instead of our package; None if nothing is."""
    found = importlib.util.find_spec("pipeline")
    origin = Path(found.origin) if found and found.origin else None
    if origin is not None and origin.resolve().parent == _OURS.resolve():
        return None
    other = origin or (found and next(iter(found.submodule_search_locations or ()), None))
    where = f"{other} is imported in place of" if other else "Nothing is imported as"
    return (
        f"{where} the package `pipeline` of kinesis-s3-pipeline, in {_OURS}. Rename it; or keep "
        "its folder out of Python's search: unset PYTHONPATH, and start Python with -P."
    )


if __name__ == "__main__":
    sys.exit(main())

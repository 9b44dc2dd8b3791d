"""What one fresh process takes: `python -m benchmarks.fresh COMMAND …`.

    import             seconds of processor time to import the handlers
    libraries          the same for the libraries alone that the handlers import
    start EVENT        seconds to import the handlers, for the first event, which reads settings
                       and datasets, and for the second; the environment says where they are
    open               seconds to import the handlers and to open what they work with, as Lambda's
                       init phase does; the environment says where the output is
    memory NAME EVENT  the most bytes that the process had when it had handled an event three times

The result is a line of JSON.
"""

import contextlib
import io
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TIMES = 3
_HANDLER = "pipeline.handlers.kinesis"


def main() -> None:
    command, *arguments = sys.argv[1:]
    print(json.dumps(_WAYS[command](*arguments)))


def _import() -> dict[str, Any]:
    """Time the import of the handlers, and name the modules of others that it brought."""
    before = set(sys.modules)
    start = time.process_time()
    import pipeline.handlers  # noqa: F401, PLC0415 - what is measured

    seconds = time.process_time() - start
    brought = [name for name in sys.modules if name not in before and _is_of_others(name)]
    return {"seconds": seconds, "libraries": brought}


def _is_of_others(name: str) -> bool:
    origin = getattr(sys.modules[name], "__file__", None) or ""
    return "site-packages" in origin and not name.startswith("pipeline")


def _libraries(names: str) -> dict[str, Any]:
    """Time the import of modules, in this order."""
    import importlib  # noqa: PLC0415 - loaded with the interpreter already

    start = time.process_time()
    for name in names.split(","):
        importlib.import_module(name)
        if name == "aws_kinesis_agg":  # its messages import each other by bare names
            sys.path[:0] = list(sys.modules[name].__path__)
    return {"seconds": time.process_time() - start}


def _start(event: str) -> dict[str, Any]:
    """Time a cold start, as Lambda makes it."""
    read = json.loads(Path(event).read_bytes())
    steps = [time.process_time()]
    from pipeline.handlers import kinesis  # noqa: PLC0415 - what is measured

    steps.append(time.process_time())
    for _ in range(2):
        with contextlib.redirect_stdout(io.StringIO()):  # it logs there
            assert kinesis(read, None) == {"batchItemFailures": []}
        steps.append(time.process_time())
    return {"steps": [end - start for start, end in itertools.pairwise(steps)]}


def _open() -> dict[str, Any]:
    """Time the init phase."""
    start = time.process_time()
    from pipeline.handlers import prepare  # noqa: PLC0415 - what is measured

    prepare({**os.environ, "AWS_LAMBDA_RUNTIME_API": "none", "_HANDLER": _HANDLER})
    return {"seconds": time.process_time() - start}


def _memory(name: str, event: str) -> dict[str, Any]:
    from benchmarks.corpora import CORPORA  # noqa: PLC0415 - `import` is about what comes first
    from pipeline.measure.invocation import invoke, make_pipeline  # noqa: PLC0415 - see above
    from pipeline.measure.runs import peak_memory  # noqa: PLC0415 - see above

    # As Lambda's runtime does; freeing what it read is left to it, too.
    read = json.loads(Path(event).read_bytes())
    datasets = CORPORA[name].datasets()
    for _ in range(_TIMES):
        invoke(read, make_pipeline(datasets))
    return {"bytes": peak_memory()}


_WAYS: dict[str, Callable[..., dict[str, Any]]] = {
    "import": _import,
    "libraries": _libraries,
    "start": _start,
    "open": _open,
    "memory": _memory,
}


if __name__ == "__main__":
    main()

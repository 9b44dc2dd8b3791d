"""One way in a process of its own: `python -m benchmarks.peers.worker MODULE EVENT`.

Commands come a line each on standard input, results go as a line of JSON to standard output: `run`
returns its processor time in seconds, `store DIR` also writes what it makes, `peak` returns the
peak memory in bytes, and `start` the processor time until it was ready, imports included.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.measure.runs import one_core, peak_memory


def main() -> None:
    module, event = sys.argv[1:]
    with one_core():
        read = json.loads(Path(event).read_bytes())
        run = importlib.import_module(f"benchmarks.peers.{module}").prepare(read)
        with one_core():  # again, for the Arrow that came with the module
            _serve(run)


def _serve(run: Callable[[], list[bytes]]) -> None:
    ready = time.process_time()
    for line in sys.stdin:
        command, _, folder = line.strip().partition(" ")
        match command:
            case "peak":
                result: float = peak_memory()
            case "start":
                result = ready
            case _:
                result = _do(run, folder)
        print(json.dumps(result), flush=True)


def _do(run: Callable[[], list[bytes]], folder: str) -> float:
    start = time.process_time()
    bodies = run()
    seconds = time.process_time() - start
    for number, body in enumerate(bodies if folder else ()):
        Path(folder, f"{number}.parquet").write_bytes(body)
    return seconds


if __name__ == "__main__":
    main()

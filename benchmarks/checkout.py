"""One start of the handler, timed, of whatever checkout is on the path: `checkout.py EVENT`.

Imports nothing but the handler, so that it runs with any checkout; see benchmarks/compare.py. The
result is a line of JSON: where the package is, and by step the seconds of processor time.
"""

import contextlib
import gc
import io
import json
import statistics
import sys
import time
from pathlib import Path

_EVENTS = 9  # after the first two, of which the second warms up


def main() -> None:
    event = json.loads(Path(sys.argv[1]).read_bytes())
    start = time.process_time()
    from pipeline import handlers  # noqa: PLC0415 - what is measured

    imported = time.process_time() - start

    def run() -> float:
        begun = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):  # it logs there
            assert handlers.kinesis(event, None) == {"batchItemFailures": []}
        return time.process_time() - begun

    first, _ = run(), run()
    gc.collect()
    gc.freeze()  # the event is not the collector's business, as in a Lambda that holds one
    event_seconds = statistics.median(run() for _ in range(_EVENTS))
    seconds = {"import": imported, "the first event": first, "a full event": event_seconds}
    print(json.dumps({"package": handlers.__file__, "seconds": seconds}))


if __name__ == "__main__":
    main()

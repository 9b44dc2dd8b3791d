"""The committer beside the handler, on the same data: `python -m benchmarks.lake`.

    typical     full events, whose landing objects have some 0.7 MB
    small       events of a fiftieth of that, whose landing objects have some 15 KB

Each is in processor seconds of one core: a landing made by the real handler, in a directory, then one
run of the committer. The peak of memory is that of the whole program, with the landing's events in it.
`--commits 1000` commits a small event so many times instead, and shows what a commit costs then.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.corpora import Corpus, make
from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.memory import MemoryStore
from pipeline.core.dataset import Dataset
from pipeline.core.lake_settings import LakePartition, LakeSettings
from pipeline.core.records import Limits
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.lake.places import Lake, open_lake
from pipeline.measure.invocation import invoke
from pipeline.measure.runs import one_core, peak_memory

_SIZES = {"typical": (1.0, 40), "small": (0.02, 1_000)}
_APART = 10**12


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lake", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the events (default: 1)")
    parser.add_argument("--commits", type=int, help="measure so many commits instead")
    options = parser.parse_args()
    with one_core():
        if options.commits:
            _commits(options.commits)
        else:
            for name, (scale, count) in _SIZES.items():
                print(_measured(name, make("typical", scale), max(2, int(count * options.share))))


def _measured(name: str, corpus: Corpus, count: int) -> str:
    """Land so many events, and commit them; return a line about it."""
    with tempfile.TemporaryDirectory() as folder:
        dataset, lake = _lake(corpus, folder)
        store = MemoryStore()
        events = list(_events(corpus, count + 1))
        # What is loaded once, and the table, are not part of it.
        pipeline = Pipeline(
            Router([dataset]), Limits(), DirectoryStore(Path(folder)), MemoryStore()
        )
        invoke(events.pop(0), pipeline)
        lake.committer(dataset).run()
        started = time.process_time()
        for event in events:
            invoke(event, Pipeline(Router([dataset]), Limits(), store, MemoryStore()))
        handler = time.process_time() - started
        landed = sum(map(len, store.objects.values()))
        output = DirectoryStore(Path(folder))
        for key, body in store.objects.items():
            output.put(key, body)
        objects = len(store.objects)
        store.objects.clear()
        started = time.process_time()
        outcome = lake.committer(dataset).run()
        seconds = time.process_time() - started
        assert outcome.rows == corpus.rows * count, outcome
        return (
            f"{name}: {objects:,} landing objects of {landed / objects / 1e3:,.0f} KB, "
            f"{outcome.files} files; handler {1_000 * handler / count:.1f} ms an event, committer "
            f"{1_000 * seconds / count:.1f} ms ({seconds / handler:.2f}); "
            f"{landed / 1e6 / seconds:.1f} MB of Parquet a processor second; peak of memory "
            f"{peak_memory() / 1e6:,.0f} MB"
        )


def _commits(count: int) -> None:
    """Commit so many times, and print what a commit costs now and then."""
    corpus = make("typical", 0.005)
    with tempfile.TemporaryDirectory() as folder:
        dataset, lake = _lake(corpus, folder)
        pipeline = Pipeline(
            Router([dataset]), Limits(), DirectoryStore(Path(folder)), MemoryStore()
        )
        spent = 0.0
        for number, event in enumerate(_events(corpus, count), 1):
            invoke(event, pipeline)
            started = time.process_time()
            assert lake.committer(dataset).run().rows == corpus.rows
            spent += time.process_time() - started
            if number % max(1, count // 10) == 0:
                print(f"{number:,} commits: {10_000 * spent / count:.0f} ms each, the last tenth")
                spent = 0.0


def _lake(corpus: Corpus, folder: str) -> tuple[Dataset, Lake]:
    (dataset,) = corpus.datasets
    settings = LakeSettings((LakePartition("day", "at"),))
    return msgspec.structs.replace(dataset, lake=settings), open_lake(Path(folder).as_uri())


def _events(corpus: Corpus, count: int) -> Iterator[Any]:
    """Yield the corpus's event again and again, each time later on its shard."""
    for number in range(count):
        event = copy.deepcopy(corpus.event)
        for record in event["Records"]:
            shard, _, sequence = record["eventID"].partition(":")
            later = str(int(sequence) + number * _APART)
            record["eventID"] = f"{shard}:{later}"
            record["kinesis"]["sequenceNumber"] = later
        yield event


if __name__ == "__main__":
    main()

"""`pipeline bench`, the measuring below it, and that the benchmarks still run."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support import ORDERS, ROOT, as_json, order

from pipeline.cli import main
from pipeline.core.errors import BatchNotStored
from pipeline.core.events import read_kinesis_event
from pipeline.core.kpl import deaggregate
from pipeline.measure.events import AGGREGATE_BYTES, event_bytes, measured_event, pack
from pipeline.measure.invocation import invoke, make_pipeline
from pipeline.measure.prices import firehose_cost, pipeline_cost
from pipeline.measure.runs import Spread, interleaved, one_core, peak_memory

ARRIVED = ["--arrived-at", "2026-11-23T12:00:00Z"]
SAMPLE = ROOT / "schemas" / "orders" / "good.ndjson"


def bench(sample: Path, *options: str) -> int:
    schemas = str(ROOT / "schemas")
    return main(["bench", "--schemas", schemas, "--sample", str(sample), "--runs", "1", *options])


# -------------------------------------------------------------------------------- the command


def test_it_tells_throughput_stages_memory_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(SAMPLE, *ARRIVED) == 0
    out = capsys.readouterr().out
    assert re.search(r"^throughput +[\d.,]+ MB/s, [\d,]+ documents/s$", out, re.MULTILINE)
    assert re.search(r"^memory +[\d,]+ MB at most", out, re.MULTILINE)
    stages = re.findall(r"^  (\w+) +[\d.]+ ms +\d+%$", out, re.MULTILINE)
    assert stages == [
        "decode", "route", "convert", "rules", "partition", "encode", "store", "check",
    ]  # fmt: skip
    dollars = dict(re.findall(r"^  (.+?) +\$([\d.]+)", out, re.MULTILINE))
    parts = ("Lambda, time", "Lambda, requests", "S3, PUTs")
    assert sum(float(dollars[part]) for part in parts) == pytest.approx(
        float(dollars["together"]), abs=2e-4
    )
    assert "dead letters" not in out


def test_the_event_is_as_large_as_lambda_sends(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(SAMPLE, *ARRIVED) == 0
    size = re.search(r"documents, ([\d.]+) MB$", capsys.readouterr().out, re.MULTILINE)
    assert size is not None
    assert 4.3 < float(size[1]) < 4.5


def test_documents_that_are_bad_are_counted_by_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "some.ndjson.gz"
    sample.write_bytes(
        gzip.compress(as_json(order()) + b"\nnonsense\n" + as_json({"a": 1}) + b"\n")
    )
    assert bench(sample, *ARRIVED, "--not-aggregated") == 0
    out = capsys.readouterr().out
    assert re.search(r"^ +[\d,]+ dead letters: no_dataset$", out, re.MULTILINE)
    assert re.search(r"^ +[\d,]+ dead letters: not_json$", out, re.MULTILINE)
    assert "of 3 documents, repeated" in out


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (b"", [], "holds no documents; give a file with one JSON document a line."),
        (b"\n \n", [], "holds no documents; give a file with one JSON document a line."),
        (b"\x1f\x8b\x08", [], "cannot be read past byte 0"),
        (b"{}\n", ["--arrived-at", "today"], "--arrived-at today: "),
        (None, [], "No such file or directory."),
        (b"{}\n", ["--schemas", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_sentence(
    text: bytes | None,
    options: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sample = tmp_path / "sample"
    if text is not None:
        sample.write_bytes(text)
    assert bench(sample, *options) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pipeline: ")
    assert said in err
    assert err.count("\n") == 1


# ------------------------------------------------------------------------------ the measuring


@pytest.mark.parametrize("aggregated", [True, False])
def test_what_is_packed_comes_out_in_order_and_fits(*, aggregated: bool) -> None:
    payloads = [as_json({"n": n, "text": "x" * (n % 700)}) for n in range(2_000)]
    packed = pack(payloads, 300_000, aggregated=aggregated)
    assert sum(event_bytes(len(record)) for record in packed.records) <= 300_000
    chunk, rejects = deaggregate(read_kinesis_event(measured_event(packed.records, 0.0)))
    assert not rejects
    assert chunk.payloads == payloads[: packed.payloads]
    assert 100 < packed.payloads < 2_000


def test_a_payload_that_fills_an_aggregate_goes_alone_and_unchanged() -> None:
    small, large = b'{"n":1}', b'{"n":"' + b"x" * AGGREGATE_BYTES + b'"}'
    packed = pack([large, small, large], 10**6, aggregated=True)
    assert packed.payloads == 3
    assert packed.records == [large, small, large]


def test_an_event_holds_one_payload_even_if_it_is_too_large() -> None:
    packed = pack([b"x" * 1_000, b"y"], 10, aggregated=False)
    assert packed.records == [b"x" * 1_000]


def test_an_invocation_says_what_became_of_the_documents() -> None:
    payloads = [as_json(order()), as_json(order(total="x")), as_json(order(total="y"))]
    event = measured_event(pack(payloads, 10**6, aggregated=True).records, 1_795_426_200.0)
    invocation = invoke(event, make_pipeline((ORDERS,)))
    assert (invocation.documents, invocation.rows, invocation.rejects) == (3, 1, {"bad_format": 2})
    assert invocation.objects == 3


def test_what_was_not_stored_is_not_measured() -> None:
    def fails(*arguments: Any) -> dict[str, Any]:
        arguments[-1].write('{"message": "the store is down"}')
        return {"batchItemFailures": [{"itemIdentifier": "1"}]}

    with pytest.raises(BatchNotStored, match="the store is down"):
        invoke({}, make_pipeline((ORDERS,)), handler=fails)


def test_cases_take_turns_after_one_run_each_that_does_not_count() -> None:
    seen: list[str] = []
    ticks = iter(range(1_000))
    cases = {name: (lambda name=name: seen.append(name)) for name in "ab"}
    spreads = interleaved(cases, 3, clock=lambda: float(next(ticks)))
    assert seen == ["a", "b"] * 4
    assert spreads == {"a": Spread(1.0, 1.0, 1.0), "b": Spread(1.0, 1.0, 1.0)}


def test_one_core_is_given_back() -> None:
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    threads = pa.cpu_count(), pa.io_thread_count()
    with one_core():
        assert (pa.cpu_count(), pa.io_thread_count()) == (1, 1)
        if before is not None:
            assert len(os.sched_getaffinity(0)) == 1
    assert (pa.cpu_count(), pa.io_thread_count()) == threads
    if before is not None:
        assert os.sched_getaffinity(0) == before


def test_the_peak_of_memory_is_in_bytes_and_remembers() -> None:
    before = peak_memory()
    large = bytearray(before + 50_000_000)  # more than there ever was
    large[::4_096] = b"x" * len(large[::4_096])
    del large
    assert peak_memory() >= before + 50_000_000


def test_a_gigabyte_costs_what_its_invocations_and_objects_cost() -> None:
    # 1,000 events of 1 MB, of 100.5 ms: 101 are billed.
    cost = pipeline_cost(1_000_000, 0.1005, 2)
    assert cost.compute == pytest.approx(1_000 * 0.101 * 1_769 / 1_024 * 0.0000133334)
    assert cost.requests == pytest.approx(1_000 * 0.0000002)
    assert cost.puts == pytest.approx(2_000 * 0.000005)
    assert cost.total == cost.compute + cost.requests + cost.puts


@pytest.mark.parametrize(("size", "billed"), [(5_120, 5_120), (1, 5_120), (5_121, 10_240)])
def test_firehose_rounds_every_record_up_to_5_kb(size: int, billed: int) -> None:
    assert firehose_cost(size) == pytest.approx((0.029 + 0.018) * billed / size)
    assert firehose_cost(size, partitioned=True) == pytest.approx(firehose_cost(size) + 0.02)


# ----------------------------------------------------------------------------- the benchmarks


def test_the_benchmarks_run_and_report_every_target(tmp_path: Path) -> None:
    options = ["--quick", "--scale", "0.004", "--rounds", "1", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "README.md").read_text()
    targets = re.findall(r"^\| .+ \| at (?:least|most) [\d.]+", report, re.MULTILINE)
    assert len(targets) == 31
    titles = re.findall(r"^## (.*)", report, re.MULTILINE)
    assert [*titles[:2], titles[-1]] == ["Beside others", "What it costs", "Targets"]
    plots = {plot["name"] for plot in json.loads((tmp_path / "plots.json").read_text())}
    assert plots == {"cost", "growth-documents", "growth-fields", "growth-partitions"}
    # Drawn where `make bench` has installed what draws them.
    drawn = plots if (ROOT / ".venv-bench" / ".installed").exists() else set()
    assert {path.stem for path in tmp_path.glob("*.svg")} == drawn
    assert all((f"({name}.svg)" in report) == (name in drawn) for name in plots)

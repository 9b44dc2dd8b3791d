"""What a GB of raw input costs, here and at Firehose. A GB is 10**9 bytes; dollars are US dollars.

Prices are those of us-east-1, without free tiers, savings plans and discounts of large volumes.
Costs that both sides share are left out: the Kinesis stream, and S3's storage.
"""

import math
from dataclasses import dataclass
from typing import Final

LAMBDA_MEGABYTES: Final = 1_769
"""At this size a function has one whole virtual processor (AWS Lambda Developer Guide)."""
GIGABYTE: Final = 1e9
_FIREHOSE_STEP: Final = 5 * 1_024


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for one of something, where AWS publishes it, and how it is known."""

    dollars: float
    per: str
    page: str
    known: str


_SECOND_HAND = "second-hand: infracost's test of us-east-1, July 2024"
_CATALOGUE = "second-hand: a catalogue of prices, May 2026; AWS's page was not read"
_BLOG = "AWS Big Data Blog, March 2026"
_LAMBDA = "AWS Lambda Pricing"
_FIREHOSE = "Amazon Data Firehose pricing"
_STREAMS = "Kinesis Data Streams pricing"

PRICES: Final[dict[str, Price]] = {
    "Lambda, duration (arm64)": Price(0.0000133334, "GB-second", _LAMBDA, _SECOND_HAND),
    "Lambda, duration (x86)": Price(
        0.0000166667,
        "GB-second",
        "How AWS Pricing Works: Lambda; AWS Lambda Pricing",
        "read in November 2026 (rounded there to $0.00001667)",
    ),
    "Lambda, requests": Price(
        0.20 / 1e6, "request", "How AWS Pricing Works: Lambda", "read in November 2026"
    ),
    "S3 Standard, PUT": Price(0.005 / 1e3, "request", "Amazon S3 pricing", _SECOND_HAND),
    "Firehose, ingestion": Price(
        0.029,
        "GB, each record rounded up to 5 KB",
        _FIREHOSE,
        f"the rounding read in November 2026; the price by a bill of 2022, and {_CATALOGUE}",
    ),
    "Firehose, conversion to Parquet": Price(
        0.018, "GB, rounded like ingestion", _FIREHOSE, _CATALOGUE
    ),
    "Firehose, dynamic partitioning": Price(0.020, "GB", _FIREHOSE, _CATALOGUE),
    "Firehose, objects of dynamic partitioning": Price(
        0.005 / 1e3, "object", _FIREHOSE, _CATALOGUE
    ),
}

_QUOTED = "others quote it, November 2026; to be checked there"
# What else in an account costs money, for infra/README.md.
PRICES_AROUND: Final[dict[str, Price]] = {
    "Kinesis, on-demand stream": Price(0.04, "hour", _STREAMS, _BLOG),
    "Kinesis, data in": Price(0.08, "GB", _STREAMS, _BLOG),
    "Kinesis, data out": Price(0.04, "GB", _STREAMS, _SECOND_HAND),
    "Kinesis, kept from the 2nd to the 7th day": Price(0.10, "GB-month", _STREAMS, _BLOG),
    "CloudWatch, metric": Price(0.30, "month", "Amazon CloudWatch pricing", _QUOTED),
    "CloudWatch, metric of an alarm": Price(0.10, "month", "Amazon CloudWatch pricing", _QUOTED),
    "CloudWatch, dashboard": Price(3.00, "month", "Amazon CloudWatch pricing", _QUOTED),
    "CloudWatch, log": Price(0.50, "GB", "Amazon CloudWatch pricing", _QUOTED),
}

# What else takes a stream to a table, or changes what the stream itself costs.
PRICES_BESIDE: Final[dict[str, Price]] = {
    "Firehose to Iceberg": Price(0.045, "GB", _FIREHOSE, _CATALOGUE),
    "Firehose from MSK": Price(0.055, "GB, not rounded", _FIREHOSE, _CATALOGUE),
    "Managed Flink": Price(
        0.11,
        "KPU-hour, at least 3 below 5 MB/s: $241 a month",
        "Amazon Managed Service for Apache Flink pricing",
        "a page of AWS's on GitHub, August 2026",
    ),
    "Glue, streaming job or Iceberg optimization": Price(
        0.44, "DPU-hour", "AWS Glue pricing", "second-hand: read there by others, October 2026"
    ),
    "Kinesis on-demand Advantage, data in": Price(
        0.032, "GB, at least 25 MiB/s: about $3,040 a month with data out", _STREAMS, _BLOG
    ),
    "Kinesis on-demand Advantage, data out": Price(0.016, "GB", _STREAMS, _BLOG),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars per GB of raw input."""

    compute: float
    requests: float
    puts: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.compute + self.requests + self.puts


def pipeline_cost(bytes_in: int, seconds: float, objects: float) -> Cost:
    """Return what a GB costs if `bytes_in` of it take one invocation of so long.

    `seconds` is the whole time of the invocation, of which each begun millisecond is billed, at the
    price of arm64, which the template deploys by default; `objects` is how many it writes.
    """
    events = GIGABYTE / bytes_in
    billed = math.ceil(seconds * 1_000) / 1_000 * LAMBDA_MEGABYTES / 1_024
    return Cost(
        compute=events * billed * PRICES["Lambda, duration (arm64)"].dollars,
        requests=events * PRICES["Lambda, requests"].dollars,
        puts=events * objects * PRICES["S3 Standard, PUT"].dollars,
    )


def firehose_at_best() -> float:
    """Return what it charges for a GB of records that fill its steps of 5 KB."""
    return firehose_cost(_FIREHOSE_STEP)


def firehose_cost(record_bytes: float, *, partitioned: bool = False) -> float:
    """Return what Firehose charges for a GB of records of this size, to Parquet.

    Where it is `partitioned` by key, without the objects and the hours of JQ, which come on top.
    """
    rounded = math.ceil(record_bytes / _FIREHOSE_STEP) * _FIREHOSE_STEP / record_bytes
    ingested = PRICES["Firehose, ingestion"].dollars
    converted = PRICES["Firehose, conversion to Parquet"].dollars
    by_key = PRICES["Firehose, dynamic partitioning"].dollars if partitioned else 0.0
    return rounded * (ingested + converted) + by_key

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


PRICES: Final[dict[str, Price]] = {
    "Lambda, duration (x86)": Price(
        0.0000166667,
        "GB-second",
        "How AWS Pricing Works: Lambda; AWS Lambda Pricing",
        "read in November 2026 (rounded there to $0.00001667)",
    ),
    "Lambda, requests": Price(
        0.20 / 1e6, "request", "How AWS Pricing Works: Lambda", "read in November 2026"
    ),
    "S3 Standard, PUT": Price(
        0.005 / 1e3,
        "request",
        "Amazon S3 pricing",
        "others quote it, November 2026; to be checked there",
    ),
    "Firehose, ingestion": Price(
        0.029,
        "GB, each record rounded up to 5 KB",
        "Amazon Data Firehose pricing",
        "the rounding read in November 2026; the price is an assumption, to be checked there",
    ),
    "Firehose, conversion to Parquet": Price(
        0.018,
        "GB, rounded like ingestion",
        "Amazon Data Firehose pricing",
        "an assumption, to be checked there",
    ),
    "Firehose, dynamic partitioning": Price(
        0.020, "GB", "Amazon Data Firehose pricing", "an assumption, to be checked there"
    ),
}

_QUOTED = "others quote it, November 2026; to be checked there"
_ASSUMED = "an assumption, to be checked there"
# What else in an account costs money, for infra/README.md.
PRICES_AROUND: Final[dict[str, Price]] = {
    "Kinesis, on-demand stream": Price(0.04, "hour", "Kinesis Data Streams pricing", _ASSUMED),
    "Kinesis, data in": Price(0.08, "GB", "Kinesis Data Streams pricing", _ASSUMED),
    "Kinesis, data out": Price(0.04, "GB", "Kinesis Data Streams pricing", _ASSUMED),
    "Kinesis, kept from the 2nd to the 7th day": Price(
        0.10, "GB-month", "Kinesis Data Streams pricing", _ASSUMED
    ),
    "CloudWatch, metric": Price(0.30, "month", "Amazon CloudWatch pricing", _QUOTED),
    "CloudWatch, metric of an alarm": Price(0.10, "month", "Amazon CloudWatch pricing", _QUOTED),
    "CloudWatch, dashboard": Price(3.00, "month", "Amazon CloudWatch pricing", _QUOTED),
    "CloudWatch, log": Price(0.50, "GB", "Amazon CloudWatch pricing", _QUOTED),
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

    `seconds` is the whole time of the invocation, of which each begun millisecond is billed;
    `objects` is how many it writes.
    """
    events = GIGABYTE / bytes_in
    billed = math.ceil(seconds * 1_000) / 1_000 * LAMBDA_MEGABYTES / 1_024
    return Cost(
        compute=events * billed * PRICES["Lambda, duration (x86)"].dollars,
        requests=events * PRICES["Lambda, requests"].dollars,
        puts=events * objects * PRICES["S3 Standard, PUT"].dollars,
    )


def firehose_cost(record_bytes: float, *, partitioned: bool = False) -> float:
    """Return what Firehose charges for a GB of records of this size, to Parquet."""
    rounded = math.ceil(record_bytes / _FIREHOSE_STEP) * _FIREHOSE_STEP / record_bytes
    ingested = PRICES["Firehose, ingestion"].dollars
    converted = PRICES["Firehose, conversion to Parquet"].dollars
    by_key = PRICES["Firehose, dynamic partitioning"].dollars if partitioned else 0.0
    return rounded * (ingested + converted) + by_key

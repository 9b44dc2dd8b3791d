"""What the pipeline is to reach, and what was reached: ratios in one run on one core."""

from dataclasses import dataclass

from benchmarks.report import Section, Table


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of a section, and its limit; `least` says whether the limit is the least value, or the most."""

    name: str
    section: str
    figure: str
    limit: float
    unit: str = "x"
    least: bool = False

    def met(self, value: float) -> bool:
        """Return whether a value meets the limit."""
        return value >= self.limit if self.least else value <= self.limit


TARGETS = (
    Target("against the usual recipe with validation", "beside", "recipe", 10, least=True),
    Target("against polars, which validates nothing", "beside", "polars", 2.5, least=True),
    Target("against the floor", "beside", "floor", 1.15),
    Target("Parquet and CSV both, against Parquet alone", "handler", "both formats", 1.7),
    Target("1 % bad documents against none", "handler", "bad 1 %", 1.35),
    Target("10 % bad documents against none", "handler", "bad 10 %", 1.7),
    Target("all bad", "handler", "bad 100 %", 4),
    Target("a map field added", "handler", "map field", 1.3),
    Target("a defaulted field absent in half the documents", "handler", "default absent", 1.2),
    Target("not aggregated, against aggregated, per byte", "handler", "not aggregated", 1.4),
    Target("hash keys in aggregates, against none, per byte", "handler", "hash keys", 1.05),
    Target("back to back, against one a line", "handler", "back to back", 1.3),
    Target("an unknown member in every document: counted", "handler", "unknown counted", 1.25),
    Target("an unknown member in every document: kept", "handler", "unknown kept", 1.6),
    Target("small documents (80 B) against typical ones, per byte", "handler", "small", 1.4),
    Target("three datasets on one stream against one, per byte", "handler", "three datasets", 1.15),
    Target("CloudWatch Logs, 50 events a record, against plain documents, in MB/s", "handler", "cloudwatch-logs", 0.6, least=True),
    Target("DMS against plain documents, in MB/s", "handler", "dms", 0.5, least=True),
    Target("Debezium against plain documents, in MB/s", "handler", "debezium", 0.5, least=True),
    Target("100 partitions against 1, in memory", "handler", "100 partitions", 2.2),
    Target("100 partitions through TLS, against memory", "remote", "100 partitions", 1.25),
    Target("100 ms a PUT: 100 partitions", "remote", "100 partitions MB/s", 8, " MB/s", least=True),
    Target("100 ms a PUT: 250 partitions", "remote", "250 partitions MB/s", 4, " MB/s", least=True),
    Target("processor time of a PUT of 11 KB, against boto3's", "remote", "a PUT", 0.4),
    Target("`convert` against Arrow's kernels on the same lines", "files", "convert to kernels", 1.3),
    Target("`convert` against duckdb on one core", "files", "convert to duckdb", 2),
    Target("`run`, not aggregated: the mapping against the handler", "files", "mapping share", 0.3),
    Target("peak memory of the process for a full event", "startup", "peak MB", 130, " MB"),
    Target("start-up with S3 against the same without", "startup", "start with S3", 1.25),
    Target("import of `pipeline.handlers`, against its libraries'", "startup", "import", 1.15),
    Target("time against documents, 100 to 13,500: exponent", "growth", "exponent of documents", 1, ""),
)  # fmt: skip


def table(sections: dict[str, Section]) -> Table:
    """Compare the results with the targets; what was not measured is left out."""
    rows = []
    for target in TARGETS:
        if target.section not in sections:
            continue
        value = sections[target.section].figures[target.figure]
        limit = f"{'at least' if target.least else 'at most'} {target.limit:g}{target.unit}"
        reached = (
            f"{value:,.0f}{target.unit}" if target.unit == " MB" else f"{value:.2f}{target.unit}"
        )
        rows.append([target.name, limit, reached, "yes" if target.met(value) else "**no**"])
    return Table(["target", "limit", "reached", "met"], rows)

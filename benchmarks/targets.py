"""What the pipeline is to reach, and what was reached: ratios in one run on one core."""

from dataclasses import dataclass

from benchmarks.report import Section, Table


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of a section, and its limit; `least` tells whether it has to reach it or stay."""

    what: str
    section: str
    figure: str
    limit: float
    unit: str = "x"
    least: bool = False

    def met(self, value: float) -> bool:
        """Tell whether a value is on the right side."""
        return value >= self.limit if self.least else value <= self.limit


TARGETS = (
    Target("against the usual recipe with validation", "beside", "recipe", 6, least=True),
    Target("against polars, which validates nothing", "beside", "polars", 2, least=True),
    Target("against the floor", "beside", "floor", 1.35),
    Target("Parquet and CSV both, against Parquet alone", "handler", "both formats", 1.7),
    Target("1 % bad documents against none", "handler", "bad 1 %", 1.6),
    Target("all bad", "handler", "bad 100 %", 4),
    Target("a map field added", "handler", "map field", 1.5),
    Target("a defaulted field absent in half the documents", "handler", "default absent", 1.2),
    Target("not aggregated, against aggregated, per byte", "handler", "not aggregated", 1.4),
    Target("100 partitions against 1, in memory", "handler", "100 partitions", 2),
    Target("peak memory of the process for a full event", "startup", "peak MB", 350, " MB"),
    Target("import of `pipeline.handlers`, against its libraries'", "startup", "import", 1.15),
    Target("time against documents, 100 to 13,500: exponent", "growth", "exponent of documents", 1, ""),
)  # fmt: skip


def table(sections: dict[str, Section]) -> Table:
    """Hold what was measured against the targets; what was not measured is left out."""
    rows = []
    for of in TARGETS:
        if of.section not in sections:
            continue
        value = sections[of.section].figures[of.figure]
        limit = f"{'at least' if of.least else 'at most'} {of.limit:g}{of.unit}"
        reached = f"{value:,.0f}{of.unit}" if of.unit == " MB" else f"{value:.2f}{of.unit}"
        rows.append([of.what, limit, reached, "yes" if of.met(value) else "**no**"])
    return Table(["target", "limit", "reached", "met"], rows)

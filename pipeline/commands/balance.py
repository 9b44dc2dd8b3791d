"""What a command stored, added up and shown: documents = rows + dead letters."""

from collections import Counter
from dataclasses import dataclass, field

from pipeline.core.report import Report, Tally


@dataclass(slots=True)
class Balance:
    """The sums of many reports, by dataset."""

    datasets: dict[str, Tally] = field(default_factory=dict)

    def add(self, report: Report) -> None:
        """Add one batch."""
        for name, tally in report.datasets.items():
            into = self.datasets.setdefault(name, Tally())
            into.documents += tally.documents
            into.rows += tally.rows
            into.objects += tally.objects
            into.bytes_out += tally.bytes_out
            into.rejects += tally.rejects

    @property
    def documents(self) -> int:
        """Documents of all datasets."""
        return sum(tally.documents for tally in self.datasets.values())

    @property
    def rejects(self) -> int:
        """Dead letters of all datasets."""
        return sum(tally.rejects.total() for tally in self.datasets.values())

    def lines(self) -> list[str]:
        """Return the balance as text: a line each dataset, then its dead letters by reason."""
        header = ["dataset", "documents", "= rows", "+ dead letters", "objects", "bytes"]
        rows = [header]
        for name, of in sorted(self.datasets.items()):
            numbers = (of.documents, of.rows, of.rejects.total(), of.objects, of.bytes_out)
            rows.append([name, *(f"{number:,}" for number in numbers)])
        return [*table(rows), *self._reasons()]

    def _reasons(self) -> list[str]:
        reasons = Counter[tuple[str, str]]()
        for name, of in self.datasets.items():
            reasons.update({(name, reason): count for reason, count in of.rejects.items()})
        return [
            f"  {count:,} x {name}: {reason}" for (name, reason), count in reasons.most_common()
        ]


def table(rows: list[list[str]]) -> list[str]:
    """Line up columns of text, the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

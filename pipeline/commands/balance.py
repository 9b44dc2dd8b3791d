"""What a command stored, added up and shown: documents = rows + dead letters + drops."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.commands.table import print_table
from pipeline.core.report import Report, Tally, UnknownFields

_NUMBERS = ("documents", "= rows", "+ dead letters", "objects", "bytes")


@dataclass(slots=True)
class Balance:
    """The sums of many reports, by dataset."""

    datasets: dict[str, Tally] = field(default_factory=dict)
    unkept: UnknownFields = field(default_factory=UnknownFields)
    too_fine: str = ""
    """What is said of the partitions of the batch that has most of them, if they are very many."""
    _most_partitions: int = 0

    def add(self, report: Report) -> None:
        """Add one batch."""
        self.unkept.merge(report.unkept)
        if (partitions := report.total("partitions")) > self._most_partitions:
            self._most_partitions, self.too_fine = partitions, report.too_fine
        for name, tally in report.datasets.items():
            into = self.datasets.setdefault(name, Tally())
            into.documents += tally.documents
            into.rows += tally.rows
            into.objects += tally.objects
            into.bytes_out += tally.bytes_out
            into.rejects += tally.rejects
            into.unknown.merge(tally.unknown)
            into.drops += tally.drops

    @property
    def documents(self) -> int:
        """Documents of all datasets."""
        return sum(tally.documents for tally in self.datasets.values())

    @property
    def rejects(self) -> int:
        """Dead letters of all datasets."""
        return sum(tally.rejects.total() for tally in self.datasets.values())

    def report(self) -> dict[str, Any]:
        """Return the balance as JSON has it."""
        return {
            "documents": self.documents,
            "rows": sum(tally.rows for tally in self.datasets.values()),
            "dead_letters": self.rejects,
            "drops": sum(tally.drops.total() for tally in self.datasets.values()),
            "datasets": {
                name: {
                    "documents": tally.documents,
                    "rows": tally.rows,
                    "dead_letters": dict(tally.rejects),
                    "drops": dict(tally.drops),
                    "objects": tally.objects,
                    "bytes": tally.bytes_out,
                    "unknown_fields": dict(tally.unknown.counts()),
                }
                for name, tally in sorted(self.datasets.items())
            },
        }

    def show(self) -> None:
        """Print the balance: a row for each dataset, then its dead letters by reason."""
        rows, are_dropped = [], any(tally.drops for tally in self.datasets.values())
        headings = [*_NUMBERS[:3], *["+ drops"] * are_dropped, *_NUMBERS[3:]]
        for name, tally in sorted(self.datasets.items()):
            numbers = (
                *(tally.documents, tally.rows, tally.rejects.total()),
                *[tally.drops.total()] * are_dropped,
                *(tally.objects, tally.bytes_out),
            )
            rows.append([name, *(f"{number:,}" for number in numbers)])
        print_table(["dataset", *headings], rows, numbers=headings)
        for (name, reason), count in self._reasons().most_common():
            print(f"  {count:,} x {name}: {reason}")
        for name, tally in sorted(self.datasets.items()):
            for line in lines_of_unknown(name, tally.unknown):
                print(f"  {line}")
            for drop, count in tally.drops.most_common():
                print(f"  {count:,} x dropped: {drop}")
        for path, count in self.unkept.counts():
            print(f"  {count:,} x a member of envelopes that no rule keeps: {path}")
        if self.too_fine:
            print(f"  In one part of what was stored:{self.too_fine}")

    def _reasons(self) -> Counter[tuple[str, str]]:
        reasons = Counter[tuple[str, str]]()
        for name, tally in self.datasets.items():
            reasons.update({(name, reason): count for reason, count in tally.rejects.items()})
        return reasons


def lines_of_unknown(dataset: str, unknown: UnknownFields) -> Iterator[str]:
    """Yield a line for each unknown field of a dataset, the most frequent first."""
    label = "unknown field, kept in _rest:" if unknown.kept else "unknown field, dropped:"
    for path, count in unknown.counts():
        yield f"{count:,} x {dataset}: {label} {path}"

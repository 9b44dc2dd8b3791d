"""Three countings of one stream, and whether they agree.

The generator knows what is on the stream, the pipeline reports what became of it, and the files
that it wrote are counted without its help.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.dataset import UNROUTED
from pipeline.demo.stream import StreamTotals


@dataclass(slots=True)
class Delivered:
    """What the handler said of the events, and how long it took for them.

    The counters are by dataset. `seconds` pass inside `who` alone, and `processor_seconds` are
    what all threads computed meanwhile. Of `small_events` the cost says nothing.
    """

    documents: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    data_bytes: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    who: str = "The handler"
    small_events: bool = False

    def add(self, log: list[dict[str, Any]]) -> None:
        """Add what one invocation logged."""
        for line in log:
            if line.get("outcome") == "stored":
                self.objects += line["Objects"]
                self.data_bytes += line["BytesIn"]
            elif "Dataset" in line and "Reason" not in line:
                self.documents[line["Dataset"]] += line["Documents"]
                self.rows[line["Dataset"]] += line["Rows"]
                self.rejects[line["Dataset"]] += line["Rejects"]


@dataclass(frozen=True, slots=True)
class Counted:
    """What is in the files. `rows` is by dataset and format; the others are by dataset.

    `identities` are those of rows and dead letters together, each counted once.
    """

    rows: Mapping[tuple[str, str], int]
    dead_letters: Counter[str]
    reasons: Counter[str]
    identities: Counter[str]


@dataclass(frozen=True, slots=True)
class Redelivery:
    """One event delivered a second time; `same` if every file is as it was."""

    documents: int
    objects: int
    same: bool


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """One dataset in the balance; shown as a column. `rows_in` is by format."""

    dataset: str
    sent: int
    documents: int
    rows: int
    rejects: int
    rows_in: Mapping[str, int]
    dead_letters: int
    identities: int

    @property
    def balanced(self) -> bool:
        """Whether every counting of this dataset comes to the same."""
        return (
            self.sent == self.documents == self.identities == self.rows + self.rejects
            and self.dead_letters == self.rejects
            and all(rows == self.rows for rows in self.rows_in.values())
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether nothing was lost, nothing doubled, and every dead letter has its right reason.

    `broken` were sent among the documents; `sample` are some of those that were not.
    """

    balance: tuple[BalanceRow, ...]
    redelivery: Redelivery
    wrong_reasons: Counter[str]
    broken: int
    sample: list[bytes]

    @property
    def balanced(self) -> bool:
        """Whether all of it holds."""
        return not list(self.faults())

    def report(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "balanced": self.balanced,
            "faults": list(self.faults()),
            "documents": sum(row.documents for row in self.balance),
            "rows": sum(row.rows for row in self.balance),
            "dead_letters": sum(row.dead_letters for row in self.balance),
            "datasets": {
                row.dataset: {
                    "sent": row.sent,
                    "documents": row.documents,
                    "rows": row.rows,
                    "dead_letters": row.dead_letters,
                    "identities": row.identities,
                    "rows_in": dict(row.rows_in),
                }
                for row in self.balance
            },
        }

    def faults(self) -> Iterator[str]:
        """Say what does not hold."""
        for row in self.balance:
            if not row.balanced:
                yield f"{row.dataset}: the three countings differ"
        for reason, off in sorted(self.wrong_reasons.items()):
            yield f"{reason}: {off:+,} dead letters against what was sent"
        if not self.redelivery.same:
            yield "delivering an event a second time changed the files"


def judge(
    totals: StreamTotals, delivered: Delivered, counted: Counted, redelivery: Redelivery
) -> Verdict:
    """Hold the countings against each other."""
    datasets = sorted({*totals.documents, *delivered.documents, *counted.identities} - {UNROUTED})
    balance = tuple(
        BalanceRow(
            dataset=name,
            sent=totals.documents[name],
            documents=delivered.documents[name],
            rows=delivered.rows[name],
            rejects=delivered.rejects[name],
            rows_in={
                as_format: rows
                for (owner, as_format), rows in counted.rows.items()
                if owner == name
            },
            dead_letters=counted.dead_letters[name],
            identities=counted.identities[name],
        )
        for name in (*datasets, UNROUTED)
    )
    off = {
        reason: counted.reasons[reason] - totals.reasons[reason]
        for reason in {*counted.reasons, *totals.reasons}
    }
    wrong = Counter({reason: number for reason, number in off.items() if number})
    return Verdict(balance, redelivery, wrong, totals.broken.total(), totals.sample)

"""An hour's numbers as JSON, for programs, and as a page that a person can link to."""

import html
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.audit.findings import Answers, Finding, Hour

_COLUMNS = {
    "documents": "documents", "rows": "rows", "dead_letters": "dead letters", "drops": "drops",
    "missing": "missing", "lag_seconds": "lag, s", "largest_gap_seconds": "largest gap, s",
}  # fmt: skip
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #ddd; padding: .3rem .5rem; text-align: right }}
td:first-child, th:first-child {{ text-align: left; overflow-wrap: anywhere }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{verdict}</p>
<table>
<tr><th>shard</th>{head}</tr>
{rows}
</table>
{findings}
<p>What came in is rows, dead letters, drops, and what is missing. The lag is the time from the last
arrival that is stored to the end of the hour; the largest gap is between two arrivals.
Asked at {asked_at}.</p>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known of one hour of arrival, over all shards."""

    hour: datetime
    asked_at: datetime
    shards: Sequence[Hour]
    findings: Sequence[Finding]

    @property
    def name(self) -> str:
        """What its files are called, without the suffix."""
        return f"{self.hour.astimezone(UTC):%Y-%m-%dT%H}"

    def to_json(self) -> bytes:
        """Return it as one object."""
        return json.dumps(self._members(), indent=2).encode() + b"\n"

    def to_html(self) -> bytes:
        """Return it as a page."""
        members = self._members()
        shards = [{"source": "all", **_numbers(members)}, *members["shards"]]
        sentences = [f"<li>{html.escape(text)}</li>" for text in members["findings"]]
        page = _PAGE.format(
            title=f"Receipt for {self.name}:00 UTC",
            verdict=_verdict(members),
            head="".join(f"<th>{title}</th>" for title in _COLUMNS.values()),
            rows="\n".join(map(_row, shards)),
            findings="<ul>\n" + "\n".join(sentences) + "\n</ul>" if sentences else "",
            asked_at=_time(self.asked_at),
        )
        return page.encode()

    def _members(self) -> dict[str, Any]:
        shards = [self._shard(shard) for shard in self.shards]
        sums = {name: sum(shard[name] for shard in shards) for name in list(_COLUMNS)[:5]}
        return {
            "hour": f"{self.name}:00:00Z",
            "asked_at": _time(self.asked_at),
            "is_over": self.asked_at >= self.hour + timedelta(hours=1),
            "complete": not self.findings,
            **sums,
            "lag_seconds": max((shard["lag_seconds"] for shard in shards), default=0),
            "largest_gap_seconds": max(
                (shard["largest_gap_seconds"] for shard in shards), default=0
            ),
            "findings": [finding.sentence for finding in self.findings],
            "shards": shards,
        }

    def _shard(self, shard: Hour) -> dict[str, Any]:
        end = min(self.hour + timedelta(hours=1), self.asked_at)
        newest = shard.newest or self.hour
        return {
            "source": shard.source,
            "documents": shard.documents,
            "rows": shard.rows,
            "dead_letters": shard.dead_letters,
            "drops": shard.drops,
            "missing": shard.missing,
            "lag_seconds": max(0, int((end - newest).total_seconds())),
            "largest_gap_seconds": shard.largest_gap,
        }


def receipts(answers: Answers, asked_at: datetime) -> list[Receipt]:
    """Return the receipts of all hours in which something arrived."""
    hours: dict[datetime, list[Hour]] = defaultdict(list)
    findings: dict[datetime, list[Finding]] = defaultdict(list)
    for hour in answers.hours:
        hours[hour.hour].append(hour)
    for finding in answers.findings:
        if finding.arrived_at is not None:
            findings[finding.arrived_at.replace(minute=0, second=0, microsecond=0)].append(finding)
    return [
        Receipt(hour, asked_at, hours[hour], findings[hour]) for hour in sorted({*hours, *findings})
    ]


def _numbers(members: dict[str, Any]) -> dict[str, Any]:
    return {name: members[name] for name in _COLUMNS}


def _row(shard: dict[str, Any]) -> str:
    cells = "".join(f"<td>{shard[name]:,}</td>" for name in _COLUMNS)
    return f"<tr><td>{html.escape(shard['source'])}</td>{cells}</tr>"


def _verdict(members: dict[str, Any]) -> str:
    if members["findings"]:
        return f"<strong>Not complete</strong>: {members['missing']:,} documents are missing."
    over = "" if members["is_over"] else " so far: the hour is not over"
    return f"Complete{over}. Nothing is known to be missing, and nothing is there twice."


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"

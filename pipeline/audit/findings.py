"""The answers: what is missing or doubled, each as a sentence that says where to get it back."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.audit.gather import Gathered
from pipeline.audit.questions import QUESTIONS, query

_MOST = 50  # findings of a kind that are said one by one
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)

_DOUBLED = """
SELECT dataset, format, source, batch, count(*) AS documents, max(copies) AS copies,
    min(arrived_at) AS arrived_at, min_by(struct_pack(
        sequence_number, sub_sequence_number, document), (length(sequence_number), sequence_number)
    ) AS first
FROM audit_doubled WHERE arrived_at >= ?
GROUP BY ALL ORDER BY source, min(arrived_at), dataset, format, batch
"""
_SHORT = """
SELECT * FROM audit_short WHERE arrived_from >= ? AND arrived_from <= ?
ORDER BY source, length(last_sequence_number), last_sequence_number, digest, dataset, format
"""
_OBJECTS = """
SELECT count(*) AS found, (
    SELECT CAST(coalesce(sum(objects), 0) AS BIGINT) FROM (
        SELECT max(object_count) AS objects FROM audit_censuses
        WHERE digest = $digest AND dataset = $dataset GROUP BY part)) AS said,
    min(CASE WHEN said <> found THEN key END) AS cut
FROM audit_objects WHERE digest = $digest AND dataset = $dataset AND format = $format
"""
_FAILED = """
SELECT min(key) FROM audit_failed WHERE source = $source
AND lpad(sequence_number, 129, '0') BETWEEN lpad($first, 129, '0') AND lpad($last, 129, '0')
"""
_UNSETTLED = """
SELECT dataset, source, count(*) AS documents, min(arrived_at) AS arrived_at, min_by(struct_pack(
    sequence_number, sub_sequence_number, document), (length(sequence_number), sequence_number)
) AS first
FROM (
    SELECT DISTINCT dataset, source, sequence_number, sub_sequence_number, document, arrived_at
    FROM audit_letters WHERE archived AND arrived_at >= ?
) ANTI JOIN audit_settled USING (dataset, source, sequence_number, sub_sequence_number, document)
GROUP BY dataset, source ORDER BY source, dataset
"""
_UNDELIVERED = """
SELECT source, date_trunc('hour', arrived_at) AS hour, count(*) AS documents,
    min(arrived_at) AS arrived_at,
    min_by(sequence_number, (length(sequence_number), sequence_number)) AS first_sequence_number,
    max_by(sequence_number, (length(sequence_number), sequence_number)) AS last_sequence_number
FROM audit_stream ANTI JOIN (
    SELECT source, sequence_number FROM audit_rows
    UNION ALL SELECT source, sequence_number FROM audit_letters
) USING (source, sequence_number)
WHERE arrived_at >= ?
GROUP BY source, hour ORDER BY source, hour
"""
_HOURS = "SELECT * FROM audit_hours WHERE hour >= date_trunc('hour', ?) ORDER BY source, hour"
_MAIN_FORMATS = "SELECT dataset, max(format) FROM audit_formats GROUP BY dataset"
_DROPS = """
SELECT source, date_trunc('hour', arrived_from) AS hour, CAST(sum(drops) AS BIGINT) AS drops
FROM audit_claimed WHERE arrived_from >= ? GROUP BY source, hour
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; `documents` says how many are concerned, at least.

    `kind` is "doubled", "missing", "unsettled", "undelivered" or "unreadable".
    """

    kind: str
    sentence: str
    source: str = ""
    arrived_at: datetime | None = None
    documents: int = 0
    first: str = ""
    last: str = ""
    dataset: str = ""
    format: str = ""


@dataclass(slots=True)
class Hour:
    """One source's numbers in one hour of arrival.

    documents = rows + dead letters + drops + what is missing, at least. `newest` is the latest
    arrival that is stored, and `largest_gap` the longest time between two arrivals, in seconds.
    """

    source: str
    hour: datetime
    rows: int = 0
    dead_letters: int = 0
    drops: int = 0
    missing: int = 0
    newest: datetime | None = None
    largest_gap: int = 0

    @property
    def documents(self) -> int:
        """What came in, as far as it is known: all that is there, and what is missing."""
        return self.rows + self.dead_letters + self.drops + self.missing


@dataclass(slots=True)
class Answers:
    """What an audit found."""

    findings: list[Finding] = field(default_factory=list)
    hours: list[Hour] = field(default_factory=list)
    objects: int = 0
    without_census: int = 0
    stream_records: int | None = None


def ask(found: Gathered, since: datetime = _EPOCH, until: datetime = _NEVER) -> Answers:
    """Ask all questions about what arrived from `since` on.

    Of a batch that began to arrive after `until`, some objects may be on their way.
    """
    found.flush()
    for name in QUESTIONS:
        found.database.execute(f"CREATE TABLE {name} AS {query(name)}")
    answers = Answers(objects=found.objects, without_census=found.without_census)
    answers.findings += [Finding("unreadable", sentence) for sentence in found.unreadable]
    doubled = [_doubled(row) for row in _rows(found, _DOUBLED, [since])]
    missing = _missing(found, since, until)
    unsettled = [_unsettled(row) for row in _rows(found, _UNSETTLED, [since])]
    undelivered = [_undelivered(found, row) for row in _rows(found, _UNDELIVERED, [since])]
    answers.findings += [*doubled, *missing, *unsettled, *undelivered]
    answers.hours = _hours(found, since, [*missing, *undelivered])
    return answers


def told(findings: Iterable[Finding]) -> list[str]:
    """Return the findings' sentences, and how many more there are of a kind that has very many."""
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_kind[finding.kind].append(finding)
    sentences = list[str]()
    for kind, some in by_kind.items():
        sentences += [finding.sentence for finding in some[:_MOST]]
        if len(some) > _MOST:
            more = len(some) - _MOST
            sentences.append(f"There are {more:,} more of these ({kind}); --json has all of them.")
    return sentences


def _rows(found: Gathered, sql: str, values: Any) -> list[dict[str, Any]]:
    result = found.database.execute(sql, values)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _doubled(row: dict[str, Any]) -> Finding:
    first = row["first"]
    sentence = (
        f"{_documents(row['documents'])} {row['dataset']} as {row['format']} more than once, "
        f"{_place(row['source'], first)} for one, {row['copies']} times, in {row['batch']}: a "
        "batch stores each document once, so a file was copied, or a table was written to by "
        f"others. Delete the copy; until then, {row['dataset']}_once shows each document once."
    )
    number = first["sequence_number"]
    return Finding(
        "doubled", sentence, row["source"], row["arrived_at"], row["documents"], number, number,
        row["dataset"], row["format"],
    )  # fmt: skip


def _missing(found: Gathered, since: datetime, until: datetime) -> list[Finding]:
    """Name each batch whose census lacks documents."""
    return [_short(found, row) for row in _rows(found, _SHORT, [since, until])]


def _short(found: Gathered, row: dict[str, Any]) -> Finding:
    source, first, last = row["source"], row["first_sequence_number"], row["last_sequence_number"]
    table = (
        "the dead letters"
        if row["dataset"] == "unrouted"
        else f"{row['dataset']} as {row['format']}"
    )
    sentence = (
        f"{row['missing']:,} of {row['documents']:,} documents are missing in {table}: the batch "
        f"{first} to {last} of {source}, which arrived from {_time(row['arrived_from'])} on, had "
        f"{row['documents']:,} for {row['dataset']}, and {row['found']:,} are there"
        f"{_what_is_gone(found, row)}. {_remedy(found, source, first, last)}"
    )
    return Finding(
        "missing", sentence, source, row["arrived_from"], row["missing"], first, last,
        row["dataset"], row["format"],
    )  # fmt: skip


def _what_is_gone(found: Gathered, row: dict[str, Any]) -> str:
    """Say which of the batch's objects are gone, or hold less than they were written with."""
    names = {name: row[name] for name in ("digest", "dataset", "format")}
    [objects] = _rows(found, _OBJECTS, names)
    if objects["cut"]:
        return f"; {objects['cut']} has other rows than it was written with"
    if objects["found"] < objects["said"]:
        return f"; of its {objects['said']:,} objects with rows there are {objects['found']:,}"
    return ""


def _remedy(found: Gathered, source: str, first: str, last: str) -> str:
    """Say where to get back what is missing of a stretch of a source."""
    values = {"source": source, "first": first, "last": last}
    row = found.database.execute(_FAILED, values).fetchone()
    if row and row[0]:
        return (
            f"Lambda gave up on records of it, which are in {row[0]}: `pipeline redrive` stores "
            "them."
        )
    if ":stream/" not in source:
        return "Restore its objects from the bucket's versions, or convert the file again."
    return (
        "Restore its objects from the bucket's versions or, while the stream keeps them, deliver "
        f"its records again, from sequence number {first} on."
    )


def _unsettled(row: dict[str, Any]) -> Finding:
    first = row["first"]
    sentence = (
        f"{row['documents']:,} dead letters of {row['dataset']} were sent again, "
        f"{_place(row['source'], first)} for one, and neither a row nor a dead letter came of them "
        "that is still there. They are kept in _redriven/: put their file back where it was, and "
        "`pipeline redrive` sends them once more."
    )
    number = first["sequence_number"]
    return Finding(
        "unsettled", sentence, row["source"], row["arrived_at"], row["documents"], number, number,
        row["dataset"],
    )  # fmt: skip


def _undelivered(found: Gathered, row: dict[str, Any]) -> Finding:
    source, first, last = row["source"], row["first_sequence_number"], row["last_sequence_number"]
    count = row["documents"]
    sentence = (
        f"{count:,} record{' of' if count == 1 else 's of'} {source} in the hour from "
        f"{_time(row['hour'])} on {'has' if count == 1 else 'have'} neither rows nor dead letters, "
        f"{first}{'' if count == 1 else f' to {last}'}. {_remedy(found, source, first, last)}"
    )
    return Finding("undelivered", sentence, source, row["arrived_at"], count, first, last)


def _hours(found: Gathered, since: datetime, lost: list[Finding]) -> list[Hour]:
    """Put together what is there, hour by hour, and what is missing."""
    hours: dict[tuple[str, datetime], Hour] = {}

    def hour_of(source: str, hour: datetime) -> Hour:
        return hours.setdefault((source, hour), Hour(source, hour))

    for row in _rows(found, _HOURS, [since]):
        one = hour_of(row["source"], row["hour"])
        one.rows, one.dead_letters = int(row["stored"]), int(row["letters"])
        one.newest, one.largest_gap = row["newest"], int(row["largest_gap"] or 0)
    for row in _rows(found, _DROPS, [since]):
        if row["drops"]:
            hour_of(row["source"], row["hour"]).drops = int(row["drops"])
    for (source, moment), missing in _lost(found, lost).items():
        hour_of(source, moment).missing = missing
    return sorted(hours.values(), key=lambda one: (one.source, one.hour))


def _lost(found: Gathered, lost: list[Finding]) -> dict[tuple[str, datetime], int]:
    """Sum up what is missing at least, by source and hour, in each dataset's main format.

    What a census lacks, the stream may have, too: the greater number counts.
    """
    main = dict(found.database.execute(_MAIN_FORMATS).fetchall())
    sums: dict[tuple[str, datetime], Counter[str]] = defaultdict(Counter)
    for finding in _apart(lost):
        if finding.arrived_at and finding.format in {"", main.get(finding.dataset)}:
            hour = finding.arrived_at.replace(minute=0, second=0, microsecond=0)
            sums[finding.source, hour][finding.kind] += finding.documents
    return {place: max(counts.values()) for place, counts in sums.items()}


def _apart(lost: list[Finding]) -> list[Finding]:
    """Return findings that do not overlap: the same loss shows in each batch that had it.

    So what they sum to is at least missing.
    """
    chosen = list[Finding]()
    ends: dict[tuple[str, str, str], int] = {}
    for finding in sorted(lost, key=lambda one: (int(one.last), -int(one.first))):
        table = finding.source, finding.dataset, finding.format
        if int(finding.first) > ends.get(table, -1):
            ends[table] = int(finding.last)
            chosen.append(finding)
    return chosen


def _documents(count: int) -> str:
    return "1 document is in" if count == 1 else f"{count:,} documents are in"


def _place(source: str, identity: dict[str, Any]) -> str:
    return (
        f"{source}, sequence number {identity['sequence_number']}, sub-sequence number "
        f"{identity['sub_sequence_number']}, document {identity['document']}"
    )


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"

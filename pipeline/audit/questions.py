"""The questions, in SQL that DuckDB and Athena (Trino) both speak.

They ask three tables, which `gather` fills and `views` declares:

    audit_rows      dataset, format, source, sequence_number, sub_sequence_number, document,
                    arrived_at, batch
    audit_letters   dataset, source, sequence_number, sub_sequence_number, document, arrived_at,
                    unit_size, archived
    audit_claims    digest, part, source, first_sequence_number, last_sequence_number,
                    arrived_from, dataset, documents, drops

`batch` is a file's name without its part and suffix: it has a digest of all sequence numbers of the
batch, and of the partition path. Two rows of one identity and one `batch` are a doubling. Two rows
of one identity and several are what Lambda delivers more than once, in other batches, as it may.
The rows of a table in which each identity is once have one `batch`, the table.

`unit_size` is how many numbers of its identity a dead letter owns: 1 for a stream record, 2 for a
user record, 3 for a document. An `archived` one was sent again: it counts where something came of
it, a row or another dead letter whose identity begins with its own.

A claim is what a census says: so many documents of a dataset in a part of a batch. Sequence numbers
are compared by length, then as text: they have up to 129 digits.
"""

IDENTITY = "source, sequence_number, sub_sequence_number, document"

# Which formats a dataset has, and since when: rows that arrived before the first one of a format
# were stored before the dataset had it. One without any row has Parquet.
FORMATS = """
SELECT dataset, format, min(arrived_at) AS since FROM audit_rows GROUP BY dataset, format
UNION ALL
SELECT DISTINCT dataset, 'parquet', CAST(NULL AS {timestamp}) FROM (
    SELECT dataset FROM audit_letters UNION ALL SELECT dataset FROM audit_claims) AS named
WHERE dataset NOT IN (SELECT dataset FROM audit_rows)
"""

# Archived dead letters of which something came.
SETTLED = f"""
SELECT DISTINCT letter.dataset, letter.{IDENTITY.replace(", ", ", letter.")}, letter.arrived_at
FROM audit_letters AS letter
JOIN (
    SELECT {IDENTITY} FROM audit_rows
    UNION ALL SELECT {IDENTITY} FROM audit_letters WHERE NOT archived
) AS came
    ON came.source = letter.source AND came.sequence_number = letter.sequence_number
    AND (letter.unit_size < 2 OR came.sub_sequence_number = letter.sub_sequence_number)
    AND (letter.unit_size < 3 OR came.document = letter.document)
WHERE letter.archived
"""  # noqa: S608 - of constants

# Each identity once in each format of its dataset; `kind` is 2 for a row, 1 for a dead letter and 0
# for one that is settled.
KNOWN = f"""
SELECT dataset, format, {IDENTITY}, min(arrived_at) AS arrived_at, max(kind) AS kind
FROM (
    SELECT dataset, format, {IDENTITY}, arrived_at, 2 AS kind FROM audit_rows
    UNION ALL
    SELECT dataset, format, {IDENTITY}, arrived_at, kind
    FROM (
        SELECT dataset, {IDENTITY}, arrived_at, 1 AS kind FROM audit_letters WHERE NOT archived
        UNION ALL SELECT dataset, {IDENTITY}, arrived_at, 0 FROM audit_settled
    ) AS letters JOIN audit_formats USING (dataset)
) AS found
GROUP BY dataset, format, {IDENTITY}
"""  # noqa: S608 - of constants

DOUBLED = f"""
SELECT dataset, format, batch, {IDENTITY}, min(arrived_at) AS arrived_at, count(*) AS copies
FROM audit_rows
GROUP BY dataset, format, batch, {IDENTITY}
HAVING count(*) > 1
"""  # noqa: S608 - of constants

# What a batch claims for a dataset: the sum of its parts. Where censuses of a part disagree, as
# settings changed between two deliveries, the least counts.
CLAIMED = """
SELECT digest, source, first_sequence_number, last_sequence_number, dataset,
    min(arrived_from) AS arrived_from, CAST(sum(documents) AS BIGINT) AS documents,
    CAST(sum(drops) AS BIGINT) AS drops
FROM (
    SELECT digest, part, source, first_sequence_number, last_sequence_number, dataset,
        min(arrived_from) AS arrived_from, min(documents) AS documents, max(drops) AS drops
    FROM audit_claims
    GROUP BY digest, part, source, first_sequence_number, last_sequence_number, dataset
) AS parts
GROUP BY digest, source, first_sequence_number, last_sequence_number, dataset
"""

# One walk along each source counts what is there between each first and last sequence number: the
# running total at the last one, less that before the first one.
SHORT = """
WITH claimed AS (
    SELECT c.*, f.format FROM audit_claimed AS c JOIN audit_formats AS f ON f.dataset = c.dataset
    WHERE f.since IS NULL OR c.arrived_from >= f.since
),
walk AS (
    SELECT dataset, format, source, sequence_number, 1 AS step, count(*) AS found,
        CAST(NULL AS VARCHAR) AS digest
    FROM audit_known GROUP BY dataset, format, source, sequence_number
    UNION ALL
    SELECT dataset, format, source, first_sequence_number, 0, 0, digest FROM claimed
    UNION ALL
    SELECT dataset, format, source, last_sequence_number, 2, 0, digest FROM claimed
),
running AS (
    SELECT dataset, format, digest, step, CAST(sum(found) OVER (
        PARTITION BY dataset, format, source
        ORDER BY length(sequence_number), sequence_number, step
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS total
    FROM walk
),
counted AS (
    SELECT dataset, format, digest, max(CASE WHEN step = 2 THEN total END)
        - max(CASE WHEN step = 0 THEN total END) AS found
    FROM running WHERE digest IS NOT NULL GROUP BY dataset, format, digest
)
SELECT claimed.dataset, claimed.format, claimed.digest, claimed.source,
    claimed.first_sequence_number, claimed.last_sequence_number, claimed.arrived_from,
    claimed.documents, claimed.drops, counted.found,
    claimed.documents - claimed.drops - counted.found AS missing
FROM claimed JOIN counted ON counted.dataset = claimed.dataset AND counted.format = claimed.format
    AND counted.digest = claimed.digest
WHERE claimed.documents > claimed.drops + counted.found
"""

# Each document once, as its dataset's main format has it, which is Parquet where there is any; what
# is settled has a row or a letter of its own.
HOURS = f"""
SELECT source, hour, count(*) AS documents, sum(CASE WHEN kind = 2 THEN 1 ELSE 0 END) AS stored,
    sum(CASE WHEN kind = 1 THEN 1 ELSE 0 END) AS letters, max(arrived_at) AS newest,
    max(date_diff('second', before, arrived_at)) AS largest_gap
FROM (
    SELECT source, kind, arrived_at, date_trunc('hour', arrived_at) AS hour,
        lag(arrived_at) OVER (PARTITION BY source ORDER BY arrived_at) AS before
    FROM (
        SELECT {IDENTITY}, max(kind) AS kind, min(arrived_at) AS arrived_at
        FROM audit_known JOIN (
            SELECT dataset, max(format) AS format FROM audit_formats GROUP BY dataset
        ) AS main USING (dataset, format)
        WHERE kind > 0 AND arrived_at IS NOT NULL GROUP BY {IDENTITY}
    ) AS once
) AS arrivals
GROUP BY source, hour
"""  # noqa: S608 - of constants

QUESTIONS = {
    "audit_formats": FORMATS,
    "audit_settled": SETTLED,
    "audit_known": KNOWN,
    "audit_claimed": CLAIMED,
    "audit_doubled": DOUBLED,
    "audit_short": SHORT,
    "audit_hours": HOURS,
}
"""By the names of the views, each after those that it asks."""


def query(name: str, *, timestamp: str = "TIMESTAMP WITH TIME ZONE") -> str:
    """Return the query of a view; `timestamp` is the type of arrivals."""
    return QUESTIONS[name].strip().replace("{timestamp}", timestamp)

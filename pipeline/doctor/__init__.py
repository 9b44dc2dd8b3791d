"""What stands between this machine or account and a running pipeline: questions and findings.

findings.py  a finding: how bad, about what, a sentence, a command
places.py    what to look at: told by options, or by a stack or a function
machine.py   schemas, credentials, clock
stream.py    the stream: mode, shards, retention, encryption, aggregated or not
function.py  the function, its settings, its mapping, its role's permissions
schemas.py   the function's schemas, where it has them on S3
buckets.py   the buckets: region, encryption, lifecycle
tables.py    Glue's tables against the datasets
status.py    how a deployed pipeline does, by its metrics
"""

from pipeline.doctor.buckets import look_at_buckets
from pipeline.doctor.findings import Finding, Findings
from pipeline.doctor.function import look_at_function
from pipeline.doctor.machine import look_at_machine
from pipeline.doctor.places import Places, find_places
from pipeline.doctor.stream import look_at_stream
from pipeline.doctor.tables import look_at_tables

__all__ = [
    "Finding",
    "Findings",
    "Places",
    "find_places",
    "look_at_buckets",
    "look_at_function",
    "look_at_machine",
    "look_at_stream",
    "look_at_tables",
]

"""Runs the Lambda handler on this machine, fed from any service that speaks Kinesis' API.

    stream ─> shards ─> reader ─> event source mapping ─> the real handler ─> objects in a store
                           └───── checkpoints on disk <──────────┘

runner.py     which shards are worked on: parents before children, the rest in parallel
worker.py     one shard: reads, has batches invoked, stores what is given up, moves its checkpoint
reader.py     the reading: iterators, pace, what expired unread
watch.py      whether the stream is still the same, or another one of its name
function.py   the handler, invoked as Lambda invokes it
state.py      checkpoints on disk, written so that a runner may be killed at any moment
status.py     the numbers that a display shows
trouble.py    failures in a row: when to try again, and which of them to report
pace.py       how often a runner asks and tries

A record is acknowledged by its shard's checkpoint, and a checkpoint moves only over what is
stored: as a row, as a dead letter, or in a failed batch. What is delivered twice after a kill has
the same identity both times.
"""

from pipeline.core.errors import StateRefused
from pipeline.local.function import Function
from pipeline.local.pace import Pace
from pipeline.local.runner import Runner
from pipeline.local.state import Beginning, State, StreamIdentity, open_state
from pipeline.local.status import ShardStatus, StreamStatus
from pipeline.local.trouble import FailureBackoff
from pipeline.local.worker import Job

__all__ = [
    "Beginning",
    "FailureBackoff",
    "Function",
    "Job",
    "Pace",
    "Runner",
    "ShardStatus",
    "State",
    "StateRefused",
    "StreamIdentity",
    "StreamStatus",
    "open_state",
]

"""Lambda's event source mapping for Kinesis, as a state machine without I/O.

One `ShardMapping` is one shard of one mapping. Records, the outcomes of invocations and the time
go in; invocations, checkpoints and batches that were given up come out:

    mapping.receive(records, now)
    match mapping.next(now):
        case Invoke():  settled = mapping.settle(outcome of the invocation, now)
        case Settled(): records were given up without an invocation
        case Wait():    nothing to do for now

Times are whole microseconds, of any clock that is not set back; only how old a record is takes the
time since 1970, see `ShardMapping.next`. Left out: parallelization factors above 1 (which
do not go with aggregated records), tumbling windows, filters, and the polling of the stream.
"""

from pipeline.esm.failure import FailedBatch
from pipeline.esm.messages import Invoke, Outcome, Raised, Returned, Settled, Throttled, Wait
from pipeline.esm.settings import Mapping
from pipeline.esm.shard import ShardMapping

__all__ = [
    "FailedBatch",
    "Invoke",
    "Mapping",
    "Outcome",
    "Raised",
    "Returned",
    "Settled",
    "ShardMapping",
    "Throttled",
    "Wait",
]

"""The whole system in one process, on a simulated clock, from one seed.

clock.py       time that moves only on request
documents.py   what producers send, and the verdict that each document must get
stream.py      shards, sequence numbers, resharding, and what the stream holds, unit by unit
producer.py    aggregates, retries, duplicates
faults.py      what may go wrong, and how often, in one history
store.py       object stores with faults, and the writer without threads
machine.py     one invocation: its time, its steps, and its end at any of them
function.py    the real handler and its stations, on such machines
formats.py     stored objects back to identities and verdicts; the cheap encoder
invariants.py  the laws, checked from outside
world.py       one history: all of these together
history.py     what happened, for people
slow.py        a store that is slow and sometimes fails: how many invocations it then takes

`python -m simulation 1-500`, from the folder of the tests, runs 500 histories.
"""

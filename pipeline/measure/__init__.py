"""What it needs to measure the pipeline: events, runs, and what they would cost.

`pipeline bench` measures a user's own dataset with it, and `benchmarks/` the pipeline itself.

events.py      documents to a whole event, as Lambda delivers it
invocation.py  one event through the real handler, into stores in memory
runs.py        runs that take turns on one core, their median and spread
prices.py      dollars per GB, each price with its source
"""

"""A soak: small batches of documents that drift, one after another, and what memory they leave.

Whatever outlives an invocation has to be bounded: nothing that a producer may change without end (how
a number is spelled, which members there are, of which lengths) may be remembered for each of its
values. `drift` makes the batches, `measure` takes them down the road in one process, as a warm function
does. `make soak` does so for as long as it is told.
"""

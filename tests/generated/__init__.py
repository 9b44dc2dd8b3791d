"""Datasets, documents for them, and documents that do not fit, made up by hypothesis.

Types, values and verdicts are the tests' own here: what is expected of a document does not
depend on how the program reads its schema.
"""

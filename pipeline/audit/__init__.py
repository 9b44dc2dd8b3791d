"""Audit: is everything that was sent there, and is it there once?

    gather.py     what the stores hold, object by object, to tables of DuckDB
    questions.py  the questions, in SQL that DuckDB and Athena both speak
    findings.py   the answers, in sentences
    views.py      the same tables and questions as views, for Athena and DuckDB
    receipts.py   an hour's numbers, as JSON and as a page

What is asked are identities and censuses alone; see `pipeline.core.census` for what an object says
of its batch.
"""

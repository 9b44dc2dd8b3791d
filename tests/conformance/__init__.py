"""The conformance matrix: what other programs read of what the pipeline wrote.

    cases.py        what is stored, and the rows that a reader should see; csv_cases.py of CSV
    differences.py  where a reader shows something else, in a sentence that is tested to be true;
                    csv_differences.py of CSV
    readers/        one script for each reader, run in the environment that has it
    page.py         docs/readers.md, from the tables of these modules

`make conformance` runs it: the readers have an environment of their own (.venv-readers).
"""

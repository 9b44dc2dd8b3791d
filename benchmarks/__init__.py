"""How fast the pipeline is, and beside what: `python -m benchmarks`; see benchmarks/__main__.py."""

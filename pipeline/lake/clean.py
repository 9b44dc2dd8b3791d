"""Files that no snapshot needs: what runs left that were killed, and what expired."""

from typing import Final

from pipeline.adapters.iceberg.table import LakeTable

LEAST_AGE: Final = 3 * 86_400.0
"""Seconds. What is younger may be a commit's that is still on its way."""


def orphans(table: LakeTable, now: float, least_age: float = LEAST_AGE) -> list[str]:
    """Return the files below a table's location that nobody needs, and that are old enough."""
    # Listed first: what is committed meanwhile is then among what is needed.
    listed = list(table.io.files(table.location).list(table.location))
    needed = table.referenced()
    return sorted(uri for uri, time in listed if uri not in needed and now - time >= least_age)

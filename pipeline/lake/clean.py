"""Files that no snapshot needs: what runs left that were killed, and what expired."""

from typing import Final

from pipeline.adapters.iceberg.table import LakeTable

LEAST_AGE: Final = 3 * 86_400.0
"""Seconds. What is younger may be a commit's that is still on its way."""


def orphans(table: LakeTable, now: float, least_age: float = LEAST_AGE) -> list[str]:
    """Return the files below a table's location that nobody needs, and that are old enough.

    What is committed meanwhile is younger.
    """
    listed = list(table.io.files(table.location).list(table.location))
    needed = set(map(_same, table.referenced()))
    return sorted(
        uri for uri, time in listed if _same(uri) not in needed and now - time >= least_age
    )


def _same(uri: str) -> str:
    """Return a URI as others write it, too: Hadoop has `s3a:`, and `file:/` for `file:///`."""
    scheme, _, rest = uri.partition(":")
    return f"s3:{rest}" if scheme in ("s3a", "s3n") else f"{scheme}:/{rest.lstrip('/')}"

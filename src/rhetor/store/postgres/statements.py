"""The SQL of the store: one file per statement, which `psql` can run with values for its parameters.

The limit of a page of a stream is a subquery, so that the planner does not know it and follows the index. If
statistics are missing or old, it would take a long stream for a short one, and read and sort all of it for
each page.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "sql"


@cache
def sql(name: str) -> str:
    """Return a statement by the name of its file."""
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def migrations() -> list[str]:
    """Return the scripts that make the tables, in their order."""
    return [path.read_text(encoding="utf-8") for path in sorted((FOLDER / "migrations").glob("*.sql"))]

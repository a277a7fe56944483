"""A process for `test_wal`: makes a commit that changes many pages, and prints whether that made a file.

SQLITE_TMPDIR=folder python -m tests.rhetor.store.sqlite.large_commit database
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from rhetor.store.base import Row
from rhetor.store.sqlite.store import SqliteStore

ROWS, AT_ONCE, EACH = 4000, 500, 60


def _changed_at() -> int:
    return Path(os.environ["SQLITE_TMPDIR"]).stat().st_mtime_ns


async def main(path: str) -> None:
    ids = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(ROWS)]
    rows = [Row("turn", id, "running", b"x" * 200, owner="me", parent=id) for id in ids]
    store = await SqliteStore.open(path, clock=lambda: 1)
    for begin in range(0, ROWS, AT_ONCE):
        await store.commit("s", [], rows=rows[begin : begin + AT_ONCE])
    before = _changed_at()
    await store.commit("s", [], rows=rows[::EACH])
    sys.stdout.write(f"{_changed_at() != before}\n")
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

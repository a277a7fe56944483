"""A process for `test_killed`: restores a folder to two snapshots in turns, for ever.

    python -m tests.rhetor.store.files.restoring store folder target...

What an earlier process left unfinished is finished first. It prints a line when it begins a restore.
"""

from __future__ import annotations

import sys
from itertools import cycle
from pathlib import Path

from rhetor.store.files.store import FileStore


def main(store_folder: str, folder: str, *targets: str) -> None:
    store = FileStore(Path(store_folder), max_file_bytes=1 << 20)
    for journal in store.unfinished():
        store.settle(store.finish(journal))
    for target in cycle(map(bytes.fromhex, targets)):
        before = store.take(Path(folder), include=store.paths(target)).root
        sys.stdout.write("restoring\n")
        sys.stdout.flush()
        store.settle(store.restore(Path(folder), target, before))


if __name__ == "__main__":
    main(*sys.argv[1:])

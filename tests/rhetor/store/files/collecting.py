"""A process for `test_killed`: takes snapshots and forgets all but the last three, for ever.

    python -m tests.rhetor.store.files.collecting store folder roots

The file `roots` has the snapshots that are to be kept, one a line; it is replaced before the others are
forgotten. It prints a line when it begins to forget.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

from rhetor.store.files import store as files

from .folders import write

files.RECENT_SECONDS = 0


def main(store_folder: str, folder: str, roots_file: str) -> None:
    store = files.FileStore(Path(store_folder), max_file_bytes=1 << 20)
    kept: list[bytes] = []
    file = Path(roots_file)
    for number in count():
        write(Path(folder), {f"f{number % 7}": os.urandom(3000), "same": "same"})
        kept = [*kept[-2:], store.take(Path(folder)).root]
        file.with_suffix(".new").write_text("\n".join(root.hex() for root in kept))
        file.with_suffix(".new").replace(file)
        sys.stdout.write("forgetting\n")
        sys.stdout.flush()
        store.keep(kept, most=25_000)


if __name__ == "__main__":
    main(*sys.argv[1:])

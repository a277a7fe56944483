"""The rules of `.gitignore` files, for a walk from a folder down."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

NAME = b".gitignore"
MAX_BYTES = 1 << 20  # of one file of rules


class Rules:
    """The rules that hold in one folder: its own, and those of the folders above it.

    `key`: equal only if the rules are equal.
    """

    def __init__(self, path: bytes = b"", above: Rules | None = None, own: bytes = b"") -> None:
        self.path = path
        self._above = above
        self._own = _spec(own)
        inherited: bytes = above.key if above else b""
        self.key: bytes = sha256(inherited + path + b"\0" + own).digest() if own else inherited

    def ignores(self, path: bytes, is_folder: bool) -> bool:
        """Whether they exclude the path. `path`: relative to the folder where the walk began.

        A rule of a folder further down goes before those above it. What is in an excluded folder is excluded,
        so a walk must not enter it.
        """
        if self._own is not None:
            prefix = len(self.path) + 1 if self.path else 0
            found = self._own.check_file(os.fsdecode(path[prefix:]) + ("/" if is_folder else "")).include
            if found is not None:
                return found
        return self._above.ignores(path, is_folder) if self._above else False


def _spec(text: bytes) -> GitIgnoreSpec | None:
    if not text.strip():
        return None
    from pathspec import GitIgnoreSpec

    spec = GitIgnoreSpec.from_lines(text.decode(errors="surrogateescape").splitlines())
    return spec if spec.patterns else None

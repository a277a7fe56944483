"""Folders of the tests, as values."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# by relative path: the mode, and the content of a file, the target of a link or None for a folder
Folder = dict[str, tuple[int, bytes | str | None]]


def read(folder: Path) -> Folder:
    """Return everything that the folder contains, apart from `.git`."""
    found: Folder = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[name] = mode, str(path.readlink())
        elif path.is_dir():
            found[name] = mode, None
        else:
            found[name] = mode, path.read_bytes()
    return found


def write(folder: Path, files: dict[str, str | bytes | None]) -> None:
    """Write files by relative path; None makes a folder."""
    for name, content in files.items():
        path = folder / name
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def age(folder: Path) -> None:
    """Let the files look older, so that a snapshot may trust their times."""
    for path in folder.rglob("*"):
        os.utime(path, ns=(1_700_000_000_000_000_001,) * 2, follow_symlinks=False)

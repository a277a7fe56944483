"""Makes a folder equal to a snapshot of it. Nothing that the folder contained is lost.

New content is first written into a hidden folder inside, and then moved into place, a file at a time. What
was there is moved out of the way, and is compared with the snapshot that was taken before: if it changed
since, it is stored. Files that no snapshot contains are never touched.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rhetor.domain.snapshot import Change, Entry

from .base import Obstructed, Progress
from .objects import Objects
from .pack import Pack
from .scan import FOLDER, OPEN, STAGING, read_whole
from .trees import changes, read_tree

OWNER = 0o700  # what a restore must be able to do in a folder
FEW = 200  # files that are synced one by one; more of them are faster by one sync of everything
NEW, OLD = b"new", b"old"


class Restore:
    """One restore, from the snapshot `before` to the snapshot `target`."""

    def __init__(self, objects: Objects, folder: Path, before: bytes, target: bytes, number: str) -> None:
        self._objects = objects
        self._folder = folder
        self._before = before
        self._changes = list(changes(objects, before, target))
        self._staging = STAGING + number.encode()
        self._modes: dict[bytes, int] = {}  # of folders, when all their content is in place
        self._root = -1
        self._progress: Progress | None = None

    def run(self, progress: Progress | None = None) -> dict[bytes, Entry]:
        """Change the folder. Return what was found in place of what `before` contains, by path; it is stored.
        `progress`: is called with the number of files so far, and in all. A file counts by thirds: when its
        new content is written, when it is in place, and when the old one is removed.

        Raises:
            Obstructed: something that no snapshot contains is in the way; nothing was changed.
            DamagedObject: an object of `target` is missing or damaged; nothing was changed.
            OSError: the folder cannot be written; it may be changed in part.
        """
        self._progress = progress
        with self._opened():
            self._check()
            try:
                os.mkdir(self._staging, OWNER, dir_fd=self._root)
                with self._open(self._staging) as staging:
                    self._prepare(staging)
            except BaseException:  # also an interrupt: nothing was changed yet
                self._clean()
                raise
            with self._open(self._staging) as staging:
                self._replace(staging)
            self._set_modes()
            found = self._unexpected()
            self._clean()
            self._make_durable()
        return found

    def after_interruption(self) -> dict[bytes, Entry]:
        """Store what an interrupted `run` moved away and is not what `before` contains; return it by path."""
        with self._opened():
            found = self._unexpected()
            self._clean()
        return found

    def _check(self) -> None:
        for change in self._changes:
            if change.old is None and self._exists(change.path):
                raise Obstructed(f"{_shown(change.path)} is in the way: it cannot be saved")
            if change.old and change.old.kind == "folder" and _other_kind(change):
                with self._open(change.path) as fd:
                    self._check_known(fd, change.path, change.old)

    def _check_known(self, fd: int, path: bytes, folder: Entry) -> None:
        known = {entry.name: entry for entry in read_tree(self._objects, folder.digest)}
        for name in map(os.fsencode, os.listdir(fd)):
            below = path + b"/" + name
            if name not in known:
                raise Obstructed(f"{_shown(below)} is in the way: no checkpoint contains it")
            if known[name].kind == "folder":
                with self._open(below) as inner:
                    self._check_known(inner, below, known[name])

    def _prepare(self, staging: int) -> None:
        for name in (NEW, OLD):
            os.mkdir(name, OWNER, dir_fd=staging)
        for number, change in enumerate(self._changes):
            if change.new is not None and change.new.kind != "folder":
                self._write(staging, b"%s/%d" % (NEW, number), change.new)
            self._note(0, number)

    def _note(self, thirds: int, number: int) -> None:
        if self._progress is not None:
            self._progress((thirds * len(self._changes) + number + 1) // 3, len(self._changes))

    def _write(self, staging: int, name: bytes, entry: Entry) -> None:
        content = self._objects.read(entry.digest)
        if entry.kind == "link":
            os.symlink(content, name, dir_fd=staging)
            return
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=staging)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            os.fchmod(fd, entry.mode)
            if len(self._changes) <= FEW:
                file.flush()
                os.fsync(fd)

    def _replace(self, staging: int) -> None:
        numbered = list(enumerate(self._changes))
        for number, change in reversed(numbered):
            if change.how == "removed" or _other_kind(change):
                self._remove(staging, number, change)
        for number, change in numbered:
            if change.new is not None:
                self._place(staging, number, change, change.new)
            self._note(1, number)

    def _remove(self, staging: int, number: int, change: Change) -> None:
        with self._parent(change.path) as (parent, name):
            if change.old is not None and change.old.kind == "folder":
                try:
                    os.rmdir(name, dir_fd=parent)
                except OSError as error:  # what no snapshot contains remains, and its folders
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                        raise
            else:
                self._move_away(staging, number, parent, name)

    def _place(self, staging: int, number: int, change: Change, new: Entry) -> None:
        with self._parent(change.path) as (parent, name):
            if new.kind == "folder":
                with suppress(FileExistsError):
                    os.mkdir(name, OWNER, dir_fd=parent)
                self._modes[change.path] = new.mode
                return
            self._move_away(staging, number, parent, name)
            os.rename(b"%s/%d" % (NEW, number), name, src_dir_fd=staging, dst_dir_fd=parent)

    def _move_away(self, staging: int, number: int, parent: int, name: bytes) -> None:
        with suppress(FileNotFoundError):
            os.rename(name, b"%s/%d" % (OLD, number), src_dir_fd=parent, dst_dir_fd=staging)

    def _unexpected(self) -> dict[bytes, Entry]:
        found: dict[bytes, Entry] = {}
        with suppress(FileNotFoundError), self._open(self._staging) as staging, self._objects.pack() as pack:
            for number, change in enumerate(self._changes):
                with suppress(FileNotFoundError):
                    moved = b"%s/%d" % (OLD, number)
                    entry = _stored(pack, staging, moved, change.path)
                    if entry != change.old:
                        found[change.path] = entry  # is stored when the pack is, and is removed after that
                    else:
                        os.unlink(moved, dir_fd=staging)
                self._note(2, number)
        return found

    def _set_modes(self) -> None:
        for path, mode in sorted(self._modes.items(), reverse=True):
            with suppress(FileNotFoundError), self._open(path) as fd:
                os.fchmod(fd, mode)

    def _clean(self) -> None:
        shutil.rmtree(self._staging, ignore_errors=True, dir_fd=self._root)

    def _make_durable(self) -> None:
        if len(self._changes) > FEW:
            os.sync()
            return
        for above in {change.path.rpartition(b"/")[0] for change in self._changes}:
            with suppress(FileNotFoundError, NotADirectoryError), self._open(above) as fd:
                os.fsync(fd)

    def _exists(self, path: bytes) -> bool:
        try:
            with self._parent(path) as (parent, name):
                os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    @contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """Open the folder in which the path is, so that it can be changed. Return it with the path's name."""
        above, _, name = path.rpartition(b"/")
        with self._open(above) as fd:
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            if mode & OWNER != OWNER and self._staging not in path:
                self._modes.setdefault(above, mode)
                os.fchmod(fd, mode | OWNER)
            yield fd, name

    @contextmanager
    def _open(self, path: bytes) -> Iterator[int]:
        """Open a folder without following symbolic links."""
        fd = os.dup(self._root)
        try:
            for name in path.split(b"/") if path else ():
                below = os.open(name, FOLDER, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _opened(self) -> Iterator[None]:
        self._root = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield
        finally:
            os.close(self._root)


def _stored(pack: Pack, staging: int, name: bytes, path: bytes) -> Entry:
    """Store what was moved away. Return it as an entry of its former folder."""
    status = os.stat(name, dir_fd=staging, follow_symlinks=False)
    mode, known_as = stat.S_IMODE(status.st_mode), path.rpartition(b"/")[2]
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(name, dir_fd=staging)
        return Entry(known_as, "link", mode, len(target), pack.put(target))
    fd = os.open(name, OPEN, dir_fd=staging)
    try:
        content, _ = read_whole(fd, sys.maxsize - 1)
    finally:
        os.close(fd)
    return Entry(known_as, "file", mode, len(content), pack.put(content))


def _other_kind(change: Change) -> bool:
    """Whether a folder takes the place of a file or link, or the other way round."""
    old, new = change.old, change.new
    return old is not None and new is not None and (old.kind == "folder") != (new.kind == "folder")


def _shown(path: bytes) -> str:
    return path.decode(errors="replace")

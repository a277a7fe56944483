"""Takes a snapshot of a folder: walks it, and stores the content of what changed since the last one."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection
from pathlib import Path

from rhetor.domain.snapshot import Entry, Kind, LeftOut, Snapshot

from .base import Progress
from .ignore import MAX_BYTES, NAME, Rules
from .index import Index, known
from .pack import Pack
from .trees import encode

GIT = b".git"
STAGING = b".rhetor-restore-"  # what a restore keeps in the folder while it runs
DEPTH = 200  # of folders in folders
ATTEMPTS = 3  # to read a file that changes meanwhile
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = OPEN | os.O_DIRECTORY


class Scan:
    """One walk through a folder.

    `old`: what is known since the last one. `include`: paths that it reads although a rule excludes them,
    with the folders above them. `without`: folders that it does not enter, as (device, inode).
    `max_file_bytes`: of one file; larger ones are left out. `progress`: is called with the number of files so
    far, and an estimate of their number in all: as if every folder on the way were equally large.
    """

    def __init__(
        self,
        old: Index,
        pack: Pack,
        *,
        include: Collection[bytes] = (),
        without: Collection[tuple[int, int]] = (),
        max_file_bytes: int,
        progress: Progress | None = None,
    ) -> None:
        self._old = old
        self._pack = pack
        self._include = include
        self._without = without
        self._max = max_file_bytes
        self._progress = progress
        self.index = Index()
        self._left_out: list[LeftOut] = []
        self._files = 0
        self._bytes = 0
        self._passed, self._width = 0.0, 1.0  # the part of the walk that is done, and that is being done

    def run(self, folder: Path) -> Snapshot:
        """Return the snapshot; its objects are in the pack.

        Raises:
            OSError: the folder itself cannot be read.
        """
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            root = self._folder(fd, b"", None, 0)
        finally:
            os.close(fd)
        return Snapshot(root, self._files, self._bytes, left_out=tuple(self._left_out))

    def _folder(self, fd: int, path: bytes, above: Rules | None, depth: int) -> bytes:
        """Return the digest of the tree of an open folder."""
        rules = Rules(path, above, _rules_in(fd))
        unchanged = self._old.rules.get(path) == rules.key
        self.index.rules[path] = rules.key
        entries: list[Entry] = []
        with os.scandir(fd) as found:
            items = sorted((os.fsencode(item.name), item) for item in found)
            statuses = [(name, _status(item)) for name, item in items]
        begun, width = self._passed, self._width
        for number, (name, status) in enumerate(statuses):
            self._passed, self._width = begun + width * number / len(statuses), width / len(statuses)
            below = path + b"/" + name if path else name
            if status is None or name == GIT or name.startswith(STAGING):
                continue
            if self._ignores(below, stat.S_ISDIR(status.st_mode), rules, unchanged):
                continue
            if (entry := self._entry(fd, name, below, status, rules, depth)) is not None:
                entries.append(entry)
        return self._pack.put(encode(tuple(entries)))

    def _ignores(self, path: bytes, is_folder: bool, rules: Rules, unchanged: bool) -> bool:
        """Whether a rule excludes the path. Under unchanged rules, the last walk's decision holds."""
        if path in self._include:
            return False
        key = path + b"/" if is_folder else path
        if unchanged and key in self._old.ignored:
            ignored = True
        elif unchanged and (path in self._old.rules if is_folder else path in self._old.paths):
            ignored = False
        else:
            ignored = rules.ignores(path, is_folder)
        if ignored:
            self.index.ignored.add(key)
        return ignored

    def _entry(
        self, fd: int, name: bytes, path: bytes, status: os.stat_result, rules: Rules, depth: int
    ) -> Entry | None:
        mode = stat.S_IMODE(status.st_mode)
        try:
            if stat.S_ISDIR(status.st_mode):
                return self._below(fd, name, path, status, rules, depth)
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(name, dir_fd=fd)
                return self._found(name, "link", mode, len(target), self._pack.put(target))
            if not stat.S_ISREG(status.st_mode):
                return self._leave_out(path, 0, "not a file")
            return self._file(fd, name, path, status)
        except FileNotFoundError:
            return None  # it was removed meanwhile
        except OSError as error:
            reason = (error.strerror or "cannot be read").lower()
            return self._leave_out(path, status.st_size, reason)

    def _below(
        self, fd: int, name: bytes, path: bytes, status: os.stat_result, rules: Rules, depth: int
    ) -> Entry | None:
        if (status.st_dev, status.st_ino) in self._without:
            return self._leave_out(path, 0, "the hub's own folder")
        if depth == DEPTH:
            return self._leave_out(path, 0, f"more than {DEPTH} folders deep")
        below = os.open(name, FOLDER, dir_fd=fd)
        try:
            digest = self._folder(below, path, rules, depth + 1)
        finally:
            os.close(below)
        return Entry(name, "folder", stat.S_IMODE(status.st_mode), 0, digest)

    def _file(self, fd: int, name: bytes, path: bytes, status: os.stat_result) -> Entry | None:
        if status.st_size > self._max:
            return self._leave_out(path, status.st_size, f"larger than {self._max} bytes")
        before = self._old.paths.get(path)
        if before is not None and before.is_current(status):
            self.index.paths[path] = before
            return self._found(name, "file", stat.S_IMODE(status.st_mode), status.st_size, before.digest)
        return self._read(fd, name, path)

    def _read(self, fd: int, name: bytes, path: bytes) -> Entry | None:
        file = os.open(name, OPEN, dir_fd=fd)
        try:
            read_at = time.time_ns()
            content, status = read_whole(file, self._max)
        finally:
            os.close(file)
        if len(content) > self._max:
            return self._leave_out(path, status.st_size, f"larger than {self._max} bytes")
        digest = self._pack.put(content)
        if (now_known := known(digest, status, read_at)) is not None:
            self.index.paths[path] = now_known
        return self._found(name, "file", stat.S_IMODE(status.st_mode), len(content), digest)

    def _found(self, name: bytes, kind: Kind, mode: int, size: int, digest: bytes) -> Entry:
        self._files += 1
        self._bytes += size
        if self._progress is not None:
            self._progress(self._files, int(self._files / (self._passed + self._width)))
        return Entry(name, kind, mode, size, digest)

    def _leave_out(self, path: bytes, size: int, reason: str) -> Entry | None:
        """Note the path. Return None, in place of its entry."""
        self._left_out.append(LeftOut(path.decode(errors="replace"), size, reason))
        return None


def _status(item: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return item.stat(follow_symlinks=False)
    except OSError:
        return None  # it was removed meanwhile


def read_whole(fd: int, limit: int) -> tuple[bytes, os.stat_result]:
    """Return the content of an open regular file, and its status. If the file changes meanwhile, it is read
    again. At most `limit` + 1 bytes are read.

    Raises:
        OSError: it cannot be read, or is no regular file any more.
    """
    for attempt in range(ATTEMPTS):
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(0, "not a file")
        if attempt:
            os.lseek(fd, 0, os.SEEK_SET)
        content = _read(fd, before.st_size, limit + 1)
        status = os.fstat(fd)
        if len(content) == status.st_size and status.st_mtime_ns == before.st_mtime_ns:
            break
    return content, status


def _read(fd: int, size: int, most: int) -> bytes:
    """Return the rest of the file, at most so much of it. `size`: as much there probably is."""
    first = os.read(fd, min(size + 1, most))
    if len(first) == size:
        return first
    parts = [first]
    while (left := most - sum(map(len, parts))) > 0 and (part := os.read(fd, min(left, 1 << 20))):
        parts.append(part)
    return b"".join(parts)


def _rules_in(fd: int) -> bytes:
    """Return the folder's own `.gitignore`, empty if there is none that can be read."""
    try:
        file = os.open(NAME, OPEN, dir_fd=fd)
    except OSError:
        return b""
    try:
        return read_whole(file, MAX_BYTES)[0]
    except OSError:
        return b""
    finally:
        os.close(file)

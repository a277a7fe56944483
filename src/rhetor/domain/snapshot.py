"""Snapshots of folders: what they contain, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

Kind = Literal["file", "link", "folder"]
How = Literal["added", "changed", "removed"]


class Entry(Struct, frozen=True, gc=False, array_like=True):
    """What a folder contains under one name.

    `mode`: the permission bits. `size`: in bytes; 0 for a folder. `digest`: the SHA-256 of a file's content,
    of a link's target, or of a folder's encoded tree.
    """

    name: bytes
    kind: Kind
    mode: int
    size: int
    digest: bytes


Tree = tuple[Entry, ...]  # sorted by name


class LeftOut(Struct, frozen=True, gc=False):
    """A path that a snapshot does not contain, although no `.gitignore` excludes it. `bytes`: its size."""

    path: str
    bytes: int
    reason: str


class Snapshot(Struct, frozen=True, gc=False):
    """The content of a folder at one time.

    `root`: the digest of its tree; equal for equal contents. `files`: the number of files and links. `bytes`:
    their size in total. `stored`: how many bytes the store grew by.
    """

    root: bytes
    files: int
    bytes: int
    stored: int = 0
    left_out: tuple[LeftOut, ...] = ()


class Change(Struct, frozen=True, gc=False):
    """A path that differs between two snapshots. `old`, `new`: what is there; None if there is nothing."""

    path: bytes
    old: Entry | None
    new: Entry | None

    @property
    def how(self) -> How:
        if self.old is None:
            return "added"
        return "changed" if self.new else "removed"


def pairs(old: Tree, new: Tree) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Yield the entries of two trees that differ, by name."""
    before = {entry.name: entry for entry in old}
    after = {entry.name: entry for entry in new}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield before.get(name), after.get(name)

"""Reads the trees of snapshots, and compares them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

import msgspec

from rhetor.domain.snapshot import Change, Entry, Tree, pairs

from .base import DamagedObject
from .objects import Objects
from .pack import Pack


def encode(tree: Tree) -> bytes:
    """Return the content of a tree's object."""
    return msgspec.msgpack.encode(tree)


def read_tree(objects: Objects, digest: bytes) -> Tree:
    """Return the tree.

    Raises:
        DamagedObject: it is missing or damaged.
    """
    try:
        return msgspec.msgpack.decode(objects.read(digest), type=Tree)
    except msgspec.DecodeError as error:
        raise DamagedObject(f"the object {digest.hex()} is not a tree") from error


def changes(objects: Objects, old: bytes | None, new: bytes | None, path: bytes = b"") -> Iterator[Change]:
    """Yield the differences between two trees, by path; a folder comes before what it contains.

    Of folders, only those are yielded that are new, removed or have another mode.

    Raises:
        DamagedObject: a tree is missing or damaged.
    """
    if old == new:
        return
    before = read_tree(objects, old) if old else ()
    after = read_tree(objects, new) if new else ()
    for was, now in pairs(before, after):
        name = (was or now).name  # type: ignore[union-attr]  # one of them exists
        below = path + b"/" + name if path else name
        if not (_is_folder(was) and _is_folder(now) and was.mode == now.mode):  # type: ignore[union-attr]
            yield Change(below, was, now)
        yield from changes(objects, _tree_of(was), _tree_of(now), below)


def paths(objects: Objects, root: bytes) -> dict[bytes, Entry]:
    """Return everything that the tree contains, by path.

    Raises:
        DamagedObject: a tree is missing or damaged.
    """
    return {change.path: change.new for change in changes(objects, None, root) if change.new}


def with_entries(objects: Objects, pack: Pack, root: bytes | None, found: Mapping[bytes, Entry]) -> bytes:
    """Return the digest of the tree with other entries at some paths; its objects are put into the pack.

    Raises:
        DamagedObject: the tree is missing or damaged.
    """
    own: dict[bytes, Entry] = {}
    below: dict[bytes, dict[bytes, Entry]] = {}
    for path, entry in found.items():
        name, _, rest = path.partition(b"/")
        if rest:
            below.setdefault(name, {})[rest] = entry
        else:
            own[name] = entry
    entries = {entry.name: entry for entry in (read_tree(objects, root) if root else ())} | own
    for name, inner in below.items():
        old = entries.get(name)
        known = old is not None and old.kind == "folder"
        tree, mode = (old.digest, old.mode) if known and old else (None, 0o700)
        entries[name] = Entry(name, "folder", mode, 0, with_entries(objects, pack, tree, inner))
    return pack.put(encode(tuple(entries[name] for name in sorted(entries))))


def reachable(objects: Objects, roots: set[bytes], known: Set[bytes] = frozenset()) -> set[bytes]:
    """Return the digests of everything that the trees contain, and of the trees, without what is `known`.

    Raises:
        DamagedObject: a tree is missing or damaged.
    """
    found: set[bytes] = set()
    left = list(roots)
    while left:
        if (digest := left.pop()) in found or digest in known:
            continue
        found.add(digest)
        for entry in read_tree(objects, digest):
            if entry.kind == "folder":
                left.append(entry.digest)
            elif entry.digest not in known:
                found.add(entry.digest)
    return found


def _is_folder(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == "folder"


def _tree_of(entry: Entry | None) -> bytes | None:
    return entry.digest if entry is not None and entry.kind == "folder" else None

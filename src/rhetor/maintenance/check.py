"""Checks a state folder without changing it: the database, the log in it, and what the log refers to.

It may be used while the hub is running. What the hub removes meanwhile is not missing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from rhetor.errors import NotFound, SealBroken
from rhetor.hub.catalog import checkpoints
from rhetor.hub.sessions import blobs
from rhetor.sealing.ring import Ring
from rhetor.store.blobs import FileBlobs
from rhetor.store.files.base import DamagedObject
from rhetor.store.files.objects import INDEX
from rhetor.store.files.sealing import FileSeal
from rhetor.store.files.stored_objects import StoredObjects
from rhetor.store.files.trees import reachable
from rhetor.store.sqlite.connection import is_broken, is_busy, is_damage
from rhetor.store.sqlite.file import MAX_FINDINGS, has_seen, is_altered
from rhetor.store.sqlite.sealed import sealing_of
from rhetor.store.sqlite.snapshot import snapshot
from rhetor.store.sqlite.witness import Seen, Witness, stamp_of

from .archive import DATABASE
from .check_log import Finding, check_log
from .progress import Progress


class Checked(Struct, frozen=True):
    """How much was checked, and everything that was found."""

    streams: int
    events: int
    rows: int
    blobs: int
    objects: int
    findings: tuple[Finding, ...]


def check(home: Path, progress: Progress, ring: Ring | None = None) -> Checked:
    """Check everything in the folder. `progress` counts what is checked. `ring`: opens what is sealed."""
    database = home / DATABASE
    seen = Witness(database).seen  # before the database is opened, which then has at least as much
    findings: list[Finding] = []
    counts = dict.fromkeys(("streams", "events", "rows", "blobs", "objects"), 0)
    if seen is not None and _is_changed(database, seen):
        findings.append(Finding("database_changed", DATABASE, "it is not the file that the hub closed"))
    try:
        with snapshot(database) as source:
            findings += _integrity(source)
            if seen is not None and not has_seen(source, seen):
                findings.append(
                    Finding("database_older", DATABASE, "it lacks what the hub had committed last")
                )
            sealing = sealing_of(source, ring)
            findings += check_log(source, sealing, counts, progress)
            findings += _blobs(source, FileBlobs(home / "blobs", ring), counts, progress)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if not _is_damage(error):
            raise
        findings.append(Finding("database_damaged", DATABASE, str(error)))
    findings += _files(home, ring, counts, progress)
    return Checked(**counts, findings=tuple(dict.fromkeys(findings)))


def _is_changed(database: Path, seen: Seen) -> bool:
    if seen.closed is None:
        return False
    changed = is_altered(database, seen.closed)
    if seen.closed.checksum is None:  # of a large file
        changed = stamp_of(database) != seen.closed.stamp
    return changed and Witness(database).seen == seen  # no hub has opened it meanwhile


def _is_damage(error: sqlite3.DatabaseError | UnicodeDecodeError) -> bool:
    """Whether it is not only that another program has locked the file, or that it cannot be opened."""
    if isinstance(error, UnicodeDecodeError):  # SQLite quotes a damaged name
        return True
    return is_damage(error) or not (is_busy(error) or is_broken(error))


def _integrity(source: sqlite3.Connection) -> Iterator[Finding]:
    for (found,) in source.execute(f"PRAGMA integrity_check({MAX_FINDINGS})"):
        if found != "ok":
            yield Finding("database_damaged", DATABASE, " ".join(found.split()))


def _blobs(
    source: sqlite3.Connection, stored: FileBlobs, counts: dict[str, int], progress: Progress
) -> Iterator[Finding]:
    query = "SELECT DISTINCT parent FROM rows WHERE kind = ? ORDER BY parent"
    for (blob,) in source.execute(query, (blobs.KIND,)).fetchall():
        counts["blobs"] += 1
        progress.add(1)
        try:
            stored.check(blob)
        except OSError as error:
            yield Finding("blob_missing", f"blobs/{blob}", error.strerror or str(error))
        except SealBroken as error:
            yield Finding("blob_damaged", f"blobs/{blob}", error.detail)
        except NotFound:
            yield Finding("blob_damaged", f"blobs/{blob}", "its content does not have its digest")


def _files(home: Path, ring: Ring | None, counts: dict[str, int], progress: Progress) -> Iterator[Finding]:
    """Check the files of checkpoints."""
    folder = home / "checkpoints"
    seal = FileSeal(ring, active=False) if ring else None
    wanted = _wanted(home, ring)
    if not (folder / INDEX).exists():
        for id in wanted:
            yield Finding("checkpoint_incomplete", f"checkpoint {id}", "there is no store of files")
        return
    try:
        with closing(StoredObjects(folder, seal)) as objects:
            for found in objects.findings():
                yield Finding("files_damaged", f"checkpoints/{INDEX}", " ".join(found.split()))
            yield from _objects(objects, counts, progress)
            yield from _checkpoints(home, ring, objects, wanted)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if not _is_damage(error):
            raise
        yield Finding("files_damaged", f"checkpoints/{INDEX}", str(error))


def _objects(objects: StoredObjects, counts: dict[str, int], progress: Progress) -> Iterator[Finding]:
    lost: set[int] = set()
    for name, pack, _ in objects.all():
        counts["objects"] += 1
        progress.add(1)
        if pack in lost:
            continue
        try:
            objects.check(name)
        except DamagedObject as error:
            if not objects.has_pack(pack):
                lost.add(pack)
                yield Finding("files_missing", f"checkpoints/{pack}.pack", "it does not exist")
            elif objects.is_listed(name):  # else the hub has just removed it
                yield Finding("files_damaged", f"checkpoints/{pack}.pack", str(error))


def _checkpoints(
    home: Path, ring: Ring | None, objects: StoredObjects, wanted: dict[str, bytes]
) -> Iterator[Finding]:
    whole: set[bytes] = set()
    for id, root in wanted.items():
        try:
            found = reachable(objects, {root}, known=whole)
            for digest in found:
                if not objects.has(digest):
                    raise DamagedObject(f"the object {digest.hex()} is missing")
            whole |= found
        except DamagedObject as error:
            if id in _wanted(home, ring):  # else the hub has just removed it
                yield Finding("checkpoint_incomplete", f"checkpoint {id}", str(error))


def _wanted(home: Path, ring: Ring | None) -> dict[str, bytes]:
    """Return the snapshots of files that checkpoints name, by the id of the checkpoint."""
    found = {}
    try:
        with snapshot(home / DATABASE) as source:
            sealing = sealing_of(source, ring)
            query = "SELECT id, doc FROM rows WHERE kind = ? ORDER BY at, id"
            for id, doc in source.execute(query, (checkpoints.KIND,)):
                files = msgspec.json.decode(sealing.opened_doc(checkpoints.KIND, id, doc)).get("files")
                if files:
                    found[id] = bytes.fromhex(files["root"])
    except (sqlite3.DatabaseError, msgspec.DecodeError, ValueError, SealBroken):
        return found  # the check of the log reports it
    return found
